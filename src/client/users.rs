//! The calls of the user service.

use std::collections::BTreeMap;
use std::time::{Duration, SystemTime};

use prost_types::{FieldMask, Timestamp};

use super::call::{Tokened, tokened};
use super::connection::Connection;
use super::error::CallError;
use super::outcome::Effect;
use crate::domain::{
    Comments, DeletedUsers, DisplayName, Edit, NamePrefix, PrincipalName, ResourceId, TagCondition,
    TagKey, TagValue, UserKey, UserUpdate,
};
use crate::grpc::proto::user::v1::user_service_client::UserServiceClient;
use crate::grpc::proto::user::v1::{
    CreateUserRequest, DeleteUserRequest, GetUserRequest, ListUsersRequest, UndeleteUserRequest,
    UpdateUserRequest, User as Message, get_user_request,
};

/// A user, as the service tells of it.
#[derive(Clone)]
pub struct User {
    /// The id.
    pub resource_id: String,
    /// The principal name.
    pub principal_name: String,
    /// The name that is shown to people; empty where it has none.
    pub display_name: String,
    /// What there is to say about it; empty where there is nothing.
    pub comments: String,
    /// The tags, by key.
    pub tags: BTreeMap<String, String>,
    /// When it was created.
    pub create_time: Option<SystemTime>,
    /// When it was created, restored or last updated.
    pub update_time: Option<SystemTime>,
    /// When it was deleted.
    pub delete_time: Option<SystemTime>,
    /// When it is gone for good.
    pub expire_time: Option<SystemTime>,
}

/// A user to create.
#[derive(Clone)]
pub struct Draft {
    /// The id; the service makes one where it is left out.
    pub id: Option<ResourceId>,
    /// The principal name.
    pub principal_name: PrincipalName,
    /// The name that is shown to people.
    pub display_name: Option<DisplayName>,
    /// What there is to say about it.
    pub comments: Option<Comments>,
    /// The tags.
    pub tags: Vec<(TagKey, TagValue)>,
}

/// A user that was changed.
#[derive(Clone)]
pub struct ChangedUser {
    /// The RequestId.
    pub request_id: String,
    /// The revision, where the service has revisions.
    pub revision: Option<i64>,
    /// The user, where the service tells of it.
    pub user: Option<User>,
}

impl User {
    pub(super) fn of(message: Message) -> Self {
        Self {
            resource_id: message.resource_id,
            principal_name: message.principal_name,
            display_name: message.display_name,
            comments: message.comments,
            tags: message.tags.into_iter().collect(),
            create_time: message.create_time.and_then(time),
            update_time: message.update_time.and_then(time),
            delete_time: message.delete_time.and_then(time),
            expire_time: message.expire_time.and_then(time),
        }
    }
}

/// The moment of a timestamp from 1970 on.
pub(super) fn time(timestamp: Timestamp) -> Option<SystemTime> {
    let seconds = u64::try_from(timestamp.seconds).ok()?;
    let nanos = u32::try_from(timestamp.nanos).ok()?;
    SystemTime::UNIX_EPOCH.checked_add(Duration::new(seconds, nanos))
}

tokened!(
    CreateUserRequest,
    UpdateUserRequest,
    DeleteUserRequest,
    UndeleteUserRequest
);

/// A change of a user: the call of its method, and what it answers with.
macro_rules! change {
    ($connection:expr, $request:expr, $method:ident) => {{
        let answer = $connection.change($request, |channel, request| async {
            UserServiceClient::new(channel).$method(request).await
        });
        answer.await.map(|answer| ChangedUser {
            request_id: answer.request_id,
            revision: answer.revision,
            user: answer.user.map(User::of),
        })
    }};
}

/// Reads a user.
///
/// # Errors
/// [`CallError`].
pub async fn get_user(connection: &Connection, by: &UserKey) -> Result<User, CallError> {
    let request = GetUserRequest {
        user: Some(match by {
            UserKey::Id(id) => get_user_request::User::ResourceId(id.to_string()),
            UserKey::Name(name) => get_user_request::User::PrincipalName(name.to_string()),
        }),
    };
    let answer = connection.call(Effect::Read, request, |channel, request| async {
        UserServiceClient::new(channel).get_user(request).await
    });
    Ok(User::of(answer.await?.user.unwrap_or_default()))
}

/// Creates a user.
///
/// # Errors
/// [`CallError`].
pub async fn create_user(connection: &Connection, user: &Draft) -> Result<ChangedUser, CallError> {
    let tag = |(key, value): &(TagKey, TagValue)| (key.to_string(), value.as_str().to_owned());
    let request = CreateUserRequest {
        user: Some(Message {
            resource_id: text(user.id.as_ref()),
            principal_name: user.principal_name.to_string(),
            display_name: text(user.display_name.as_ref()),
            comments: text(user.comments.as_ref()),
            tags: user.tags.iter().map(tag).collect(),
            ..Message::default()
        }),
        client_token: String::new(),
    };
    change!(connection, request, create_user)
}

/// Renames a user, or describes it anew.
///
/// # Errors
/// [`CallError`].
pub async fn update_user(
    connection: &Connection,
    update: &UserUpdate,
) -> Result<ChangedUser, CallError> {
    let (display_name, is_shown_anew) = edited(&update.display_name);
    let (comments, is_commented) = edited(&update.comments);
    let paths = [
        ("principal_name", update.principal_name.is_some()),
        ("display_name", is_shown_anew),
        ("comments", is_commented),
    ];
    let paths = paths.into_iter().filter(|(_, is_changed)| *is_changed);
    let request = UpdateUserRequest {
        user: Some(Message {
            resource_id: update.id.to_string(),
            principal_name: text(update.principal_name.as_ref()),
            display_name,
            comments,
            ..Message::default()
        }),
        update_mask: Some(FieldMask {
            paths: paths.map(|(path, _)| path.to_owned()).collect(),
        }),
        client_token: String::new(),
    };
    change!(connection, request, update_user)
}

/// Deletes a user.
///
/// # Errors
/// [`CallError`].
pub async fn delete_user(
    connection: &Connection,
    id: &ResourceId,
) -> Result<ChangedUser, CallError> {
    let request = DeleteUserRequest {
        resource_id: id.to_string(),
        client_token: String::new(),
    };
    change!(connection, request, delete_user)
}

/// Restores a deleted user, under a new principal name if one is given.
///
/// # Errors
/// [`CallError`].
pub async fn undelete_user(
    connection: &Connection,
    id: &ResourceId,
    new_name: Option<&PrincipalName>,
) -> Result<ChangedUser, CallError> {
    let request = UndeleteUserRequest {
        resource_id: id.to_string(),
        new_principal_name: text(new_name),
        client_token: String::new(),
    };
    change!(connection, request, undelete_user)
}

/// The users of an account that a list has.
#[derive(Clone)]
pub struct UserSelection {
    /// The beginning of their principal names.
    pub name_prefix: Option<NamePrefix>,
    /// The tags that they carry.
    pub tags: TagCondition,
    /// Whether deleted users are among them.
    pub deleted: DeletedUsers,
}

/// Lists users.
#[must_use]
pub fn list_users<'a>(connection: &'a Connection, selection: &UserSelection) -> UserListing<'a> {
    let name_prefix = selection.name_prefix.as_ref();
    let tag = match &selection.tags {
        TagCondition::Carries(tag) => Some(tag),
        TagCondition::Any | TagCondition::Untagged => None,
    };
    let tag_value = tag.and_then(|tag| tag.value.as_ref());
    UserListing {
        connection,
        next: Some(ListUsersRequest {
            principal_name_prefix: name_prefix
                .map_or_else(String::new, |prefix| prefix.as_str().to_owned()),
            tag_key: text(tag.map(|tag| &tag.key)),
            tag_value: tag_value.map(|value| value.as_str().to_owned()),
            untagged: selection.tags == TagCondition::Untagged,
            show_deleted: selection.deleted == DeletedUsers::Show,
            ..ListUsersRequest::default()
        }),
    }
}

/// A list of users, of which a page is asked for at a time.
#[derive(Debug)]
pub struct UserListing<'a> {
    connection: &'a Connection,
    /// The request for the next page; none at the end.
    next: Option<ListUsersRequest>,
}

impl UserListing<'_> {
    /// The next page, which may be empty; none at the end.
    ///
    /// # Errors
    /// [`CallError`].
    pub async fn page(&mut self) -> Result<Option<Vec<User>>, CallError> {
        let Some(request) = self.next.take() else {
            return Ok(None);
        };
        let call = self
            .connection
            .call(Effect::Read, request.clone(), |channel, request| async {
                UserServiceClient::new(channel).list_users(request).await
            });
        let answer = call.await?;
        if !answer.next_token.is_empty() {
            self.next = Some(ListUsersRequest {
                next_token: answer.next_token,
                ..request
            });
        }
        Ok(Some(answer.users.into_iter().map(User::of).collect()))
    }
}

/// A value as a message has it: empty where there is none.
pub(super) fn text(value: Option<&impl ToString>) -> String {
    value.map_or_else(String::new, ToString::to_string)
}

/// The text that an edit leaves, and whether it changes it.
fn edited(edit: &Edit<impl ToString>) -> (String, bool) {
    match edit {
        Edit::Keep => (String::new(), false),
        Edit::Clear => (String::new(), true),
        Edit::Set(value) => (value.to_string(), true),
    }
}
