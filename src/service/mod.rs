//! The use cases: authorise the caller, apply a command through the store, audit it and say what came of it.

mod audit;

use std::sync::Arc;
use std::time::Duration;

pub use audit::{Audit, Refused};

use crate::auth::Authority;
use crate::domain::{
    AccountId, Action, Call, Changed, Error, ListQuery, TagCommand, TagPage, Targets, UntagCommand,
};
use crate::store::{Store, StoreError};
use crate::telemetry::metrics::{Throttle, metrics};
use crate::telemetry::trace;

/// When to repeat a request that was refused for a limit or found no store.
pub const RETRY_AFTER: Duration = Duration::from_millis(500);

/// The tag service, which carries out commands.
#[derive(Debug, Clone)]
pub struct TagService<S> {
    /// The store, shared with changes whose callers have gone.
    store: Arc<S>,
    authority: Authority,
    audit: Audit,
}

impl<S: Store> TagService<S> {
    /// A service over a store, for the callers whom the authority allows it.
    pub fn new(store: S, authority: Authority, audit: Audit) -> Self {
        Self {
            store: Arc::new(store),
            authority,
            audit,
        }
    }

    /// Removes tags. `Ok` means that the change is on durable storage.
    ///
    /// # Errors
    /// [`Error::NoPermission`], [`Error::NotFound`] with every resource that does not exist, [`Error::Throttled`],
    /// [`Error::Unavailable`] or [`Error::Internal`].
    pub async fn untag(&self, call: &Call, command: Arc<UntagCommand>) -> Result<Changed, Error> {
        let entry = self.audit.untag(call, &command).await?;
        let allowed = self.authorise(call, Action::UntagResources, &command.account);
        let store = Arc::clone(&self.store);
        let change = async move {
            allowed?;
            let result = store.untag(Arc::clone(&command)).await;
            result.map_err(|error| explain(error, Some(&command.targets)))
        };
        entry.of(change).await
    }

    /// Sets tags. `Ok` means that the change is on durable storage.
    ///
    /// # Errors
    /// Those of [`TagService::untag`], and [`Error::TagLimit`] with every resource that would carry too many tags.
    pub async fn tag(&self, call: &Call, command: Arc<TagCommand>) -> Result<Changed, Error> {
        let entry = self.audit.tag(call, &command).await?;
        let allowed = self.authorise(call, Action::TagResources, &command.account);
        let store = Arc::clone(&self.store);
        let change = async move {
            allowed?;
            let result = store.tag(Arc::clone(&command)).await;
            result.map_err(|error| explain(error, Some(&command.targets)))
        };
        entry.of(change).await
    }

    /// Reads a page of tags.
    ///
    /// # Errors
    /// Those of [`TagService::untag`].
    pub async fn list(&self, call: &Call, query: Arc<ListQuery>) -> Result<TagPage, Error> {
        self.authorise(call, Action::ListTagResources, &query.account)?;
        let result = self.store.list(Arc::clone(&query)).await;
        result.map_err(|error| explain(error, query.targets.as_ref()))
    }

    fn authorise(&self, call: &Call, action: Action, account: &AccountId) -> Result<(), Error> {
        let is_allowed =
            trace::authorise().in_scope(|| self.authority.allows(call, action, account));
        metrics().server.decided(action as usize, is_allowed);
        if is_allowed {
            return Ok(());
        }
        Err(Error::NoPermission {
            caller: call.caller.clone(),
            action,
            account: account.clone(),
        })
    }
}

/// The error for the caller of a failure of the store, whose cause goes to the log and nowhere else.
fn explain(error: StoreError, targets: Option<&Targets>) -> Error {
    // Only targets can be missing or full.
    let named = |positions: &[usize]| targets.map_or_else(Vec::new, |all| all.named(positions));
    match error {
        StoreError::Missing(positions) => Error::NotFound(named(&positions)),
        StoreError::TagLimit(positions) => Error::TagLimit(named(&positions)),
        StoreError::Invalid(fault) => Error::Invalid(vec![fault]),
        StoreError::Refused(refusal) => Error::Refused(refusal),
        StoreError::Busy => {
            metrics().server.throttled(Throttle::StoreQueue);
            Error::Throttled {
                reason: "too many requests are waiting for the store",
                retry_after: RETRY_AFTER,
            }
        }
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
