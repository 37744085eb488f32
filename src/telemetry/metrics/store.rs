//! The metrics of the store.

use std::time::Duration;

use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::Registry;

use super::{Open, Reading};

/// The buckets for commits, in seconds: from a disk whose cache survives power loss to one that is about to fail.
const COMMIT_BUCKETS: [f64; 16] = [
    0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5,
    5.0, 10.0,
];
const BATCH_BUCKETS: [f64; 11] = [
    1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0, 128.0, 256.0, 512.0, 1024.0,
];

/// The metrics of the store.
#[derive(Debug)]
pub struct Store {
    queue_depth: Reading,
    queue_capacity: Gauge,
    /// Open connections.
    pub connections: Gauge,
    /// Attempts to open a connection that have failed.
    pub connections_failed: Counter,
    /// The statements and commands that were sent or committed again.
    pub retries: Counter,
    commit_seconds: Histogram,
    batch_requests: Histogram,
    uncompacted: Gauge,
    wal_bytes: Reading,
    ready: Gauge,
}

impl Store {
    pub(super) fn register(registry: &mut Registry) -> Self {
        let store = Self {
            queue_depth: Reading::default(),
            queue_capacity: Gauge::default(),
            connections: Gauge::default(),
            connections_failed: Counter::default(),
            retries: Counter::default(),
            commit_seconds: Histogram::new(COMMIT_BUCKETS),
            batch_requests: Histogram::new(BATCH_BUCKETS),
            uncompacted: Gauge::default(),
            wal_bytes: Reading::default(),
            ready: Gauge::default(),
        };
        registry.register(
            "untag_store_ready",
            "Whether the store takes changes: 1 or 0",
            store.ready.clone(),
        );
        registry.register(
            "untag_store_commit_seconds",
            "How long changes took to be durable, from their transaction's begin",
            store.commit_seconds.clone(),
        );
        registry.register(
            "untag_store_batch_requests",
            "Changes that shared a commit",
            store.batch_requests.clone(),
        );
        registry.register(
            "untag_store_uncompacted_resources",
            "Resources of the embedded store whose rows still have tags that were removed",
            store.uncompacted.clone(),
        );
        registry.register(
            "untag_store_wal_bytes",
            "Length of the embedded store's write-ahead log",
            store.wal_bytes.clone(),
        );
        store.register_requests(registry);
        store
    }

    fn register_requests(&self, registry: &mut Registry) {
        registry.register(
            "untag_store_queue_depth",
            "Requests that wait for the store or are carried out by it",
            self.queue_depth.clone(),
        );
        registry.register(
            "untag_store_queue_capacity",
            "The most requests that may wait for the store or be carried out by it",
            self.queue_capacity.clone(),
        );
        registry.register(
            "untag_store_connections",
            "Open connections to the store, or calls to the cloud that are under way",
            self.connections.clone(),
        );
        registry.register(
            "untag_store_connections_failed",
            "Attempts to open a connection to the database that failed",
            self.connections_failed.clone(),
        );
        registry.register(
            "untag_store_retries",
            "Statements and calls sent again, and changes of a failed shared commit committed one by one",
            self.retries.clone(),
        );
    }

    /// Sets how many requests the queue takes, and the source of how many are in it: waiting for the store, or carried out
    /// by it.
    pub fn queue(&self, capacity: usize, depth: impl Fn() -> usize + Send + Sync + 'static) {
        let capacity = i64::try_from(capacity).unwrap_or(i64::MAX);
        self.queue_capacity.set(capacity);
        self.queue_depth.of(depth);
    }

    /// Sets the source of the length of the write-ahead log.
    pub fn wal(&self, bytes: impl Fn() -> u64 + Send + Sync + 'static) {
        let bytes = move || usize::try_from(bytes()).unwrap_or(usize::MAX);
        self.wal_bytes.of(bytes);
    }

    /// Sets how many resources have removed tags in their rows.
    pub fn set_uncompacted(&self, resources: usize) {
        self.uncompacted
            .set(i64::try_from(resources).unwrap_or(i64::MAX));
    }

    /// Sets whether the store takes changes.
    pub fn set_ready(&self, is_ready: bool) {
        self.ready.set(i64::from(is_ready));
    }

    /// Records how long a commit took, also one that failed: a disk that fails is slow first.
    pub fn committed(&self, took: Duration) {
        self.commit_seconds.observe(took.as_secs_f64());
    }

    /// Records how many changes shared a commit.
    pub fn shared_commit(&self, changes: usize) {
        let changes = u32::try_from(changes).unwrap_or(u32::MAX);
        self.batch_requests.observe(f64::from(changes));
    }

    /// Counts a connection that opens, until it is dropped.
    #[must_use]
    pub fn connection(&self) -> Open {
        Open::new(&self.connections)
    }
}
