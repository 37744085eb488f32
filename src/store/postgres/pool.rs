//! Connections, each shared by many requests at a time.
//!
//! A statement is a round trip and a transaction, so requests need no connection of their own: what is sent while a
//! statement runs is pipelined behind it. Untags share statements, too: see `batch.rs`. (A pool that lends connections, such
//! as deadpool, would allow one request a connection.)

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use tokio::sync::Mutex;

use super::connector::Connector;
use super::error::Failure;
use super::session::Session;

/// How long a statement may take before its connection is given up as frozen.
const STATEMENT_TIMEOUT: Duration = Duration::from_secs(10);

/// How long a statement waits for its connection, which others may be waiting for too.
const CONNECTION_TIMEOUT: Duration = Duration::from_secs(15);

/// A fixed number of connections, opened when they are needed.
pub struct Pool {
    connector: Connector,
    slots: Vec<Slot>,
}

#[derive(Default)]
struct Slot {
    session: Mutex<Option<Arc<Session>>>,
    /// The weights of its statements.
    load: AtomicUsize,
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
        }
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

    /// Runs `statement` on the connection with the least to do, for a caller that does not stop waiting.
    pub async fn perform<T, F>(
        &self,
        locks: Locks,
        statement: impl FnOnce(Arc<Session>) -> F,
    ) -> Result<T, Failure>
    where
        F: Future<Output = Result<T, tokio_postgres::Error>>,
    {
        let Some(load) = self.least_loaded(locks) else {
            return Err(Failure::NoConnection("the store has no connections".into()));
        };
        let session = tokio::time::timeout(CONNECTION_TIMEOUT, self.session(load.slot)).await;
        let no_session = |_| Failure::NoConnection("no connection in time".into());
        let session = session.map_err(no_session)??;
        let answer = tokio::time::timeout(STATEMENT_TIMEOUT, statement(Arc::clone(&session))).await;
        let failure = match answer {
            Ok(Ok(answer)) => return Ok(answer),
            Ok(Err(error)) => Failure::from(error),
            Err(_) => Failure::Frozen,
        };
        if failure.is_of_the_connection() {
            load.slot.give_up(&session).await;
        }
        Err(failure)
    }

    /// The connection with the least to do. Chosen and counted at once, so that two statements never take the last idle one
    /// together. What waits for locks leaves one connection to the others, where there are several.
    fn least_loaded(&self, locks: Locks) -> Option<Load<'_>> {
        let slots = match (locks, self.slots.split_first()) {
            (Locks::Block, Some((_, others))) if !others.is_empty() => others,
            _ => &self.slots,
        };
        let weight = locks.weight();
        loop {
            let loads = slots
                .iter()
                .map(|slot| (slot.load.load(Ordering::Relaxed), slot));
            let (load, slot) = loads.min_by_key(|(load, _)| *load)?;
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

    /// The session of a connection, opened when there is none that works.
    async fn session(&self, slot: &Slot) -> Result<Arc<Session>, Failure> {
        let mut place = slot.session.lock().await;
        if let Some(session) = place.as_ref().filter(|session| !session.is_closed()) {
            return Ok(Arc::clone(session));
        }
        let session = Arc::new(self.connector.connect().await?);
        *place = Some(Arc::clone(&session));
        Ok(session)
    }
}

impl Slot {
    /// Forgets a connection, unless another has taken its place.
    async fn give_up(&self, session: &Arc<Session>) {
        let mut place = self.session.lock().await;
        if place
            .as_ref()
            .is_some_and(|current| Arc::ptr_eq(current, session))
        {
            *place = None;
        }
    }
}
