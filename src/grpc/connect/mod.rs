//! The Connect protocol, for programs that have no gRPC, such as curl: a request becomes one of gRPC before its method is called, and
//! the answer becomes one of Connect when all else is done. Nothing here knows a method.

mod end_of_stream;
mod error;
#[cfg(feature = "fuzzing")]
pub mod fuzzing;
mod schema;

use std::convert::Infallible;

use bytes::Bytes;
use http::header::{CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_TYPE, HeaderName};
use http::{HeaderMap, HeaderValue, Response, StatusCode};
use http_body_util::{BodyExt as _, Full};
use tonic::Status;
use tonic::body::Body;

use super::counted_body::FirstFrame;
use super::held::Held;
use super::message::{with_prefix, without_prefix};
use super::parse::quoted;
use super::protocol::{Form, Protocol};
use super::status;
use super::underway::Underway;
use crate::domain::{Error, Fault, FaultCode};
pub(super) use end_of_stream::EndOfStream;
use error::ErrorBody;
pub use schema::Schema;

const PROTOCOL_VERSION: &str = "connect-protocol-version";
const STREAM_ENCODING: HeaderName = HeaderName::from_static("connect-content-encoding");
/// The beginning of the headers that only gRPC knows.
const GRPC_HEADERS: &str = "grpc-";

/// Checks the headers of a request that only Connect has.
///
/// # Errors
/// For another version of the protocol, and for a message that is compressed.
pub fn check(headers: &HeaderMap, protocol: Protocol) -> Result<(), Error> {
    let encoding = match protocol {
        Protocol::Grpc | Protocol::Unknown => return Ok(()),
        Protocol::Connect(_) => CONTENT_ENCODING,
        Protocol::ConnectStream => STREAM_ENCODING,
    };
    if let Some(version) = headers
        .get(PROTOCOL_VERSION)
        .filter(|version| *version != "1")
    {
        return Err(Error::Invalid(vec![Fault {
            code: FaultCode::MalformedRequest,
            field: PROTOCOL_VERSION.to_owned(),
            description: format!("{} must be 1, or left out", shown(version)),
        }]));
    }
    let other = headers.get(&encoding).filter(|given| *given != "identity");
    match other {
        Some(given) => {
            let given = shown(given);
            Err(Error::UnsupportedEncoding(format!(
                "{encoding} is {given}, and only identity is known"
            )))
        }
        None => Ok(()),
    }
}

fn shown(value: &HeaderValue) -> String {
    quoted(&String::from_utf8_lossy(value.as_bytes()))
}

impl Schema {
    /// A message as gRPC has it, with its prefix, of one that came in this protocol.
    ///
    /// # Errors
    /// For JSON that is not the message.
    pub(super) fn decoded(&self, message: Bytes, underway: &Underway) -> Result<Bytes, Error> {
        if underway.protocol != Protocol::Connect(Form::Json) {
            return Ok(message);
        }
        let method = self.method(&underway.path);
        let method = method.ok_or_else(|| Error::UnknownMethod(underway.path.clone()))?;
        let encoded = schema::encoded(method.input(), &without_prefix(&message));
        match encoded {
            Ok(encoded) => Ok(with_prefix(&encoded)),
            Err(fault) => Err(Error::Invalid(vec![fault])),
        }
    }

    /// The answer of a method with its message in this form, by itself. A failure stays as it is.
    pub(super) async fn encoded(
        &self,
        response: Response<Body>,
        form: Form,
        underway: &Underway,
    ) -> Response<Body> {
        if status::failure_in(response.headers()).is_some() {
            return response;
        }
        let (parts, body) = response.into_parts();
        let message = match body.collect().await {
            Ok(collected) => match collected.trailers().and_then(status::failure_in) {
                Some(failure) => return failure.into_http(),
                None => without_prefix(&collected.to_bytes()),
            },
            Err(failure) => return failure.into_http(),
        };
        let method = self.method(&underway.path);
        let message = match (form, method) {
            (Form::Json, Some(method)) => match schema::written(method.output(), &message) {
                Ok(json) => Bytes::from(json),
                Err(error) => {
                    let request_id = underway.id.as_str();
                    tracing::error!(%error, request_id, "an answer has no JSON");
                    return underway.refusal(&Error::Internal);
                }
            },
            _ => message,
        };
        let body = Full::new(message).map_err(|never: Infallible| match never {});
        Response::from_parts(parts, Body::new(body))
    }

    /// The answer as its protocol has it, made of the answer of gRPC. What no protocol is known of gets JSON, as curl can show it.
    pub(super) fn finished(
        &self,
        response: Response<FirstFrame>,
        protocol: Protocol,
        held: &Held,
    ) -> Response<FirstFrame> {
        let failure = status::failure_in(response.headers());
        let (mut parts, body) = response.into_parts();
        let grpc = take_grpc_headers(&mut parts.headers);
        let is_refused = parts.status != StatusCode::OK;
        let (content_type, body) = match (failure, protocol) {
            (Some(_), Protocol::ConnectStream) if !is_refused => {
                ("application/connect+proto", FirstFrame::trailers(grpc))
            }
            (Some(failure), _) => {
                if !is_refused {
                    parts.status = error::http_status(failure.code());
                }
                (
                    "application/json",
                    FirstFrame::ready(self.error(&failure, held)),
                )
            }
            (None, Protocol::ConnectStream) => ("application/connect+proto", body),
            (None, Protocol::Connect(Form::Proto)) => ("application/proto", body),
            (None, _) => ("application/json", body),
        };
        let headers = &mut parts.headers;
        headers.insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
        if protocol != Protocol::ConnectStream || is_refused {
            headers.insert(CONTENT_LENGTH, HeaderValue::from(body.ready_bytes()));
        }
        Response::from_parts(parts, body)
    }

    /// An error in JSON, charged to its request. Where there is no budget for its details, it has none.
    fn error(&self, status: &Status, held: &Held) -> Bytes {
        let json = |body: &ErrorBody<'_>| {
            let json = serde_json::to_vec(body).unwrap_or_default();
            Bytes::from(json)
        };
        let detailed = json(&ErrorBody::of(status, self));
        held.keep(detailed)
            .unwrap_or_else(|_| json(&ErrorBody::brief(status)))
    }
}

/// Takes away the headers that only gRPC knows.
fn take_grpc_headers(headers: &mut HeaderMap) -> HeaderMap {
    let names = headers
        .keys()
        .filter(|name| name.as_str().starts_with(GRPC_HEADERS));
    let names: Vec<HeaderName> = names.cloned().collect();
    let taken = names.into_iter().filter_map(|name| {
        let value = headers.remove(&name)?;
        Some((name, value))
    });
    taken.collect()
}
