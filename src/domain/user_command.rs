//! Changes of users who come and go, and the query for one of them.

use std::collections::{BTreeMap, HashSet};

use thiserror::Error;

use super::{
    AccountId, Comments, DisplayName, NamedResource, PrincipalName, RequestId, Resource,
    ResourceId, Revision, TagKey, TagValue, Timestamp, TooManyTags, User, limits,
};

/// A user to create.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewUser {
    /// Its id.
    pub id: ResourceId,
    /// Whether the id was made by this service, since the caller has given none. The cloud makes another one.
    pub is_id_made: bool,
    /// Its principal name.
    pub principal_name: PrincipalName,
    /// The name that is shown to people.
    pub display_name: Option<DisplayName>,
    /// What there is to say about it.
    pub comments: Option<Comments>,
    tags: BTreeMap<TagKey, TagValue>,
}

impl NewUser {
    /// Puts a user together, with an id that the caller has given, that has neither a display name nor comments yet.
    ///
    /// # Errors
    /// [`TooManyTags`] for more than 20.
    pub fn new(
        id: ResourceId,
        principal_name: PrincipalName,
        tags: BTreeMap<TagKey, TagValue>,
    ) -> Result<Self, TooManyTags> {
        TooManyTags::check(&tags)?;
        Ok(Self {
            id,
            is_id_made: false,
            principal_name,
            display_name: None,
            comments: None,
            tags,
        })
    }

    /// A user as one that is to be created.
    #[must_use]
    pub fn of(user: &User) -> Self {
        let Resource {
            id, principal_name, ..
        } = &user.resource;
        Self {
            id: id.clone(),
            is_id_made: false,
            principal_name: principal_name.clone(),
            display_name: user.display_name.clone(),
            comments: user.comments.clone(),
            tags: user.resource.tags().clone(),
        }
    }

    /// Its tags by key; at most 20.
    #[must_use]
    pub fn tags(&self) -> &BTreeMap<TagKey, TagValue> {
        &self.tags
    }

    /// Its name and tags, in this account under this id.
    #[must_use]
    pub fn resource(&self, account: &AccountId, id: ResourceId) -> Resource {
        let name = self.principal_name.clone();
        Resource::of_checked(account.clone(), id, name, self.tags.clone())
    }

    /// The user as it is when it was created in this account at this moment.
    #[must_use]
    pub fn created(&self, account: &AccountId, time: Timestamp) -> User {
        User {
            resource: self.resource(account, self.id.clone()),
            display_name: self.display_name.clone(),
            comments: self.comments.clone(),
            create_time: Some(time),
            update_time: Some(time),
            delete_time: None,
        }
    }
}

/// What an update makes of a value that a user may have.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Edit<T> {
    /// It stays as it is.
    Keep,
    /// It goes.
    Clear,
    /// It becomes this one.
    Set(T),
}

impl<T: Clone> Edit<T> {
    /// The value after the update.
    #[must_use]
    pub fn of(&self, before: Option<&T>) -> Option<T> {
        match self {
            Self::Keep => before.cloned(),
            Self::Clear => None,
            Self::Set(value) => Some(value.clone()),
        }
    }
}

/// An update of a user. What it leaves as it is changes nothing, the update time neither.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UserUpdate {
    /// Whom.
    pub id: ResourceId,
    /// The new principal name, if it is to change. Another case of the same letters is a change.
    pub principal_name: Option<PrincipalName>,
    /// The display name.
    pub display_name: Edit<DisplayName>,
    /// The comments.
    pub comments: Edit<Comments>,
    /// The tags that it has then, where they change with it: an import does that, and its revert.
    pub tags: Option<BTreeMap<TagKey, TagValue>>,
}

impl UserUpdate {
    /// The user after the update at this moment.
    #[must_use]
    pub fn updated(&self, before: &User, time: Timestamp) -> User {
        let mut after = before.clone();
        if let Some(name) = &self.principal_name {
            after.resource.principal_name = name.clone();
        }
        after.display_name = self.display_name.of(before.display_name.as_ref());
        after.comments = self.comments.of(before.comments.as_ref());
        if !after.is_described_as(before) {
            after.update_time = Some(time);
        }
        if let Some(tags) = &self.tags {
            let (account, id) = (after.resource.account, after.resource.id);
            let name = after.resource.principal_name;
            after.resource = Resource::of_checked(account, id, name, tags.clone());
        }
        after
    }
}

/// A change of one user.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum UserChange {
    /// Make a user that is neither there nor deleted.
    Create(NewUser),
    /// Change a user that is there.
    Update(UserUpdate),
    /// Delete a user that is there. It can be restored for [`super::KEEP_DELETED`].
    Delete {
        /// Whom.
        id: ResourceId,
    },
    /// Bring back a deleted user, with the tags that it had.
    Restore {
        /// Whom.
        id: ResourceId,
        /// The principal name that it gets; its old one when `None`.
        new_name: Option<PrincipalName>,
    },
}

impl UserChange {
    /// Whose.
    #[must_use]
    pub fn id(&self) -> &ResourceId {
        match self {
            Self::Create(user) => &user.id,
            Self::Update(update) => &update.id,
            Self::Delete { id } | Self::Restore { id, .. } => id,
        }
    }

    /// The principal name that it gives the user, if it says one.
    #[must_use]
    pub fn given_name(&self) -> Option<&PrincipalName> {
        match self {
            Self::Create(user) => Some(&user.principal_name),
            Self::Update(update) => update.principal_name.as_ref(),
            Self::Delete { .. } => None,
            Self::Restore { new_name, .. } => new_name.as_ref(),
        }
    }
}

/// Why changes are not a command.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum InvalidUserCommand {
    /// No change.
    #[error("has no change; give at least 1")]
    Empty,
    /// Too many changes.
    #[error("has {0} changes, and at most 1,000 can be made at once")]
    TooMany(usize),
    /// Two changes of one user.
    #[error("names the user {id} twice, at {position} again; give each user once")]
    Repeated {
        /// Whom.
        id: ResourceId,
        /// The place of the second one.
        position: usize,
    },
}

/// Checks that there are 1 to 1,000 users, each another one.
pub(super) fn check_distinct<'a>(
    users: impl ExactSizeIterator<Item = &'a ResourceId>,
) -> Result<(), InvalidUserCommand> {
    let count = users.len();
    if count == 0 {
        return Err(InvalidUserCommand::Empty);
    }
    if count > limits::USER_CHANGES {
        return Err(InvalidUserCommand::TooMany(count));
    }
    let mut ids = HashSet::with_capacity(count);
    for (position, id) in users.enumerate() {
        if !ids.insert(id) {
            let id = id.clone();
            return Err(InvalidUserCommand::Repeated { id, position });
        }
    }
    Ok(())
}

/// Changes of users of one account that are made as a whole or not at all.
///
/// Principal names are unique in the state after the whole command: a name may pass from one user to another in it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UserCommand {
    account: AccountId,
    time: Timestamp,
    changes: Vec<UserChange>,
}

impl UserCommand {
    /// Takes 1 to 1,000 changes of different users, to be made at this moment: it becomes the time of what they do, and says
    /// which deleted users are gone for good.
    ///
    /// # Errors
    /// [`InvalidUserCommand`] for any other number, and for a user that is named twice.
    pub fn new(
        account: AccountId,
        time: Timestamp,
        changes: Vec<UserChange>,
    ) -> Result<Self, InvalidUserCommand> {
        check_distinct(changes.iter().map(UserChange::id))?;
        Ok(Self {
            account,
            time,
            changes,
        })
    }

    /// One change, to be made at this moment.
    #[must_use]
    pub fn of_one(account: AccountId, time: Timestamp, change: UserChange) -> Self {
        Self {
            account,
            time,
            changes: vec![change],
        }
    }

    /// The account that the users belong to.
    #[must_use]
    pub fn account(&self) -> &AccountId {
        &self.account
    }

    /// When the changes are made.
    #[must_use]
    pub fn time(&self) -> Timestamp {
        self.time
    }

    /// The changes: 1 to 1,000, each of another user.
    #[must_use]
    pub fn changes(&self) -> &[UserChange] {
        &self.changes
    }

    /// The users of the changes at these positions, for messages.
    #[must_use]
    pub fn named(&self, positions: &[usize]) -> Vec<NamedResource> {
        self.each_named(positions, |change| change.id().to_string())
    }

    /// The principal names that the changes at these positions give, for messages.
    #[must_use]
    pub fn given_names(&self, positions: &[usize]) -> Vec<NamedResource> {
        self.each_named(positions, |change| match change.given_name() {
            Some(name) => name.to_string(),
            None => format!("that of {}", change.id()),
        })
    }

    fn each_named(
        &self,
        positions: &[usize],
        name: impl Fn(&UserChange) -> String,
    ) -> Vec<NamedResource> {
        let named = |&position: &usize| NamedResource {
            position,
            name: self.changes.get(position).map_or_else(String::new, &name),
        };
        positions.iter().map(named).collect()
    }
}

/// The result of a command that has changed users.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct UsersChanged {
    /// Each user as it was right after the command, in the order of the changes.
    pub users: Vec<User>,
    /// How many of them were changed: an update may leave a user as it was.
    pub changed: usize,
    /// The revision of the change; the newest one of the account where nothing was changed. `None` where nothing ever was, and where
    /// the store keeps no revisions.
    pub revision: Option<Revision>,
    /// The RequestId to answer with, where another service has carried the command out under its own,
    /// or where this is the answer to an earlier request.
    pub request_id: Option<RequestId>,
    /// Whether this is the answer to an earlier request with the same client token, and nothing was changed now.
    pub is_replay: bool,
}

impl UsersChanged {
    /// The revision of the entry that the change log has of the command, if it has one.
    #[must_use]
    pub fn entry(&self) -> Option<Revision> {
        let has_entry = self.changed > 0 && !self.is_replay;
        self.revision.filter(|_| has_entry)
    }
}

/// What a user is looked for by.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum UserKey {
    /// Its id. Finds a deleted user too, until it expires.
    Id(ResourceId),
    /// Its principal name. Finds only users that are there.
    Name(PrincipalName),
}

/// Read one user.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UserQuery {
    /// The account that the user belongs to.
    pub account: AccountId,
    /// Whom.
    pub by: UserKey,
    /// The present moment, which says which deleted users are gone for good.
    pub time: Timestamp,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(text: &str) -> ResourceId {
        ResourceId::parse(text).unwrap()
    }

    fn command(changes: Vec<UserChange>) -> Result<UserCommand, InvalidUserCommand> {
        let account = AccountId::parse("1").unwrap();
        UserCommand::new(account, Timestamp::from_millis(0), changes)
    }

    #[test]
    fn a_command_has_1_to_1000_changes_of_different_users() {
        let delete = |number: usize| UserChange::Delete {
            id: id(&number.to_string()),
        };
        assert_eq!(command(Vec::new()), Err(InvalidUserCommand::Empty));
        assert!(command((0..1000).map(delete).collect()).is_ok());
        let too_many = command((0..1001).map(delete).collect());
        assert_eq!(too_many, Err(InvalidUserCommand::TooMany(1001)));
        let restore = UserChange::Restore {
            id: id("7"),
            new_name: None,
        };
        let repeated = command(vec![delete(7), delete(8), restore]);
        let expected = InvalidUserCommand::Repeated {
            id: id("7"),
            position: 2,
        };
        assert_eq!(repeated, Err(expected));
    }

    #[test]
    fn a_new_user_carries_at_most_20_tags() {
        let tags = |count| {
            let tag = |number: usize| {
                let key = TagKey::parse(format!("key-{number}")).unwrap();
                (key, TagValue::parse("").unwrap())
            };
            (0..count).map(tag).collect()
        };
        let name = PrincipalName::parse("a@b").unwrap();
        assert!(NewUser::new(id("1"), name.clone(), tags(20)).is_ok());
        assert!(NewUser::new(id("1"), name, tags(21)).is_err());
    }
}
