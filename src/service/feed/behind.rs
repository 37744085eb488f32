//! The changes behind one that is passed, read from the store so that nothing can be missing between.

use std::sync::Arc;

use super::FeedError;
use crate::domain::{
    AccountId, Change, ChangeKey, ChangesQuery, Direction, PassedChange, Revision,
};
use crate::store::{Store, StoreError};

/// How many changes, and how many effects, are read at once, about.
pub const CHANGES_AT_ONCE: usize = 256;

/// Reads the next changes, in order. None where there are none yet.
///
/// # Errors
/// [`FeedError::OtherHistory`] where the passed change is not that of the store any more: a database that has lost its last changes in a
/// failover goes on with others. [`FeedError::Store`].
pub async fn read(
    store: &impl Store,
    account: &AccountId,
    passed: Option<PassedChange>,
) -> Result<Vec<Change>, FeedError> {
    let from = passed.map_or(Revision::FIRST, |passed| passed.revision.next());
    let query = ChangesQuery {
        account: account.clone(),
        from,
        direction: Direction::Forwards,
        user: None,
        most: CHANGES_AT_ONCE,
        most_effects: CHANGES_AT_ONCE,
    };
    let changes = store.changes(Arc::new(query)).await?;
    let Some(first) = changes.first() else {
        return Ok(changes);
    };
    if first.revision != from {
        let oldest = Some(first.revision);
        return Err(StoreError::Compacted { oldest }.into());
    }
    // Last, so that what was read is behind the change that is found.
    if let Some(passed) = passed {
        check(store, account, passed).await?;
    }
    Ok(changes)
}

/// Checks that a change is the one that the store has at its revision. One that was just compacted counts: those behind it are all there.
///
/// # Errors
/// [`FeedError::OtherHistory`], [`FeedError::Store`].
pub async fn check(
    store: &impl Store,
    account: &AccountId,
    passed: PassedChange,
) -> Result<(), FeedError> {
    let key = ChangeKey::Revision(passed.revision);
    match store.change(account.clone(), key).await {
        Ok(Some(change)) if change.request_id == passed.request_id => Ok(()),
        Ok(_) => Err(FeedError::OtherHistory),
        Err(StoreError::Compacted { oldest }) if oldest == Some(passed.revision.next()) => Ok(()),
        Err(error) => Err(error.into()),
    }
}
