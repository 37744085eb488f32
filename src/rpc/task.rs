//! What an operation is carried out by.

use prost::Message as _;

use super::parameters::Parameters;
use super::users::{self, NamedUser, UserChange, UserList};
use super::{message, names};
use crate::domain::{Fault, Operation};

/// The calls of the contract that an operation is carried out by.
#[derive(Debug)]
pub enum Task {
    /// One call, with this encoded message.
    Call(Vec<u8>),
    /// The change of a user whose principal name is given: the contract's calls want its id, which is looked up first.
    Named(NamedUser),
    /// A page of users, for which one call may be too few.
    List(UserList),
}

impl Task {
    /// The task that these parameters ask an operation for.
    ///
    /// # Errors
    /// Parameters that have no form in the contract.
    pub fn of(operation: Operation, parameters: &Parameters) -> Result<Self, Fault> {
        names::check(operation, parameters)?;
        let message = match operation {
            Operation::UntagResources => message::untag(parameters)?.encode_to_vec(),
            Operation::TagResources => message::tag(parameters)?.encode_to_vec(),
            Operation::ListTagResources => message::list(parameters)?.encode_to_vec(),
            Operation::CreateUser => users::create(parameters)?.encode_to_vec(),
            Operation::GetUser => users::get(parameters)?.encode_to_vec(),
            Operation::GetUserInRecycleBin => users::get_deleted(parameters)?.encode_to_vec(),
            Operation::RestoreUserFromRecycleBin => users::restore(parameters)?.encode_to_vec(),
            Operation::UpdateUser => return users::update(parameters).map(Self::of_change),
            Operation::DeleteUser => return users::delete(parameters).map(Self::of_change),
            Operation::ListUsers => return UserList::details(parameters).map(Self::List),
            Operation::ListUserBasicInfos => {
                return UserList::basic_infos(parameters).map(Self::List);
            }
            Operation::ListUsersInRecycleBin => {
                return UserList::deleted(parameters).map(Self::List);
            }
        };
        Ok(Self::Call(message))
    }

    fn of_change(change: UserChange) -> Self {
        match change {
            UserChange::OfId(message) => Self::Call(message),
            UserChange::OfNamed(named) => Self::Named(named),
        }
    }
}
