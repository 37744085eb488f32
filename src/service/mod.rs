//! The use case: apply a command through the store and say what came of it.

use std::sync::Arc;
use std::time::Duration;

use crate::domain::{
    Changed, Error, ListQuery, NamedResource, TagCommand, TagPage, Targets, UntagCommand,
};
use crate::store::{Store, StoreError};

/// When to repeat a request that found no place or no store.
pub const RETRY_AFTER: Duration = Duration::from_millis(500);

/// Carries out commands.
#[derive(Debug, Clone)]
pub struct TagService<S> {
    store: S,
}

impl<S: Store> TagService<S> {
    /// A service over a store.
    pub fn new(store: S) -> Self {
        Self { store }
    }

    /// Removes tags. `Ok` means that the change is on durable storage.
    ///
    /// # Errors
    /// [`Error::NotFound`] with every resource that does not exist, [`Error::Throttled`], [`Error::Unavailable`] or
    /// [`Error::Internal`].
    pub async fn untag(&self, command: UntagCommand) -> Result<Changed, Error> {
        let command = Arc::new(command);
        let result = self.store.untag(Arc::clone(&command)).await;
        result.map_err(|error| explain(error, Some(&command.targets)))
    }

    /// Sets tags. `Ok` means that the change is on durable storage.
    ///
    /// # Errors
    /// As [`TagService::untag`], and [`Error::TagLimit`] with every resource that would carry too many tags.
    pub async fn tag(&self, command: TagCommand) -> Result<Changed, Error> {
        let command = Arc::new(command);
        let result = self.store.tag(Arc::clone(&command)).await;
        result.map_err(|error| explain(error, Some(&command.targets)))
    }

    /// Reads a page of tags.
    ///
    /// # Errors
    /// As [`TagService::untag`].
    pub async fn list(&self, query: Arc<ListQuery>) -> Result<TagPage, Error> {
        let result = self.store.list(Arc::clone(&query)).await;
        result.map_err(|error| explain(error, query.targets.as_ref()))
    }
}

/// Says what a failure of the store means for the caller. Its cause goes to the log and nowhere else.
fn explain(error: StoreError, targets: Option<&Targets>) -> Error {
    let named = |positions: Vec<usize>| {
        let name = |position| {
            targets
                .map_or("", |targets| targets.name_at(position))
                .to_owned()
        };
        positions
            .into_iter()
            .map(|position| NamedResource {
                position,
                name: name(position),
            })
            .collect()
    };
    match error {
        StoreError::Missing(positions) => Error::NotFound(named(positions)),
        StoreError::TagLimit(positions) => Error::TagLimit(named(positions)),
        StoreError::Busy => Error::Throttled {
            retry_after: RETRY_AFTER,
        },
        StoreError::Unavailable {
            reason,
            applied,
            source,
        } => {
            let cause = source.map(|source| source.to_string());
            tracing::warn!(reason, cause, "the store is unavailable");
            Error::Unavailable {
                reason,
                applied,
                retry_after: RETRY_AFTER,
            }
        }
        StoreError::Broken(cause) => {
            tracing::error!(%cause, "the store is broken");
            Error::Internal
        }
    }
}
