//! What happens around every request: its RequestId, its deadline, and an answer in every case.

use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::FutureExt as _;
use http::{HeaderMap, HeaderValue, Request, Response};
use tokio_util::sync::CancellationToken;
use tonic::body::Body;
use tonic::service::Routes;
use tonic::{Code, Status};
use tower::ServiceExt as _;
use tracing::Instrument as _;

use super::context::RequestContext;
use super::in_flight::{CountedBody, InFlight};
use super::log_line::LogLine;
use super::{MAX_MESSAGE_BYTES, TAG_SERVICE, status};
use crate::domain::{Error, Fault, FaultCode, RequestId};
use crate::service::RETRY_AFTER;

const REQUEST_ID_HEADER: &str = "x-request-id";
const TIMEOUT_HEADER: &str = "grpc-timeout";
const STATUS_HEADER: &str = "grpc-status";
const MESSAGE_HEADER: &str = "grpc-message";
const STATUS_DETAILS_HEADER: &str = "grpc-status-details-bin";

/// Carries out requests on a set of services.
#[derive(Debug, Clone)]
pub struct Handler {
    routes: Routes,
    request_timeout: Duration,
    in_flight: InFlight,
    /// Cancelled when the drain's time is over: what is still running is answered and cut off.
    cut_off: CancellationToken,
}

impl Handler {
    /// A handler whose requests `in_flight` counts and `cut_off` ends.
    #[must_use]
    pub fn new(
        routes: Routes,
        request_timeout: Duration,
        in_flight: InFlight,
        cut_off: CancellationToken,
    ) -> Self {
        Self {
            routes,
            request_timeout,
            in_flight,
            cut_off,
        }
    }

    /// Answers one request. Whatever happens, it is an answer with a RequestId. The request counts as in flight from this
    /// call on, and not only when the future is first polled: a drain misses none that a connection has taken.
    pub fn handle<B>(&self, request: Request<B>) -> impl Future<Output = Response<Body>> + use<B>
    where
        B: http_body::Body<Data = Bytes> + Send + 'static,
        B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
    {
        let is_tag_request = service_of(request.uri().path()) == TAG_SERVICE;
        // Health watches and reflection streams last as long as their callers like, and hold up no drain.
        let guard = is_tag_request.then(|| self.in_flight.enter());
        let handler = self.clone();
        async move {
            let response = handler.answer(request, is_tag_request).await;
            response.map(|body| match guard {
                Some(guard) => Body::new(CountedBody::new(body, guard)),
                None => body,
            })
        }
    }

    async fn answer<B>(self, request: Request<B>, is_tag_request: bool) -> Response<Body>
    where
        B: http_body::Body<Data = Bytes> + Send + 'static,
        B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
    {
        let context = Arc::new(RequestContext::new(RequestId::random()));
        let request_id = context.id();
        let span = tracing::error_span!("request", %request_id);
        let path = request.uri().path().to_owned();
        let line = LogLine::start(Arc::clone(&context), path.clone(), is_tag_request);

        let mut response = self
            .bounded(request, Arc::clone(&context))
            .instrument(span)
            .await;
        complete(&mut response, &context, &path);
        let headers = response.headers_mut();
        if let Ok(value) = HeaderValue::from_str(request_id.as_str()) {
            headers.insert(REQUEST_ID_HEADER, value);
        }
        line.finish(headers);
        response
    }

    /// Runs the request until its deadline or the end of the drain.
    async fn bounded<B>(
        self,
        mut request: Request<B>,
        context: Arc<RequestContext>,
    ) -> Response<Body>
    where
        B: http_body::Body<Data = Bytes> + Send + 'static,
        B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
    {
        let timeout = match caller_timeout(request.headers()) {
            Ok(timeout) => timeout.map_or(self.request_timeout, |t| t.min(self.request_timeout)),
            Err(fault) => return respond(&Error::Invalid(vec![fault]), &context),
        };
        request.extensions_mut().insert(Arc::clone(&context));
        let answer = AssertUnwindSafe(self.routes.oneshot(request.map(Body::new))).catch_unwind();
        tokio::select! {
            biased;
            answer = answer => match answer {
                Ok(Ok(response)) => response,
                Ok(Err(infallible)) => match infallible {},
                Err(_) => {
                    tracing::error!("the request's handler has panicked");
                    respond(&Error::Internal, &context)
                }
            },
            () = tokio::time::sleep(timeout) => {
                respond(&Error::DeadlineExceeded(context.applied_if_cut_off()), &context)
            }
            () = self.cut_off.cancelled() => {
                let error = Error::Unavailable {
                    reason: "the server is shutting down",
                    applied: context.applied_if_cut_off(),
                    retry_after: RETRY_AFTER,
                };
                respond(&error, &context)
            }
        }
    }
}

fn respond(error: &Error, context: &RequestContext) -> Response<Body> {
    status::from_error(error, context.id()).into_http()
}

fn service_of(path: &str) -> &str {
    path.trim_start_matches('/')
        .split('/')
        .next()
        .unwrap_or_default()
}

/// How long the caller is willing to wait: at most eight digits and a unit, as the gRPC protocol has it.
fn caller_timeout(headers: &HeaderMap) -> Result<Option<Duration>, Fault> {
    let Some(value) = headers.get(TIMEOUT_HEADER) else {
        return Ok(None);
    };
    let parse = || {
        let (digits, unit) = value
            .to_str()
            .ok()?
            .split_at_checked(value.len().checked_sub(1)?)?;
        if !(1..=8).contains(&digits.len()) || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
            return None;
        }
        let number: u64 = digits.parse().ok()?;
        match unit {
            "H" => Some(Duration::from_secs(number * 3600)),
            "M" => Some(Duration::from_secs(number * 60)),
            "S" => Some(Duration::from_secs(number)),
            "m" => Some(Duration::from_millis(number)),
            "u" => Some(Duration::from_micros(number)),
            "n" => Some(Duration::from_nanos(number)),
            _ => None,
        }
    };
    parse().map(Some).ok_or_else(|| Fault {
        code: FaultCode::InvalidTimeout,
        field: TIMEOUT_HEADER.to_owned(),
        description: format!(
            "{value:?} must be 1 to 8 digits and one of the units H, M, S, m, u, n"
        ),
    })
}

/// Gives a status that the libraries below made what all of ours have.
fn complete(response: &mut Response<Body>, context: &RequestContext, path: &str) {
    let headers = response.headers();
    if headers.contains_key(STATUS_DETAILS_HEADER) {
        return;
    }
    let Some(found) = Status::from_header_map(headers).filter(|found| found.code() != Code::Ok)
    else {
        return;
    };
    let completed = match library_error(&found, context, path) {
        Some(error) => status::from_error(&error, context.id()),
        None => status::with_request_info(&found, context.id()),
    };
    let (mut parts, _) = std::mem::take(response).into_parts();
    // What else the library says stays, such as the encodings that it takes.
    parts.headers.remove(STATUS_HEADER);
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
        Code::OutOfRange => Some(Error::MessageTooLarge(format!(
            "the request message is larger than {MAX_MESSAGE_BYTES} bytes; name fewer resources"
        ))),
        // The method was not reached: the bytes are at fault, and not the service.
        Code::Internal | Code::InvalidArgument | Code::Unknown => {
            Some(Error::Invalid(vec![Fault {
                code: FaultCode::MalformedRequest,
                field: String::new(),
                description: format!(
                    "not one message of the method's request type: {}",
                    found.message()
                ),
            }]))
        }
        _ => None,
    }
}
