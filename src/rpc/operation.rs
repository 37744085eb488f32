//! The operations of the cloud's API that there are here.

use crate::domain::Action;

/// An operation, as the cloud's API names it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Operation {
    UntagResources,
    TagResources,
    ListTagResources,
    CreateUser,
    GetUser,
    ListUsers,
    ListUserBasicInfos,
    UpdateUser,
    DeleteUser,
    RestoreUserFromRecycleBin,
}

impl Operation {
    pub const ALL: [Self; 10] = [
        Self::UntagResources,
        Self::TagResources,
        Self::ListTagResources,
        Self::CreateUser,
        Self::GetUser,
        Self::ListUsers,
        Self::ListUserBasicInfos,
        Self::UpdateUser,
        Self::DeleteUser,
        Self::RestoreUserFromRecycleBin,
    ];

    /// The name, such as `UntagResources`.
    pub fn name(self) -> &'static str {
        match self {
            Self::ListUserBasicInfos => "ListUserBasicInfos",
            Self::RestoreUserFromRecycleBin => "RestoreUserFromRecycleBin",
            _ => self.action().operation(),
        }
    }

    /// The operation with a name.
    pub fn parse(name: &str) -> Option<Self> {
        let mut all = Self::ALL.into_iter();
        all.find(|operation| operation.name() == name)
    }

    /// The action that policies and the audit know the operation by.
    pub fn action(self) -> Action {
        match self {
            Self::UntagResources => Action::UntagResources,
            Self::TagResources => Action::TagResources,
            Self::ListTagResources => Action::ListTagResources,
            Self::CreateUser => Action::CreateUser,
            Self::GetUser => Action::GetUser,
            Self::ListUsers | Self::ListUserBasicInfos => Action::ListUsers,
            Self::UpdateUser => Action::UpdateUser,
            Self::DeleteUser => Action::DeleteUser,
            Self::RestoreUserFromRecycleBin => Action::UndeleteUser,
        }
    }
}
