//! The repository layer: where tags are kept.
//!
//! [`Store`] is the contract that every implementation keeps and that `tests/store_contract` checks. To write the
//! next one: implement the four methods, give the suite a way to start it with a set of resources, and run it there.
//!
//! What every store promises:
//! - a command is applied as a whole or not at all, also when many are applied at once;
//! - `Ok` means that the change is on durable storage, and every later read sees it;
//! - a command acts on its own account and never sees another's resources;
//! - a future that is dropped leaves its command applied as a whole or not at all.

mod bulk;
pub mod ims;
mod paging;
pub mod postgres;
pub mod sqlite;

use std::error::Error as StdError;
use std::sync::Arc;

use thiserror::Error;

pub use bulk::NameTaken;

use crate::domain::{
    Applied, Changed, Continuation, Fault, FaultCode, ListQuery, Position, Refusal, TagCommand,
    TagPage, UntagCommand,
};

/// Keeps the tags of resources.
pub trait Store: Clone + Send + Sync + 'static {
    /// Removes tags, or only checks when the command says so.
    ///
    /// # Errors
    /// [`StoreError::Missing`] with every target that does not exist, unless the command allows that;
    /// the other errors as they say.
    fn untag(
        &self,
        command: Arc<UntagCommand>,
    ) -> impl Future<Output = Result<Changed, StoreError>> + Send;

    /// Sets tags.
    ///
    /// # Errors
    /// [`StoreError::Missing`] with every target that does not exist, else [`StoreError::TagLimit`] with every one
    /// that would carry more than 20 tags; the other errors as they say.
    fn tag(
        &self,
        command: Arc<TagCommand>,
    ) -> impl Future<Output = Result<Changed, StoreError>> + Send;

    /// Reads a page of tags.
    ///
    /// # Errors
    /// [`StoreError::Missing`] with every target that does not exist; the other errors as they say.
    fn list(
        &self,
        query: Arc<ListQuery>,
    ) -> impl Future<Output = Result<TagPage, StoreError>> + Send;

    /// Finds out whether the store can take changes now. It may take as long as the store does: bound it.
    ///
    /// # Errors
    /// Why it can't.
    fn check(&self) -> impl Future<Output = Result<(), StoreError>> + Send;
}

/// Why a store did not do what it was asked.
#[derive(Debug, Error)]
pub enum StoreError {
    /// These targets, by their place in the command and in its order, do not exist. Nothing was changed.
    #[error("targets do not exist")]
    Missing(Vec<usize>),

    /// These targets, by their place in the command and in its order, would carry too many tags. Nothing was changed.
    #[error("targets would carry too many tags")]
    TagLimit(Vec<usize>),

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
    /// Nothing carries out commands any more.
    fn stopped(applied: Applied) -> Self {
        Self::Unavailable {
            reason: "the store has stopped",
            applied,
            source: None,
        }
    }
}

/// Where a list goes on, in a store that keeps it in order.
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

fn foreign_token() -> StoreError {
    StoreError::Invalid(Fault {
        code: FaultCode::InvalidNextToken,
        field: "next_token".to_owned(),
        description: "the token is of another store; start the list again".to_owned(),
    })
}
