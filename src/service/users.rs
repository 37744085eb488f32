//! The use cases of users who come and go.

use std::sync::Arc;

use super::audit::{Audit, Requested};
use super::authorisation::authorise;
use super::{Values, explain};
use crate::auth::Authority;
use crate::domain::{
    AccountId, Action, Call, Error, NamedResource, Origin, Repeat, TagCondition, User, UserCommand,
    UserKey, UserListQuery, UserPage, UserQuery, UsersChanged,
};
use crate::store::{Store, StoreError};
use crate::telemetry::metrics::metrics;

/// The user service, which changes and reads users.
#[derive(Debug, Clone)]
pub struct UserService<S> {
    /// The store, shared with changes whose callers have gone.
    pub(super) store: Arc<S>,
    pub(super) authority: Authority,
    pub(super) audit: Audit,
}

impl<S: Store> UserService<S> {
    /// A service over a store, for the callers whom the authority allows it.
    pub(super) fn new(store: Arc<S>, authority: Authority, audit: Audit) -> Self {
        Self {
            store,
            authority,
            audit,
        }
    }

    /// Creates, updates, deletes or restores users, as the action says. `Ok` means that the change is on durable storage. With
    /// `repeat`, a repetition of the request is answered as the first was.
    ///
    /// # Errors
    /// [`Error::NoPermission`], [`Error::NotFound`], [`Error::UserExists`], [`Error::NameTaken`], [`Error::TokenMismatch`],
    /// [`Error::Unsupported`], [`Error::Throttled`], [`Error::Unavailable`] or [`Error::Internal`].
    pub async fn change(
        &self,
        call: &Call,
        action: Action,
        command: Arc<UserCommand>,
        repeat: Option<Repeat>,
    ) -> Result<(UsersChanged, Values), Error> {
        let requested = Requested::Users(action, Arc::clone(&command));
        let entry = self.audit.begin(call, requested).await?;
        let allowed = authorise(&self.authority, call, action, command.account());
        let values = match action {
            // The caller has given them.
            Action::CreateUser => Values::Shown,
            _ => self.values(call, command.account()),
        };
        let origin = Arc::new(Origin::of(call, action, repeat));
        let store = Arc::clone(&self.store);
        let change = async move {
            allowed?;
            let result = store.change_users(Arc::clone(&command), origin).await;
            result
                .inspect(count_replay)
                .map_err(|error| explain_change(error, &command))
        };
        Ok((entry.of(change).await?, values))
    }

    /// Reads one user.
    ///
    /// # Errors
    /// [`Error::NoPermission`], [`Error::NotFound`], [`Error::Unsupported`], or what the store says.
    pub async fn get(&self, call: &Call, query: Arc<UserQuery>) -> Result<(User, Values), Error> {
        authorise(&self.authority, call, Action::GetUser, &query.account)?;
        let found = self.store.get_user(Arc::clone(&query)).await;
        let user = found.map_err(failed)?.ok_or_else(|| {
            let name = match &query.by {
                UserKey::Id(id) => id.to_string(),
                UserKey::Name(name) => name.to_string(),
            };
            Error::NotFound(vec![NamedResource { position: 0, name }])
        })?;
        Ok((user, self.values(call, &query.account)))
    }

    /// Reads a page of users.
    ///
    /// # Errors
    /// [`Error::NoPermission`], [`Error::Unsupported`], or what the store says.
    pub async fn list(
        &self,
        call: &Call,
        query: Arc<UserListQuery>,
    ) -> Result<(UserPage, Values), Error> {
        authorise(&self.authority, call, Action::ListUsers, &query.account)?;
        // Asked often enough, a filter would tell who may not list tags what they are.
        if query.tags != TagCondition::Any {
            authorise(
                &self.authority,
                call,
                Action::ListTagResources,
                &query.account,
            )?;
        }
        let page = self.store.list_users(Arc::clone(&query)).await;
        Ok((page.map_err(failed)?, self.values(call, &query.account)))
    }

    /// Whether the caller may see the tags of users.
    fn values(&self, call: &Call, account: &AccountId) -> Values {
        Values::of(&self.authority, call, account)
    }
}

fn count_replay(changed: &UsersChanged) {
    metrics().server.replays.inc_by(changed.is_replay.into());
}

/// The error of a change. Where names are taken, those are named, and else the users.
fn explain_change(error: StoreError, command: &UserCommand) -> Error {
    match error {
        error @ StoreError::NameTaken(_) => {
            explain(error, |positions| command.given_names(positions))
        }
        error => explain(error, |positions| command.named(positions)),
    }
}

/// The error of a read, which names no users that can be missing.
fn failed(error: StoreError) -> Error {
    explain(error, |_| Vec::new())
}
