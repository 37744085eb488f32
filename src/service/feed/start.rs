//! The position at which a watch begins.

use super::{FeedError, behind};
use crate::domain::{
    AccountId, ChangeKey, History, HistoryPosition, PassedChange, Revision, WatchStart,
};
use crate::store::{Store, StoreError};

/// Finds the position at which a watch begins.
///
/// # Errors
/// [`FeedError::OtherHistory`] for a position of another history, [`StoreError::Compacted`] where changes behind the start are gone.
pub async fn position(
    store: &impl Store,
    account: &AccountId,
    start: WatchStart,
) -> Result<HistoryPosition, FeedError> {
    let history = store.history(account.clone()).await?;
    let last = match start {
        WatchStart::Now | WatchStart::Snapshot => newest(store, account, &history).await?,
        WatchStart::After(position) if position.history != history.id => {
            return Err(FeedError::OtherHistory);
        }
        WatchStart::After(HistoryPosition {
            last: Some(passed), ..
        }) => {
            check_passed(&history, passed)?;
            behind::check(store, account, passed).await?;
            Some(passed)
        }
        WatchStart::Beginning | WatchStart::After(HistoryPosition { last: None, .. }) => {
            check_first(&history)?;
            None
        }
    };
    Ok(HistoryPosition {
        history: history.id,
        last,
    })
}

/// The newest change of an account, if it has any.
///
/// # Errors
/// [`FeedError::Store`].
pub async fn newest(
    store: &impl Store,
    account: &AccountId,
    history: &History,
) -> Result<Option<PassedChange>, FeedError> {
    let Some(revision) = history.newest else {
        return Ok(None);
    };
    let key = ChangeKey::Revision(revision);
    let newest = store.change(account.clone(), key).await?;
    // The newest change is kept as long as there is no newer one, so that only one that has come meanwhile lets it go.
    let newest = newest.ok_or(StoreError::Compacted {
        oldest: history.oldest,
    })?;
    Ok(Some(PassedChange {
        revision,
        request_id: newest.request_id,
    }))
}

/// Checks that the first change of the account is still there, if there was any.
fn check_first(history: &History) -> Result<(), FeedError> {
    let oldest = history.oldest;
    match history.newest {
        Some(_) if oldest != Some(Revision::FIRST) => Err(StoreError::Compacted { oldest }.into()),
        _ => Ok(()),
    }
}

/// Checks that a change is one that the account had, and that no change behind it is gone.
fn check_passed(history: &History, passed: PassedChange) -> Result<(), FeedError> {
    let oldest = history.oldest;
    if history.newest < Some(passed.revision) {
        return Err(FeedError::OtherHistory);
    }
    if oldest.is_none_or(|oldest| oldest > passed.revision.next()) {
        return Err(StoreError::Compacted { oldest }.into());
    }
    Ok(())
}
