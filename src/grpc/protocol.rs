//! The protocols that a port speaks, and the check that a request is in one of them.
//!
//! A browser lets any page send a POST of plain text to any port that it reaches. It does not let one send these content types
//! without asking the port first, and such a question (OPTIONS) is refused here.

use http::header::{ALLOW, CONTENT_TYPE, HeaderName};
use http::{HeaderMap, HeaderValue, Method, Request, Response, StatusCode, Version};
use tonic::body::Body;

use super::origin::Page;
use super::parse::quoted;
use super::status;
use crate::domain::{Error, Fault, FaultCode, RequestId};
use crate::telemetry::metrics::Kind;

/// The content types that are taken, for clients that have sent another one.
const TAKEN: &str = "application/grpc, application/grpc+proto, application/json, application/proto, \
    application/connect+proto";

/// The header of an answer with the content types that a POST may have.
const ACCEPT_POST: HeaderName = HeaderName::from_static("accept-post");

/// The protocol of a request, by its content type.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Protocol {
    /// gRPC (PROTOCOL-HTTP2): the type as it is, with `+proto`, or with parameters.
    Grpc,
    /// Connect, with one message each way in this form.
    Connect(Form),
    /// Connect, with streams of messages in protobuf.
    ConnectStream,
    /// No protocol that is known.
    Unknown,
}

/// The form of a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Form {
    /// JSON, by protobuf's mapping.
    Json,
    /// The encoding of protobuf.
    Proto,
}

impl Protocol {
    /// The protocol that the headers of a request name: they have exactly one content type.
    pub fn of(headers: &HeaderMap) -> Self {
        let mut values = headers.get_all(CONTENT_TYPE).iter();
        let (Some(value), None) = (values.next(), values.next()) else {
            return Self::Unknown;
        };
        let value = value.as_bytes();
        let essence = value.split(|byte| *byte == b';').next().unwrap_or(value);
        let is = |name: &str| essence.trim_ascii().eq_ignore_ascii_case(name.as_bytes());
        if is("application/grpc") || is("application/grpc+proto") {
            Self::Grpc
        } else if is("application/json") {
            Self::Connect(Form::Json)
        } else if is("application/proto") {
            Self::Connect(Form::Proto)
        } else if is("application/connect+proto") {
            Self::ConnectStream
        } else {
            Self::Unknown
        }
    }
}

/// Whether headers have exactly one content type, which is gRPC's.
#[must_use]
pub fn has_grpc_content_type(headers: &HeaderMap) -> bool {
    Protocol::of(headers) == Protocol::Grpc
}

/// Why a request is not to be read any further.
#[derive(Debug, PartialEq, Eq)]
pub enum NotTaken {
    /// The request comes from a web page of this origin.
    Page(String),
    /// The request has another method than POST.
    Method(Method),
    /// The request has another content type, several or none.
    ContentType(String),
    /// The request is gRPC over HTTP/1.1, which has no trailers that clients could rely on.
    Version(Version),
    /// The content type is for methods of one message each way, and this is none.
    Stream,
    /// The content type is for streams, and the method has one message each way.
    NoStream,
}

/// Checks that a request for a method of this kind is one of the protocols, and of no page that may not call.
pub fn check<B>(
    request: &Request<B>,
    protocol: Protocol,
    kind: Kind,
    page: &Page,
) -> Result<(), NotTaken> {
    if let Page::Foreign(origin) = page {
        return Err(NotTaken::Page(origin.clone()));
    }
    if request.method() != Method::POST {
        return Err(NotTaken::Method(request.method().clone()));
    }
    match (protocol, kind) {
        (Protocol::Grpc, _) if request.version() != Version::HTTP_2 => {
            Err(NotTaken::Version(request.version()))
        }
        (Protocol::Connect(_), Kind::ServerStream | Kind::BidiStream) => Err(NotTaken::Stream),
        (Protocol::ConnectStream, Kind::Unary) => Err(NotTaken::NoStream),
        (Protocol::Unknown, _) => {
            let values = request.headers().get_all(CONTENT_TYPE).iter();
            let values: Vec<_> = values
                .map(|value| String::from_utf8_lossy(value.as_bytes()))
                .collect();
            Err(NotTaken::ContentType(values.join(", ")))
        }
        _ => Ok(()),
    }
}

impl NotTaken {
    /// The answer, with a status of HTTP for clients of HTTP and one of gRPC for clients of gRPC.
    pub fn answer(&self, request_id: RequestId) -> Response<Body> {
        let mut response = status::from_error(&self.error(), request_id).into_http();
        *response.status_mut() = self.http_status();
        let headers = response.headers_mut();
        match self {
            Self::Method(_) => {
                headers.insert(ALLOW, HeaderValue::from_static("POST"));
            }
            Self::ContentType(_) | Self::Stream | Self::NoStream => {
                headers.insert(ACCEPT_POST, HeaderValue::from_static(TAKEN));
            }
            Self::Page(_) | Self::Version(_) => {}
        }
        response
    }

    fn http_status(&self) -> StatusCode {
        match self {
            Self::Page(_) => StatusCode::FORBIDDEN,
            Self::Method(_) => StatusCode::METHOD_NOT_ALLOWED,
            Self::ContentType(_) | Self::Stream | Self::NoStream => {
                StatusCode::UNSUPPORTED_MEDIA_TYPE
            }
            Self::Version(_) => StatusCode::HTTP_VERSION_NOT_SUPPORTED,
        }
    }

    fn error(&self) -> Error {
        let (field, description) = match self {
            Self::Page(origin) => return Error::ForeignOrigin(quoted(origin)),
            Self::Method(method) => (
                ":method",
                format!("{} must be POST", quoted(method.as_str())),
            ),
            Self::ContentType(given) => {
                (CONTENT_TYPE.as_str(), format!("{} must be one of {TAKEN}", quoted(given)))
            }
            Self::Version(version) => (
                CONTENT_TYPE.as_str(),
                format!("gRPC needs HTTP/2, and this is {version:?}; over HTTP/1.1 send application/json"),
            ),
            Self::Stream => (
                CONTENT_TYPE.as_str(),
                "the method answers with a stream; send application/grpc or application/connect+proto"
                    .to_owned(),
            ),
            Self::NoStream => (
                CONTENT_TYPE.as_str(),
                "the method takes one message and answers with one; send application/json or application/proto"
                    .to_owned(),
            ),
        };
        Error::Invalid(vec![Fault {
            code: FaultCode::MalformedRequest,
            field: field.to_owned(),
            description,
        }])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_content_type_says_which_protocol_it_is() {
        let of = |values: &[&str]| {
            let mut headers = HeaderMap::new();
            for value in values {
                headers.append(CONTENT_TYPE, HeaderValue::from_str(value).unwrap());
            }
            Protocol::of(&headers)
        };
        for (protocol, names) in [
            (
                Protocol::Grpc,
                &[
                    "application/grpc",
                    "application/grpc+proto",
                    "Application/gRPC",
                    "application/grpc;charset=utf-8",
                    "application/grpc+proto; a=b",
                    "application/grpc ;a",
                ][..],
            ),
            (
                Protocol::Connect(Form::Json),
                &["application/json", "Application/JSON; charset=utf-8"],
            ),
            (Protocol::Connect(Form::Proto), &["application/proto"]),
            (Protocol::ConnectStream, &["application/connect+proto"]),
            (
                Protocol::Unknown,
                &[
                    "",
                    "application/grpc-web",
                    "application/grpc-web+proto",
                    "application/grpc+json",
                    "application/grpcx",
                    "application/connect+json",
                    "application/jsonx",
                    "text/plain",
                    "text/plain;application/grpc",
                    "text/plain;application/json",
                    "application/grpc,text/plain",
                ],
            ),
        ] {
            for name in names {
                assert_eq!(of(&[name]), protocol, "{name}");
            }
        }
        assert_eq!(of(&[]), Protocol::Unknown);
        assert_eq!(
            of(&["application/grpc", "application/grpc"]),
            Protocol::Unknown
        );
        assert_eq!(of(&["application/json", "text/plain"]), Protocol::Unknown);
    }
}
