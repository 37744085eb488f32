//! The feed: the changes of an account as they come, in the order of their revisions, without a gap or a double.
//!
//! A hub for each account that is watched reads new changes once and keeps the newest for all its watches ([`hub`]). A watch that is
//! behind those reads from the store until it has caught up ([`watch`]). Whatever a watch is told of follows on what it was told of
//! before, by revision and RequestId, or the watch ends.

mod behind;
mod hub;
mod ring;
mod start;
#[cfg(test)]
mod tests;
mod watch;

use std::collections::HashMap;
use std::sync::atomic::AtomicUsize;
use std::sync::{Arc, Weak};
use std::time::Duration;

use parking_lot::Mutex;

pub use watch::{Event, Held, Hold, SnapshotPage, Watch};

use crate::domain::{AccountId, HistoryId, WatchStart};
use crate::store::{Store, StoreError};
use hub::{Hub, Reading};
use watch::Source;

/// Why a watch does not begin, or ends.
#[derive(Debug)]
pub enum FeedError {
    /// The store has failed, or has not all changes any more.
    Store(StoreError),
    /// The position is of another history, or of another past of this one.
    OtherHistory,
    /// The watch's changes find no room in memory.
    NoMemory,
    /// The store has not been read for too long.
    Stale,
}

impl From<StoreError> for FeedError {
    fn from(error: StoreError) -> Self {
        Self::Store(error)
    }
}

/// The times of a feed.
#[derive(Debug, Clone, Copy)]
pub struct Times {
    /// After how long without a change a watch is told that there is none: at least every 10 seconds are promised.
    pub checkpoint: Duration,
    /// How long ago the store may have been read for that to be true.
    pub stale: Duration,
    /// After how long without news a hub looks whether the history is still the same.
    pub look: Duration,
}

impl Default for Times {
    fn default() -> Self {
        Self {
            checkpoint: Duration::from_secs(8),
            stale: Duration::from_secs(8),
            look: Duration::from_secs(3),
        }
    }
}

/// The feed of a store.
#[derive(Debug)]
pub struct Feed<S> {
    store: Arc<S>,
    times: Times,
    hubs: Mutex<HashMap<AccountId, Weak<Hub>>>,
    /// How many bytes the rings of all hubs take.
    held: Arc<AtomicUsize>,
}

impl<S: Store> Feed<S> {
    /// The feed of a store that nobody watches yet.
    pub fn new(store: Arc<S>, times: Times) -> Self {
        Self {
            store,
            times,
            hubs: Mutex::default(),
            held: Arc::default(),
        }
    }

    /// Begins a watch, whose memory is held by `hold`.
    ///
    /// # Errors
    /// [`FeedError::OtherHistory`], and [`FeedError::Store`] with what the store says: [`StoreError::Compacted`] where changes behind the
    /// start are gone.
    pub async fn watch(
        &self,
        account: AccountId,
        start: WatchStart,
        hold: Hold,
    ) -> Result<Watch<S>, FeedError> {
        let position = start::position(&*self.store, &account, start).await?;
        let hub = self.hub(&account, position.history);
        let source = Source {
            store: Arc::clone(&self.store),
            account,
            hub,
            times: self.times,
        };
        let watch = Watch::new(source, position, hold);
        Ok(match start {
            WatchStart::Snapshot => watch.with_snapshot(),
            WatchStart::Now | WatchStart::Beginning | WatchStart::After(_) => watch,
        })
    }

    /// The hub of an account, which begins to read with its first watch and ends with its last.
    fn hub(&self, account: &AccountId, history: HistoryId) -> Arc<Hub> {
        let mut hubs = self.hubs.lock();
        if let Some(hub) = hubs.get(account).and_then(Weak::upgrade)
            && hub.reads(history)
        {
            return hub;
        }
        hubs.retain(|_, hub| hub.strong_count() > 0);
        let reading = Reading {
            account: account.clone(),
            history,
            look: self.times.look,
            held: Arc::clone(&self.held),
        };
        let hub = Hub::start(Arc::clone(&self.store), reading);
        hubs.insert(account.clone(), Arc::downgrade(&hub));
        hub
    }
}
