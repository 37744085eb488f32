//! The thread beside the writer: first it reads what is to be known of the users, and then it folds the log into the database,
//! so that no request waits for either.

use std::ops::ControlFlow;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::thread::{self, JoinHandle};
use std::time::Instant;

use crossbeam_channel::{RecvTimeoutError, Sender};
use rusqlite::Connection;

use super::known::{Known, Room};

/// How many pages the writer adds to the log between two wake-ups, about.
const WAKE_AFTER: usize = 8_000;
/// The pages in the log past which the writer lends a hand, 64 MiB: while it goes on writing, the other thread never
/// reaches the log's end, and only at its end can the log start again from its beginning.
const LONGEST_LOG: u32 = 16_384;
/// The same as `WAKE_AFTER` while the log is longer than that.
const HELP_AFTER: usize = 500;

/// How long the log was when it was last folded.
#[derive(Debug, Clone, Default)]
pub struct Log(Arc<AtomicU32>);

impl Log {
    /// Whether it has to be folded to its end. That waits for whoever reads an older state of the store.
    pub fn is_long(&self) -> bool {
        self.0.load(Ordering::Relaxed) > LONGEST_LOG
    }

    /// Folds it as far as it can without waiting for anybody.
    fn fold(&self, connection: &Connection) {
        if let Some(pages) = fold(connection) {
            self.0.store(pages, Ordering::Relaxed);
        }
    }
}

/// The thread that folds, as the writer sees it.
pub struct Checkpointer {
    wake: Sender<()>,
    log: Log,
    pages: usize,
    thread: JoinHandle<()>,
}

impl Checkpointer {
    /// Starts the thread on a connection of its own. What is known of the users may take so much room.
    pub fn start(connection: Connection, known: Known, room: Room) -> std::io::Result<Self> {
        let (wake, woken) = crossbeam_channel::bounded(1);
        let log = Log::default();
        let folded = log.clone();
        let body = move || {
            let fold = || folded.fold(&connection);
            let mut begun = Instant::now();
            // As long as it has read, it leaves the processor to the requests.
            let between_parts = || {
                match woken.recv_timeout(begun.elapsed()) {
                    Ok(()) => fold(),
                    Err(RecvTimeoutError::Timeout) => {}
                    Err(RecvTimeoutError::Disconnected) => return ControlFlow::Break(()),
                }
                begun = Instant::now();
                ControlFlow::Continue(())
            };
            if let Err(error) = known.read(&connection, &room, between_parts) {
                tracing::warn!(%error, "cannot read what is to be known of users; the others are searched for");
            }
            while woken.recv().is_ok() {
                fold();
            }
        };
        let thread = thread::Builder::new()
            .name("store-checkpoint".to_owned())
            .spawn(body)?;
        Ok(Self {
            wake,
            log,
            pages: 0,
            thread,
        })
    }

    /// The log that it folds.
    pub fn log(&self) -> &Log {
        &self.log
    }

    /// Whether the thread has not got to what it was last woken for.
    pub fn is_behind(&self) -> bool {
        self.wake.is_full()
    }

    /// Notes that a commit on `writer` has added about so many pages.
    pub fn committed(&mut self, writer: &Connection, pages: usize) {
        self.pages += pages;
        let is_long = self.log.is_long();
        let after = if is_long { HELP_AFTER } else { WAKE_AFTER };
        if self.pages < after {
            return;
        }
        self.pages = 0;
        if is_long {
            self.log.fold(writer);
        }
        // A thread that is still busy has been woken already.
        let _ = self.wake.try_send(());
    }

    /// Ends the thread.
    pub fn stop(self) {
        drop(self.wake);
        // A panic has been printed, and costs no more than a longer log.
        let _ = self.thread.join();
    }
}

/// Folds the log as far as it can without waiting for anybody, and returns how many of its pages are still needed. `None`
/// where that is not known: another connection is at it, or it has failed.
pub fn fold(connection: &Connection) -> Option<u32> {
    let pages = |row: &rusqlite::Row<'_>| -> rusqlite::Result<Option<(u32, u32)>> {
        let is_busy: bool = row.get(0)?;
        let pages = || Ok((row.get(1)?, row.get(2)?));
        (!is_busy).then(pages).transpose()
    };
    match connection.query_row("PRAGMA wal_checkpoint(PASSIVE)", [], pages) {
        Ok(Some((log, folded))) if log == folded => Some(0),
        Ok(pages) => pages.map(|(log, _)| log),
        Err(error) => {
            tracing::warn!(%error, "cannot fold the store's log into its database");
            None
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_log_is_long_as_long_as_an_older_state_is_read() {
        let directory = tempfile::tempdir().unwrap();
        let open = || Connection::open(directory.path().join("test.db")).unwrap();
        let (writer, reader) = (open(), open());
        let settings =
            "PRAGMA journal_mode = wal; PRAGMA synchronous = off; PRAGMA wal_autocheckpoint = 0;";
        writer.execute_batch(settings).unwrap();
        writer.execute_batch("CREATE TABLE t (x)").unwrap();
        let snapshot = reader.unchecked_transaction().unwrap();
        let count = "SELECT count(*) FROM t";
        assert_eq!(snapshot.query_row(count, [], |row| row.get(0)), Ok(0));
        let log = Log::default();
        for _ in 0..=LONGEST_LOG / 256 {
            // 256 pages, and some more.
            let insert = "INSERT INTO t VALUES (zeroblob(1048576))";
            writer.execute_batch(insert).unwrap();
        }
        for _ in 0..2 {
            log.fold(&writer);
            assert!(log.is_long());
        }
        drop(snapshot);
        log.fold(&writer);
        assert!(!log.is_long());
    }
}
