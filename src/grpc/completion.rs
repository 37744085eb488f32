//! The completion of statuses that libraries made, in the contract's words.

use http::Response;
use tonic::body::Body;
use tonic::{Code, Status};

use super::status;
use super::underway::Underway;
use crate::domain::{Error, Fault, FaultCode};

const MESSAGE_HEADER: &str = "grpc-message";
/// The beginning of the message about bytes that are not the request message; why comes after it.
pub const NOT_ONE_MESSAGE: &str = "not one message of the method's request type";
const STATUS_DETAILS_HEADER: &str = "grpc-status-details-bin";

/// Gives a status that a library made the details that all of the service's own have.
pub fn complete(response: &mut Response<Body>, underway: &Underway) {
    let headers = response.headers();
    let Some(found) = status::failure_in(headers) else {
        return;
    };
    if headers.contains_key(STATUS_DETAILS_HEADER) {
        return;
    }
    let completed = match library_error(&found, underway) {
        Some(error) => status::from_error(&error, underway.answer_id()),
        None => status::with_request_info(&found, underway.answer_id()),
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

/// The error that a status of tonic's means in the contract's words, where it is about a service of the contract or no service.
fn library_error(found: &Status, underway: &Underway) -> Option<Error> {
    if found.code() == Code::Unimplemented {
        return Some(match found.message() {
            "" => Error::UnknownMethod(underway.path.clone()),
            message => Error::UnsupportedEncoding(message.to_owned()),
        });
    }
    if !underway.service.is_of_contract() || underway.progress.stage().is_decoded() {
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
