//! The parser of requests about users.

use std::ops::Range;

use rand::Rng as _;

use super::described_user::{Described, principal_name, require_id, require_name, required_id};
use super::faults::{Faults, quoted};
use super::repeat::{client_token, of_users};
use super::tags::{tag_key, tag_value};
use super::{Repeatable, foreign_token, page_size};
use crate::domain::{
    AccountId, ClientToken, DeletedUsers, DisplayName, Edit, Fault, FaultCode, NamePrefix, NewUser,
    PrincipalName, ResourceId, TagCondition, TagFilter, Timestamp, UserChange, UserCommand,
    UserKey, UserListQuery, UserQuery, UserUpdate, limits,
};
use crate::grpc::page_token;
use crate::grpc::proto::user::v1::{self as user_proto, get_user_request::User as Named};

/// The fields of a user that an update can change, as its mask names them.
const MASKED: [&str; 3] = ["principal_name", "display_name", "comments"];
/// How many paths of a mask are looked at.
const MOST_PATHS: usize = 20;
/// The ids that the service makes: 18 digits, as those of the cloud have.
const NEW_IDS: Range<u64> = 100_000_000_000_000_000..1_000_000_000_000_000_000;

/// Parses `GetUser`.
///
/// # Errors
/// Every fault of the request, at least one.
pub fn get_user(
    request: user_proto::GetUserRequest,
    account: Result<AccountId, Fault>,
    now: Timestamp,
) -> Result<UserQuery, Vec<Fault>> {
    let mut faults = Faults::default();
    let account = faults.take(account);
    let by = match request.user {
        Some(Named::ResourceId(id)) => {
            let id = required_id(&id, "resource_id", &mut faults);
            id.map(UserKey::Id)
        }
        Some(Named::PrincipalName(name)) => {
            let name = principal_name(&name, "principal_name", &mut faults);
            name.map(UserKey::Name)
        }
        None => {
            let description = "give resource_id or principal_name";
            faults.add(FaultCode::MissingResourceId, "user", description);
            None
        }
    };
    let time = now;
    match (account, by) {
        (Some(account), Some(by)) => Ok(UserQuery { account, by, time }),
        _ => Err(faults.0),
    }
}

/// Parses `ListUsers`.
///
/// # Errors
/// Every fault of the request, at least one.
pub fn list_users(
    request: user_proto::ListUsersRequest,
    account: Result<AccountId, Fault>,
    now: Timestamp,
) -> Result<UserListQuery, Vec<Fault>> {
    let user_proto::ListUsersRequest {
        principal_name_prefix,
        tag_key,
        tag_value,
        untagged,
        show_deleted,
        page_size: size,
        next_token,
    } = request;
    let mut faults = Faults::default();
    let account = faults.take(account);
    let name_prefix = name_prefix(&principal_name_prefix, &mut faults);
    let tags = tag_condition(&tag_key, tag_value.as_deref(), untagged, &mut faults);
    let page_size = page_size(size, &mut faults);
    let (Some(account), Some(page_size), true) = (account, page_size, faults.0.is_empty()) else {
        return Err(faults.0);
    };
    let mut query = UserListQuery {
        account,
        name_prefix,
        tags,
        page_size,
        after: None,
        deleted: if show_deleted {
            DeletedUsers::Show
        } else {
            DeletedUsers::Hide
        },
        time: now,
    };
    if !next_token.is_empty() {
        let after = page_token::read_users(&next_token, &page_token::users_fingerprint(&query));
        query.after = Some(after.ok_or_else(foreign_token)?);
    }
    Ok(query)
}

fn name_prefix(text: &str, faults: &mut Faults) -> Option<NamePrefix> {
    if text.is_empty() {
        return None;
    }
    let code = FaultCode::InvalidResourcePrincipalName;
    faults.parsed(NamePrefix::parse(text), text, code, "principal_name_prefix")
}

/// The tags that the users of a list carry.
fn tag_condition(
    key: &str,
    value: Option<&str>,
    untagged: bool,
    faults: &mut Faults,
) -> TagCondition {
    let value = value.map(|value| tag_value(value, "tag_value", faults));
    if key.is_empty() {
        if value.is_some() {
            let description = "give the key of the value too";
            faults.add(FaultCode::InvalidTagKey, "tag_key", description);
        }
        return if untagged {
            TagCondition::Untagged
        } else {
            TagCondition::Any
        };
    }
    if untagged {
        let description = "who carries no tag carries none with this key; give one of the two";
        faults.add(FaultCode::InvalidTagKey, "tag_key", description);
    }
    match tag_key(key, "tag_key", faults) {
        Some(key) => TagCondition::Carries(TagFilter {
            key,
            value: value.flatten(),
        }),
        None => TagCondition::Any,
    }
}

/// Parses `CreateUser`. A user without an id gets a new one.
///
/// # Errors
/// Every fault of the request, at least one.
pub fn create_user(
    request: user_proto::CreateUserRequest,
    account: Result<AccountId, Fault>,
    now: Timestamp,
) -> Result<Repeatable<UserCommand>, Vec<Fault>> {
    let mut faults = Faults::default();
    let account = faults.take(account);
    let user = request.user.unwrap_or_default();
    require_name(&user.principal_name, &mut faults);
    let Described {
        id: own_id,
        principal_name,
        display_name,
        comments,
        tags,
    } = Described::of(user, &mut faults);
    let token = client_token(&request.client_token, &mut faults);
    let (Some(account), Some(name), true) = (account, principal_name, faults.0.is_empty()) else {
        return Err(faults.0);
    };
    let display_name = display_name.or_else(|| default_display_name(&name));
    let is_id_made = own_id.is_none();
    let id = own_id.clone().unwrap_or_else(new_id);
    let mut new = NewUser::new(id, name, tags).map_err(|error| {
        faults.add(FaultCode::TooManyTags, "user.tags", error.to_string());
        faults.0
    })?;
    (new.display_name, new.comments) = (display_name, comments);
    new.is_id_made = is_id_made;
    let change = UserChange::Create(new);
    let command = UserCommand::of_one(account, now, change);
    // A repetition would get another new id, and is the same request.
    let fingerprint = |command: &UserCommand| of_users(command, own_id.as_ref());
    Ok(Repeatable::new(command, token, fingerprint))
}

/// Parses `UpdateUser`.
///
/// # Errors
/// Every fault of the request, at least one.
pub fn update_user(
    request: user_proto::UpdateUserRequest,
    account: Result<AccountId, Fault>,
    now: Timestamp,
) -> Result<Repeatable<UserCommand>, Vec<Fault>> {
    let mut faults = Faults::default();
    let account = faults.take(account);
    let user = request.user.unwrap_or_default();
    let mask = request.update_mask.map_or_else(Vec::new, |mask| mask.paths);
    let fields = updated_fields(&mask, &user, &mut faults);
    let [is_renamed, is_shown_anew, is_commented] = MASKED.map(|field| fields.contains(&field));
    require_id(&user.resource_id, "user.resource_id", &mut faults);
    if is_renamed {
        require_name(&user.principal_name, &mut faults);
    }
    let described = Described::of(user, &mut faults);
    let token = client_token(&request.client_token, &mut faults);
    let (Some(account), Some(id), true) = (account, described.id, faults.0.is_empty()) else {
        return Err(faults.0);
    };
    let change = UserChange::Update(UserUpdate {
        id,
        principal_name: described.principal_name.filter(|_| is_renamed),
        display_name: edit(is_shown_anew, described.display_name),
        comments: edit(is_commented, described.comments),
        tags: None,
    });
    Ok(repeatable(account, now, change, token))
}

/// Parses `DeleteUser`.
///
/// # Errors
/// Every fault of the request, at least one.
pub fn delete_user(
    request: user_proto::DeleteUserRequest,
    account: Result<AccountId, Fault>,
    now: Timestamp,
) -> Result<Repeatable<UserCommand>, Vec<Fault>> {
    let user_proto::DeleteUserRequest {
        resource_id,
        client_token: token,
    } = request;
    let mut faults = Faults::default();
    let account = faults.take(account);
    let id = required_id(&resource_id, "resource_id", &mut faults);
    let token = client_token(&token, &mut faults);
    let (Some(account), Some(id), true) = (account, id, faults.0.is_empty()) else {
        return Err(faults.0);
    };
    Ok(repeatable(account, now, UserChange::Delete { id }, token))
}

/// Parses `UndeleteUser`.
///
/// # Errors
/// Every fault of the request, at least one.
pub fn undelete_user(
    request: user_proto::UndeleteUserRequest,
    account: Result<AccountId, Fault>,
    now: Timestamp,
) -> Result<Repeatable<UserCommand>, Vec<Fault>> {
    let user_proto::UndeleteUserRequest {
        resource_id,
        new_principal_name,
        client_token: token,
    } = request;
    let mut faults = Faults::default();
    let account = faults.take(account);
    let id = required_id(&resource_id, "resource_id", &mut faults);
    let new_name = match new_principal_name.as_str() {
        "" => None,
        name => principal_name(name, "new_principal_name", &mut faults),
    };
    let token = client_token(&token, &mut faults);
    let (Some(account), Some(id), true) = (account, id, faults.0.is_empty()) else {
        return Err(faults.0);
    };
    let change = UserChange::Restore { id, new_name };
    Ok(repeatable(account, now, change, token))
}

fn repeatable(
    account: AccountId,
    now: Timestamp,
    change: UserChange,
    token: Option<ClientToken>,
) -> Repeatable<UserCommand> {
    let id = change.id().clone();
    let command = UserCommand::of_one(account, now, change);
    Repeatable::new(command, token, |command| of_users(command, Some(&id)))
}

/// The fields that an update changes: those of its mask, or without one those that are not empty in its user.
fn updated_fields(
    mask: &[String],
    user: &user_proto::User,
    faults: &mut Faults,
) -> Vec<&'static str> {
    let known = MASKED.join(", ");
    if mask.is_empty() {
        let texts = [&user.principal_name, &user.display_name, &user.comments];
        let given = MASKED.into_iter().zip(texts);
        let given = given.filter(|(_, text)| !text.is_empty());
        let given: Vec<_> = given.map(|(field, _)| field).collect();
        if given.is_empty() {
            let description = format!("nothing is to change; give at least one of {known}");
            faults.add(FaultCode::InvalidUpdateMask, "user", description);
        }
        return given;
    }
    if mask.len() > MOST_PATHS {
        let description = format!(
            "{} paths are too many; give at most {MOST_PATHS}",
            mask.len()
        );
        faults.add(FaultCode::InvalidUpdateMask, "update_mask", description);
    }
    let mut fields = Vec::new();
    for (at, path) in mask.iter().enumerate().take(MOST_PATHS) {
        let field = MASKED.into_iter().find(|field| field == path);
        if field.is_none() {
            let description = format!("{} can't be updated; give {known}", quoted(path));
            let field = format!("update_mask.paths[{at}]");
            faults.add(FaultCode::InvalidUpdateMask, field, description);
        }
        fields.extend(field);
    }
    fields
}

/// The edit of a text that an update changes, or keeps.
fn edit<T>(is_changed: bool, text: Option<T>) -> Edit<T> {
    if is_changed {
        text.map_or(Edit::Clear, Edit::Set)
    } else {
        Edit::Keep
    }
}

/// A new id. That it is anybody's already happens to one of 100 billion users where there are 10 million.
fn new_id() -> ResourceId {
    ResourceId::of_number(rand::rng().random_range(NEW_IDS))
}

/// The display name of a user that was given none: the user part of its principal name, cut.
fn default_display_name(name: &PrincipalName) -> Option<DisplayName> {
    let text: String = name.user().chars().take(limits::DISPLAY_NAME).collect();
    DisplayName::parse(text).ok()
}
