//! The thread that writes the lines of changes, from the entries of the change log.

use std::io;
use std::sync::mpsc::RecvTimeoutError;
use std::sync::{Arc, OnceLock};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use super::backlog::Backlog;
use super::made;
use crate::store::{CommittedChanges, NextChanges};
use crate::telemetry::metrics::metrics;
use crate::telemetry::{Flush, LineSender, SECURITY, Written, lost_marker, wait_for};

/// How long lines may be written without being on the disk, and how many bytes of them: a crash repeats them. Each wait for the disk
/// holds up the commits of a store beside it.
const SYNC_AFTER: Duration = Duration::from_secs(1);
const SYNC_BYTES: usize = 8 << 20;
/// How long the thread pauses where it has written few lines, so that the next ones are more.
const PAUSE: Duration = Duration::from_millis(5);
const FEW_BYTES: usize = 64 * 1024;
/// How often it says how much it is behind, and looks whether it is to end, while lines can't be written.
const LOOK_AROUND: Duration = Duration::from_millis(100);
/// The pause before it tries again what has failed.
const RETRY_PAUSE: Duration = Duration::from_secs(1);
/// How long it sleeps where nothing is committed.
const IDLE: Duration = Duration::from_mins(1);

/// The thread that writes the lines of changes.
#[derive(Debug)]
pub struct Follower {
    thread: JoinHandle<()>,
    end: Arc<OnceLock<Instant>>,
}

impl Follower {
    /// Starts the thread. `lines` takes the lines, and `backlog` gets how much they are behind.
    ///
    /// # Errors
    /// What the system says.
    pub(super) fn start(
        changes: impl CommittedChanges,
        lines: LineSender,
        backlog: Backlog,
    ) -> io::Result<Self> {
        let end = Arc::new(OnceLock::new());
        let mut work = Work {
            changes,
            lines,
            backlog,
            end: Arc::clone(&end),
            unsynced: 0,
            synced: None,
            failure: String::new(),
        };
        let thread = thread::Builder::new()
            .name("audit-changes".to_owned())
            .spawn(move || while work.step() {})?;
        Ok(Self { thread, end })
    }

    /// Ends the thread once it has written the lines of what is committed, but waits no longer than `patience`. The lines that are
    /// missing then are written when the service starts again.
    pub fn finish(self, patience: Duration) {
        let end = Instant::now() + patience;
        let _ = self.end.set(end);
        self.thread.thread().unpark();
        wait_for(&self.thread, patience);
    }
}

struct Work<C> {
    changes: C,
    lines: LineSender,
    backlog: Backlog,
    /// The time to have ended by, once it is set.
    end: Arc<OnceLock<Instant>>,
    /// How many bytes of lines may not be on the disk, and when all were there.
    unsynced: usize,
    synced: Option<Instant>,
    /// Why the changes can't be read, so that it is logged once.
    failure: String,
}

impl<C: CommittedChanges> Work<C> {
    /// Writes the lines of the next changes, or waits for some. Returns whether to go on.
    fn step(&mut self) -> bool {
        let is_ending = self.end.get().is_some();
        let next = match self.changes.next() {
            Ok(next) => next,
            Err(error) => {
                self.failed(&error.to_string());
                self.changes.wait(RETRY_PAUSE);
                return !is_ending;
            }
        };
        self.failure.clear();
        if !next.is_empty() {
            return self.write(&next);
        }
        self.backlog.set(self.changes.bytes_behind());
        if self.unsynced == 0 {
            if !is_ending {
                self.changes.wait(IDLE);
            }
            return !is_ending;
        }
        let left = self.until_sync();
        if is_ending || left.is_zero() {
            return self.keep(Vec::new(), Flush::Now);
        }
        self.changes.wait(left);
        true
    }

    /// How long the disk is left alone.
    fn until_sync(&self) -> Duration {
        let left = |synced: Instant| SYNC_AFTER.saturating_sub(synced.elapsed());
        self.synced.map_or(Duration::ZERO, left)
    }

    fn write(&mut self, next: &NextChanges) -> bool {
        let mut text = Vec::new();
        if next.lost > 0 {
            metrics().server.audit_lines_lost.inc_by(next.lost);
            tracing::error!(
                target: SECURITY,
                lines = next.lost,
                "changes are gone from the change log, or can't be read, before they had their audit lines"
            );
            text.extend_from_slice(lost_marker(next.lost).as_bytes());
        }
        for change in &next.changes {
            text.extend_from_slice(made::text(change).as_bytes());
            text.push(b'\n');
        }
        let few = text.len() < FEW_BYTES;
        self.unsynced += text.len();
        let is_due = self.unsynced >= SYNC_BYTES || self.until_sync().is_zero();
        let go_on = self.keep(text, if is_due { Flush::Now } else { Flush::Later });
        if go_on && few && self.end.get().is_none() {
            thread::sleep(PAUSE);
        }
        go_on
    }

    /// Hands over lines and waits until they are written. Returns whether to go on.
    fn keep(&mut self, text: Vec<u8>, flush: Flush) -> bool {
        let answer = self.lines.keep(text, flush);
        let written = loop {
            match answer.recv_timeout(LOOK_AROUND) {
                Ok(written) => break written,
                Err(RecvTimeoutError::Disconnected) => return false,
                Err(RecvTimeoutError::Timeout) => {}
            }
            self.backlog.set(self.changes.bytes_behind());
            let is_over = |end: &Instant| self.lines.problem().is_some() || Instant::now() >= *end;
            if self.end.get().is_some_and(is_over) {
                return false;
            }
        };
        match (written, flush) {
            (Written::Yes, Flush::Later) => {}
            (Written::Yes, Flush::Now) => {
                self.changes.written();
                (self.unsynced, self.synced) = (0, Some(Instant::now()));
            }
            (Written::Doubtful, _) => {
                self.changes.rewind();
                self.unsynced = 0;
                self.changes.wait(RETRY_PAUSE);
            }
        }
        self.backlog.set(self.changes.bytes_behind());
        written == Written::Yes || self.end.get().is_none()
    }

    fn failed(&mut self, failure: &str) {
        if failure != self.failure {
            tracing::error!(target: SECURITY, failure, "the change log can't be read for the audit");
            failure.clone_into(&mut self.failure);
        }
    }
}
