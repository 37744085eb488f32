//! The write-ahead log (WAL) of SQLite: how long it is, and how it comes to its end.
//!
//! A checkpoint copies the WAL's pages into the database. The WAL begins anew with the first write after a checkpoint that
//! was complete, and only where nobody reads a state of the store that is older than that.

mod readers;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use rusqlite::wal::CheckpointMode;
use rusqlite::{Connection, ErrorCode};
use thiserror::Error;

use crate::sync::parking_lot::Mutex;
use readers::readers;

/// How long to wait for another program's lock, at start and for each commit.
pub const BUSY_TIMEOUT: Duration = Duration::from_secs(2);

/// The WAL of a store, as all its connections see it.
#[derive(Debug, Clone)]
pub struct Wal(Arc<State>);

#[derive(Debug)]
struct State {
    path: PathBuf,
    /// The file with the locks of those who use the WAL.
    shared_memory: PathBuf,
    /// How many pages the WAL may have before it has to begin anew.
    limit: u32,
    /// A lock that is held during a checkpoint: SQLite refuses one beside another.
    checkpointing: Mutex<()>,
}

/// The length of a WAL, in pages.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Extent {
    /// The pages since it last began anew.
    pub pages: u32,
    /// How many of them the database has too.
    pub checkpointed: u32,
}

/// How to bring a WAL to its end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum End {
    /// The next write begins it anew, and the file keeps its length.
    BeginAnew,
    /// The file is empty.
    Truncate,
}

/// Whether a WAL has come to its end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ended {
    Yes,
    /// Somebody reads an older state, and keeps the WAL.
    HeldByReader,
}

/// Changes that a store left in its WAL when it was closed.
#[derive(Debug, Error)]
#[error(
    "changes are left in {}, which the database lacks: {cause}; keep both files together, and open and close the store again",
    path.display()
)]
pub struct LeftInWal {
    path: PathBuf,
    cause: String,
}

impl Wal {
    /// The WAL of this database, which has to begin anew when it has more pages than the limit.
    pub fn new(database: &Path, limit: u32) -> Self {
        let beside = |suffix| {
            let mut path = database.as_os_str().to_owned();
            path.push(suffix);
            PathBuf::from(path)
        };
        Self(Arc::new(State {
            path: beside("-wal"),
            shared_memory: beside("-shm"),
            limit,
            checkpointing: Mutex::new(()),
        }))
    }

    /// How many pages the WAL may have before it has to begin anew.
    pub fn limit(&self) -> u32 {
        self.0.limit
    }

    /// The length of the WAL's file, in bytes.
    pub fn bytes(&self) -> u64 {
        self.0.path.metadata().map_or(0, |file| file.len())
    }

    /// Measures the WAL.
    pub fn measure(connection: &Connection) -> rusqlite::Result<Extent> {
        run(connection, CheckpointMode::NOOP)
    }

    /// Copies as much of the WAL into the database as is possible without waiting for those who read or write.
    pub fn checkpoint(&self, connection: &Connection) {
        let _alone = self.0.checkpointing.lock();
        if let Err(error) = run(connection, CheckpointMode::PASSIVE) {
            tracing::warn!(%error, "cannot checkpoint the write-ahead log");
        }
    }

    /// Brings the WAL to its end, on the connection that writes. Waits so long for those who read an older state.
    pub fn end(
        &self,
        writer: &Connection,
        end: End,
        patience: Duration,
    ) -> rusqlite::Result<Ended> {
        let mode = match end {
            End::BeginAnew => CheckpointMode::RESTART,
            End::Truncate => CheckpointMode::TRUNCATE,
        };
        let _alone = self.0.checkpointing.lock();
        writer.busy_timeout(patience)?;
        let result = run(writer, mode);
        writer.busy_timeout(BUSY_TIMEOUT)?;
        match result {
            Ok(_) => Ok(Ended::Yes),
            Err(error) if error.sqlite_error_code() == Some(ErrorCode::DatabaseBusy) => {
                Ok(Ended::HeldByReader)
            }
            Err(error) => Err(error),
        }
    }

    /// Closes the connection that writes, the last one of this process. The database has all changes then, and the WAL is gone.
    ///
    /// # Errors
    /// Why changes are left in the WAL.
    pub fn close(&self, writer: Connection) -> Result<(), LeftInWal> {
        let ended = self.end(&writer, End::Truncate, BUSY_TIMEOUT);
        let cause = match ended {
            Ok(Ended::Yes) => None,
            Ok(Ended::HeldByReader) => Some(format!("it is read by {}", self.readers())),
            Err(error) => Some(error.to_string()),
        };
        drop(writer);
        match cause {
            // What is left of it may have found its way into the database meanwhile.
            Some(cause) if self.bytes() > 0 => Err(LeftInWal {
                path: self.0.path.clone(),
                cause,
            }),
            _ => Ok(()),
        }
    }

    /// The processes that read the store now, as text.
    pub fn readers(&self) -> String {
        readers(&self.0.shared_memory)
    }
}

fn run(connection: &Connection, mode: CheckpointMode) -> rusqlite::Result<Extent> {
    let (pages, checkpointed) = connection.wal_checkpoint_v2(None::<&str>, mode)?;
    Ok(Extent {
        pages: u32::try_from(pages).unwrap_or_default(),
        checkpointed: u32::try_from(checkpointed).unwrap_or_default(),
    })
}
