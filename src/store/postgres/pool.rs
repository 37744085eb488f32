//! Connections, each shared by many requests at a time.
//!
//! A statement is a round trip and a transaction, so requests need no connection of their own: what is sent while a
//! statement runs is pipelined behind it. Untags share statements, too: see `batch.rs`. (A pool that lends connections, such
//! as deadpool, would allow one request a connection.)

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use super::connector::Connector;
use super::destination::Destination;
use super::error::Failure;
use super::probe;
use super::session::Session;

/// How long a statement may take before its connection is given up as frozen.
const STATEMENT_TIMEOUT: Duration = Duration::from_secs(10);

/// How long a statement waits for its connection, which others may be waiting for too.
const CONNECTION_TIMEOUT: Duration = Duration::from_secs(15);

/// How long a pool that is short of connections waits before it tries to open more; doubled each time that this fails.
const FIRST_PAUSE: Duration = Duration::from_secs(1);
const LAST_PAUSE: Duration = Duration::from_secs(10);

/// A fixed number of connections, opened when they are needed.
pub struct Pool {
    connector: Connector,
    slots: Vec<Slot>,
    /// Whether the database gives fewer connections than there are slots: statements go to those that are open, and a task
    /// tries to open the others.
    is_short: AtomicBool,
    /// Whether every kind of statement was carried out since a connection was last lost.
    is_proven: AtomicBool,
}

/// A place for a connection.
#[derive(Default)]
struct Slot {
    open: Mutex<Option<Open>>,
    /// Held by the one that opens a session: all others wait for that one.
    opening: tokio::sync::Mutex<()>,
    /// The weights of its statements.
    load: AtomicUsize,
}

/// A session, and where it leads.
struct Open {
    session: Arc<Session>,
    destination: Arc<Destination>,
}

/// Whether a statement waits for rows that others have locked, and so holds up what is sent behind it.
#[derive(Debug, Clone, Copy)]
pub enum Locks {
    Block,
    SkipLocked,
}

impl Locks {
    /// One that may wait keeps others from its connection while they have few to wait for on another.
    fn weight(self) -> usize {
        match self {
            Self::Block => 8,
            Self::SkipLocked => 1,
        }
    }
}

/// Counts a statement on its connection.
struct Load<'pool> {
    slot: &'pool Slot,
    weight: usize,
}

impl Drop for Load<'_> {
    fn drop(&mut self) {
        self.slot.load.fetch_sub(self.weight, Ordering::Relaxed);
    }
}

impl Pool {
    pub fn new(connector: Connector, count: usize) -> Self {
        Self {
            connector,
            slots: std::iter::repeat_with(Slot::default).take(count).collect(),
            is_short: AtomicBool::new(false),
            is_proven: AtomicBool::new(false),
        }
    }

    /// How many connections there are, or may be.
    pub fn connections(&self) -> usize {
        self.slots.len()
    }

    /// Runs `statement` on a task of its own. It goes on when the caller stops waiting, so that the load of the
    /// connection stays true.
    pub async fn run<T, F>(
        self: &Arc<Self>,
        locks: Locks,
        statement: impl FnOnce(Arc<Session>) -> F + Send + 'static,
    ) -> Result<T, Failure>
    where
        T: Send + 'static,
        F: Future<Output = Result<T, tokio_postgres::Error>> + Send,
    {
        let pool = Arc::clone(self);
        tokio::spawn(async move { pool.perform(locks, statement).await })
            .await
            .unwrap_or_else(|stopped| Err(Failure::from(stopped)))
    }

    /// Finds out whether the database carries out every kind of statement, at first and after a connection was lost: the
    /// next one may lead to another server.
    pub async fn prove(self: &Arc<Self>) -> Result<(), Failure> {
        self.leave_servers_of_before();
        if self.is_proven.load(Ordering::Relaxed) {
            return Ok(());
        }
        let tried = self.run(Locks::SkipLocked, |session| async move {
            probe::try_statements(&session).await
        });
        match tried.await {
            Ok(()) => {
                self.is_proven.store(true, Ordering::Relaxed);
                Ok(())
            }
            // The accounts of other nodes can be served. It is tried again.
            Err(failure) if failure.is_of_a_node_not_reached() => Ok(()),
            Err(failure) => Err(failure),
        }
    }

    /// Lets go of connections that nobody has used since they lead elsewhere.
    fn leave_servers_of_before(&self) {
        for slot in &self.slots {
            let mut open = slot.open();
            let left = open.take_if(|open| !self.connector.leads_to(&open.destination));
            if left.is_some() {
                self.is_proven.store(false, Ordering::Relaxed);
            }
        }
    }

    /// Runs `statement` on the connection with the least to do, for a caller that does not stop waiting.
    pub async fn perform<T, F>(
        self: &Arc<Self>,
        locks: Locks,
        statement: impl FnOnce(Arc<Session>) -> F,
    ) -> Result<T, Failure>
    where
        F: Future<Output = Result<T, tokio_postgres::Error>>,
    {
        let (load, session) = self.acquire(locks).await?;
        let answer = tokio::time::timeout(STATEMENT_TIMEOUT, statement(Arc::clone(&session))).await;
        let failure = match answer {
            Ok(Ok(answer)) => return Ok(answer),
            Ok(Err(error)) => Failure::from(error),
            Err(_) => Failure::Frozen,
        };
        if failure.is_of_the_connection() {
            self.is_proven.store(false, Ordering::Relaxed);
            load.slot.give_up(&session);
        }
        Err(failure)
    }

    /// The connection with the least to do, and its session. Where that can't be opened, one that is open.
    async fn acquire(self: &Arc<Self>, locks: Locks) -> Result<(Load<'_>, Arc<Session>), Failure> {
        if self.is_short.load(Ordering::Relaxed)
            && let Some(open) = self.least_loaded_open(locks)
        {
            return Ok(open);
        }
        let Some(load) = self.least_loaded(locks, |_| true) else {
            return Err(Failure::NoConnection("the store has no connections".into()));
        };
        let opened = tokio::time::timeout(CONNECTION_TIMEOUT, self.session(load.slot)).await;
        let in_time = |_| Failure::NoConnection("no connection in time".into());
        let failure = match opened.map_err(in_time).flatten() {
            Ok(session) => return Ok((load, session)),
            Err(failure) => failure,
        };
        drop(load);
        match self.least_loaded_open(locks) {
            Some(open) => {
                self.begin_shortage(&failure);
                Ok(open)
            }
            None => Err(failure),
        }
    }

    fn least_loaded_open(&self, locks: Locks) -> Option<(Load<'_>, Arc<Session>)> {
        let load = self.least_loaded(locks, |slot| self.open_session(slot).is_some())?;
        // It may have been closed just now.
        let session = self.open_session(load.slot)?;
        Some((load, session))
    }

    /// The connection with the least to do. Chosen and counted at once, so that two statements never take the last idle one
    /// together. What waits for locks leaves one connection to the others, where there are several.
    fn least_loaded(&self, locks: Locks, is_fit: impl Fn(&Slot) -> bool) -> Option<Load<'_>> {
        let weight = locks.weight();
        loop {
            let fit = self.slots.iter().filter(|slot| is_fit(slot));
            let mut loads = fit.map(|slot| (slot.load.load(Ordering::Relaxed), slot));
            let first = loads.next()?;
            let (load, slot) = match (locks, loads.min_by_key(|(load, _)| *load)) {
                (_, None) => first,
                (Locks::SkipLocked, Some(other)) if first.0 <= other.0 => first,
                (_, Some(other)) => other,
            };
            let counted = slot.load.compare_exchange(
                load,
                load + weight,
                Ordering::Relaxed,
                Ordering::Relaxed,
            );
            if counted.is_ok() {
                return Some(Load { slot, weight });
            }
        }
    }

    /// The session of a connection, if one is open, and leads to where connections lead now.
    fn open_session(&self, slot: &Slot) -> Option<Arc<Session>> {
        let open = slot.open();
        let open = open
            .as_ref()
            .filter(|open| !open.session.is_closed() && self.connector.leads_to(&open.destination));
        open.map(|open| Arc::clone(&open.session))
    }

    /// The session of a connection, opened when there is none that works.
    async fn session(&self, slot: &Slot) -> Result<Arc<Session>, Failure> {
        if let Some(session) = self.open_session(slot) {
            return Ok(session);
        }
        let _opening = slot.opening.lock().await;
        if let Some(session) = self.open_session(slot) {
            return Ok(session);
        }
        let (session, destination) = self.connector.connect().await?;
        let session = Arc::new(session);
        let open = Open {
            session: Arc::clone(&session),
            destination,
        };
        // What was sent on the one before is still answered there.
        let before = slot.open().replace(open);
        if before.is_some() {
            self.is_proven.store(false, Ordering::Relaxed);
        }
        Ok(session)
    }

    /// Goes on with the connections that are open, until a task has opened all.
    fn begin_shortage(self: &Arc<Self>, failure: &Failure) {
        if self.is_short.swap(true, Ordering::Relaxed) {
            return;
        }
        let is_open = |slot: &&Slot| self.open_session(slot).is_some();
        let (open, wanted) = (self.slots.iter().filter(is_open).count(), self.slots.len());
        tracing::warn!(%failure, open, wanted, "fewer connections to the database than --store-connections; going on with those that are open");
        tokio::spawn(end_shortage(Arc::downgrade(self)));
    }
}

/// Opens the connections that a pool is short of, as soon as the database gives them.
async fn end_shortage(pool: Weak<Pool>) {
    let mut pause = FIRST_PAUSE;
    loop {
        tokio::time::sleep(pause).await;
        let Some(pool) = pool.upgrade() else {
            return;
        };
        pause = LAST_PAUSE.min(pause * 2);
        let mut is_complete = true;
        for slot in &pool.slots {
            if pool.open_session(slot).is_none() {
                is_complete = pool.session(slot).await.is_ok();
            }
            if !is_complete {
                break;
            }
        }
        if is_complete {
            pool.is_short.store(false, Ordering::Relaxed);
            tracing::info!("as many connections to the database as --store-connections");
            return;
        }
    }
}

impl Slot {
    fn open(&self) -> MutexGuard<'_, Option<Open>> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Forgets a session, unless another has taken its place.
    fn give_up(&self, session: &Arc<Session>) {
        let mut current = self.open();
        if current
            .as_ref()
            .is_some_and(|current| Arc::ptr_eq(&current.session, session))
        {
            *current = None;
        }
    }
}
