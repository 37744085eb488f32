//! The statuses of gRPC: here alone an error becomes one, with google.rpc details.

use std::collections::HashMap;

use http::{HeaderMap, HeaderName};
use tonic::metadata::MetadataValue;
use tonic::{Code, Status};
use tonic_types::{ErrorDetail, ErrorInfo, RequestInfo, StatusExt as _};

use super::details::{self, reason};
use crate::domain::{Applied, Error, LONGEST_MESSAGE, RefusalKind, RequestId, shortened};

/// The `domain` of every `ErrorInfo`.
const DOMAIN: &str = "untag";

/// The header, or trailer, with the number of the code.
pub const STATUS_HEADER: HeaderName = HeaderName::from_static("grpc-status");

/// The trailer that tells a client's retry policy when to send the request again (gRPC A6), and with -1 not to. A change
/// that may have been made is for its caller to decide on: sent again later, it could remove a tag that somebody has set
/// meanwhile.
const PUSHBACK: &str = "grpc-retry-pushback-ms";

/// The gRPC code of an error.
fn grpc_code(error: &Error) -> Code {
    match error {
        Error::Invalid(_) => Code::InvalidArgument,
        Error::NotFound(_) | Error::NoChange(_) => Code::NotFound,
        Error::TagLimit(_) | Error::Mismatched(..) | Error::Conflicts(_) => {
            Code::FailedPrecondition
        }
        Error::UserExists(_) | Error::NameTaken(_) | Error::TokenMismatch => Code::AlreadyExists,
        Error::Compacted(_) | Error::NotYet(_) | Error::OtherHistory => Code::OutOfRange,
        Error::Unauthenticated(_) => Code::Unauthenticated,
        Error::NoPermission { .. } | Error::ForeignOrigin(_) => Code::PermissionDenied,
        Error::Throttled { .. } | Error::TooLarge(_) => Code::ResourceExhausted,
        Error::Unavailable { .. } | Error::WatchEnded { .. } | Error::ImportEnded { .. } => {
            Code::Unavailable
        }
        Error::DeadlineExceeded(_) => Code::DeadlineExceeded,
        Error::Unsupported(_) | Error::UnknownMethod(_) | Error::UnsupportedEncoding(_) => {
            Code::Unimplemented
        }
        Error::BrokenProtocol(_) | Error::Internal => Code::Internal,
        Error::Refused(refusal) => match refusal.kind {
            RefusalKind::Invalid => Code::InvalidArgument,
            RefusalKind::NotFound(_) => Code::NotFound,
            RefusalKind::TagLimit | RefusalKind::Conflict => Code::FailedPrecondition,
            RefusalKind::AlreadyExists => Code::AlreadyExists,
            RefusalKind::NoPermission => Code::PermissionDenied,
            RefusalKind::Throttled { .. } => Code::ResourceExhausted,
            RefusalKind::Unavailable { .. } => Code::Unavailable,
            RefusalKind::Internal => Code::Internal,
        },
    }
}

/// Builds the status of an error.
pub fn from_error(error: &Error, request_id: RequestId) -> Status {
    let (code, alibaba_code) = (grpc_code(error), error.code());
    let mut metadata = HashMap::from([("code".to_owned(), alibaba_code.to_owned())]);
    let details = details::of(error, &mut metadata);
    let mut all: Vec<ErrorDetail> = vec![
        ErrorInfo::new(reason(alibaba_code), DOMAIN, metadata).into(),
        RequestInfo::new(request_id.as_str(), "").into(),
    ];
    all.extend(details);
    let mut status =
        Status::with_error_details_vec(code, shortened(error.to_string(), LONGEST_MESSAGE), all);
    if may_be_applied(error) {
        let never = MetadataValue::from_static("-1");
        status.metadata_mut().insert(PUSHBACK, never);
    }
    status
}

/// The status of a request with a client token: it may be sent again whatever has become of it.
pub fn of_repeatable(mut status: Status) -> Status {
    status.metadata_mut().remove(PUSHBACK);
    status
}

fn may_be_applied(error: &Error) -> bool {
    let applied = match error {
        Error::Unavailable { applied, .. } => applied,
        Error::Refused(refusal) if matches!(refusal.kind, RefusalKind::Unavailable { .. }) => {
            &refusal.applied
        }
        _ => return false,
    };
    *applied == Applied::Maybe
}

/// The failure that the headers of an answer tell of. Headers of a success have no status: it is in the trailers.
pub fn failure_in(headers: &HeaderMap) -> Option<Status> {
    // Most answers are successes, and reading a status looks for more than its code.
    if !headers.contains_key(&STATUS_HEADER) {
        return None;
    }
    Status::from_header_map(headers).filter(|status| status.code() != Code::Ok)
}

/// The number of the code in headers or trailers that have one.
pub fn code_in(headers: &HeaderMap) -> Option<i32> {
    let code = headers.get(&STATUS_HEADER)?;
    Some(Code::from_bytes(code.as_bytes()).into())
}

/// The name of a code as the gRPC specification writes it, for the log.
pub fn code_name(code: Code) -> &'static str {
    match code {
        Code::Ok => "OK",
        Code::Cancelled => "CANCELLED",
        Code::Unknown => "UNKNOWN",
        Code::InvalidArgument => "INVALID_ARGUMENT",
        Code::DeadlineExceeded => "DEADLINE_EXCEEDED",
        Code::NotFound => "NOT_FOUND",
        Code::AlreadyExists => "ALREADY_EXISTS",
        Code::PermissionDenied => "PERMISSION_DENIED",
        Code::ResourceExhausted => "RESOURCE_EXHAUSTED",
        Code::FailedPrecondition => "FAILED_PRECONDITION",
        Code::Aborted => "ABORTED",
        Code::OutOfRange => "OUT_OF_RANGE",
        Code::Unimplemented => "UNIMPLEMENTED",
        Code::Internal => "INTERNAL",
        Code::Unavailable => "UNAVAILABLE",
        Code::DataLoss => "DATA_LOSS",
        Code::Unauthenticated => "UNAUTHENTICATED",
    }
}

/// Adds the RequestId to a status of another service of this server, such as health.
pub fn with_request_info(status: &Status, request_id: RequestId) -> Status {
    let details: Vec<ErrorDetail> = vec![RequestInfo::new(request_id.as_str(), "").into()];
    Status::with_error_details_vec(status.code(), status.message(), details)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::{NamedResource, Refusal};

    #[test]
    fn reasons_are_upper_snake_case() {
        assert_eq!(reason("Duplicate.TagKey"), "DUPLICATE_TAG_KEY");
        assert_eq!(reason("EntityNotExist.User"), "ENTITY_NOT_EXIST_USER");
        assert_eq!(reason("InternalError"), "INTERNAL_ERROR");
    }

    #[test]
    fn what_the_cloud_refuses_has_the_details_of_its_row() {
        let details = |kind, code: &str| {
            let refusal = Refusal {
                kind,
                code: code.to_owned(),
                message: "In the cloud's words.".to_owned(),
                applied: Applied::No,
                request_id: None,
            };
            let error = Error::Refused(Box::new(refusal));
            from_error(&error, RequestId::now()).get_error_details()
        };
        let invalid = details(RefusalKind::Invalid, "InvalidParameter.TagKey");
        let violation = &invalid.bad_request().unwrap().field_violations[0];
        assert_eq!(violation.reason, "INVALID_PARAMETER_TAG_KEY");
        assert_eq!(violation.description, "In the cloud's words.");
        let limit = details(RefusalKind::TagLimit, "LimitExceeded.User.Tag");
        let violation = &limit.quota_failure().unwrap().violations[0];
        assert_eq!(violation.subject, "user");
        assert_eq!(violation.description, "In the cloud's words.");
    }

    #[test]
    fn refused_changes_of_users_have_the_details_of_their_rows() {
        let named = |position: usize| NamedResource {
            position,
            name: position.to_string(),
        };
        let told = |error: &Error| {
            let status = from_error(error, RequestId::now());
            let details = status.get_error_details();
            let info = details.error_info().unwrap().clone();
            let resource = details
                .resource_info()
                .map(|info| info.resource_name.clone());
            (status.code(), info.reason, info.metadata, resource)
        };
        let (code, reason, metadata, resource) = told(&Error::UserExists(vec![named(7)]));
        assert_eq!(code, Code::AlreadyExists);
        assert_eq!(reason, "ENTITY_ALREADY_EXISTS_USER");
        assert_eq!(resource.as_deref(), Some("7"));
        assert_eq!(metadata.get("positions"), None);
        let many = (0..1_000).map(named).collect();
        let (code, reason, metadata, resource) = told(&Error::NameTaken(many));
        assert_eq!(code, Code::AlreadyExists);
        assert_eq!(reason, "ENTITY_ALREADY_EXISTS_USER_PRINCIPAL_NAME");
        assert!(resource.is_some());
        let positions = &metadata["positions"];
        assert!(
            positions.starts_with("0,1,2,") && positions.ends_with(",87,…"),
            "{positions}"
        );
        let (code, reason, ..) = told(&Error::Unsupported("change users"));
        assert_eq!(code, Code::Unimplemented);
        assert_eq!(reason, "UNSUPPORTED_OPERATION");
    }

    #[test]
    fn only_a_change_that_may_have_been_made_is_not_to_be_sent_again() {
        let pushback = |applied| {
            let error = Error::Unavailable {
                reason: "the store is away",
                applied,
                retry_after: std::time::Duration::from_secs(1),
            };
            let status = from_error(&error, RequestId::now());
            status.metadata().get(PUSHBACK).cloned()
        };
        assert_eq!(pushback(Applied::Maybe).unwrap(), "-1");
        let never = MetadataValue::from_static("-1");
        let mut status = Status::unavailable("x");
        status.metadata_mut().insert(PUSHBACK, never);
        assert_eq!(of_repeatable(status).metadata().get(PUSHBACK), None);
        assert_eq!(pushback(Applied::No), None);
    }
}
