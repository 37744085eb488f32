//! A call of the contract, made within the process.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::header::CONTENT_TYPE;
use http::{HeaderMap, HeaderValue, Request};
use http_body_util::{BodyExt as _, Full};
use tonic::{Code, Status};
use tonic_types::StatusExt as _;

use super::operation::Operation;
use crate::domain::{AccountId, Caller, ClientRequestId};
use crate::grpc::{
    ACCOUNT_METADATA, Authenticated, Handler, InFlightGuard, Peer, REQUEST_ID_HEADER, TAG_SERVICE,
    with_prefix, without_prefix,
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

/// The order of a request whose signature was verified.
#[derive(Debug)]
pub struct Order {
    pub operation: Operation,
    /// The caller whose key has signed the request.
    pub caller: Caller,
    pub account: AccountId,
    pub traceparent: Option<HeaderValue>,
    pub client_request_id: Option<ClientRequestId>,
    /// The encoded message of the contract.
    pub message: Vec<u8>,
}

/// Carries out an order. `in_flight` counts the request until the handler counts its call.
pub async fn call(
    handler: &Handler,
    peer: &Arc<Peer>,
    order: Order,
    in_flight: InFlightGuard,
) -> Called {
    let answer = handler.handle(request(order), peer);
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

/// The request of gRPC for an order.
fn request(order: Order) -> Request<Full<Bytes>> {
    let method = order.operation.name();
    let mut request = Request::new(Full::new(with_prefix(&order.message)));
    *request.method_mut() = http::Method::POST;
    *request.version_mut() = http::Version::HTTP_2;
    if let Ok(path) = format!("/{TAG_SERVICE}/{method}").parse() {
        *request.uri_mut() = path;
    }
    let headers = request.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/grpc"));
    // An account is digits.
    if let Ok(account) = HeaderValue::from_str(order.account.as_str()) {
        headers.insert(ACCOUNT_METADATA, account);
    }
    if let Some(traceparent) = order.traceparent {
        headers.insert("traceparent", traceparent);
    }
    if let Some(id) = order.client_request_id
        && let Ok(id) = HeaderValue::from_str(id.as_str())
    {
        headers.insert(REQUEST_ID_HEADER, id);
    }
    request.extensions_mut().insert(Authenticated(order.caller));
    request
}

fn failure(headers: &HeaderMap) -> Option<Failure> {
    let status = Status::from_header_map(headers)?;
    (status.code() != Code::Ok).then(|| Failure::of(&status))
}

impl Failure {
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
