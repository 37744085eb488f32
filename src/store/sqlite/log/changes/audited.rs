//! The audit's progress through the change log, and the changes that it reads there.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock, PoisonError};
use std::time::Duration;

use prost::Message as _;
use rusqlite::{Connection, OptionalExtension as _};

use super::entries::Snapshot;
use super::extent::Extent;
use super::fresh::{FreshCommit, FreshCommits};
use super::mark::Mark;
use crate::domain::{AccountId, AuditedChange, Timestamp};
use crate::store::sqlite::error::{ApplyError, CorruptLog};
use crate::store::sqlite::format::log_entry::LoggedCommit;
use crate::sync::thread::{self, Thread};
use crate::sync::{Mutex, MutexGuard};

/// How many bytes of entries are read at once, where one commit has not more.
const BYTES_AT_ONCE: usize = 64 * 1024;

/// The progress of the audit, which the writer of the store shares with whoever writes the lines.
#[derive(Debug, Clone)]
pub struct AuditProgress(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    marks: Mutex<Marks>,
    /// What was just committed, where nothing has to be read for it.
    fresh: Mutex<FreshCommits>,
    /// How many changes were deleted before they had their lines, and nobody was told of.
    lost: AtomicU64,
    /// The thread that is woken by commits.
    reader: OnceLock<Thread>,
}

#[derive(Debug)]
struct Marks {
    /// The last commit whose lines are safe.
    written: Mark,
    /// The newest commit.
    newest: Mark,
}

impl AuditProgress {
    /// The progress where the lines up to a commit are safe.
    pub fn new(written: Mark, extent: &Extent) -> Self {
        let newest = Mark {
            sequence: extent.newest,
            total: extent.total,
        };
        Self(Arc::new(Shared {
            marks: Mutex::new(Marks { written, newest }),
            fresh: Mutex::default(),
            lost: AtomicU64::new(0),
            reader: OnceLock::new(),
        }))
    }

    fn marks(&self) -> MutexGuard<'_, Marks> {
        self.0.marks.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn fresh(&self) -> MutexGuard<'_, FreshCommits> {
        self.0.fresh.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes the commits right behind one whose changes are known without the log.
    pub fn take_fresh(&self, last: Mark) -> Vec<FreshCommit> {
        self.fresh().take_behind(last.sequence)
    }

    /// The last commit whose lines are safe.
    pub fn written(&self) -> Mark {
        self.marks().written
    }

    /// How many bytes of the log have no safe lines.
    pub fn bytes_behind(&self) -> u64 {
        let marks = self.marks();
        if marks.written.sequence >= marks.newest.sequence {
            return 0;
        }
        marks.newest.total.saturating_sub(marks.written.total)
    }

    /// Takes note that the lines up to a commit are safe.
    pub fn wrote(&self, mark: Mark) {
        self.marks().written = mark;
    }

    /// Takes over the newest commit, with its changes where they are known, and wakes the reader.
    pub fn committed(&self, newest: Mark, fresh: Option<FreshCommit>) {
        self.marks().newest = newest;
        if let Some(fresh) = fresh {
            self.fresh().push(fresh);
        }
        if let Some(reader) = self.0.reader.get() {
            reader.unpark();
        }
    }

    /// Counts changes that are deleted before they had their lines.
    pub fn lose(&self, changes: u64) {
        self.0.lost.fetch_add(changes, Ordering::Relaxed);
    }

    /// Takes the changes that were deleted before they had their lines.
    pub fn take_lost(&self) -> u64 {
        self.0.lost.swap(0, Ordering::Relaxed)
    }

    /// Waits for a commit after those that this thread knows, or until it is woken or `patience` has passed.
    pub fn wait(&self, patience: Duration) {
        self.0.reader.get_or_init(thread::current);
        thread::park_timeout(patience);
    }
}

/// Reads up to which commit the lines are safe; `None` where no audit is kept.
pub fn read_position(connection: &Connection) -> rusqlite::Result<Option<i64>> {
    let select = "SELECT audited FROM state";
    connection
        .prepare_cached(select)?
        .query_row([], |row| row.get(0))
}

/// Writes down up to which commit the lines are safe.
pub fn write_position(connection: &Connection, position: Option<i64>) -> rusqlite::Result<()> {
    let update = "UPDATE state SET audited = ?1";
    connection
        .prepare_cached(update)?
        .execute([position])
        .map(drop)
}

/// The total at a commit that may be gone: then that of the oldest one there is.
pub fn mark_at(connection: &Connection, sequence: i64, extent: &Extent) -> rusqlite::Result<Mark> {
    let select = "SELECT total FROM change_log WHERE sequence = ?1";
    let total: Option<i64> = connection
        .prepare_cached(select)?
        .query_row([sequence], |row| row.get(0))
        .optional()?;
    Ok(Mark {
        sequence,
        total: total.map_or(extent.oldest_total, i64::unsigned_abs),
    })
}

/// The changes of some commits.
#[derive(Debug)]
pub struct Committed {
    pub changes: Vec<AuditedChange>,
    /// How many changes can't be read.
    pub unreadable: u64,
    /// The last commit that was read; the one before where there is none.
    pub last: Mark,
}

/// Reads the changes of the next commits behind one, in the state of the store that an open transaction reads.
pub fn behind(connection: &Connection, last: Mark) -> Result<Committed, ApplyError> {
    let select = "SELECT sequence, time, total, entries FROM change_log WHERE sequence > ?1 \
         ORDER BY sequence";
    let mut select = connection.prepare_cached(select)?;
    let mut rows = select.query([last.sequence])?;
    let mut read = Committed {
        changes: Vec::new(),
        unreadable: 0,
        last,
    };
    let mut bytes = 0;
    while bytes < BYTES_AT_ONCE
        && let Some(row) = rows.next()?
    {
        let entries = row.get_ref(3)?.as_blob().map_err(|_| CorruptLog)?;
        bytes += entries.len();
        read.last = Mark {
            sequence: row.get(0)?,
            total: row.get::<_, i64>(2)?.unsigned_abs(),
        };
        match LoggedCommit::decode(entries) {
            Ok(commit) => {
                let time = Timestamp::from_millis(row.get(1)?);
                read.add(connection, time, &commit)?;
            }
            Err(error) => read.fail(&error),
        }
    }
    Ok(read)
}

impl Committed {
    fn add(
        &mut self,
        connection: &Connection,
        time: Timestamp,
        commit: &LoggedCommit,
    ) -> Result<(), ApplyError> {
        for found in commit.each() {
            let change = found.map_err(ApplyError::from).and_then(|found| {
                let account = AccountId::parse(found.account).map_err(|_| CorruptLog)?;
                let mut recorded = found.recorded(time)?;
                let client_request_id = recorded.client_request_id.take();
                let secure_transport = recorded.secure_transport;
                let snapshot = Snapshot::new(connection, &account);
                let change = snapshot.change(self.last.sequence, recorded, &found)?;
                Ok(AuditedChange::of(
                    change,
                    account,
                    client_request_id,
                    secure_transport,
                ))
            });
            match change {
                Ok(change) => self.changes.push(change),
                // The disk may be asked again, and what is broken stays so.
                Err(error @ ApplyError::Sqlite(_)) => return Err(error),
                Err(error) => self.fail(&error),
            }
        }
        Ok(())
    }

    fn fail(&mut self, error: &dyn std::fmt::Display) {
        let sequence = self.last.sequence;
        tracing::error!(%error, sequence, "a change can't be read, and has no line of the audit");
        self.unreadable += 1;
    }
}
