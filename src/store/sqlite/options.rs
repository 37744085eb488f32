//! How an embedded store is set up.

use std::time::SystemTime;

use crate::domain::Timestamp;
use crate::store::{AuditUse, Retention};

/// How an embedded store is set up.
#[derive(Debug, Clone, Copy)]
pub struct Options {
    /// How many commands may wait for the writer, and how many reads for the threads that read.
    pub queue: usize,
    /// How many threads read.
    pub readers: usize,
    /// How many commands may share a commit: bounds how long the first of them waits. 1 is a commit for each.
    pub batch: usize,
    /// How many resources may have removed tags that still lie in their rows, before compaction has to keep up: bounds the
    /// memory, and the time to start.
    pub uncompacted: usize,
    /// How many pages of 4 KiB the write-ahead log may have before it has to begin anew. It has twice as many at most, as long
    /// as nobody else reads the store.
    pub wal_pages: u32,
    /// How much memory the index may take, in bytes. The users that find no place in it are searched for in the tables.
    pub index_bytes: usize,
    /// How long the change log keeps entries.
    pub retention: Retention,
    /// Whether an audit is made of the change log.
    pub audit: AuditUse,
    /// How many keys of entries are in memory before they are written as a sorted run. With those of one commit more they are all that
    /// is in memory, 16 bytes for each RequestId and for each user that an entry has changed.
    pub run_keys: usize,
    /// What tells the time, by which deleted users are removed who are gone for good. What a command or a query sees goes by its own.
    pub now: fn() -> Timestamp,
}

impl Default for Options {
    fn default() -> Self {
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        Self {
            queue: 4096,
            readers: cores.clamp(2, 8),
            batch: 1024,
            uncompacted: 1_000_000,
            wal_pages: 16_384,
            index_bytes: 256 << 20,
            retention: Retention::default(),
            audit: AuditUse::None,
            run_keys: 32_768,
            now: || SystemTime::now().into(),
        }
    }
}
