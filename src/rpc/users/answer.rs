//! Users in answers, with the fields that the cloud's have.

use std::collections::BTreeMap;
use std::slice;

use http::StatusCode;
use prost::Message;
use serde_json::{Map, Value, json};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use crate::domain::{Error, NamedResource, Operation};
use crate::grpc::proto::user::v1::{
    CreateUserResponse, GetUserResponse, ListUsersResponse, UpdateUserResponse, User,
};
use crate::rpc::answer::Format;
use crate::rpc::read_back::{check_lost, decoded, lost, lost_in_tag};
use crate::rpc::stop::Stop;

/// The status of every user: nobody is frozen here.
const STATUS: &str = "active";

/// What the answer to an operation on users has beside its RequestId.
///
/// # Errors
/// [`Stop`] where the user that was asked for is deleted, or the format has no form for what the answer has.
pub fn content(format: Format, operation: Operation, message: &[u8]) -> Result<Value, Stop> {
    match operation {
        Operation::CreateUser => {
            let user = read::<CreateUserResponse>(message)?
                .user
                .unwrap_or_default();
            check(format, slice::from_ref(&user))?;
            Ok(json!({"User": with_tags(&user)}))
        }
        Operation::UpdateUser => {
            let user = read::<UpdateUserResponse>(message)?
                .user
                .unwrap_or_default();
            check(format, slice::from_ref(&user))?;
            Ok(json!({"User": described(&user)}))
        }
        Operation::GetUser | Operation::GetUserInRecycleBin => {
            let user = read::<GetUserResponse>(message)?.user.unwrap_or_default();
            let is_wanted_deleted = operation == Operation::GetUserInRecycleBin;
            if user.delete_time.is_some() != is_wanted_deleted {
                return Err(missing(user.resource_id));
            }
            check(format, slice::from_ref(&user))?;
            let user = if is_wanted_deleted {
                deleted(&user)
            } else {
                found(&user)
            };
            Ok(json!({"User": user}))
        }
        Operation::ListUsers | Operation::ListUserBasicInfos | Operation::ListUsersInRecycleBin => {
            let page: ListUsersResponse = read(message)?;
            check(format, &page.users)?;
            Ok(match operation {
                Operation::ListUsers => listed(&page, "User", with_status),
                Operation::ListUserBasicInfos => listed(&page, "UserBasicInfo", basic_info),
                _ => listed(&page, "User", deleted),
            })
        }
        _ => Ok(json!({})),
    }
}

fn read<M: Message + Default>(message: &[u8]) -> Result<M, Stop> {
    decoded(message).ok_or_else(Stop::internal)
}

/// The error of a user who is deleted, or is not: the cloud has each in another place.
fn missing(id: String) -> Stop {
    let user = NamedResource {
        position: 0,
        name: id,
    };
    Stop::of(&Error::NotFound(vec![user]), StatusCode::NOT_FOUND)
}

/// Checks that users can be read back from an answer in this format.
fn check(format: Format, users: &[User]) -> Result<(), Stop> {
    let lost_of = |user: &User| {
        let id = &user.resource_id;
        let texts = [
            ("display name", &user.display_name),
            ("comments", &user.comments),
        ];
        let in_text = |(what, text): (&str, &String)| {
            lost(format, text, || format!("the {what} of user {id}"))
        };
        let mut tags = user.tags.iter();
        let in_texts = texts.into_iter().find_map(in_text);
        in_texts.or_else(|| tags.find_map(|(key, value)| lost_in_tag(format, id, key, value)))
    };
    check_lost(users.iter().find_map(lost_of))
}

/// The user in the answer to `GetUser`.
fn found(user: &User) -> Value {
    let mut content = with_tags(user);
    let name = user.principal_name.split('@').next().unwrap_or_default();
    content["UserName"] = name.into();
    content
}

/// The user in the answer to `CreateUser`.
fn with_tags(user: &User) -> Value {
    let mut content = described(user);
    content["Tags"] = tags(user);
    content
}

/// The user in the answer to `UpdateUser`.
fn described(user: &User) -> Value {
    let mut content = Map::new();
    let mut put = |name: &str, value: Option<String>| {
        if let Some(value) = value {
            content.insert(name.to_owned(), value.into());
        }
    };
    let given = |text: &str| Some(text.to_owned()).filter(|text| !text.is_empty());
    put("UserId", given(&user.resource_id));
    put("UserPrincipalName", given(&user.principal_name));
    put("DisplayName", given(&user.display_name));
    put("Comments", given(&user.comments));
    put("CreateDate", user.create_time.as_ref().and_then(date));
    put("UpdateDate", user.update_time.as_ref().and_then(date));
    put("ProvisionType", given("Manual"));
    Value::Object(content)
}

/// A user in the answer to `ListUsers`.
fn with_status(user: &User) -> Value {
    let mut content = with_tags(user);
    content["Status"] = STATUS.into();
    content
}

/// A user in the answer to `ListUserBasicInfos`.
fn basic_info(user: &User) -> Value {
    json!({
        "UserId": user.resource_id,
        "UserPrincipalName": user.principal_name,
        "DisplayName": user.display_name,
        "Status": STATUS,
    })
}

/// A user in the recycle bin.
fn deleted(user: &User) -> Value {
    let mut content = json!({
        "UserId": user.resource_id,
        "UserPrincipalName": user.principal_name,
        "DisplayName": user.display_name,
    });
    let dates = [
        ("CreateDate", &user.create_time),
        ("RecycleDate", &user.delete_time),
        ("DeleteDate", &user.expire_time),
    ];
    for (name, moment) in dates {
        if let Some(date) = moment.as_ref().and_then(date) {
            content[name] = date.into();
        }
    }
    content
}

/// A page of users, in elements of this name.
fn listed(page: &ListUsersResponse, element: &str, user: fn(&User) -> Value) -> Value {
    let users: Vec<Value> = page.users.iter().map(user).collect();
    let mut content = json!({
        "IsTruncated": !page.next_token.is_empty(),
        format!("{element}s"): {element: users},
    });
    if !page.next_token.is_empty() {
        content["Marker"] = page.next_token.as_str().into();
    }
    content
}

fn tags(user: &User) -> Value {
    let tags: BTreeMap<_, _> = user.tags.iter().collect();
    let tags = tags.into_iter();
    let tags: Vec<Value> = tags
        .map(|(key, value)| json!({"TagKey": key, "TagValue": value}))
        .collect();
    json!({"Tag": tags})
}

/// A moment as the cloud writes it, such as `2020-10-12T09:12:00Z`.
fn date(moment: &prost_types::Timestamp) -> Option<String> {
    let time = OffsetDateTime::from_unix_timestamp(moment.seconds).ok()?;
    time.format(&Rfc3339).ok()
}
