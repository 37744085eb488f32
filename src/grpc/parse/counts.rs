//! The queries that count tags.

use super::faults::Faults;
use super::tags::tag_key;
use super::{check_resource_type, foreign_token};
use crate::domain::{AccountId, Fault, ResourceId, TagKeysQuery, TagValuesQuery};
use crate::grpc::page_token::{self, Fingerprint};
use crate::grpc::proto::{ListTagKeysRequest, ListTagValuesRequest};

/// Parses ListTagKeys.
///
/// # Errors
/// Every fault of the request, at least one.
pub fn tag_keys(
    request: ListTagKeysRequest,
    account: Result<AccountId, Fault>,
) -> Result<TagKeysQuery, Vec<Fault>> {
    let ListTagKeysRequest {
        resource_type,
        next_token,
    } = request;
    let mut faults = Faults::default();
    let account = faults.take(account);
    check_resource_type(&resource_type, &mut faults);
    let (Some(account), true) = (account, faults.0.is_empty()) else {
        return Err(faults.0);
    };
    let query = TagKeysQuery {
        account,
        after: None,
    };
    let after = after(&next_token, &keys_fingerprint(&query))?;
    Ok(TagKeysQuery { after, ..query })
}

/// Parses ListTagValues.
///
/// # Errors
/// Every fault of the request, at least one.
pub fn tag_values(
    request: ListTagValuesRequest,
    account: Result<AccountId, Fault>,
) -> Result<TagValuesQuery, Vec<Fault>> {
    let ListTagValuesRequest {
        resource_type,
        tag_key: key,
        next_token,
    } = request;
    let mut faults = Faults::default();
    let account = faults.take(account);
    check_resource_type(&resource_type, &mut faults);
    let key = tag_key(&key, "tag_key", &mut faults);
    let (Some(account), Some(key), true) = (account, key, faults.0.is_empty()) else {
        return Err(faults.0);
    };
    let query = TagValuesQuery {
        account,
        key,
        after: None,
    };
    let after = after(&next_token, &values_fingerprint(&query))?;
    Ok(TagValuesQuery { after, ..query })
}

/// What a token of a list of keys belongs to.
pub fn keys_fingerprint(query: &TagKeysQuery) -> Fingerprint {
    let mut fingerprint = Fingerprint::default();
    fingerprint.add(query.account.as_str());
    fingerprint.add("\0keys");
    fingerprint
}

/// What a token of a list of values belongs to.
pub fn values_fingerprint(query: &TagValuesQuery) -> Fingerprint {
    let mut fingerprint = Fingerprint::default();
    fingerprint.add(query.account.as_str());
    fingerprint.add("\0values");
    fingerprint.add(query.key.as_str());
    fingerprint
}

/// The user behind whom a list goes on; none where it starts.
fn after(token: &str, fingerprint: &Fingerprint) -> Result<Option<ResourceId>, Vec<Fault>> {
    if token.is_empty() {
        return Ok(None);
    }
    match page_token::read_user(token, fingerprint) {
        Some(id) => Ok(Some(id)),
        None => Err(foreign_token()),
    }
}
