//! The statuses of gRPC: here alone an error becomes one, with google.rpc details.

use std::collections::HashMap;

use http::{HeaderMap, HeaderName};
use tonic::metadata::MetadataValue;
use tonic::{Code, Status};
use tonic_types::{
    BadRequest, ErrorDetail, ErrorInfo, FieldViolation, QuotaFailure, QuotaViolation, RequestInfo,
    ResourceInfo, RetryInfo, StatusExt as _,
};

use crate::domain::{
    Applied, Error, Fault, LONGEST_MESSAGE, NamedResource, RESOURCE_TYPE_USER, Refusal,
    RefusalKind, RequestId, shortened,
};

/// The `domain` of every `ErrorInfo`.
const DOMAIN: &str = "untag";

/// The most bytes of the details. They travel in a header, base64-encoded, together with the message, and common
/// clients take 8 KiB of headers in all (gRPC Java, gRPC C-core's soft limit): a longer status would be lost whole.
const DETAILS_BYTES: usize = 4_900;

/// The metadata with the places of users that do not exist.
const MISSING_POSITIONS: &str = "missing_positions";
/// The metadata with the places of users that are refused for another reason.
const POSITIONS: &str = "positions";
/// How many bytes of places that may be: all of 50 users, and the first of more.
const LONGEST_POSITIONS: usize = 256;

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
        Error::NotFound(_) => Code::NotFound,
        Error::TagLimit(_) => Code::FailedPrecondition,
        Error::UserExists(_) | Error::NameTaken(_) | Error::TokenMismatch => Code::AlreadyExists,
        Error::Compacted(_) => Code::OutOfRange,
        Error::Unauthenticated(_) => Code::Unauthenticated,
        Error::NoPermission { .. } => Code::PermissionDenied,
        Error::Throttled { .. } | Error::TooLarge(_) => Code::ResourceExhausted,
        Error::Unavailable { .. } => Code::Unavailable,
        Error::DeadlineExceeded(_) => Code::DeadlineExceeded,
        Error::Unsupported(_) | Error::UnknownMethod(_) | Error::UnsupportedEncoding(_) => {
            Code::Unimplemented
        }
        Error::BrokenProtocol(_) | Error::Internal => Code::Internal,
        Error::Refused(refusal) => match refusal.kind {
            RefusalKind::Invalid => Code::InvalidArgument,
            RefusalKind::NotFound(_) => Code::NotFound,
            RefusalKind::TagLimit => Code::FailedPrecondition,
            RefusalKind::NoPermission => Code::PermissionDenied,
            RefusalKind::Throttled { .. } => Code::ResourceExhausted,
            RefusalKind::Unavailable { .. } => Code::Unavailable,
            RefusalKind::Internal => Code::Internal,
        },
    }
}

/// A code in the form of `ErrorInfo.reason`: `DUPLICATE_TAG_KEY` for `Duplicate.TagKey`.
fn reason(code: &str) -> String {
    let mut reason = String::with_capacity(code.len() + 8);
    let mut after_lower = false;
    for character in code.chars() {
        if character == '.' {
            reason.push('_');
        } else {
            if after_lower && character.is_ascii_uppercase() {
                reason.push('_');
            }
            reason.push(character.to_ascii_uppercase());
        }
        after_lower = character.is_ascii_lowercase();
    }
    reason
}

/// Builds the status of an error.
pub fn from_error(error: &Error, request_id: RequestId) -> Status {
    let (code, alibaba_code) = (grpc_code(error), error.code());
    let mut metadata = HashMap::from([("code".to_owned(), alibaba_code.to_owned())]);
    let details = match error {
        Error::Invalid(faults) => vec![field_violations(faults).into()],
        Error::NotFound(resources) => resource_infos(resources, MISSING_POSITIONS, &mut metadata),
        Error::UserExists(resources) | Error::NameTaken(resources) => {
            resource_infos(resources, POSITIONS, &mut metadata)
        }
        Error::Refused(refusal) => match &refusal.kind {
            RefusalKind::Invalid => vec![BadRequest::new(vec![violation(refusal)]).into()],
            RefusalKind::NotFound(resources) => {
                resource_infos(resources, MISSING_POSITIONS, &mut metadata)
            }
            RefusalKind::Throttled { retry_after }
            | RefusalKind::Unavailable { retry_after, .. } => {
                vec![RetryInfo::new(Some(*retry_after)).into()]
            }
            // The cloud does not name the users.
            RefusalKind::TagLimit => {
                vec![
                    QuotaFailure::with_violation(RESOURCE_TYPE_USER, refusal.message.as_str())
                        .into(),
                ]
            }
            RefusalKind::NoPermission | RefusalKind::Internal => Vec::new(),
        },
        Error::TagLimit(resources) => vec![quota_violations(resources).into()],
        Error::Throttled { retry_after, .. } | Error::Unavailable { retry_after, .. } => {
            vec![RetryInfo::new(Some(*retry_after)).into()]
        }
        Error::NoPermission { caller, action, .. } => {
            metadata.insert("action".to_owned(), action.to_string());
            metadata.insert("caller".to_owned(), caller.to_string());
            Vec::new()
        }
        Error::Unauthenticated(_)
        | Error::DeadlineExceeded(_)
        | Error::TooLarge(_)
        | Error::BrokenProtocol(_)
        | Error::TokenMismatch
        | Error::Compacted(_)
        | Error::Unsupported(_)
        | Error::UnknownMethod(_)
        | Error::UnsupportedEncoding(_)
        | Error::Internal => Vec::new(),
    };
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

/// The violation for what the cloud finds wrong with a request: it does not say with which field.
fn violation(refusal: &Refusal) -> FieldViolation {
    FieldViolation {
        reason: reason(&refusal.code),
        ..FieldViolation::new("", refusal.message.as_str())
    }
}

/// A detail for each user. Where they do not all fit, the places of all stand in the metadata under `key`.
fn resource_infos(
    resources: &[NamedResource],
    key: &str,
    metadata: &mut HashMap<String, String>,
) -> Vec<ErrorDetail> {
    let infos = resources.iter().map(|resource| {
        ResourceInfo::new(RESOURCE_TYPE_USER, resource.name.as_str(), "", "").into()
    });
    let infos = within_budget(infos);
    if infos.len() < resources.len() {
        metadata.insert(key.to_owned(), positions(resources));
    }
    infos
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

/// As many details as fit into [`DETAILS_BYTES`], in order.
fn within_budget(details: impl Iterator<Item = ErrorDetail>) -> Vec<ErrorDetail> {
    let mut left = DETAILS_BYTES;
    details
        .map_while(|detail| {
            let size = encoded_size(&detail);
            left = left.checked_sub(size)?;
            Some(detail)
        })
        .collect()
}

fn encoded_size(detail: &ErrorDetail) -> usize {
    let status = Status::with_error_details_vec(Code::Ok, "", vec![detail.clone()]);
    status.details().len()
}

/// The places of users, as many as fit. A place that is cut off would be another one.
fn positions(resources: &[NamedResource]) -> String {
    let mut text = String::new();
    for resource in resources {
        let next = format!(",{}", resource.position);
        if text.len() + next.len() > LONGEST_POSITIONS {
            text.push_str(",…");
            break;
        }
        text.push_str(&next);
    }
    text.split_off(text.len().min(1))
}

fn field_violations(faults: &[Fault]) -> BadRequest {
    let mut left = DETAILS_BYTES;
    let mut violations: Vec<FieldViolation> = faults
        .iter()
        .map_while(|fault| {
            let violation = FieldViolation {
                reason: reason(fault.code.as_str()),
                ..FieldViolation::new(fault.field.as_str(), fault.description.as_str())
            };
            // A tag and a length of up to two bytes for each of the fields, and for the violation.
            let texts = [&violation.field, &violation.description, &violation.reason];
            let size = texts.iter().map(|text| text.len() + 3).sum::<usize>() + 3;
            left = left.checked_sub(size)?;
            Some(violation)
        })
        .collect();
    let more = faults.len() - violations.len();
    if more > 0 {
        violations.push(FieldViolation::new(
            "",
            format!("{more} more faults do not fit here"),
        ));
    }
    BadRequest::new(violations)
}

fn quota_violations(resources: &[NamedResource]) -> QuotaFailure {
    let violation = |resource: &NamedResource| {
        QuotaViolation::new(resource.name.as_str(), "over 20 tags; remove some first")
    };
    let mut left = DETAILS_BYTES;
    let mut violations: Vec<QuotaViolation> = resources
        .iter()
        .map(violation)
        .map_while(|violation| {
            left = left.checked_sub(violation.subject.len() + violation.description.len() + 9)?;
            Some(violation)
        })
        .collect();
    let more = resources.len() - violations.len();
    if more > 0 {
        violations.push(QuotaViolation::new(
            "",
            format!("{more} more users do not fit here"),
        ));
    }
    QuotaFailure::new(violations)
}

#[cfg(test)]
mod tests {
    use super::*;

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
        assert_eq!(pushback(Applied::No), None);
    }
}
