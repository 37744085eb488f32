//! The check that a request of HTTP is one of gRPC, by its method and its content type.
//!
//! A browser lets any page send a POST of plain text to any port that it reaches. It does not let one send this content type
//! without asking the port first, and such a question (OPTIONS) is refused here.

use http::header::{ALLOW, CONTENT_TYPE};
use http::{HeaderMap, HeaderValue, Method, Request, Response, StatusCode};
use tonic::body::Body;

use super::parse::quoted;
use super::status;
use crate::domain::{Error, Fault, FaultCode, RequestId};

/// The content type of gRPC (PROTOCOL-HTTP2): as it is, with `+proto`, or with parameters.
const GRPC: &str = "application/grpc";

/// Why a request is none of gRPC.
#[derive(Debug, PartialEq, Eq)]
pub enum NotGrpc {
    /// The request has another method than POST.
    Method(Method),
    /// The request has another content type, several or none.
    ContentType(String),
}

/// Whether headers have exactly one content type, which is gRPC's.
pub fn has_grpc_content_type(headers: &HeaderMap) -> bool {
    let mut values = headers.get_all(CONTENT_TYPE).iter();
    let (Some(value), None) = (values.next(), values.next()) else {
        return false;
    };
    let value = value.as_bytes();
    let essence = value.split(|byte| *byte == b';').next().unwrap_or(value);
    let essence = essence.trim_ascii();
    let Some((start, format)) = essence.split_at_checked(GRPC.len()) else {
        return false;
    };
    start.eq_ignore_ascii_case(GRPC.as_bytes())
        && (format.is_empty() || format.eq_ignore_ascii_case(b"+proto"))
}

/// Checks that a request is one of gRPC.
pub fn check<B>(request: &Request<B>) -> Result<(), NotGrpc> {
    if request.method() != Method::POST {
        return Err(NotGrpc::Method(request.method().clone()));
    }
    if has_grpc_content_type(request.headers()) {
        return Ok(());
    }
    let values = request.headers().get_all(CONTENT_TYPE).iter();
    let values: Vec<_> = values
        .map(|value| String::from_utf8_lossy(value.as_bytes()))
        .collect();
    Err(NotGrpc::ContentType(values.join(", ")))
}

impl NotGrpc {
    /// The answer, with a status of HTTP for clients of HTTP and one of gRPC for clients of gRPC.
    pub fn answer(&self, request_id: RequestId) -> Response<Body> {
        let (http_status, field, description) = match self {
            Self::Method(method) => (
                StatusCode::METHOD_NOT_ALLOWED,
                ":method",
                format!("{} must be POST", quoted(method.as_str())),
            ),
            Self::ContentType(given) => (
                StatusCode::UNSUPPORTED_MEDIA_TYPE,
                CONTENT_TYPE.as_str(),
                format!(
                    "{} must be application/grpc or application/grpc+proto",
                    quoted(given)
                ),
            ),
        };
        let fault = Fault {
            code: FaultCode::MalformedRequest,
            field: field.to_owned(),
            description,
        };
        let mut response = status::from_error(&Error::Invalid(vec![fault]), request_id).into_http();
        *response.status_mut() = http_status;
        if let Self::Method(_) = self {
            let allowed = HeaderValue::from_static("POST");
            response.headers_mut().insert(ALLOW, allowed);
        }
        response
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_one_content_type_of_grpc_will_do() {
        let has = |values: &[&str]| {
            let mut headers = HeaderMap::new();
            for value in values {
                headers.append(CONTENT_TYPE, HeaderValue::from_str(value).unwrap());
            }
            has_grpc_content_type(&headers)
        };
        for good in [
            "application/grpc",
            "application/grpc+proto",
            "Application/gRPC",
            "application/grpc;charset=utf-8",
            "application/grpc+proto; a=b",
            "application/grpc ;a",
        ] {
            assert!(has(&[good]), "{good}");
        }
        for bad in [
            "",
            "application/grpc-web",
            "application/grpc-web+proto",
            "application/grpc+json",
            "application/grpcx",
            "text/plain",
            "text/plain;application/grpc",
            "application/json",
            "application/grpc,text/plain",
        ] {
            assert!(!has(&[bad]), "{bad}");
        }
        assert!(!has(&[]));
        assert!(!has(&["application/grpc", "application/grpc"]));
    }
}
