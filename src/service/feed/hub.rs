//! The hub of an account: it reads new changes once for all watches of the account.

use std::sync::Arc;
use std::sync::atomic::AtomicUsize;
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use tokio::sync::watch;
use tokio_util::task::AbortOnDropHandle;

use super::ring::{Next, Ring};
use super::{FeedError, behind, start};
use crate::domain::{AccountId, HistoryId, PassedChange, Revision};
use crate::store::{Heard, News, Store, StoreError};

/// How long a hub waits at least between two reads, so that changes which come together are read together.
const PAUSE: Duration = Duration::from_millis(4);
/// How much longer it waits for each watch. Each read wakes all of them, which takes the processor about half of this: so they leave
/// more of it to the changes than they take, however many they are.
const PAUSE_FOR_A_WATCH: Duration = Duration::from_micros(40);
/// The longest pause.
const LONGEST_PAUSE: Duration = Duration::from_millis(250);
/// How long a hub waits after a failure.
const PAUSE_AFTER_FAILURE: Duration = Duration::from_millis(200);

/// A hub, which reads as long as it is there.
#[derive(Debug)]
pub struct Hub {
    shared: Arc<Shared>,
    _reading: AbortOnDropHandle<()>,
}

/// What a hub reads.
#[derive(Debug)]
pub struct Reading {
    /// The account.
    pub account: AccountId,
    /// The history that it has.
    pub history: HistoryId,
    /// After how long without news the hub looks whether the history is still the same.
    pub look: Duration,
    /// How many bytes all rings together take.
    pub held: Arc<AtomicUsize>,
}

#[derive(Debug)]
struct Shared {
    reading: Reading,
    /// The newest changes, once the first read has found out where they begin.
    ring: Mutex<Option<Ring>>,
    state: watch::Sender<State>,
}

/// The state of a hub, as its watches see it. They are woken by news, and not by every look at the store.
#[derive(Debug, Clone, Copy)]
pub struct State {
    /// When the store was last read.
    pub read_at: Instant,
    /// Whether the store goes on with another history, or another past of this one.
    pub is_other_history: bool,
}

impl Hub {
    /// Starts to read.
    pub fn start<S: Store>(store: Arc<S>, reading: Reading) -> Arc<Self> {
        // Before the first read, so that no change is between them.
        let news = store.listen(&reading.account);
        let shared = Arc::new(Shared {
            reading,
            ring: Mutex::new(None),
            state: watch::Sender::new(State {
                read_at: Instant::now(),
                is_other_history: false,
            }),
        });
        let reading = tokio::spawn(Arc::clone(&shared).run(store, news));
        Arc::new(Self {
            shared,
            _reading: AbortOnDropHandle::new(reading),
        })
    }

    /// Whether the hub reads this history, and goes on with it.
    pub fn reads(&self, history: HistoryId) -> bool {
        self.shared.reading.history == history && !self.shared.state.borrow().is_other_history
    }

    /// The state of the hub, to follow.
    pub fn state(&self) -> watch::Receiver<State> {
        self.shared.state.subscribe()
    }

    /// The next changes behind one; `None` before the first read.
    pub fn after(&self, passed: Option<Revision>) -> Option<Next> {
        let ring = self.shared.ring.lock();
        Some(ring.as_ref()?.after(passed))
    }
}

impl Shared {
    /// Reads for ever.
    async fn run<S: Store>(self: Arc<Self>, store: Arc<S>, mut news: News) {
        loop {
            match self.begin(&*store).await {
                Ok(newest) => {
                    let held = Arc::clone(&self.reading.held);
                    *self.ring.lock() = Some(Ring::behind(newest, held));
                    break;
                }
                Err(error) => self.fail(&error).await,
            }
        }
        self.tell();
        let mut heard = Heard::Perhaps;
        loop {
            heard = match self.follow(&*store, heard).await {
                Ok(()) => {
                    let heard = tokio::time::timeout(self.reading.look, news.wait()).await;
                    heard.unwrap_or(Heard::Perhaps)
                }
                Err(error) => {
                    self.fail(&error).await;
                    Heard::Perhaps
                }
            };
        }
    }

    /// Reads what has come, if anything has.
    async fn follow(&self, store: &impl Store, heard: Heard) -> Result<(), FeedError> {
        if heard == Heard::Perhaps && !self.has_news(store).await? {
            return Ok(());
        }
        while self.read(store).await? {
            tokio::time::sleep(self.pause()).await;
        }
        Ok(())
    }

    /// Finds the newest change, behind which the hub reads.
    async fn begin(&self, store: &impl Store) -> Result<Option<PassedChange>, FeedError> {
        let history = store.history(self.reading.account.clone()).await?;
        let known = self.newest().map(|newest| newest.revision);
        if history.id != self.reading.history || history.newest < known {
            return Err(FeedError::OtherHistory);
        }
        start::newest(store, &self.reading.account, &history).await
    }

    /// Reads some changes that have come. Returns whether there were any.
    async fn read(&self, store: &impl Store) -> Result<bool, FeedError> {
        let changes = match behind::read(store, &self.reading.account, self.newest()).await {
            // More has come, and gone, than could be read: the watches find out what they miss.
            Err(FeedError::Store(StoreError::Compacted { .. })) => {
                let newest = self.begin(store).await?;
                if let Some(ring) = &mut *self.ring.lock() {
                    ring.skip_to(newest);
                }
                self.tell();
                return Ok(true);
            }
            changes => changes?,
        };
        if changes.is_empty() {
            self.touch();
            return Ok(false);
        }
        if let Some(ring) = &mut *self.ring.lock() {
            for change in changes {
                ring.push(change);
            }
        }
        self.tell();
        Ok(true)
    }

    /// Looks whether there is something new, in the same history as before.
    async fn has_news(&self, store: &impl Store) -> Result<bool, FeedError> {
        let history = store.history(self.reading.account.clone()).await?;
        let newest = self.newest().map(|newest| newest.revision);
        if history.id != self.reading.history || history.newest < newest {
            return Err(FeedError::OtherHistory);
        }
        self.touch();
        Ok(history.newest > newest)
    }

    fn newest(&self) -> Option<PassedChange> {
        self.ring.lock().as_ref().and_then(Ring::newest)
    }

    /// How long to wait before the next read.
    fn pause(&self) -> Duration {
        let watches = u32::try_from(self.state.receiver_count()).unwrap_or(u32::MAX);
        let pause = PAUSE + PAUSE_FOR_A_WATCH.saturating_mul(watches);
        pause.min(LONGEST_PAUSE)
    }

    /// Tells the watches that there is something new.
    fn tell(&self) {
        self.state
            .send_modify(|state| state.read_at = Instant::now());
    }

    /// Notes that the store was read, and had nothing new.
    fn touch(&self) {
        self.state.send_if_modified(|state| {
            state.read_at = Instant::now();
            false
        });
    }

    /// Tells the watches of a failure that does not pass, and waits.
    async fn fail(&self, error: &FeedError) {
        match error {
            FeedError::OtherHistory => {
                self.state
                    .send_modify(|state| state.is_other_history = true);
                // The watches end, and the hub with them.
                std::future::pending::<()>().await;
            }
            error => {
                tracing::debug!(?error, account = %self.reading.account, "the changes of a watched account can't be read");
                tokio::time::sleep(PAUSE_AFTER_FAILURE).await;
            }
        }
    }
}
