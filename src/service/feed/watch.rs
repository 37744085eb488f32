//! A watch: one caller's way through the changes of an account.

use std::collections::VecDeque;
use std::fmt;
use std::mem;
use std::sync::Arc;
use std::time::{Instant, SystemTime};

use tokio::sync::watch;

use super::hub::{Hub, State};
use super::ring::{Next, weight, weight_of_user};
use super::{FeedError, Times, behind};
use crate::domain::{
    AccountId, Change, DeletedUsers, HistoryPosition, PageSize, PassedChange, Revision,
    TagCondition, User, UserContinuation, UserListQuery,
};
use crate::store::Store;

/// What holds memory for a watch: it takes a number of bytes, and returns what keeps them until it goes; `None` where there is no room.
pub type Hold = Arc<dyn Fn(usize) -> Option<Held> + Send + Sync>;
/// Memory that is held.
pub type Held = Box<dyn Send + Sync>;

/// What a watch is told.
#[derive(Debug)]
pub enum Event {
    /// A change.
    Change(Arc<Change>),
    /// There is nothing that it was not told of.
    Checkpoint,
    /// Users of the snapshot.
    Users(SnapshotPage),
}

/// Some users of a snapshot.
#[derive(Debug)]
pub struct SnapshotPage {
    /// The users.
    pub users: Vec<User>,
    /// Set with the last ones.
    pub end: Option<SnapshotEnd>,
}

/// The end of a snapshot.
#[derive(Debug)]
pub struct SnapshotEnd {
    /// The newest revision by then, if there was any.
    pub consistent: Option<Revision>,
}

/// How far a snapshot is.
#[derive(Debug)]
enum Snapshot {
    /// It goes on behind this user, or begins.
    Behind(Option<UserContinuation>),
    /// It has ended, or there is none.
    Ended,
}

/// Where the changes of a watch come from.
pub struct Source<S> {
    /// The store.
    pub store: Arc<S>,
    /// The account that is watched.
    pub account: AccountId,
    /// The hub of the account.
    pub hub: Arc<Hub>,
    /// When the watch is told that there is nothing.
    pub times: Times,
}

/// A watch of an account.
pub struct Watch<S> {
    pub(super) source: Source<S>,
    state: watch::Receiver<State>,
    position: HistoryPosition,
    /// The next changes, and the memory of those that are not the hub's.
    ready: VecDeque<Arc<Change>>,
    held: Option<Held>,
    hold: Hold,
    snapshot: Snapshot,
    /// Whether there was more than the hub had, so that the watch does not know yet that it has caught up.
    is_behind: bool,
    /// When the watch was last told something.
    told_at: Instant,
}

impl<S> fmt::Debug for Watch<S> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("Watch")
            .field("account", &self.source.account)
            .field("position", &self.position)
            .finish_non_exhaustive()
    }
}

impl<S: Store> Watch<S> {
    pub(super) fn new(source: Source<S>, position: HistoryPosition, hold: Hold) -> Self {
        Self {
            state: source.hub.state(),
            source,
            position,
            ready: VecDeque::new(),
            held: None,
            hold,
            snapshot: Snapshot::Ended,
            is_behind: true,
            told_at: Instant::now(),
        }
    }

    /// The watch with all users before the changes.
    pub(super) fn with_snapshot(self) -> Self {
        Self {
            snapshot: Snapshot::Behind(None),
            ..self
        }
    }

    /// The position behind what the watch was told of: that of its start until a snapshot has ended.
    pub fn position(&self) -> HistoryPosition {
        self.position
    }

    /// Waits for the next event.
    ///
    /// # Errors
    /// [`FeedError`]: the watch has ended.
    pub async fn next(&mut self) -> Result<Event, FeedError> {
        let event = self.wait().await?;
        self.told_at = Instant::now();
        Ok(event)
    }

    async fn wait(&mut self) -> Result<Event, FeedError> {
        if let Snapshot::Behind(last) = mem::replace(&mut self.snapshot, Snapshot::Ended) {
            return self.users(last).await.map(Event::Users);
        }
        loop {
            if let Some(change) = self.ready.pop_front() {
                self.pass(&change);
                return Ok(Event::Change(change));
            }
            self.held = None;
            // Before the ring is looked at, so that nothing which comes in between is slept through.
            let state = *self.state.borrow_and_update();
            if state.is_other_history {
                return Err(FeedError::OtherHistory);
            }
            match self.source.hub.after(self.passed()) {
                Some(Next::Changes(changes)) => self.ready.extend(changes),
                Some(Next::Gone) => self.catch_up().await?,
                Some(Next::Nothing) if mem::take(&mut self.is_behind) => {
                    return Ok(Event::Checkpoint);
                }
                Some(Next::Nothing) | None => {
                    if self.is_quiet().await? {
                        return Ok(Event::Checkpoint);
                    }
                }
            }
        }
    }

    fn passed(&self) -> Option<Revision> {
        self.position.last.map(|passed| passed.revision)
    }

    fn pass(&mut self, change: &Change) {
        self.position.last = Some(PassedChange {
            revision: change.revision,
            request_id: change.request_id,
        });
    }

    /// Reads changes that the hub has no longer.
    async fn catch_up(&mut self) -> Result<(), FeedError> {
        self.is_behind = true;
        let changes = behind::read(
            &*self.source.store,
            &self.source.account,
            self.position.last,
        )
        .await?;
        self.held = Some(self.hold(changes.iter().map(weight).sum())?);
        self.ready.extend(changes.into_iter().map(Arc::new));
        Ok(())
    }

    fn hold(&self, bytes: usize) -> Result<Held, FeedError> {
        (self.hold)(bytes).ok_or(FeedError::NoMemory)
    }

    /// Waits for news, or until it is time to tell that there is none.
    async fn is_quiet(&mut self) -> Result<bool, FeedError> {
        let wait = self
            .source
            .times
            .checkpoint
            .saturating_sub(self.told_at.elapsed());
        match tokio::time::timeout(wait, self.state.changed()).await {
            Ok(Ok(())) => Ok(false),
            // The hub is there as long as the watch is.
            Ok(Err(_)) => Err(FeedError::Stale),
            Err(_) if self.state.borrow().read_at.elapsed() > self.source.times.stale => {
                Err(FeedError::Stale)
            }
            Err(_) => Ok(true),
        }
    }

    /// Reads the next users of the snapshot.
    async fn users(&mut self, after: Option<UserContinuation>) -> Result<SnapshotPage, FeedError> {
        let query = UserListQuery {
            account: self.source.account.clone(),
            name_prefix: None,
            tags: TagCondition::Any,
            page_size: PageSize::LARGEST,
            after,
            deleted: DeletedUsers::Hide,
            time: SystemTime::now().into(),
        };
        let page = self.source.store.list_users(Arc::new(query)).await?;
        self.held = Some(self.hold(page.users.iter().map(weight_of_user).sum())?);
        let end = match page.next {
            Some(last) => {
                self.snapshot = Snapshot::Behind(Some(last));
                None
            }
            None => Some(SnapshotEnd {
                consistent: self
                    .source
                    .store
                    .history(self.source.account.clone())
                    .await?
                    .newest,
            }),
        };
        Ok(SnapshotPage {
            users: page.users,
            end,
        })
    }
}
