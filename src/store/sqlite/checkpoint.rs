//! The thread beside the writer: first it reads the hints, and then it folds the log into the database, so that no request
//! waits for either.

use std::ops::ControlFlow;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::mpsc::{RecvTimeoutError, SyncSender, sync_channel};
use std::thread::{self, JoinHandle};
use std::time::Instant;

use rusqlite::Connection;

use super::hints::Hints;

/// How many pages the writer adds to the log between two wake-ups, about.
const WAKE_AFTER: usize = 8_000;
/// The pages in the log past which the writer lends a hand, 64 MiB: while it goes on writing, the other thread never
/// reaches the log's end, and only at its end can the log start again from its beginning.
const LONGEST_LOG: u32 = 16_384;

/// The thread that folds, as the writer sees it.
pub struct Checkpointer {
    wake: SyncSender<()>,
    log_pages: Arc<AtomicU32>,
    pages: usize,
    thread: JoinHandle<()>,
}

impl Checkpointer {
    /// Starts the thread on a connection of its own.
    pub fn start(connection: Connection, hints: Hints) -> std::io::Result<Self> {
        let (wake, woken) = sync_channel(1);
        let log_pages = Arc::new(AtomicU32::new(0));
        let seen = Arc::clone(&log_pages);
        let body = move || {
            let fold = || seen.store(fold(&connection), Ordering::Relaxed);
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
            if let Err(error) = hints.read(&connection, between_parts) {
                tracing::warn!(%error, "cannot read where users lie; each is searched for in the index");
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
            log_pages,
            pages: 0,
            thread,
        })
    }

    /// Notes that a commit on `writer` has added about so many pages.
    pub fn committed(&mut self, writer: &Connection, pages: usize) {
        self.pages += pages;
        if self.pages < WAKE_AFTER {
            return;
        }
        self.pages = 0;
        if self.log_pages.load(Ordering::Relaxed) > LONGEST_LOG {
            self.log_pages.store(fold(writer), Ordering::Relaxed);
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

/// Moves what it can without waiting for anybody, and returns how many pages of the log are still needed.
pub fn fold(connection: &Connection) -> u32 {
    let pages = |row: &rusqlite::Row<'_>| Ok((row.get::<_, u32>(1)?, row.get::<_, u32>(2)?));
    match connection.query_row("PRAGMA wal_checkpoint(PASSIVE)", [], pages) {
        Ok((log, folded)) if log == folded => 0,
        Ok((log, _)) => log,
        Err(error) => {
            tracing::warn!(%error, "cannot fold the store's log into its database");
            0
        }
    }
}
