//! The calls that read changes.

use super::change::Change;
use crate::client::connection::Connection;
use crate::client::error::CallError;
use crate::client::outcome::Effect as CallEffect;
use crate::client::users::text;
use crate::domain::{ChangeFilter, ChangeKey, Direction};
use crate::grpc::proto::change_service_client::ChangeServiceClient;
use crate::grpc::proto::{ChangeOrder, GetChangeRequest, ListChangesRequest, get_change_request};
use crate::grpc::timestamp;

/// Reads a change with all of its effects, which may come in several answers.
///
/// # Errors
/// [`CallError`].
pub async fn get_change(connection: &Connection, key: &ChangeKey) -> Result<Change, CallError> {
    use get_change_request::Change as Key;
    let mut request = GetChangeRequest {
        change: Some(match key {
            ChangeKey::RequestId(id) => Key::RequestId(id.to_string()),
            ChangeKey::Revision(revision) => Key::Revision(revision.get().cast_signed()),
        }),
        ..GetChangeRequest::default()
    };
    let mut change: Option<Change> = None;
    loop {
        let call = connection.call(
            CallEffect::Read,
            request.clone(),
            |channel, request| async {
                ChangeServiceClient::new(channel).get_change(request).await
            },
        );
        let answer = call.await?;
        let part = Change::of(answer.change.unwrap_or_default());
        let change = match &mut change {
            Some(change) => {
                change.effects.extend(part.effects);
                change
            }
            first => first.insert(part),
        };
        if answer.next_token.is_empty() {
            return Ok(change.clone());
        }
        request.next_token = answer.next_token;
    }
}

/// Lists the changes that a filter lets through, the first `limit` of them where that is given.
#[must_use]
pub fn list_changes<'a>(
    connection: &'a Connection,
    filter: &ChangeFilter,
    direction: Direction,
    limit: Option<usize>,
) -> ChangeListing<'a> {
    let order = match direction {
        Direction::Backwards => ChangeOrder::NewestFirst,
        Direction::Forwards => ChangeOrder::OldestFirst,
    };
    ChangeListing {
        connection,
        left: limit.unwrap_or(usize::MAX),
        next: Some(ListChangesRequest {
            resource_id: text(filter.user.as_ref()),
            tag_key: text(filter.tag_key.as_ref()),
            caller: text(filter.caller.as_ref()),
            action: text(filter.action.as_ref()),
            start_time: filter.start.map(timestamp),
            end_time: filter.end.map(timestamp),
            order: order.into(),
            ..ListChangesRequest::default()
        }),
    }
}

/// A list of changes, of which a page is asked for at a time.
#[derive(Debug)]
pub struct ChangeListing<'a> {
    connection: &'a Connection,
    /// How many more changes are wanted.
    left: usize,
    /// The request for the next page; none at the end.
    next: Option<ListChangesRequest>,
}

/// The most changes that a page can have.
const LARGEST_PAGE: usize = 100;

impl ChangeListing<'_> {
    /// The next page, which may be empty; none at the end.
    ///
    /// # Errors
    /// [`CallError`].
    pub async fn page(&mut self) -> Result<Option<Vec<Change>>, CallError> {
        let Some(request) = self.next.take() else {
            return Ok(None);
        };
        let request = ListChangesRequest {
            page_size: i32::try_from(self.left.min(LARGEST_PAGE)).unwrap_or_default(),
            ..request
        };
        let call = self.connection.call(
            CallEffect::Read,
            request.clone(),
            |channel, request| async {
                ChangeServiceClient::new(channel)
                    .list_changes(request)
                    .await
            },
        );
        let answer = call.await?;
        self.left = self.left.saturating_sub(answer.changes.len());
        if !answer.next_token.is_empty() && self.left > 0 {
            self.next = Some(ListChangesRequest {
                next_token: answer.next_token,
                ..request
            });
        }
        Ok(Some(answer.changes.into_iter().map(Change::of).collect()))
    }
}
