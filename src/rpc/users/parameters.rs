//! Parameters of operations on users as messages of the contract.

use std::collections::HashMap;

use prost::Message as _;

use crate::domain::{Fault, FaultCode};
use crate::grpc::proto::user::v1::{
    CreateUserRequest, DeleteUserRequest, GetUserRequest, UndeleteUserRequest, UpdateUserRequest,
    User, get_user_request,
};
use crate::rpc::message::tags;
use crate::rpc::parameters::{Parameters, malformed};

/// The parameters that name one user.
const NAMES: &str = "UserId or UserPrincipalName";

/// A user as a request names it.
enum Which {
    Id(String),
    Name(String),
}

/// The change of a user, as far as it can be said before the user is looked up.
#[derive(Debug)]
pub enum UserChange {
    /// The encoded message of the contract.
    OfId(Vec<u8>),
    /// What is left to do where the user's id is not given.
    OfNamed(NamedUser),
}

/// The change of a user whose principal name is given.
#[derive(Debug)]
pub struct NamedUser {
    name: String,
    change: Change,
}

#[derive(Debug)]
enum Change {
    Update(Box<User>),
    Delete,
}

impl NamedUser {
    /// The message that looks the user up.
    pub fn lookup(&self) -> Vec<u8> {
        lookup(Which::Name(self.name.clone())).encode_to_vec()
    }

    /// The message that changes the user, whose id is this.
    pub fn of_id(self, id: String) -> Vec<u8> {
        self.change.of_id(id)
    }
}

impl Change {
    fn of(self, which: Which) -> UserChange {
        match which {
            Which::Id(id) => UserChange::OfId(self.of_id(id)),
            Which::Name(name) => UserChange::OfNamed(NamedUser { name, change: self }),
        }
    }

    fn of_id(self, id: String) -> Vec<u8> {
        match self {
            Self::Update(user) => {
                let user = User {
                    resource_id: id,
                    ..*user
                };
                let request = UpdateUserRequest {
                    user: Some(user),
                    ..UpdateUserRequest::default()
                };
                request.encode_to_vec()
            }
            Self::Delete => {
                let request = DeleteUserRequest {
                    resource_id: id,
                    ..DeleteUserRequest::default()
                };
                request.encode_to_vec()
            }
        }
    }
}

/// The value of a parameter; `None` where it is empty or not given.
fn given(parameters: &Parameters, name: &str) -> Option<String> {
    let value = parameters.get(name).filter(|value| !value.is_empty());
    value.map(str::to_owned)
}

/// The new value of a parameter; empty where it is not given.
fn new_value(parameters: &Parameters, name: &str) -> Result<String, Fault> {
    match parameters.get(name) {
        Some("") => Err(malformed(
            name,
            "the value is empty; give at least 1 character, or leave the parameter out",
        )),
        value => Ok(value.unwrap_or_default().to_owned()),
    }
}

fn which(parameters: &Parameters) -> Result<Which, Fault> {
    let [id, name] = ["UserId", "UserPrincipalName"].map(|name| given(parameters, name));
    match (id, name) {
        (Some(id), None) => Ok(Which::Id(id)),
        (None, Some(name)) => Ok(Which::Name(name)),
        (Some(_), Some(_)) => Err(malformed(
            "UserId",
            "UserId and UserPrincipalName exclude each other; give one of them",
        )),
        (None, None) => Err(missing_user(NAMES)),
    }
}

fn missing_user(names: &str) -> Fault {
    Fault {
        code: FaultCode::MissingResourceId,
        field: "UserId".to_owned(),
        description: format!("no user is named; give {names}"),
    }
}

fn lookup(which: Which) -> GetUserRequest {
    GetUserRequest {
        user: Some(match which {
            Which::Id(id) => get_user_request::User::ResourceId(id),
            Which::Name(name) => get_user_request::User::PrincipalName(name),
        }),
    }
}

/// The message of `CreateUser`.
///
/// # Errors
/// Tags that have no form in the contract.
pub fn create(parameters: &Parameters) -> Result<CreateUserRequest, Fault> {
    let value = |name: &str| given(parameters, name).unwrap_or_default();
    let mut carried = HashMap::new();
    for (position, (key, value)) in tags(parameters)?.into_iter().enumerate() {
        if carried.contains_key(&key) {
            return Err(duplicate_key(position));
        }
        carried.insert(key, value.unwrap_or_default());
    }
    let user = User {
        principal_name: value("UserPrincipalName"),
        display_name: value("DisplayName"),
        comments: value("Comments"),
        tags: carried,
        ..User::default()
    };
    Ok(CreateUserRequest {
        user: Some(user),
        ..CreateUserRequest::default()
    })
}

/// The fault of a tag whose key an earlier one has.
pub fn duplicate_key(position: usize) -> Fault {
    Fault {
        code: FaultCode::DuplicateTagKey,
        field: format!("Tag.{}.Key", position + 1),
        description: "an earlier tag has the same key; give each key once".to_owned(),
    }
}

/// The message of `GetUser`.
///
/// # Errors
/// A request that does not name one user, or names it by a key that it has at the cloud.
pub fn get(parameters: &Parameters) -> Result<GetUserRequest, Fault> {
    refuse_access_key(parameters, NAMES)?;
    which(parameters).map(lookup)
}

/// The message of `GetUserInRecycleBin`.
///
/// # Errors
/// A request that names no user, or names it by a key that it has at the cloud.
pub fn get_deleted(parameters: &Parameters) -> Result<GetUserRequest, Fault> {
    refuse_access_key(parameters, "UserId")?;
    let id = given(parameters, "UserId").ok_or_else(|| missing_user("UserId"))?;
    Ok(lookup(Which::Id(id)))
}

fn refuse_access_key(parameters: &Parameters, names: &str) -> Result<(), Fault> {
    if given(parameters, "UserAccessKeyId").is_none() {
        return Ok(());
    }
    let description = format!("the access keys of users are not known here; give {names}");
    Err(malformed("UserAccessKeyId", &description))
}

/// The change of `UpdateUser`.
///
/// # Errors
/// A request that does not name one user, or nothing that is to change.
pub fn update(parameters: &Parameters) -> Result<UserChange, Fault> {
    let which = which(parameters)?;
    let user = User {
        principal_name: new_value(parameters, "NewUserPrincipalName")?,
        display_name: new_value(parameters, "NewDisplayName")?,
        comments: new_value(parameters, "NewComments")?,
        ..User::default()
    };
    if user == User::default() {
        return Err(malformed(
            "NewUserPrincipalName",
            "nothing is to change; give NewUserPrincipalName, NewDisplayName or NewComments",
        ));
    }
    Ok(Change::Update(Box::new(user)).of(which))
}

/// The change of `DeleteUser`.
///
/// # Errors
/// A request that does not name one user.
pub fn delete(parameters: &Parameters) -> Result<UserChange, Fault> {
    which(parameters).map(|which| Change::Delete.of(which))
}

/// The message of `RestoreUserFromRecycleBin`.
///
/// # Errors
/// A request that names no user.
pub fn restore(parameters: &Parameters) -> Result<UndeleteUserRequest, Fault> {
    let resource_id = given(parameters, "UserId").ok_or_else(|| missing_user("UserId"))?;
    Ok(UndeleteUserRequest {
        resource_id,
        ..UndeleteUserRequest::default()
    })
}
