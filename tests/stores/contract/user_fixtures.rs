//! Short ways to write changes of users and queries about them, and what is expected of those.

use std::collections::BTreeMap;
use std::fmt::Display;
use std::sync::Arc;

use untag::domain::{
    AccountId, Comments, DeletedUsers, DisplayName, Edit, ImportCommand, ImportMode, Imported,
    NewUser, PrincipalName, Resource, ResourceId, TagCondition, Timestamp, User, UserChange,
    UserCommand, UserContinuation, UserKey, UserListQuery, UserPage, UserQuery, UserUpdate,
    UsersChanged,
};
use untag::store::Store as _;

use super::Backend;
use super::fixtures::*;

/// When the cases begin.
pub const START: i64 = 1_700_000_000_000;
/// How long deleted users are kept, in milliseconds.
pub const KEPT: i64 = 30 * 24 * 60 * 60 * 1_000;

/// A user as texts: values hide from `Debug`, and two principal names are equal without regard to case.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Seen {
    pub id: String,
    pub name: String,
    pub tags: BTreeMap<String, String>,
    pub display_name: Option<String>,
    pub comments: Option<String>,
    pub create_time: Option<i64>,
    pub update_time: Option<i64>,
    pub delete_time: Option<i64>,
}

impl Seen {
    /// A user that was not made by a command.
    pub fn imported(id: String, name: String, tags: BTreeMap<String, String>) -> Self {
        Self {
            id,
            name,
            tags,
            display_name: None,
            comments: None,
            create_time: None,
            update_time: None,
            delete_time: None,
        }
    }

    pub fn created(new: &NewUser, time: i64) -> Self {
        let tags = new.tags().iter();
        let tags = tags.map(|(key, value)| (key.to_string(), value.as_str().to_owned()));
        Self {
            display_name: new.display_name.as_ref().map(ToString::to_string),
            comments: new.comments.as_ref().map(ToString::to_string),
            create_time: Some(time),
            update_time: Some(time),
            ..Self::imported(
                new.id.to_string(),
                new.principal_name.to_string(),
                tags.collect(),
            )
        }
    }

    pub fn of(user: &User) -> Self {
        let resource = std::slice::from_ref(&user.resource);
        let ((_, id), (name, tags)) = contents(resource).pop_first().unwrap();
        let millis = |time: Option<Timestamp>| time.map(Timestamp::millis);
        Self {
            display_name: user.display_name.as_ref().map(ToString::to_string),
            comments: user.comments.as_ref().map(ToString::to_string),
            create_time: millis(user.create_time),
            update_time: millis(user.update_time),
            delete_time: millis(user.delete_time),
            ..Self::imported(id, name, tags)
        }
    }

    /// The same user, of an account.
    pub fn user(&self, account: &AccountId) -> User {
        let tags = self.tags.iter();
        let tags: Vec<_> = tags
            .map(|(key, value)| (key.as_str(), value.as_str()))
            .collect();
        let tags = parse_tags(&tags).into_iter().collect();
        let resource = Resource::new(account.clone(), id(&self.id), name(&self.name), tags);
        let time = |millis: Option<i64>| millis.map(Timestamp::from_millis);
        User {
            resource: resource.unwrap(),
            display_name: self
                .display_name
                .clone()
                .map(|text| DisplayName::parse(text).unwrap()),
            comments: self
                .comments
                .clone()
                .map(|text| Comments::parse(text).unwrap()),
            create_time: time(self.create_time),
            update_time: time(self.update_time),
            delete_time: time(self.delete_time),
        }
    }

    pub fn is_there(&self) -> bool {
        self.delete_time.is_none()
    }
}

/// Does to a text what an update does to the value.
pub fn edit<T: Display>(text: &mut Option<String>, edit: &Edit<T>) {
    match edit {
        Edit::Keep => {}
        Edit::Clear => *text = None,
        Edit::Set(value) => *text = Some(value.to_string()),
    }
}

pub fn name(text: &str) -> PrincipalName {
    PrincipalName::parse(text).unwrap()
}

/// A user to create, without a display name and comments.
pub fn new_user(id: &str, name: &str, tags: &[(&str, &str)]) -> NewUser {
    let tags = parse_tags(tags).into_iter().collect();
    NewUser::new(self::id(id), self::name(name), tags).unwrap()
}

/// An import of users of an account, which may only validate.
pub fn import(
    account: &str,
    time: i64,
    mode: ImportMode,
    users: Vec<NewUser>,
    dry: bool,
) -> ImportCommand {
    let time = Timestamp::from_millis(time);
    let command = ImportCommand::new(self::account(account), time, mode, users).unwrap();
    if dry {
        command.only_validated()
    } else {
        command
    }
}

pub fn create(id: &str, name: &str) -> UserChange {
    UserChange::Create(new_user(id, name, &[]))
}

/// An update that changes nothing yet.
pub fn update(id: &str) -> UserUpdate {
    UserUpdate {
        id: self::id(id),
        principal_name: None,
        display_name: Edit::Keep,
        comments: Edit::Keep,
        tags: None,
    }
}

pub fn rename(id: &str, name: &str) -> UserChange {
    UserChange::Update(UserUpdate {
        principal_name: Some(self::name(name)),
        ..update(id)
    })
}

pub fn show_as(id: &str, display_name: &str) -> UserChange {
    UserChange::Update(UserUpdate {
        display_name: Edit::Set(DisplayName::parse(display_name).unwrap()),
        ..update(id)
    })
}

pub fn comment(id: &str, comments: &str) -> UserChange {
    UserChange::Update(UserUpdate {
        comments: Edit::Set(Comments::parse(comments).unwrap()),
        ..update(id)
    })
}

pub fn delete(id: &str) -> UserChange {
    UserChange::Delete { id: self::id(id) }
}

pub fn restore(id: &str) -> UserChange {
    UserChange::Restore {
        id: self::id(id),
        new_name: None,
    }
}

pub fn restore_as(id: &str, name: &str) -> UserChange {
    UserChange::Restore {
        id: self::id(id),
        new_name: Some(self::name(name)),
    }
}

/// A command in an account.
pub fn command(account: &str, time: i64, changes: Vec<UserChange>) -> UserCommand {
    let time = Timestamp::from_millis(time);
    UserCommand::new(self::account(account), time, changes).unwrap()
}

/// A list of the users of [`ACCOUNT`] in full pages, from the start.
pub fn user_list(time: i64, deleted: DeletedUsers) -> UserListQuery {
    UserListQuery {
        deleted,
        ..UserListQuery::all(account(ACCOUNT), Timestamp::from_millis(time))
    }
}

pub fn user_query(time: i64, by: UserKey) -> UserQuery {
    UserQuery {
        account: account(ACCOUNT),
        by,
        time: Timestamp::from_millis(time),
    }
}

impl Compare for UsersChanged {
    type Compared = Vec<Seen>;
    fn compared(self) -> Vec<Seen> {
        self.users.iter().map(Seen::of).collect()
    }
}

impl Compare for Option<User> {
    type Compared = Option<Seen>;
    fn compared(self) -> Option<Seen> {
        self.as_ref().map(Seen::of)
    }
}

impl Compare for UserPage {
    type Compared = (Vec<Seen>, Option<ResourceId>);
    fn compared(self) -> Self::Compared {
        let users = self.users.iter().map(Seen::of);
        (
            users.collect(),
            self.next.and_then(|next| next.behind().cloned()),
        )
    }
}

/// Sends commands and queries about users to the store of a backend. Those that name no account are of [`ACCOUNT`].
pub trait AskUsers: Backend {
    async fn command(&self, command: UserCommand) -> Result<Vec<Seen>, Refused> {
        answer(self.store().change_users(Arc::new(command), origin()).await)
    }

    async fn import(&self, command: ImportCommand) -> Imported {
        let imported = self.store().import_users(Arc::new(command), origin()).await;
        Imported {
            revision: None,
            ..imported.unwrap()
        }
    }

    async fn change(
        &self,
        time: i64,
        changes: impl IntoIterator<Item = UserChange>,
    ) -> Result<Vec<Seen>, Refused> {
        let changes = changes.into_iter().collect();
        self.command(command(ACCOUNT, time, changes)).await
    }

    async fn query(&self, query: UserQuery) -> Option<Seen> {
        answer(self.store().get_user(Arc::new(query)).await).unwrap()
    }

    async fn by_id(&self, time: i64, id: &str) -> Option<Seen> {
        let key = UserKey::Id(self::id(id));
        self.query(user_query(time, key)).await
    }

    async fn by_name(&self, time: i64, name: &str) -> Option<Seen> {
        let key = UserKey::Name(self::name(name));
        self.query(user_query(time, key)).await
    }

    /// Reads page after page to the end. Without a filter all are full but the last, which has somebody on it if there is anybody.
    async fn user_pages(&self, mut query: UserListQuery) -> Vec<Seen> {
        let mut all: Vec<Seen> = Vec::new();
        let start = query.after.clone();
        loop {
            let page = self.store().list_users(Arc::new(query.clone())).await;
            let (users, next) = answer(page).unwrap();
            let size = query.page_size.get();
            let last = users.last().map(|user| id(&user.id));
            let is_filtered = query.name_prefix.is_some() || query.tags != TagCondition::Any;
            assert!(users.len() <= size, "a page is too long");
            if is_filtered && users.len() < size {
                assert!(
                    next >= last || next.is_none(),
                    "a list goes on before what it has"
                );
            } else if next.is_some() {
                assert_eq!(users.len(), size, "a page before the last is full");
                assert_eq!(next, last, "a list goes on behind the last user");
            } else {
                assert!(query.after == start || last.is_some(), "an empty last page");
            }
            all.extend(users);
            let Some(next) = next else {
                return all;
            };
            let before = query.after.as_ref().and_then(UserContinuation::behind);
            assert!(before < Some(&next), "the list goes back");
            query.after = Some(next.into());
        }
    }

    /// The ids of a list.
    async fn listed_users(&self, time: i64, deleted: DeletedUsers) -> Vec<String> {
        let users = self.user_pages(user_list(time, deleted)).await;
        users.into_iter().map(|user| user.id).collect()
    }
}

impl<B: Backend> AskUsers for B {}
