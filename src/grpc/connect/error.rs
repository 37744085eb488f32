//! Errors of the Connect protocol: JSON with the code, the message and the details that gRPC has.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD_NO_PAD;
use http::StatusCode;
use prost::Message as _;
use serde::Serialize;
use serde_json::Value;
use tonic::{Code, Status};

use super::schema::Schema;

/// An error as JSON.
#[derive(Debug, Serialize)]
pub struct ErrorBody<'a> {
    code: &'static str,
    message: &'a str,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    details: Vec<Detail>,
}

#[derive(Debug, Serialize)]
struct Detail {
    #[serde(rename = "type")]
    kind: String,
    /// The encoded message, for programs.
    value: String,
    /// The same message, for people.
    #[serde(skip_serializing_if = "Option::is_none")]
    debug: Option<Value>,
}

impl<'a> ErrorBody<'a> {
    /// The error of a status, with its details.
    pub fn of(status: &'a Status, schema: &Schema) -> Self {
        // One that is not ours may have any bytes.
        let details = tonic_types::Status::decode(status.details())
            .map(|status| status.details)
            .unwrap_or_default();
        let details = details.iter().map(|detail| {
            let (kind, debug) = schema.detail(detail);
            Detail {
                kind: kind.to_owned(),
                value: STANDARD_NO_PAD.encode(&detail.value),
                debug,
            }
        });
        Self {
            details: details.collect(),
            ..Self::brief(status)
        }
    }

    /// The error of a status, without its details.
    pub fn brief(status: &'a Status) -> Self {
        Self {
            code: name(status.code()),
            message: status.message(),
            details: Vec::new(),
        }
    }
}

/// The name of a code.
fn name(code: Code) -> &'static str {
    match code {
        // There is none for a success.
        Code::Ok | Code::Unknown => "unknown",
        Code::Cancelled => "canceled",
        Code::InvalidArgument => "invalid_argument",
        Code::DeadlineExceeded => "deadline_exceeded",
        Code::NotFound => "not_found",
        Code::AlreadyExists => "already_exists",
        Code::PermissionDenied => "permission_denied",
        Code::ResourceExhausted => "resource_exhausted",
        Code::FailedPrecondition => "failed_precondition",
        Code::Aborted => "aborted",
        Code::OutOfRange => "out_of_range",
        Code::Unimplemented => "unimplemented",
        Code::Internal => "internal",
        Code::Unavailable => "unavailable",
        Code::DataLoss => "data_loss",
        Code::Unauthenticated => "unauthenticated",
    }
}

/// The status of HTTP for a code, by the table of the protocol.
pub fn http_status(code: Code) -> StatusCode {
    match code {
        Code::InvalidArgument | Code::FailedPrecondition | Code::OutOfRange => {
            StatusCode::BAD_REQUEST
        }
        Code::Unauthenticated => StatusCode::UNAUTHORIZED,
        Code::PermissionDenied => StatusCode::FORBIDDEN,
        Code::NotFound => StatusCode::NOT_FOUND,
        Code::AlreadyExists | Code::Aborted => StatusCode::CONFLICT,
        Code::ResourceExhausted => StatusCode::TOO_MANY_REQUESTS,
        // Client Closed Request, which has no name in RFC 9110.
        Code::Cancelled => StatusCode::from_u16(499).unwrap_or(StatusCode::BAD_REQUEST),
        Code::Unimplemented => StatusCode::NOT_IMPLEMENTED,
        Code::Unavailable => StatusCode::SERVICE_UNAVAILABLE,
        Code::DeadlineExceeded => StatusCode::GATEWAY_TIMEOUT,
        Code::Ok | Code::Unknown | Code::Internal | Code::DataLoss => {
            StatusCode::INTERNAL_SERVER_ERROR
        }
    }
}
