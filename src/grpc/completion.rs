//! Statuses that the libraries below made, in the contract's words.

use http::Response;
use tonic::body::Body;
use tonic::{Code, Status};

use super::context::RequestContext;
use super::services::service_of;
use super::{TAG_SERVICE, status};
use crate::domain::{Error, Fault, FaultCode};

const MESSAGE_HEADER: &str = "grpc-message";
/// What is said of bytes that are not the request message, before why.
pub const NOT_ONE_MESSAGE: &str = "not one message of the method's request type";
const STATUS_DETAILS_HEADER: &str = "grpc-status-details-bin";

/// Gives a status that the libraries below made what all of ours have.
pub fn complete(response: &mut Response<Body>, context: &RequestContext, path: &str) {
    let headers = response.headers();
    let Some(found) = status::failure_in(headers) else {
        return;
    };
    if headers.contains_key(STATUS_DETAILS_HEADER) {
        return;
    }
    let completed = match library_error(&found, context, path) {
        Some(error) => status::from_error(&error, context.id()),
        None => status::with_request_info(&found, context.id()),
    };
    let (mut parts, _) = std::mem::take(response).into_parts();
    // What else the library says stays, such as the encodings that it takes.
    parts.headers.remove(status::STATUS_HEADER);
    parts.headers.remove(MESSAGE_HEADER);
    *response = completed.into_http();
    for (name, value) in parts
        .headers
        .iter()
        .filter(|(name, _)| *name != http::header::CONTENT_TYPE)
    {
        response.headers_mut().insert(name.clone(), value.clone());
    }
}

/// What a status that tonic made for the tag service, or for no service, means in the contract's words.
fn library_error(found: &Status, context: &RequestContext, path: &str) -> Option<Error> {
    if found.code() == Code::Unimplemented {
        return Some(match found.message() {
            "" => Error::UnknownMethod(path.to_owned()),
            message => Error::UnsupportedEncoding(message.to_owned()),
        });
    }
    if service_of(path) != TAG_SERVICE || context.was_entered() {
        return None;
    }
    match found.code() {
        // The method was not reached: the bytes are at fault, and not the service.
        Code::Internal | Code::InvalidArgument | Code::Unknown => {
            Some(Error::Invalid(vec![Fault {
                code: FaultCode::MalformedRequest,
                field: String::new(),
                description: format!("{NOT_ONE_MESSAGE}: {}", found.message()),
            }]))
        }
        _ => None,
    }
}
