//! The operations of the cloud's API (IMS, 2019-08-15) that this service imitates, and asks for.

use super::Action;

/// An operation, as the cloud's API names it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Operation {
    /// Removes tags from users.
    UntagResources,
    /// Sets tags of users.
    TagResources,
    /// Lists tags of users.
    ListTagResources,
    /// Creates a user.
    CreateUser,
    /// Reads a user.
    GetUser,
    /// Lists users.
    ListUsers,
    /// Lists the ids and names of users.
    ListUserBasicInfos,
    /// Renames a user or describes it anew.
    UpdateUser,
    /// Deletes a user.
    DeleteUser,
    /// Reads a deleted user.
    GetUserInRecycleBin,
    /// Lists deleted users.
    ListUsersInRecycleBin,
    /// Restores a deleted user.
    RestoreUserFromRecycleBin,
}

impl Operation {
    /// All operations.
    pub const ALL: [Self; 12] = [
        Self::UntagResources,
        Self::TagResources,
        Self::ListTagResources,
        Self::CreateUser,
        Self::GetUser,
        Self::ListUsers,
        Self::ListUserBasicInfos,
        Self::UpdateUser,
        Self::DeleteUser,
        Self::GetUserInRecycleBin,
        Self::ListUsersInRecycleBin,
        Self::RestoreUserFromRecycleBin,
    ];

    /// The name, such as `UntagResources`.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::ListUserBasicInfos => "ListUserBasicInfos",
            Self::GetUserInRecycleBin => "GetUserInRecycleBin",
            Self::ListUsersInRecycleBin => "ListUsersInRecycleBin",
            Self::RestoreUserFromRecycleBin => "RestoreUserFromRecycleBin",
            _ => self.action().operation(),
        }
    }

    /// The operation with a name.
    #[must_use]
    pub fn parse(name: &str) -> Option<Self> {
        let mut all = Self::ALL.into_iter();
        all.find(|operation| operation.name() == name)
    }

    /// The action that policies and the audit know the operation by.
    #[must_use]
    pub fn action(self) -> Action {
        match self {
            Self::UntagResources => Action::UntagResources,
            Self::TagResources => Action::TagResources,
            Self::ListTagResources => Action::ListTagResources,
            Self::CreateUser => Action::CreateUser,
            Self::GetUser | Self::GetUserInRecycleBin => Action::GetUser,
            Self::ListUsers | Self::ListUserBasicInfos | Self::ListUsersInRecycleBin => {
                Action::ListUsers
            }
            Self::UpdateUser => Action::UpdateUser,
            Self::DeleteUser => Action::DeleteUser,
            Self::RestoreUserFromRecycleBin => Action::UndeleteUser,
        }
    }
}
