//! The repository layer: where tags are kept.
//!
//! [`Store`] is the contract that every implementation keeps and that `tests/stores/contract` checks. To write the
//! next one: implement its methods, give the suite a way to start it with a set of resources, and run it there.
//!
//! What every store promises:
//! - a command is applied as a whole or not at all, also when many are applied at once;
//! - `Ok` means that the change is on durable storage, and every later read sees it;
//! - a command acts on its own account and never sees another's resources;
//! - a future that is dropped leaves its command applied as a whole or not at all.

mod bulk;
mod committed;
mod conflicts;
mod import_answers;
pub mod ims;
mod mismatches;
mod news;
mod paging;
mod past;
pub mod postgres;
mod retention;
pub mod sqlite;

use std::error::Error as StdError;
use std::sync::Arc;

use thiserror::Error;

pub use bulk::{BulkCounts, BulkLine, BulkSettings, NameTaken, RefusedLine, StillDeleted};
pub use committed::{AuditUse, CommittedChanges, NextChanges};
pub use news::{Heard, News};
pub use retention::Retention;

use crate::domain::{
    AccountId, Applied, Change, ChangeKey, Changed, ChangesQuery, Continuation, Fault, FaultCode,
    History, ImportCommand, Imported, ListQuery, Mismatch, Origin, Position, Refusal, ResourceId,
    RevertCommand, RevertConflict, Reverted, Revision, TagCommand, TagKeyPage, TagKeysQuery,
    TagPage, TagValuePage, TagValuesQuery, UntagCommand, User, UserCommand, UserListQuery,
    UserPage, UserQuery, UsersChanged,
};

/// A store of users and their tags.
pub trait Store: Clone + Send + Sync + 'static {
    /// Removes tags, or only checks when the command says so. The change is recorded with its origin; one with a client token that was
    /// answered in the last 24 hours is answered as it was then, and changes nothing.
    ///
    /// # Errors
    /// [`StoreError::Missing`] with every target that does not exist, unless the command allows that; else
    /// [`StoreError::Mismatched`] with every tag that has another value than expected, unless the command skips those;
    /// [`StoreError::TokenMismatch`] and [`StoreError::TokensFull`] for a client token; the other errors as they say.
    fn untag(
        &self,
        command: Arc<UntagCommand>,
        origin: Arc<Origin>,
    ) -> impl Future<Output = Result<Changed, StoreError>> + Send;

    /// Sets tags, with an origin as for [`Self::untag`].
    ///
    /// # Errors
    /// [`StoreError::Missing`] with every target that does not exist, else [`StoreError::TagLimit`] with every one
    /// that would carry more than 20 tags; the other errors as they say.
    fn tag(
        &self,
        command: Arc<TagCommand>,
        origin: Arc<Origin>,
    ) -> impl Future<Output = Result<Changed, StoreError>> + Send;

    /// Reads a page of tags, as they are or as they were at a revision. What is known of users that are gone for good is gone with them.
    ///
    /// # Errors
    /// [`StoreError::Missing`] with every target that does not exist, or did not at the revision; [`StoreError::NotYet`] and
    /// [`StoreError::Compacted`] for a revision that can't be read, and [`StoreError::Unsupported`] for any where the store keeps no
    /// change log; the other errors as they say.
    fn list(
        &self,
        query: Arc<ListQuery>,
    ) -> impl Future<Output = Result<TagPage, StoreError>> + Send;

    /// Counts the keys of the tags that users carry, a bounded number of users on a page.
    ///
    /// # Errors
    /// [`StoreError::Unsupported`] where the store can't look at all users; the other errors as they say.
    fn tag_keys(
        &self,
        query: Arc<TagKeysQuery>,
    ) -> impl Future<Output = Result<TagKeyPage, StoreError>> + Send;

    /// Counts the values that the tags with a key have, as [`Self::tag_keys`] counts keys.
    ///
    /// # Errors
    /// Those of [`Self::tag_keys`].
    fn tag_values(
        &self,
        query: Arc<TagValuesQuery>,
    ) -> impl Future<Output = Result<TagValuePage, StoreError>> + Send;

    /// Creates, updates, deletes and restores users, with an origin as for [`Self::untag`].
    ///
    /// # Errors
    /// [`StoreError::TokenMismatch`] and [`StoreError::TokensFull`] for a client token; else the first of these that applies, with every
    /// change that it applies to:
    /// [`StoreError::Missing`] for an update or delete of a user that is not there, and a restore of one that is neither there nor
    /// deleted, or has expired; [`StoreError::UserExists`] for a create of one that is there or deleted, and a restore of one that
    /// is there; [`StoreError::NameTaken`] for a create, a restore, and an update that gives a principal name, where another user
    /// would have the same name after the whole command. [`StoreError::Unsupported`] for what the store has no form
    /// for, where users are kept elsewhere; the other errors as they say.
    fn change_users(
        &self,
        command: Arc<UserCommand>,
        origin: Arc<Origin>,
    ) -> impl Future<Output = Result<UsersChanged, StoreError>> + Send;

    /// Imports users, or only checks when the command says so, with an origin as for [`Self::untag`]. Users that can't be imported are
    /// left out, and the answer says why.
    ///
    /// # Errors
    /// [`StoreError::TokenMismatch`] and [`StoreError::TokensFull`] for a client token; [`StoreError::Unsupported`] where the store does
    /// not keep users itself; the other errors as they say.
    fn import_users(
        &self,
        command: Arc<ImportCommand>,
        origin: Arc<Origin>,
    ) -> impl Future<Output = Result<Imported, StoreError>> + Send;

    /// Reads one user; `None` where there is none.
    ///
    /// # Errors
    /// What the store says.
    fn get_user(
        &self,
        query: Arc<UserQuery>,
    ) -> impl Future<Output = Result<Option<User>, StoreError>> + Send;

    /// Reads a page of users. It looks at a bounded number of them: a page that few match may be short, or empty, and the list goes on.
    ///
    /// # Errors
    /// [`StoreError::Unsupported`] for filters that the store has no form for, where users are kept elsewhere; the other errors as they say.
    fn list_users(
        &self,
        query: Arc<UserListQuery>,
    ) -> impl Future<Output = Result<UserPage, StoreError>> + Send;

    /// Reads the change of an account that a request has made, or that has a revision; `None` where there is none.
    ///
    /// # Errors
    /// [`StoreError::Compacted`] for a revision before the oldest there is; [`StoreError::Unsupported`] where the store keeps no
    /// change log; the other errors as they say.
    fn change(
        &self,
        account: AccountId,
        key: ChangeKey,
    ) -> impl Future<Output = Result<Option<Change>, StoreError>> + Send;

    /// Reads a page of changes of an account, in the order of the query. Those before the oldest revision there is are left out.
    ///
    /// # Errors
    /// [`StoreError::Compacted`] where the query begins before the oldest revision there is; [`StoreError::Unsupported`] where
    /// the store keeps no change log; the other errors as they say.
    fn changes(
        &self,
        query: Arc<ChangesQuery>,
    ) -> impl Future<Output = Result<Vec<Change>, StoreError>> + Send;

    /// Reverts a change by its effects, or only checks when the command says so, with an origin as for [`Self::untag`].
    ///
    /// # Errors
    /// [`StoreError::Conflicts`] with everything that is in conflict, where the command does not skip that;
    /// [`StoreError::Compacted`] where the command has no effects and is not the repetition of one that was carried out;
    /// [`StoreError::Unsupported`] where the store keeps no change log; the other errors as they say.
    fn revert(
        &self,
        command: Arc<RevertCommand>,
        origin: Arc<Origin>,
    ) -> impl Future<Output = Result<Reverted, StoreError>> + Send;

    /// Reads the extent of an account's change log.
    ///
    /// # Errors
    /// [`StoreError::Unsupported`] where the store keeps no change log; the other errors as they say.
    fn history(
        &self,
        account: AccountId,
    ) -> impl Future<Output = Result<History, StoreError>> + Send;

    /// The news of an account from now on: what is changed behind this is not missed.
    fn listen(&self, account: &AccountId) -> News;

    /// Finds out whether the store can take changes now. It may take as long as the store does: bound it.
    ///
    /// # Errors
    /// Why it can't.
    fn check(&self) -> impl Future<Output = Result<(), StoreError>> + Send;
}

/// Why a store did not do what it was asked.
#[derive(Debug, Error)]
pub enum StoreError {
    /// These targets, by their positions in the command and in its order, do not exist. Nothing was changed.
    #[error("targets do not exist")]
    Missing(Vec<usize>),

    /// These targets, by their positions in the command and in its order, would carry too many tags. Nothing was changed.
    #[error("targets would carry too many tags")]
    TagLimit(Vec<usize>),

    /// These tags, in order, have another value than the untag expects. Nothing was changed.
    #[error("tags have another value than expected")]
    Mismatched(Vec<Mismatch>),

    /// These changes, by their positions in the command and in its order, are of users that exist already, or of deleted ones that
    /// can still be restored. Nothing was changed.
    #[error("users exist already")]
    UserExists(Vec<usize>),

    /// These changes, by their positions in the command and in its order, give users a principal name that another user would have
    /// too. Nothing was changed.
    #[error("principal names are taken")]
    NameTaken(Vec<usize>),

    /// The store does not keep such things itself. Nothing was changed.
    #[error("this store can't {what}")]
    Unsupported {
        /// What was asked, such as "change users".
        what: &'static str,
    },

    /// This is in conflict with the revert of a change. Nothing was changed.
    #[error("the change can't be reverted as a whole")]
    Conflicts(Vec<RevertConflict>),

    /// The client token was given to a request with another content. Nothing was changed.
    #[error("the client token is that of another request")]
    TokenMismatch,

    /// There is no room to remember the answer to a request with a client token. Nothing was changed.
    #[error("too many answers to requests with client tokens are remembered")]
    TokensFull,

    /// The change is gone from the change log, whose oldest one is this.
    #[error("the change log begins later")]
    Compacted {
        /// The oldest revision there is; `None` where there is none.
        oldest: Option<Revision>,
    },

    /// The account has not got to the revision yet.
    #[error("the change log ends before")]
    NotYet {
        /// The newest revision there is; `None` where there is none.
        newest: Option<Revision>,
    },

    /// The request is wrong in a way that only this store can tell. Nothing was changed.
    #[error("{}", .0.description)]
    Invalid(Fault),

    /// The cloud has refused the command, in its own words.
    #[error("{}", .0.message)]
    Refused(Box<Refusal>),

    /// Too many commands are waiting. Nothing was changed.
    #[error("the store's queue is full")]
    Busy,

    /// The store can't be reached or can't write.
    #[error("{reason}")]
    Unavailable {
        /// What a caller may know.
        reason: &'static str,
        /// Whether the change may have been made.
        applied: Applied,
        /// What only the log may know.
        source: Option<Arc<dyn StdError + Send + Sync>>,
    },

    /// The store is broken: what it holds is not what it should.
    #[error("the store is broken")]
    Broken(#[source] Arc<dyn StdError + Send + Sync>),
}

impl StoreError {
    /// The error where nothing carries out commands any more.
    fn stopped(applied: Applied) -> Self {
        Self::Unavailable {
            reason: "the store has stopped",
            applied,
            source: None,
        }
    }
}

/// The position behind which a list goes on, in a store that keeps it in order.
///
/// # Errors
/// [`StoreError::Invalid`] for a page token of another store.
fn position(query: &ListQuery) -> Result<Option<&Position>, StoreError> {
    match &query.after {
        None => Ok(None),
        Some(Continuation::Behind(position)) => Ok(Some(position)),
        Some(Continuation::Token(_)) => Err(foreign_token()),
    }
}

/// The user behind whom a list goes on, in a store that keeps it in order.
///
/// # Errors
/// [`StoreError::Invalid`] for a page token of another store.
fn user_position(query: &UserListQuery) -> Result<Option<&ResourceId>, StoreError> {
    match &query.after {
        None => Ok(None),
        Some(after) => after.behind().map(Some).ok_or_else(foreign_token),
    }
}

fn foreign_token() -> StoreError {
    StoreError::Invalid(Fault {
        code: FaultCode::InvalidNextToken,
        field: "next_token".to_owned(),
        description: "the token is of another store; start the list again".to_owned(),
    })
}
