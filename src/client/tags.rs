//! The calls of the tag service.

use super::call::{Tokened, tokened};
use super::connection::Connection;
use super::error::CallError;
use super::outcome::Effect;
use crate::domain::{
    PrincipalName, ResourceId, Revision, TagFilter, TagKey, TagSelection, TagValue, Targets,
};
use crate::grpc::proto::tag_service_client::TagServiceClient;
use crate::grpc::proto::{
    self, ListTagResourcesRequest, ResourceIds, ResourcePrincipalNames, TagResourcesRequest,
    UntagResourcesRequest, list_tag_resources_request, tag_resources_request,
    untag_resources_request,
};

/// Whether a change is made, or only checked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// The change is made.
    Make,
    /// The change is only checked.
    DryRun,
}

/// A removal: of which tags, and what to do about users that do not exist.
#[derive(Debug, Clone)]
pub struct Removal {
    /// The tags to remove.
    pub selection: TagSelection,
    /// Whether users that do not exist are skipped.
    pub allow_missing: bool,
    /// Whether the removal is made.
    pub mode: Mode,
}

/// A tag of a user, as the service lists it.
#[derive(Clone)]
pub struct UserTag {
    /// The user's id.
    pub resource_id: String,
    /// The tag's key.
    pub key: String,
    /// The tag's value.
    pub value: String,
}

/// The answer to a change.
#[derive(Debug, Clone)]
pub struct Answer {
    /// The RequestId.
    pub request_id: String,
    /// How many tags were changed, or would be; nothing where the service does not tell.
    pub changed_tags: Option<u64>,
}

impl Answer {
    fn new(request_id: String, changed_tags: Option<i32>) -> Self {
        let changed_tags = changed_tags.and_then(|count| u64::try_from(count).ok());
        Self {
            request_id,
            changed_tags,
        }
    }
}

tokened!(UntagResourcesRequest, TagResourcesRequest);

/// Removes tags from users.
///
/// # Errors
/// [`CallError`].
pub async fn untag(
    connection: &Connection,
    users: &Targets,
    removal: &Removal,
) -> Result<Answer, CallError> {
    use untag_resources_request::Resources;
    let request = UntagResourcesRequest {
        resources: Some(match users {
            Targets::Ids(ids) => Resources::ResourceIds(proto_ids(ids)),
            Targets::Names(names) => Resources::ResourcePrincipalNames(proto_names(names)),
        }),
        tag_keys: match &removal.selection {
            TagSelection::All => Vec::new(),
            TagSelection::Keys(keys) => keys.iter().map(ToString::to_string).collect(),
        },
        all: removal.selection == TagSelection::All,
        allow_missing: removal.allow_missing,
        validate_only: removal.mode == Mode::DryRun,
        ..UntagResourcesRequest::default()
    };
    let method = |channel, request| async {
        let mut client = TagServiceClient::new(channel);
        client.untag_resources(request).await
    };
    let answer = match removal.mode {
        Mode::Make => connection.change(request, method).await,
        Mode::DryRun => connection.call(Effect::Read, request, method).await,
    };
    answer.map(|answer| Answer::new(answer.request_id, answer.changed_tags))
}

/// Sets tags on users.
///
/// # Errors
/// [`CallError`].
pub async fn tag(
    connection: &Connection,
    users: &Targets,
    tags: &[(TagKey, TagValue)],
) -> Result<Answer, CallError> {
    use tag_resources_request::Resources;
    let tag = |(key, value): &(TagKey, TagValue)| proto::Tag {
        key: key.to_string(),
        value: value.as_str().to_owned(),
    };
    let request = TagResourcesRequest {
        resources: Some(match users {
            Targets::Ids(ids) => Resources::ResourceIds(proto_ids(ids)),
            Targets::Names(names) => Resources::ResourcePrincipalNames(proto_names(names)),
        }),
        tags: tags.iter().map(tag).collect(),
        ..TagResourcesRequest::default()
    };
    let answer = connection.change(request, |channel, request| async {
        let mut client = TagServiceClient::new(channel);
        client.tag_resources(request).await
    });
    let answer = answer.await;
    answer.map(|answer| Answer::new(answer.request_id, answer.changed_tags))
}

/// Lists the tags of users, or of all users where none are named, that the filters let through: as they are, or were at a revision.
#[must_use]
pub fn list<'a>(
    connection: &'a Connection,
    users: Option<&Targets>,
    filters: &[TagFilter],
    revision: Option<Revision>,
) -> Listing<'a> {
    use list_tag_resources_request::Resources;
    let filter = |filter: &TagFilter| proto::TagFilter {
        key: filter.key.to_string(),
        value: filter.value.as_ref().map(|value| value.as_str().to_owned()),
    };
    Listing {
        connection,
        next: Some(ListTagResourcesRequest {
            resources: users.map(|users| match users {
                Targets::Ids(ids) => Resources::ResourceIds(proto_ids(ids)),
                Targets::Names(names) => Resources::ResourcePrincipalNames(proto_names(names)),
            }),
            tags: filters.iter().map(filter).collect(),
            revision: revision.map_or(0, |revision| revision.get().cast_signed()),
            ..ListTagResourcesRequest::default()
        }),
    }
}

/// A list of tags, of which a page is asked for at a time.
#[derive(Debug)]
pub struct Listing<'a> {
    connection: &'a Connection,
    /// The request for the next page; none at the end.
    next: Option<ListTagResourcesRequest>,
}

impl Listing<'_> {
    /// The next page, which may be empty; none at the end.
    ///
    /// # Errors
    /// [`CallError`].
    pub async fn page(&mut self) -> Result<Option<Vec<UserTag>>, CallError> {
        let Some(request) = &self.next else {
            return Ok(None);
        };
        let answer = self
            .connection
            .call(Effect::Read, request.clone(), |channel, request| async {
                let mut client = TagServiceClient::new(channel);
                client.list_tag_resources(request).await
            })
            .await?;
        self.next = self
            .next
            .take()
            .filter(|_| !answer.next_token.is_empty())
            .map(|request| ListTagResourcesRequest {
                next_token: answer.next_token,
                ..request
            });
        let tags = answer.tag_resources.into_iter().map(|tag| UserTag {
            resource_id: tag.resource_id,
            key: tag.tag_key,
            value: tag.tag_value,
        });
        Ok(Some(tags.collect()))
    }
}

fn proto_ids(ids: &[ResourceId]) -> ResourceIds {
    let values = ids.iter().map(ToString::to_string).collect();
    ResourceIds { values }
}

fn proto_names(names: &[PrincipalName]) -> ResourcePrincipalNames {
    let values = names.iter().map(ToString::to_string).collect();
    ResourcePrincipalNames { values }
}
