//! The details of errors, as google.rpc has them, beside those that every error has.

use std::collections::{BTreeSet, HashMap};

use tonic::{Code, Status};
use tonic_types::{
    BadRequest, ErrorDetail, FieldViolation, PreconditionFailure, PreconditionViolation,
    QuotaFailure, QuotaViolation, ResourceInfo, RetryInfo, StatusExt as _,
};

use crate::domain::{
    Error, Fault, HistoryPosition, Mismatch, NamedResource, RESOURCE_TYPE_USER, Refusal,
    RefusalKind, RevertConflict, UntagCommand,
};

/// The most bytes of the details. They travel in a header, base64-encoded, together with the message, and common
/// clients take 8 KiB of headers in all (gRPC Java, gRPC C-core's soft limit): a longer status would be lost whole.
const DETAILS_BYTES: usize = 4_900;

/// The metadata with the places of users that do not exist.
const MISSING_POSITIONS: &str = "missing_positions";
/// The metadata with the places of users who have tags with another value than expected.
const MISMATCHED_POSITIONS: &str = "mismatched_positions";
/// The metadata with the places of users that are refused for another reason.
const POSITIONS: &str = "positions";
/// The metadata with the oldest revision that there is.
const OLDEST_REVISION: &str = "oldest_revision";
/// The metadata with the line from which an import goes on.
const RESUME_LINE: &str = "resume_line";
/// How many bytes of places that may be: all of 50 users, and the first of more.
const LONGEST_POSITIONS: usize = 256;

/// A code in the form of `ErrorInfo.reason`: `DUPLICATE_TAG_KEY` for `Duplicate.TagKey`.
pub fn reason(code: &str) -> String {
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

/// The details of an error, and what it has in the metadata of its `ErrorInfo`.
pub fn of(error: &Error, metadata: &mut HashMap<String, String>) -> Vec<ErrorDetail> {
    match error {
        Error::Invalid(faults) => vec![field_violations(faults).into()],
        Error::NotFound(resources) => resource_infos(resources, MISSING_POSITIONS, metadata),
        Error::UserExists(resources) | Error::NameTaken(resources) => {
            resource_infos(resources, POSITIONS, metadata)
        }
        Error::Refused(refusal) => of_refusal(refusal, metadata),
        Error::Mismatched(command, mismatches) => {
            let failure = precondition_violations(command, mismatches, metadata);
            vec![failure.into()]
        }
        Error::Conflicts(conflicts) => vec![revert_violations(conflicts).into()],
        Error::TagLimit(resources) => vec![quota_violations(resources).into()],
        Error::Throttled { retry_after, .. } | Error::Unavailable { retry_after, .. } => {
            vec![RetryInfo::new(Some(*retry_after)).into()]
        }
        Error::WatchEnded {
            position,
            retry_after,
            ..
        } => {
            metadata.extend(position.iter().flat_map(position_metadata));
            vec![RetryInfo::new(Some(*retry_after)).into()]
        }
        Error::ImportEnded {
            resume_line,
            retry_after,
            ..
        } => {
            metadata.insert(RESUME_LINE.to_owned(), resume_line.to_string());
            vec![RetryInfo::new(Some(*retry_after)).into()]
        }
        Error::NoPermission { caller, action, .. } => {
            metadata.insert("action".to_owned(), action.to_string());
            metadata.insert("caller".to_owned(), caller.to_string());
            Vec::new()
        }
        Error::Compacted(oldest) => {
            if let Some(oldest) = oldest {
                metadata.insert(OLDEST_REVISION.to_owned(), oldest.get().to_string());
            }
            Vec::new()
        }
        Error::Unauthenticated(_)
        | Error::ForeignOrigin(_)
        | Error::DeadlineExceeded(_)
        | Error::TooLarge(_)
        | Error::BrokenProtocol(_)
        | Error::TokenMismatch
        | Error::NoChange(_)
        | Error::NotYet(_)
        | Error::OtherHistory
        | Error::Unsupported(_)
        | Error::UnknownMethod(_)
        | Error::UnsupportedEncoding(_)
        | Error::Internal => Vec::new(),
    }
}

/// The position to go on from, in the fields of a `HistoryPosition`.
fn position_metadata(position: &HistoryPosition) -> [(String, String); 3] {
    let (revision, request_id) = match position.last {
        None => (0, String::new()),
        Some(last) => (last.revision.get(), last.request_id.to_string()),
    };
    [
        ("history_id".to_owned(), position.history.to_string()),
        ("revision".to_owned(), revision.to_string()),
        ("request_id".to_owned(), request_id),
    ]
}

/// The details of a refusal of the cloud.
fn of_refusal(refusal: &Refusal, metadata: &mut HashMap<String, String>) -> Vec<ErrorDetail> {
    match &refusal.kind {
        RefusalKind::Invalid => vec![BadRequest::new(vec![violation(refusal)]).into()],
        RefusalKind::NotFound(resources) => resource_infos(resources, MISSING_POSITIONS, metadata),
        RefusalKind::Throttled { retry_after } | RefusalKind::Unavailable { retry_after, .. } => {
            vec![RetryInfo::new(Some(*retry_after)).into()]
        }
        // The cloud does not name the users.
        RefusalKind::TagLimit => {
            vec![QuotaFailure::with_violation(RESOURCE_TYPE_USER, refusal.message.as_str()).into()]
        }
        RefusalKind::AlreadyExists
        | RefusalKind::Conflict
        | RefusalKind::NoPermission
        | RefusalKind::Internal => Vec::new(),
    }
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
    let infos = fitting(infos, encoded_size);
    if infos.len() < resources.len() {
        let all = resources.iter().map(|resource| resource.position);
        metadata.insert(key.to_owned(), positions(all));
    }
    infos
}

/// A violation for each tag that has another value than expected, as many as fit. Where they do not all fit, the places of all their
/// users stand in the metadata.
fn precondition_violations(
    command: &UntagCommand,
    mismatches: &[Mismatch],
    metadata: &mut HashMap<String, String>,
) -> PreconditionFailure {
    let violations = mismatches.iter().map(|&mismatch| {
        let (user, key) = command.named(mismatch);
        PreconditionViolation::new(
            "TAG_VALUE",
            format!("{user}/{key}"),
            "the tag has another value than expected_values says",
        )
    });
    let violations = fitting(violations, precondition_size);
    if violations.len() < mismatches.len() {
        let users: BTreeSet<usize> = mismatches.iter().map(|one| one.target).collect();
        metadata.insert(
            MISMATCHED_POSITIONS.to_owned(),
            positions(users.into_iter()),
        );
    }
    PreconditionFailure::new(violations)
}

/// A violation for each conflict of a revert, as many as fit.
fn revert_violations(conflicts: &[RevertConflict]) -> PreconditionFailure {
    let violations = conflicts.iter().map(|conflict| {
        let subject = match &conflict.tag_key {
            Some(key) => format!("{}/{key}", conflict.user),
            None => conflict.user.to_string(),
        };
        PreconditionViolation::new("REVERT", subject, conflict.reason.as_str())
    });
    let mut violations = fitting(violations, precondition_size);
    let more = conflicts.len() - violations.len();
    if more > 0 {
        let description =
            format!("{more} more conflicts do not fit here; validate_only has them all");
        violations.push(PreconditionViolation::new("REVERT", "", description));
    }
    PreconditionFailure::new(violations)
}

fn precondition_size(violation: &PreconditionViolation) -> usize {
    encoded_size(&PreconditionFailure::new(vec![violation.clone()]).into())
}

/// As many as fit into [`DETAILS_BYTES`], in order.
fn fitting<T>(all: impl Iterator<Item = T>, size: impl Fn(&T) -> usize) -> Vec<T> {
    let mut left = DETAILS_BYTES;
    all.map_while(|one| {
        left = left.checked_sub(size(&one))?;
        Some(one)
    })
    .collect()
}

fn encoded_size(detail: &ErrorDetail) -> usize {
    let status = Status::with_error_details_vec(Code::Ok, "", vec![detail.clone()]);
    status.details().len()
}

/// The places of users, as many as fit. A place that is cut off would be another one.
fn positions(all: impl Iterator<Item = usize>) -> String {
    let mut text = String::new();
    for position in all {
        let next = format!(",{position}");
        if text.len() + next.len() > LONGEST_POSITIONS {
            text.push_str(",…");
            break;
        }
        text.push_str(&next);
    }
    text.split_off(text.len().min(1))
}

fn field_violations(faults: &[Fault]) -> BadRequest {
    let violations = faults.iter().map(|fault| FieldViolation {
        reason: reason(fault.code.as_str()),
        ..FieldViolation::new(fault.field.as_str(), fault.description.as_str())
    });
    let mut violations = fitting(violations, |violation| {
        // A tag and a length of up to two bytes for each of the fields, and for the violation.
        let texts = [&violation.field, &violation.description, &violation.reason];
        texts.iter().map(|text| text.len() + 3).sum::<usize>() + 3
    });
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
    let mut violations = fitting(resources.iter().map(violation), |violation| {
        violation.subject.len() + violation.description.len() + 9
    });
    let more = resources.len() - violations.len();
    if more > 0 {
        violations.push(QuotaViolation::new(
            "",
            format!("{more} more users do not fit here"),
        ));
    }
    QuotaFailure::new(violations)
}
