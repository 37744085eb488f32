//! The answers that count tags.

use super::page_token::{self, Fingerprint};
use super::{parse, proto};
use crate::domain::{Call, ResourceId, TagKeyPage, TagKeysQuery, TagValuePage, TagValuesQuery};

/// The answer with a page of keys.
pub fn keys(call: &Call, query: &TagKeysQuery, page: TagKeyPage) -> proto::ListTagKeysResponse {
    let counts = page.counts.into_iter();
    proto::ListTagKeysResponse {
        request_id: call.request_id.to_string(),
        next_token: next_token(page.next.as_ref(), &parse::keys_fingerprint(query)),
        tag_keys: counts
            .map(|(key, users)| proto::TagKeyCount {
                key: key.to_string(),
                count: count(users),
            })
            .collect(),
    }
}

/// The answer with a page of values.
pub fn values(
    call: &Call,
    query: &TagValuesQuery,
    page: TagValuePage,
) -> proto::ListTagValuesResponse {
    let counts = page.counts.into_iter();
    proto::ListTagValuesResponse {
        request_id: call.request_id.to_string(),
        next_token: next_token(page.next.as_ref(), &parse::values_fingerprint(query)),
        tag_values: counts
            .map(|(value, users)| proto::TagValueCount {
                value: value.as_str().to_owned(),
                count: count(users),
            })
            .collect(),
    }
}

/// The token of a list that goes on behind a user; empty at the end.
fn next_token(next: Option<&ResourceId>, fingerprint: &Fingerprint) -> String {
    next.map_or_else(String::new, |id| page_token::write_user(id, fingerprint))
}

fn count(users: usize) -> i64 {
    i64::try_from(users).unwrap_or(i64::MAX)
}
