//! The calls that count tags, over all pages.

use std::collections::BTreeMap;

use super::connection::Connection;
use super::error::CallError;
use super::outcome::Effect;
use crate::domain::TagKey;
use crate::grpc::proto::tag_service_client::TagServiceClient;
use crate::grpc::proto::{ListTagKeysRequest, ListTagValuesRequest};

/// Texts in order, each with how many users carry it. All of them are held until the last page is there, since any page may
/// have any of them.
pub type Counts = BTreeMap<String, i64>;

/// Counts the keys of the tags that users carry.
///
/// # Errors
/// [`CallError`].
pub async fn count_keys(connection: &Connection) -> Result<Counts, CallError> {
    let (mut counts, mut request) = (Counts::new(), ListTagKeysRequest::default());
    loop {
        let page = connection
            .call(Effect::Read, request.clone(), |channel, request| async {
                let mut client = TagServiceClient::new(channel);
                client.list_tag_keys(request).await
            })
            .await?;
        for found in page.tag_keys {
            *counts.entry(found.key).or_default() += found.count;
        }
        if page.next_token.is_empty() {
            return Ok(counts);
        }
        request.next_token = page.next_token;
    }
}

/// Counts the values that the tags with a key have.
///
/// # Errors
/// [`CallError`].
pub async fn count_values(connection: &Connection, key: &TagKey) -> Result<Counts, CallError> {
    let mut counts = Counts::new();
    let mut request = ListTagValuesRequest {
        tag_key: key.to_string(),
        ..ListTagValuesRequest::default()
    };
    loop {
        let page = connection
            .call(Effect::Read, request.clone(), |channel, request| async {
                let mut client = TagServiceClient::new(channel);
                client.list_tag_values(request).await
            })
            .await?;
        for found in page.tag_values {
            *counts.entry(found.value).or_default() += found.count;
        }
        if page.next_token.is_empty() {
            return Ok(counts);
        }
        request.next_token = page.next_token;
    }
}
