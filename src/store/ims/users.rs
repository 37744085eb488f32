//! The cloud's users: how they are changed, read and listed.

use super::ImsStore;
use super::answer::Answer;
use super::error::Failure;
use super::parameters::{of_tag, pair};
use crate::domain::{
    Comments, DeletedUsers, DisplayName, Edit, NewUser, Operation, PrincipalName, TagCondition,
    TagValue, Targets, User, UserChange, UserCommand, UserContinuation, UserKey, UserListQuery,
    UserPage, UserQuery, UserUpdate, UsersChanged,
};
use crate::signature::Pair;
use crate::store::{StoreError, foreign_token};

/// All statuses of the cloud's users. Without them it lists those who are not frozen.
const ALL_STATUSES: &str = "active,freeze";

/// The place at which a list goes on: among users, or among deleted ones behind them.
enum Place<'a> {
    Users(Option<&'a str>),
    Deleted(Option<&'a str>),
}

impl<'a> Place<'a> {
    /// The place in a page token.
    fn of(after: Option<&'a UserContinuation>) -> Result<Self, StoreError> {
        let Some(after) = after else {
            return Ok(Self::Users(None));
        };
        let UserContinuation::Token(token) = after else {
            return Err(foreign_token());
        };
        let marker = |text: &'a str| Some(text).filter(|text| !text.is_empty());
        match token.split_at_checked(1) {
            Some(("u", rest)) => Ok(Self::Users(marker(rest))),
            Some(("d", rest)) => Ok(Self::Deleted(marker(rest))),
            _ => Err(foreign_token()),
        }
    }

    fn token(&self) -> UserContinuation {
        let (letter, marker) = match self {
            Self::Users(marker) => ("u", marker),
            Self::Deleted(marker) => ("d", marker),
        };
        UserContinuation::Token(format!("{letter}{}", marker.unwrap_or_default()))
    }
}

impl ImsStore {
    /// Carries out the change of one user.
    pub(super) async fn change_user(
        &self,
        command: &UserCommand,
    ) -> Result<UsersChanged, StoreError> {
        self.check_account(command.account())?;
        let [change] = command.changes() else {
            return Err(StoreError::Unsupported {
                what: "change several users at once: change one after another",
            });
        };
        let (operation, parameters) = parameters(change)?;
        let answer = self.upstream.ask(operation, parameters).await;
        let answer = answer.map_err(|failure| explain(failure, change))?;
        let request_id = answer.request_id();
        let user = match change {
            UserChange::Create(new) => self.created(answer, new),
            UserChange::Delete { .. } => None,
            // The cloud answers without the user, or without its tags.
            UserChange::Update(UserUpdate { id, .. }) | UserChange::Restore { id, .. } => {
                let answer = self.ask_for_user(&UserKey::Id(id.clone())).await;
                answer.ok().and_then(|answer| answer.user(&self.account))
            }
        };
        Ok(UsersChanged {
            users: user.into_iter().collect(),
            changed: 1,
            request_id,
            ..UsersChanged::default()
        })
    }

    /// The user that the cloud has created, with the tags that it was given.
    fn created(&self, answer: Answer, new: &NewUser) -> Option<User> {
        let mut user = answer.user(&self.account)?;
        user.resource = new.resource(&self.account, user.resource.id.clone());
        Some(user)
    }

    /// Reads a user, one that is deleted too where it is asked for by its id.
    pub(super) async fn user(&self, query: &UserQuery) -> Result<Option<User>, StoreError> {
        self.check_account(&query.account)?;
        let mut answer = self.ask_for_user(&query.by).await;
        if let (Err(failure), UserKey::Id(id)) = (&answer, &query.by)
            && failure.is_missing()
        {
            let parameters = vec![pair("UserId", id.as_str())];
            answer = self
                .upstream
                .ask(Operation::GetUserInRecycleBin, parameters)
                .await;
            // Whoever may not look there, sees nobody there.
            if answer.as_ref().is_err_and(Failure::is_denial) {
                return Ok(None);
            }
        }
        match answer {
            Ok(answer) => answer.user(&self.account).map(Some).ok_or_else(unreadable),
            Err(failure) if failure.is_missing() => Ok(None),
            Err(failure) => Err(failure.into_store_error(false, None, &[])),
        }
    }

    async fn ask_for_user(&self, by: &UserKey) -> Result<Answer, Failure> {
        let parameter = match by {
            UserKey::Id(id) => pair("UserId", id.as_str()),
            UserKey::Name(name) => pair("UserPrincipalName", name.as_str()),
        };
        self.upstream.ask(Operation::GetUser, vec![parameter]).await
    }

    /// Reads a page of users, in the cloud's order, and behind them deleted ones where those are asked for. What the cloud can't filter
    /// by is left out here.
    pub(super) async fn users(&self, query: &UserListQuery) -> Result<UserPage, StoreError> {
        self.check_account(&query.account)?;
        if query.deleted == DeletedUsers::Show && query.tags != TagCondition::Any {
            return Err(StoreError::Unsupported {
                what: "list deleted users by tags: leave show_deleted out",
            });
        }
        let place = Place::of(query.after.as_ref())?;
        let (operation, parameters) = match &place {
            Place::Users(marker) => (Operation::ListUsers, list(query, *marker)),
            Place::Deleted(marker) => (Operation::ListUsersInRecycleBin, page(query, *marker)),
        };
        let answer = self.upstream.ask(operation, parameters).await;
        let answer = answer.map_err(|failure| failure.into_store_error(false, None, &[]))?;
        let next = match (place, answer.marker()) {
            (Place::Users(_), Some(marker)) => Some(Place::Users(Some(marker)).token()),
            (Place::Deleted(_), Some(marker)) => Some(Place::Deleted(Some(marker)).token()),
            (Place::Users(_), None) if query.deleted == DeletedUsers::Show => {
                Some(Place::Deleted(None).token())
            }
            (Place::Users(_) | Place::Deleted(_), None) => None,
        };
        let mut users = answer.users(&self.account);
        let rest = left_to_filter(query);
        users.retain(|user| rest.matches(user));
        Ok(UserPage { users, next })
    }
}

/// The part of a query that the cloud does not filter by: it does by a tag.
fn left_to_filter(query: &UserListQuery) -> UserListQuery {
    let mut rest = query.clone();
    if let TagCondition::Carries(_) = rest.tags {
        rest.tags = TagCondition::Any;
    }
    rest
}

/// The failure of a change in the contract's words, with the user that it is about.
fn explain(failure: Failure, change: &UserChange) -> StoreError {
    let target = match change {
        UserChange::Create(new) => Targets::Names(vec![new.principal_name.clone()]),
        other => Targets::Ids(vec![other.id().clone()]),
    };
    let missing: &[usize] = if failure.is_missing() { &[0] } else { &[] };
    failure.into_store_error(true, Some(&target), missing)
}

/// The error of an answer whose user can't be read.
fn unreadable() -> StoreError {
    let problem = "an answer without a user that can be read".to_owned();
    Failure::Lost(problem).into_store_error(false, None, &[])
}

/// The operation of a change, and its parameters.
fn parameters(change: &UserChange) -> Result<(Operation, Vec<Pair>), StoreError> {
    match change {
        UserChange::Create(new) => Ok((Operation::CreateUser, create(new)?)),
        UserChange::Update(update) => Ok((Operation::UpdateUser, self::update(update)?)),
        UserChange::Delete { id } => Ok((Operation::DeleteUser, vec![pair("UserId", id.as_str())])),
        UserChange::Restore { id, new_name: None } => Ok((
            Operation::RestoreUserFromRecycleBin,
            vec![pair("UserId", id.as_str())],
        )),
        UserChange::Restore { .. } => Err(StoreError::Unsupported {
            what: "restore a user under another name: leave new_principal_name out",
        }),
    }
}

fn create(new: &NewUser) -> Result<Vec<Pair>, StoreError> {
    if !new.is_id_made {
        return Err(StoreError::Unsupported {
            what: "give a user an id of your choice: leave resource_id out",
        });
    }
    let name = new.principal_name.as_str();
    let mut pairs = vec![pair("UserPrincipalName", name)];
    let display_name = new.display_name.as_ref().map(DisplayName::as_str);
    pairs.extend(display_name.map(|text| pair("DisplayName", text)));
    let comments = new.comments.as_ref().map(Comments::as_str);
    pairs.extend(comments.map(|text| pair("Comments", text)));
    for (at, (key, value)) in new.tags().iter().enumerate() {
        pairs.extend(of_tag(at, key.as_str(), Some(value.as_str())));
    }
    Ok(pairs)
}

fn update(update: &UserUpdate) -> Result<Vec<Pair>, StoreError> {
    let mut pairs = vec![pair("UserId", update.id.as_str())];
    let name = update.principal_name.as_ref().map(PrincipalName::as_str);
    pairs.extend(name.map(|name| pair("NewUserPrincipalName", name)));
    let display_name = edited(&update.display_name, DisplayName::as_str)?;
    pairs.extend(display_name.map(|text| pair("NewDisplayName", text)));
    let comments = edited(&update.comments, Comments::as_str)?;
    pairs.extend(comments.map(|text| pair("NewComments", text)));
    Ok(pairs)
}

fn edited<'a, T>(
    edit: &'a Edit<T>,
    text: impl Fn(&'a T) -> &'a str,
) -> Result<Option<&'a str>, StoreError> {
    match edit {
        Edit::Keep => Ok(None),
        Edit::Set(value) => Ok(Some(text(value))),
        Edit::Clear => Err(StoreError::Unsupported {
            what: "take a display name or comments away: give others",
        }),
    }
}

/// The parameters of `ListUsers`.
fn list(query: &UserListQuery, marker: Option<&str>) -> Vec<Pair> {
    let mut pairs = page(query, marker);
    if let TagCondition::Carries(filter) = &query.tags {
        let value = filter.value.as_ref().map(TagValue::as_str);
        pairs.extend(of_tag(0, filter.key.as_str(), value));
    } else {
        // With a tag it lists users of all statuses by itself.
        pairs.push(pair("Status", ALL_STATUSES));
    }
    pairs
}

fn page(query: &UserListQuery, marker: Option<&str>) -> Vec<Pair> {
    let mut pairs = vec![pair("MaxItems", &query.page_size.get().to_string())];
    pairs.extend(marker.map(|marker| pair("Marker", marker)));
    pairs
}
