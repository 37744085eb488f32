//! The parser of requests, which makes a command that cannot be wrong, or lists every fault.

mod changes;
mod counts;
mod described_user;
mod expected;
mod faults;
mod import;
mod repeat;
mod tags;
mod targets;
mod users;
mod watch;

use super::{change_token, page_token, proto};
use crate::domain::{
    AccountId, Fault, FaultCode, ListQuery, OnMismatch, PageSize, RESOURCE_TYPE_USER, Revision,
    TagCommand, TagFilter, UntagCommand,
};
pub use changes::{change, changes, revert};
pub use counts::{keys_fingerprint, tag_keys, tag_values, values_fingerprint};
use expected::expected;
use faults::Faults;
pub use faults::quoted;
pub use import::{ImportRequest, import_chunk, import_settings};
pub use repeat::Repeatable;
use repeat::{client_token, of_tag, of_untag};
use tags::{each_tag, selection, tag_key, tag_value};
use targets::{Named, required_targets, targets};
pub use users::{create_user, delete_user, get_user, list_users, undelete_user, update_user};
pub use watch::watch;

/// The metadata entry that names the account.
pub const ACCOUNT_METADATA: &str = "x-acs-account-id";

/// The account that a request names in its metadata, else the server's default.
///
/// # Errors
/// A fault where there is neither, or more than one, or no account id.
pub fn account(
    metadata: &tonic::metadata::MetadataMap,
    default: Option<&AccountId>,
) -> Result<AccountId, Fault> {
    let fault = |code, description: String| {
        Err(Fault {
            code,
            field: ACCOUNT_METADATA.to_owned(),
            description,
        })
    };
    let mut values = metadata.get_all(ACCOUNT_METADATA).iter();
    match (values.next(), values.next()) {
        (None, _) => match default {
            Some(account) => Ok(account.clone()),
            None => fault(
                FaultCode::MissingAccountId,
                "the server has no default account; name one in this metadata entry".to_owned(),
            ),
        },
        (Some(value), None) => {
            let text = String::from_utf8_lossy(value.as_bytes());
            AccountId::parse(&text).or_else(|error| {
                fault(
                    FaultCode::InvalidAccountId,
                    format!("{} {error}", quoted(&text)),
                )
            })
        }
        (Some(_), Some(_)) => fault(
            FaultCode::InvalidAccountId,
            "name exactly one account".to_owned(),
        ),
    }
}

/// Parses UntagResources.
///
/// # Errors
/// Every fault of the request, at least one.
pub fn untag(
    request: proto::UntagResourcesRequest,
    account: Result<AccountId, Fault>,
) -> Result<Repeatable<UntagCommand>, Vec<Fault>> {
    let proto::UntagResourcesRequest {
        resource_type,
        resources,
        tag_keys,
        all,
        allow_missing,
        validate_only,
        expected_values,
        skip_mismatched,
        client_token: token,
    } = request;
    let mut faults = Faults::default();
    let account = faults.take(account);
    check_resource_type(&resource_type, &mut faults);
    let targets = required_targets(resources.map(Named::from), &mut faults);
    let on_mismatch = if skip_mismatched {
        OnMismatch::Skip
    } else {
        OnMismatch::Fail
    };
    let expected = expected(expected_values, on_mismatch, &tag_keys, &mut faults);
    let selection = selection(tag_keys, all, &mut faults);
    // What changes nothing needs no token.
    let token = client_token(&token, &mut faults).filter(|_| !validate_only);
    match (account, targets, selection) {
        (Some(account), Some(targets), Some(selection)) if faults.0.is_empty() => {
            let command = UntagCommand {
                account,
                targets,
                selection,
                expected,
                allow_missing,
                validate_only,
            };
            Ok(Repeatable::new(command, token, of_untag))
        }
        _ => Err(faults.0),
    }
}

/// Parses TagResources.
///
/// # Errors
/// Every fault of the request, at least one.
pub fn tag(
    request: proto::TagResourcesRequest,
    account: Result<AccountId, Fault>,
) -> Result<Repeatable<TagCommand>, Vec<Fault>> {
    let proto::TagResourcesRequest {
        resource_type,
        resources,
        tags,
        client_token: token,
    } = request;
    let mut faults = Faults::default();
    let account = faults.take(account);
    check_resource_type(&resource_type, &mut faults);
    let targets = required_targets(resources.map(Named::from), &mut faults);
    if tags.is_empty() {
        faults.add(FaultCode::MissingTags, "tags", "give 1 to 20 tags");
    }
    let mut tags = each_tag(
        tags,
        &mut faults,
        |proto::Tag { key, value }, field, faults| {
            let key = tag_key(&key, &format!("{field}.key"), faults);
            let value = tag_value(&value, &format!("{field}.value"), faults);
            key.zip(value)
        },
    );
    tags.sort_unstable();
    let token = client_token(&token, &mut faults);
    match (account, targets) {
        (Some(account), Some(targets)) if faults.0.is_empty() => {
            let command = TagCommand {
                account,
                targets,
                tags,
            };
            Ok(Repeatable::new(command, token, of_tag))
        }
        _ => Err(faults.0),
    }
}

/// Parses ListTagResources.
///
/// # Errors
/// Every fault of the request, at least one.
pub fn list(
    request: proto::ListTagResourcesRequest,
    account: Result<AccountId, Fault>,
) -> Result<ListQuery, Vec<Fault>> {
    let proto::ListTagResourcesRequest {
        resource_type,
        resources,
        tags,
        page_size,
        next_token,
        revision,
    } = request;
    let mut faults = Faults::default();
    let account = faults.take(account);
    check_resource_type(&resource_type, &mut faults);
    if resources.is_none() && tags.is_empty() {
        let description = "give resource_ids, resource_principal_names or tags";
        faults.add(FaultCode::MissingResourceId, "resources", description);
    }
    let revision = past_revision(revision, resources.is_some(), &mut faults);
    let targets = resources.and_then(|named| targets(named.into(), &mut faults));
    let filters = each_tag(
        tags,
        &mut faults,
        |proto::TagFilter { key, value }, field, faults| {
            let key = tag_key(&key, &format!("{field}.key"), faults);
            let value = match value {
                Some(value) => tag_value(&value, &format!("{field}.value"), faults).map(Some),
                None => Some(None),
            };
            key.zip(value).map(|(key, value)| TagFilter { key, value })
        },
    );
    let page_size = self::page_size(page_size, &mut faults);
    let (Some(account), Some(page_size), true) = (account, page_size, faults.0.is_empty()) else {
        return Err(faults.0);
    };
    let mut query = ListQuery {
        account,
        targets,
        filters,
        revision,
        page_size,
        after: None,
    };
    if !next_token.is_empty() {
        // Read last, since a token belongs to everything else that the request asks for.
        let after = page_token::read(&next_token, &query);
        query.after = Some(after.ok_or_else(foreign_token)?);
    }
    Ok(query)
}

/// The fault of a page token that is none of the request's.
fn foreign_token() -> Vec<Fault> {
    let mut faults = Faults::default();
    let description =
        "not the next_token of an answer to this same request; leave it empty to start";
    faults.add(FaultCode::InvalidNextToken, "next_token", description);
    faults.0
}

fn page_size(size: i32, faults: &mut Faults) -> Option<PageSize> {
    PageSize::parse(size).or_else(|| {
        let description = format!("{size} must be 1 to 100, or 0 for 100");
        faults.add(FaultCode::InvalidPageSize, "page_size", description);
        None
    })
}

/// The revision of a list of the past. It is of named users only: nobody keeps who else there was.
fn past_revision(number: i64, names_users: bool, faults: &mut Faults) -> Option<Revision> {
    let Ok(number) = u64::try_from(number) else {
        let description =
            format!("{number} must be a revision, from 1 on, or 0 for the tags as they are");
        faults.add(FaultCode::InvalidRevision, "revision", description);
        return None;
    };
    if number > 0 && !names_users {
        let description = "give resource_ids or resource_principal_names too: tags as they were are listed for named users";
        faults.add(FaultCode::InvalidRevision, "revision", description);
    }
    Revision::new(number)
}

fn check_resource_type(resource_type: &str, faults: &mut Faults) {
    if !resource_type.is_empty() && resource_type != RESOURCE_TYPE_USER {
        let description = format!(
            "{} must be \"user\", or empty for it",
            quoted(resource_type)
        );
        faults.add(FaultCode::InvalidResourceType, "resource_type", description);
    }
}
