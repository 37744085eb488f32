//! Calls of the contract, made within the process.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::header::CONTENT_TYPE;
use http::{HeaderMap, HeaderValue, Request};
use http_body_util::{BodyExt as _, Full};
use tonic::{Code, Status};
use tonic_types::StatusExt as _;

use crate::domain::{AccountId, Action, Caller, ClientRequestId, Error};
use crate::grpc::{
    ACCOUNT_METADATA, Authenticated, Handler, InFlightGuard, Peer, REQUEST_ID_HEADER, TAG_SERVICE,
    USER_SERVICE, with_prefix, without_prefix,
};

/// The result of a call.
#[derive(Debug)]
pub struct Called {
    pub request_id: String,
    /// The encoded message, or what went wrong.
    pub result: Result<Bytes, Failure>,
}

/// Why a call failed.
#[derive(Debug)]
pub struct Failure {
    pub status: Code,
    /// The code of the cloud API.
    pub code: String,
    pub message: String,
    pub retry_after: Option<Duration>,
}

/// The sender of a request whose signature was verified.
#[derive(Debug)]
pub struct Sender {
    /// The caller whose key has signed the request.
    pub caller: Caller,
    pub account: AccountId,
    pub traceparent: Option<HeaderValue>,
    pub client_request_id: Option<ClientRequestId>,
}

/// The calls that are made for one request.
pub struct Session<'a> {
    pub handler: &'a Handler,
    pub peer: &'a Arc<Peer>,
    pub sender: &'a Sender,
}

impl Session<'_> {
    /// Calls the method of an action with an encoded message. `in_flight` counts the request until the handler counts the call.
    pub async fn call(&self, action: Action, message: Vec<u8>, in_flight: InFlightGuard) -> Called {
        let request = self.request(action, &message);
        drop(message);
        let answer = self.handler.handle(request, self.peer);
        drop(in_flight);
        let (parts, body) = answer.await.into_parts();
        let request_id = parts.headers.get(REQUEST_ID_HEADER);
        let request_id = request_id.and_then(|id| id.to_str().ok());
        Called {
            request_id: request_id.unwrap_or_default().to_owned(),
            result: match failure(&parts.headers) {
                Some(failure) => Err(failure),
                None => match body.collect().await {
                    Ok(body) => match body.trailers().and_then(failure) {
                        Some(failure) => Err(failure),
                        None => Ok(without_prefix(&body.to_bytes())),
                    },
                    Err(status) => Err(Failure::of(&status)),
                },
            },
        }
    }

    /// The request of gRPC for a call.
    fn request(&self, action: Action, message: &[u8]) -> Request<Full<Bytes>> {
        let mut request = Request::new(Full::new(with_prefix(message)));
        *request.method_mut() = http::Method::POST;
        *request.version_mut() = http::Version::HTTP_2;
        if let Ok(path) = format!("/{}/{}", service_of(action), action.operation()).parse() {
            *request.uri_mut() = path;
        }
        let headers = request.headers_mut();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/grpc"));
        // An account is digits.
        if let Ok(account) = HeaderValue::from_str(self.sender.account.as_str()) {
            headers.insert(ACCOUNT_METADATA, account);
        }
        if let Some(traceparent) = &self.sender.traceparent {
            headers.insert("traceparent", traceparent.clone());
        }
        if let Some(id) = &self.sender.client_request_id
            && let Ok(id) = HeaderValue::from_str(id.as_str())
        {
            headers.insert(REQUEST_ID_HEADER, id);
        }
        let caller = self.sender.caller.clone();
        request.extensions_mut().insert(Authenticated(caller));
        request
    }
}

/// The service of the contract that has the method of an action.
fn service_of(action: Action) -> &'static str {
    match action {
        Action::CreateUser
        | Action::GetUser
        | Action::ListUsers
        | Action::UpdateUser
        | Action::DeleteUser
        | Action::UndeleteUser => USER_SERVICE,
        _ => TAG_SERVICE,
    }
}

fn failure(headers: &HeaderMap) -> Option<Failure> {
    let status = Status::from_header_map(headers)?;
    (status.code() != Code::Ok).then(|| Failure::of(&status))
}

impl Failure {
    /// The failure of a fault of the service, whose cause is in the log.
    pub fn internal() -> Self {
        Self {
            status: Code::Internal,
            code: Error::Internal.code().to_owned(),
            message: Error::Internal.to_string(),
            retry_after: None,
        }
    }

    fn of(status: &Status) -> Self {
        let details = status.get_error_details();
        let code = details
            .error_info()
            .and_then(|info| info.metadata.get("code"));
        Self {
            status: status.code(),
            code: code.map_or("InternalError", String::as_str).to_owned(),
            message: status.message().to_owned(),
            retry_after: details.retry_info().and_then(|retry| retry.retry_delay),
        }
    }
}
