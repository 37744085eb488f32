//! The thread beside the writer: first it fills the index, and then it checkpoints the write-ahead log
//! (WAL), so that no request waits for either. While the writer goes on, the thread never reaches the WAL's end, where alone
//! the WAL can begin anew: past its limit the writer brings it to its end itself.

use std::ops::ControlFlow;
use std::time::{Duration, Instant};

use rusqlite::Connection;

use super::index::Index;
use super::wal::{End, Ended, Wal};
use crate::sync::crossbeam_channel::{self, RecvTimeoutError, Sender};
use crate::sync::thread::{self, JoinHandle};

/// How many pages the writer adds to the WAL between two wake-ups.
const WAKE_AFTER: u32 = 8_000;
/// The number of steps in which the WAL goes from its limit to twice that: after each, the writer tries to let it begin anew.
const STEPS: u32 = 16;
/// How long the writer waits after each step for those who read: a list of this process ends in time.
const PATIENCE: Duration = Duration::from_millis(250);
/// The number of batches without a change after which the WAL is truncated: readiness asks every second.
const IDLE_BATCHES: u32 = 5;

/// The writer's handle to the thread that checkpoints.
pub struct Checkpointer {
    wake: Sender<()>,
    wal: Wal,
    /// How long the WAL was when the thread was last woken, and when the writer last tried to let it begin anew.
    woken_at: u32,
    tried_at: u32,
    /// The length from which on the log names the reader that keeps the WAL.
    warn_at: u32,
    idle_batches: u32,
    thread: JoinHandle<()>,
}

impl Checkpointer {
    /// Starts the thread on a connection of its own.
    pub fn start(connection: Connection, wal: Wal, index: Index) -> std::io::Result<Self> {
        let (wake, woken) = crossbeam_channel::bounded(1);
        let shared = wal.clone();
        let body = move || {
            let checkpoint = || shared.checkpoint(&connection);
            // What a crash has left.
            checkpoint();
            let mut begun = Instant::now();
            // As long as it has read, it leaves the processor to the requests.
            let between_parts = || {
                match woken.recv_timeout(begun.elapsed()) {
                    Ok(()) => checkpoint(),
                    Err(RecvTimeoutError::Timeout) => {}
                    Err(RecvTimeoutError::Disconnected) => return ControlFlow::Break(()),
                }
                begun = Instant::now();
                ControlFlow::Continue(())
            };
            if let Err(error) = index.fill(&connection, between_parts) {
                tracing::warn!(%error, "cannot fill the whole index; the other users are searched for");
            }
            while woken.recv().is_ok() {
                checkpoint();
            }
        };
        let thread = thread::Builder::new()
            .name("store-checkpoint".to_owned())
            .spawn(body)?;
        let mut checkpointer = Self {
            wake,
            wal,
            woken_at: 0,
            tried_at: 0,
            warn_at: 0,
            idle_batches: 0,
            thread,
        };
        checkpointer.begun_anew();
        Ok(checkpointer)
    }

    /// Whether the thread has not got to what it was last woken for.
    pub fn is_behind(&self) -> bool {
        self.wake.is_full()
    }

    /// Keeps the WAL within its bound after a commit.
    pub fn committed(&mut self, writer: &Connection) {
        self.idle_batches = 0;
        let Ok(extent) = Wal::measure(writer) else {
            // The next commit tells.
            return;
        };
        let pages = extent.pages;
        if pages < self.woken_at {
            // Nobody has read an older state, and the WAL has begun anew by itself.
            self.begun_anew();
        }
        if pages >= self.tried_at + self.step() {
            self.try_to_begin_anew(writer, pages);
        } else if pages - self.woken_at >= WAKE_AFTER {
            self.woken_at = pages;
            self.wake();
        }
    }

    /// Makes room in the WAL for the next commit, on a disk that is full.
    pub fn make_room(&self, writer: &Connection) {
        self.wal.checkpoint(writer);
    }

    /// Truncates the WAL, where there has been nothing to write for a while.
    pub fn idle(&mut self, writer: &Connection) {
        self.idle_batches += 1;
        if self.idle_batches < IDLE_BATCHES || self.wal.bytes() == 0 {
            return;
        }
        let Ok(extent) = Wal::measure(writer) else {
            return;
        };
        if extent.checkpointed < extent.pages {
            // A change that comes now does not wait for that.
            self.wake();
        } else if let Ok(Ended::Yes) = self.wal.end(writer, End::Truncate, Duration::ZERO) {
            self.begun_anew();
        }
    }

    /// Ends the thread.
    pub fn stop(self) {
        drop(self.wake);
        // A panic has been printed, and costs no more than a longer WAL.
        let _ = self.thread.join();
    }

    fn step(&self) -> u32 {
        self.wal.limit() / STEPS
    }

    fn wake(&self) {
        // A thread that is still busy has been woken already.
        let _ = self.wake.try_send(());
    }

    /// Starts the count of pages again, once the WAL has begun anew.
    fn begun_anew(&mut self) {
        self.woken_at = 0;
        self.tried_at = self.wal.limit().saturating_sub(self.step());
        self.warn_at = 2 * self.wal.limit();
    }

    /// Lets the WAL begin anew, and waits the longer for those who read the more was written. Past twice the limit nobody waits any more for a reader that
    /// has stalled.
    fn try_to_begin_anew(&mut self, writer: &Connection, pages: u32) {
        let steps = (pages - self.tried_at) / self.step().max(1);
        let patience = if pages < 2 * self.wal.limit() {
            PATIENCE * steps
        } else {
            Duration::ZERO
        };
        self.tried_at = pages;
        match self.wal.end(writer, End::BeginAnew, patience) {
            Ok(Ended::Yes) => self.begun_anew(),
            Ok(Ended::HeldByReader) if pages >= self.warn_at => {
                self.warn_at = 2 * pages;
                let (bytes, readers) = (self.wal.bytes(), self.wal.readers());
                tracing::warn!(
                    bytes,
                    readers,
                    "a reader keeps the write-ahead log from beginning anew; end it"
                );
            }
            Ok(Ended::HeldByReader) => {}
            Err(error) => tracing::warn!(%error, "cannot let the write-ahead log begin anew"),
        }
    }
}
