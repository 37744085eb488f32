//! Reads what the service answers: its RequestId, and its errors as text for snapshots.

#![allow(dead_code, reason = "each test crate uses its own part")]

use std::collections::BTreeMap;
use std::fmt::Write as _;

use tonic::Status;
use tonic_types::{ErrorDetail, StatusExt as _};
use uuid::Uuid;

/// Compares a text with the snapshot that has the name of the test, and no store's or crate's: every store answers alike.
macro_rules! assert_shared_snapshot {
    ($text:expr) => {{
        let mut settings = insta::Settings::clone_current();
        settings.set_prepend_module_to_snapshot(false);
        let _scope = settings.bind_to_scope();
        insta::assert_snapshot!($text);
    }};
}
pub(crate) use assert_shared_snapshot;

pub const REQUEST_ID_HEADER: &str = "x-request-id";

/// Checks that a text is a RequestId: an upper-case UUID of version 7.
pub fn assert_request_id(text: &str) {
    let parsed = Uuid::parse_str(text).unwrap_or_else(|error| panic!("{text:?}: {error}"));
    assert_eq!(parsed.get_version_num(), 7, "{text}");
    assert_eq!(parsed.hyphenated().to_string().to_uppercase(), text);
}

/// The RequestId of an error, which its header and its details must agree on.
pub fn request_id(status: &Status) -> String {
    let header = status.metadata().get(REQUEST_ID_HEADER);
    let header = header.unwrap_or_else(|| panic!("no {REQUEST_ID_HEADER}: {status:?}"));
    let header = header.to_str().unwrap();
    assert_request_id(header);
    let details = status.get_error_details();
    let info = details
        .request_info()
        .unwrap_or_else(|| panic!("no RequestInfo: {status:?}"));
    assert_eq!(info.request_id, header);
    header.to_owned()
}

/// An error as text, all of it, with the RequestId checked and hidden.
pub fn describe(status: &Status) -> String {
    let id = request_id(status);
    let mut text = format!("{:?}: {}\n", status.code(), status.message());
    for detail in status.get_error_details_vec() {
        describe_detail(&mut text, detail);
    }
    text.replace(&id, "[RequestId]")
}

/// Adds a case to the text of a snapshot: what is wrong, and the error.
pub fn case(text: &mut String, what: &str, error: &Status) {
    writeln!(text, "## {what}\n{}", describe(error)).unwrap();
}

fn describe_detail(text: &mut String, detail: ErrorDetail) {
    let lines: Vec<String> = match detail {
        ErrorDetail::ErrorInfo(info) => {
            let metadata: BTreeMap<_, _> = info.metadata.into_iter().collect();
            vec![format!(
                "ErrorInfo {} of {} {metadata:?}",
                info.reason, info.domain
            )]
        }
        ErrorDetail::RequestInfo(info) => {
            vec![format!(
                "RequestInfo {:?} {:?}",
                info.request_id, info.serving_data
            )]
        }
        ErrorDetail::BadRequest(bad) => {
            let violations = bad.field_violations.iter();
            violations
                .map(|one| {
                    format!(
                        "BadRequest {:?} {}: {}",
                        one.field, one.reason, one.description
                    )
                })
                .collect()
        }
        ErrorDetail::ResourceInfo(info) => {
            vec![format!(
                "ResourceInfo {} {:?}",
                info.resource_type, info.resource_name
            )]
        }
        ErrorDetail::QuotaFailure(failure) => {
            let violations = failure.violations.iter();
            violations
                .map(|one| format!("QuotaFailure {:?} {}", one.subject, one.description))
                .collect()
        }
        ErrorDetail::PreconditionFailure(failure) => {
            let violations = failure.violations.iter();
            violations
                .map(|one| {
                    format!(
                        "PreconditionFailure {} {:?} {}",
                        one.r#type, one.subject, one.description
                    )
                })
                .collect()
        }
        ErrorDetail::RetryInfo(info) => vec![format!("RetryInfo {:?}", info.retry_delay)],
        other => vec![format!("{other:?}")],
    };
    for line in lines {
        writeln!(text, "  {line}").unwrap();
    }
}

/// The Alibaba Cloud error codes of a status: of each fault where the request is at fault.
pub fn alibaba_codes(status: &Status) -> Vec<String> {
    let details = status.get_error_details();
    match details.bad_request() {
        Some(bad) => {
            let codes = bad.field_violations.iter();
            codes
                .map(|one| code_of_reason(&one.reason).to_owned())
                .collect()
        }
        None => vec![details.error_info().unwrap().metadata["code"].clone()],
    }
}

/// The code that a violation's reason is the upper-case form of.
fn code_of_reason(reason: &str) -> &str {
    const CODES: [&str; 31] = [
        "InvalidParameter.ExpectedValues",
        "InvalidParameter.ClientToken",
        "MissingParameter.AccountId",
        "InvalidParameter.AccountId",
        "InvalidParameter.ResourceType",
        "MissingParameter.ResourceId",
        "NumberExceed.ResourceIds",
        "InvalidParameter.ResourceId",
        "InvalidParameter.ResourcePrincipalName",
        "MissingParameter.TagKeysOrDeleteAll",
        "NumberExceed.TagKeys",
        "InvalidParameter.TagKey",
        "Duplicate.TagKey",
        "MissingParameter.Tags",
        "NumberExceed.Tags",
        "InvalidParameter.TagValue",
        "MissingParameter.Change",
        "InvalidParameter.RequestId",
        "InvalidParameter.Revision",
        "InvalidParameter.Caller",
        "InvalidParameter.Action",
        "InvalidParameter.EndTime",
        "InvalidParameter.Order",
        "InvalidParameter.OnConflict",
        "InvalidParameter.Mode",
        "NumberExceed.Lines",
        "InvalidParameter.LineNumber",
        "InvalidParameter.PageSize",
        "InvalidParameter.NextToken",
        "InvalidParameter.Timeout",
        "InvalidParameter.Request",
    ];
    let letters = |text: &str| text.replace(['.', '_'], "").to_uppercase();
    let code = CODES.iter().find(|code| letters(code) == letters(reason));
    code.copied().unwrap_or(reason)
}
