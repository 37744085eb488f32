//! Imports: users who are created, or become what a file says of them, many at a time.

mod plan;
#[cfg(test)]
mod tests;

pub use plan::ImportPlan;

use super::user_command::check_distinct;
use super::{
    AccountId, Action, InvalidUserCommand, NewUser, PrincipalName, RequestId, ResourceId, Revision,
    Timestamp,
};

/// What becomes of a user that is there already.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ImportMode {
    /// The user gets the name and the tags that are given, and keeps its other tags.
    Merge,
    /// The user gets the name that is given, and the tags that are given are all that it carries then.
    ReplaceTags,
    /// The user stays as it is, and is refused.
    CreateOnly,
}

impl ImportMode {
    /// All modes.
    pub const ALL: [Self; 3] = [Self::Merge, Self::ReplaceTags, Self::CreateOnly];

    /// The mode as the command line has it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Merge => "merge",
            Self::ReplaceTags => "replace-tags",
            Self::CreateOnly => "create-only",
        }
    }

    /// The actions that an import takes, whatever it comes to: whoever may not do them may not import.
    #[must_use]
    pub fn actions(self) -> &'static [Action] {
        match self {
            Self::CreateOnly => &[Action::ImportUsers, Action::CreateUser],
            Self::Merge => &[
                Action::ImportUsers,
                Action::CreateUser,
                Action::UpdateUser,
                Action::TagResources,
            ],
            Self::ReplaceTags => &[
                Action::ImportUsers,
                Action::CreateUser,
                Action::UpdateUser,
                Action::TagResources,
                Action::UntagResources,
            ],
        }
    }
}

/// A command that imports users of one account. Those that can't be imported are left out, and all others are imported as a whole
/// or not at all.
///
/// Principal names are unique in the state after the whole command: a name may pass from one user to another in it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ImportCommand {
    account: AccountId,
    time: Timestamp,
    mode: ImportMode,
    users: Vec<NewUser>,
    validate_only: bool,
}

impl ImportCommand {
    /// Takes 1 to 1,000 different users, to be imported at this moment.
    ///
    /// # Errors
    /// [`InvalidUserCommand`] for any other number, and for a user that is named twice.
    pub fn new(
        account: AccountId,
        time: Timestamp,
        mode: ImportMode,
        users: Vec<NewUser>,
    ) -> Result<Self, InvalidUserCommand> {
        check_distinct(users.iter().map(|user| &user.id))?;
        Ok(Self {
            account,
            time,
            mode,
            users,
            validate_only: false,
        })
    }

    /// The command that only checks this one, and changes nothing.
    #[must_use]
    pub fn only_validated(self) -> Self {
        Self {
            validate_only: true,
            ..self
        }
    }

    /// The account that the users belong to.
    #[must_use]
    pub fn account(&self) -> &AccountId {
        &self.account
    }

    /// When the users are imported.
    #[must_use]
    pub fn time(&self) -> Timestamp {
        self.time
    }

    /// What becomes of users that are there already.
    #[must_use]
    pub fn mode(&self) -> ImportMode {
        self.mode
    }

    /// The users: 1 to 1,000, each another one.
    #[must_use]
    pub fn users(&self) -> &[NewUser] {
        &self.users
    }

    /// Whether the command only checks, and changes nothing.
    #[must_use]
    pub fn validate_only(&self) -> bool {
        self.validate_only
    }

    /// The principal names that it gives.
    pub fn names(&self) -> impl Iterator<Item = &PrincipalName> {
        self.users.iter().map(|user| &user.principal_name)
    }
}

/// Why a user can't be imported.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ImportRefusal {
    /// The user is there, and only new ones are wanted.
    Exists,
    /// The user was deleted, and its id is kept for it as long as it can be restored.
    Deleted,
    /// The user would carry more than 20 tags.
    TagLimit,
    /// This other user would have the same principal name.
    NameTaken(ResourceId),
}

/// A user that was not imported.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RefusedUser {
    /// The position of the user in the command.
    pub position: usize,
    /// Why.
    pub why: ImportRefusal,
}

/// The result of an import.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Imported {
    /// How many users were created, or would be.
    pub created: usize,
    /// How many users were there and were changed, or would be.
    pub updated: usize,
    /// How many users were there already as they were given.
    pub unchanged: usize,
    /// How many tags were removed or set, or would be; those of new users count too.
    pub changed_tags: usize,
    /// Who was not imported, in the order of the command.
    pub refused: Vec<RefusedUser>,
    /// The revision of the import; the newest one of the account where nothing was changed. `None` where nothing ever was, and where
    /// the command only validates.
    pub revision: Option<Revision>,
    /// The RequestId to answer with, where this is the answer to an earlier request with the same client token.
    pub request_id: Option<RequestId>,
    /// Whether this is such an answer, and nothing was changed now.
    pub is_replay: bool,
}

impl Imported {
    /// The revision of the entry that the change log has of the import, if it has one.
    #[must_use]
    pub fn entry(&self) -> Option<Revision> {
        let has_entry = self.created + self.updated > 0 && !self.is_replay;
        self.revision.filter(|_| has_entry)
    }
}
