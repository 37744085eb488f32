//! Connections, each shared by many requests at a time.
//!
//! A statement is a round trip and a transaction, so requests need no connection of their own: what is sent while a
//! statement runs is pipelined behind it. (A pool that lends connections, such as deadpool, would allow one request a
//! connection.) Statements are unnamed, so that PgBouncer's transaction mode works.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use tokio::sync::Mutex;
use tokio_postgres::{Client, Config};

use super::error::Failure;
use super::tls::Tls;

/// How long a statement may take before its connection is given up as frozen.
const STATEMENT_TIMEOUT: Duration = Duration::from_secs(10);
/// How long connecting to all hosts may take.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// A fixed number of connections, opened when they are needed.
pub struct Lanes {
    config: Config,
    tls: Tls,
    all: Vec<Lane>,
}

#[derive(Default)]
struct Lane {
    client: Mutex<Option<Arc<Client>>>,
    load: AtomicUsize,
}

/// Counts a statement on its lane.
struct Load<'lane>(&'lane AtomicUsize);

impl<'lane> Load<'lane> {
    fn new(load: &'lane AtomicUsize) -> Self {
        load.fetch_add(1, Ordering::Relaxed);
        Self(load)
    }
}

impl Drop for Load<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Lanes {
    pub fn new(config: Config, tls: Tls, count: usize) -> Self {
        Self {
            config,
            tls,
            all: std::iter::repeat_with(Lane::default).take(count).collect(),
        }
    }

    /// Runs `statement` on the connection with the least to do. It goes on when the caller stops waiting, so that the
    /// load of the connection stays true.
    pub async fn run<T, F>(
        self: &Arc<Self>,
        statement: impl FnOnce(Arc<Client>) -> F + Send + 'static,
    ) -> Result<T, Failure>
    where
        T: Send + 'static,
        F: Future<Output = Result<T, tokio_postgres::Error>> + Send,
    {
        let lanes = Arc::clone(self);
        let work = async move {
            let Some(lane) = lanes
                .all
                .iter()
                .min_by_key(|lane| lane.load.load(Ordering::Relaxed))
            else {
                return Err(Failure::NoConnection("the store has no connections".into()));
            };
            let _load = Load::new(&lane.load);
            let client = lanes.client(lane).await?;
            let answer =
                tokio::time::timeout(STATEMENT_TIMEOUT, statement(Arc::clone(&client))).await;
            let failure = match answer {
                Ok(Ok(answer)) => return Ok(answer),
                Ok(Err(error)) => Failure::from(error),
                Err(_) => Failure::Frozen,
            };
            if failure.is_of_the_connection() {
                lane.give_up(&client).await;
            }
            Err(failure)
        };
        tokio::spawn(work)
            .await
            .unwrap_or_else(|error| Err(Failure::NoConnection(error.into())))
    }

    /// The lane's connection, opened when there is none that works.
    async fn client(&self, lane: &Lane) -> Result<Arc<Client>, Failure> {
        let mut slot = lane.client.lock().await;
        if let Some(client) = slot.as_ref().filter(|client| !client.is_closed()) {
            return Ok(Arc::clone(client));
        }
        let client = Arc::new(self.connect().await?);
        *slot = Some(Arc::clone(&client));
        Ok(client)
    }

    /// Opens a connection of its own.
    pub async fn connect(&self) -> Result<Client, Failure> {
        let connected = tokio::time::timeout(CONNECT_TIMEOUT, self.tls.connect(&self.config)).await;
        match connected {
            Ok(Ok(client)) => Ok(client),
            Ok(Err(error)) => Err(Failure::NoConnection(Box::new(error))),
            Err(_) => Err(Failure::NoConnection("no connection within 5 s".into())),
        }
    }
}

impl Lane {
    /// Forgets a connection, unless another has taken its place.
    async fn give_up(&self, client: &Arc<Client>) {
        let mut slot = self.client.lock().await;
        if slot
            .as_ref()
            .is_some_and(|current| Arc::ptr_eq(current, client))
        {
            *slot = None;
        }
    }
}
