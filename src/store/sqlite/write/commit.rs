//! Applies each command of a batch, commits once and answers all: many requests share one wait for the disk (group
//! commit).

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::Instant;

use rusqlite::{Connection, ErrorCode};
use tracing::Span;

use super::batch::Batch;
use super::job::{Job, Outcome, Work};
use super::plan::{Plan, plan_tag};
use super::untags::{self, Seen};
use crate::domain::{Applied, Changed};
use crate::store::StoreError;
use crate::store::sqlite::checkpoint::Checkpointer;
use crate::store::sqlite::error::ApplyError;
use crate::store::sqlite::format::{self, Rewriter, RowReader};
use crate::store::sqlite::index::{Known, Lookup};
use crate::store::sqlite::log::{NoteTable, Occasion, Published, Removals, Uncommitted};
use crate::telemetry::metrics::metrics;

/// What it takes to write.
pub struct Writer {
    connection: Connection,
    checkpointer: Checkpointer,
    published: Published,
    notes: NoteTable,
    known: Known,
    /// How many turns are over.
    over: Arc<AtomicU64>,
    /// Of the open transaction.
    changes: Uncommitted,
    /// Whether the last commit that had something to write has failed.
    last_commit_failed: bool,
}

impl Writer {
    pub fn new(
        connection: Connection,
        checkpointer: Checkpointer,
        notes: NoteTable,
        published: Published,
        known: Known,
        over: Arc<AtomicU64>,
    ) -> Self {
        Self {
            connection,
            checkpointer,
            published,
            notes,
            known,
            over,
            changes: Uncommitted::default(),
            last_commit_failed: false,
        }
    }

    /// Stops the threads beside it, and returns the connection.
    pub fn stop(self) -> Connection {
        self.checkpointer.stop();
        self.connection
    }

    /// Commits a batch. Where that changes nothing, there is time to fold notes, as long as nobody waits (`is_idle`).
    pub fn turn(&mut self, batch: Batch, is_idle: impl Fn() -> bool) {
        // Before the lock is gone, and the next turn begins.
        let _whole = Whole;
        let turn = self.over.load(Ordering::Relaxed) + 1;
        self.changes.rewrites.begin(turn);
        // Readiness asks every second, so that this comes soon after the last change.
        let has_changes = batch.jobs.iter().any(Job::is_change);
        self.commit(batch);
        if !has_changes && !self.last_commit_failed {
            while is_idle() && self.fold() {}
            if is_idle() {
                self.checkpointer.idle(&self.connection);
            }
        }
        self.over.store(turn, Ordering::Release);
    }

    /// Applies a batch in one transaction and answers. Where that fails, each job gets a transaction of its own, so
    /// that one that can't be written does not fail its neighbours.
    fn commit(&mut self, mut batch: Batch) {
        let jobs = &mut batch.jobs;
        let changes = jobs.iter().filter(|job| job.is_change()).count();
        let traced = jobs.iter_mut().filter_map(|job| job.trace.as_mut());
        let spans: Vec<Span> = traced.filter_map(|change| change.commit(changes)).collect();
        let begun = Instant::now();
        if let Err(error) = self.connection.execute_batch("BEGIN IMMEDIATE") {
            // No job is at fault, and one by one each would wait for another program's lock again.
            self.refuse(batch.jobs, &error.into(), Applied::No);
            return;
        }
        let result = self.transact(Some(&mut batch));
        drop(spans);
        let metrics = &metrics().store;
        if changes > 0 {
            metrics.committed(begun.elapsed());
        }
        match result {
            Ok(outcomes) => {
                if changes > 0 {
                    metrics.shared_commit(changes);
                }
                let has_written = self.changes.has_written();
                self.last_commit_failed &= !has_written;
                for (job, outcome) in batch.jobs.into_iter().zip(outcomes) {
                    // Whoever has gone meanwhile needs no answer.
                    let _ = job.reply.send(outcome);
                }
                if has_written {
                    self.checkpointer.committed(&self.connection);
                }
            }
            Err((error, Applied::No)) if batch.jobs.len() > 1 => {
                let jobs = batch.jobs.len();
                metrics.retries.inc_by(changes as u64);
                tracing::warn!(%error, jobs, "a shared commit has failed; committing one by one");
                for job in batch.jobs {
                    self.commit(job.into());
                }
            }
            Err((error, applied)) => self.refuse(batch.jobs, &error, applied),
        }
    }

    fn refuse(&mut self, jobs: Vec<Job>, error: &ApplyError, applied: Applied) {
        self.last_commit_failed = true;
        if error.is_disk_full() {
            // Where that fails too, the next refusal tries again.
            self.checkpointer.make_room(&self.connection);
        }
        for job in jobs {
            let _ = job.reply.send(Err(error.to_store_error(applied)));
        }
    }

    /// Folds some notes into their rows. Returns whether there is more to do now.
    fn fold(&mut self) -> bool {
        // What the log can't be rid of as fast makes it longer.
        if self.checkpointer.is_behind() || !self.notes.has_rest(&self.published.newest().removals)
        {
            return false;
        }
        let begun = self.connection.execute_batch("BEGIN IMMEDIATE");
        let begun = begun.map_err(|error| (error.into(), Applied::No));
        match begun.and_then(|()| self.transact(None)) {
            Ok(_) => {
                self.checkpointer.committed(&self.connection);
                self.notes.is_sweeping()
            }
            Err((error, _)) => {
                // The notes stay, and are as durable as rows.
                tracing::warn!(%error, "cannot fold removals into their rows");
                false
            }
        }
    }

    /// Applies a batch in the open transaction, and ends that. Without a batch, there is time to fold notes.
    fn transact(
        &mut self,
        batch: Option<&mut Batch>,
    ) -> Result<Vec<Outcome>, (ApplyError, Applied)> {
        let result = self
            .apply_all(batch)
            .map_err(|error| (error, Applied::No))
            .and_then(|(sequence, outcomes)| {
                let committed = self.connection.execute_batch("COMMIT");
                committed.map_err(after_commit)?;
                self.notes.committed(sequence, &self.changes);
                self.known.roster.wrote(self.changes.rewritten());
                let unfolded = self.published.publish(sequence, self.changes.notes());
                metrics().store.set_unfolded(unfolded);
                Ok(outcomes)
            });
        if result.is_err() && !self.connection.is_autocommit() {
            // A failure here leaves the transaction open, and the next BEGIN says so.
            let _ = self.connection.execute_batch("ROLLBACK");
        }
        result
    }

    /// Returns the sequence of the newest notes too. `Err` only where the transaction is lost; a job that is refused has
    /// changed nothing in it.
    fn apply_all(&mut self, batch: Option<&mut Batch>) -> Result<(i64, Vec<Outcome>), ApplyError> {
        let Self {
            connection,
            notes,
            changes,
            ..
        } = self;
        notes.begin(changes);
        let newest = self.published.newest();
        let mut rows = Rows {
            connection,
            lookup: Lookup::new(connection, &self.known)?,
            rewriter: Rewriter::new(connection)?,
            removals: &newest.removals,
            touch: self.last_commit_failed,
        };
        let mut outcomes = Vec::new();
        let mut occasion = Occasion::Idle;
        if let Some(batch) = batch {
            occasion = Occasion::Commit;
            batch.look_up(&mut rows.lookup, self.over.load(Ordering::Relaxed))?;
            for (job, seen) in batch.each() {
                outcomes.push(rows.apply(job, &seen, changes)?);
            }
        }
        notes.fold(
            connection,
            occasion,
            rows.removals,
            changes,
            &mut RowReader::new(connection)?,
            &mut rows.rewriter,
        )?;
        Ok((notes.insert(connection, changes)?, outcomes))
    }
}

/// The rows as a transaction finds them.
struct Rows<'connection> {
    connection: &'connection Connection,
    lookup: Lookup<'connection>,
    rewriter: Rewriter<'connection>,
    removals: &'connection Removals,
    /// Whether a check has to write.
    touch: bool,
}

impl Rows<'_> {
    /// An untag comes with what was seen of its targets.
    fn apply(
        &mut self,
        job: &Job,
        seen: &Seen<'_>,
        changes: &mut Uncommitted,
    ) -> Result<Outcome, ApplyError> {
        let Self {
            lookup, removals, ..
        } = self;
        let plan = match &job.work {
            // Nobody waits for the answer.
            _ if job.is_abandoned() => return Ok(Err(StoreError::stopped(Applied::No))),
            Work::Untag(command) => untags::plan(command, seen, lookup, changes, removals),
            Work::Tag(command) => plan_tag(lookup, command, |number| changes.of(number, removals)),
            Work::Check => {
                if self.touch {
                    format::touch(self.connection)?;
                    changes.touched();
                }
                return Ok(Ok(Changed::count(0, 0)));
            }
        };
        match plan {
            Ok(Plan {
                answer,
                notes,
                rewrites,
            }) => {
                for rewrite in rewrites {
                    self.rewriter.write(&rewrite)?;
                    changes.rewrote(rewrite);
                }
                for note in notes {
                    changes.note(note);
                }
                Ok(answer)
            }
            Err(error @ ApplyError::Tags(_)) => Ok(Err(error.to_store_error(Applied::No))),
            Err(error) => Err(error),
        }
    }
}

/// Ends the process with the first panic: nobody may go on with a store that stopped half-way, but start again from what is
/// on the disk.
pub struct Whole;

impl Drop for Whole {
    fn drop(&mut self) {
        if thread::panicking() {
            tracing::error!("the store's writer has panicked; ending the process");
            std::process::abort();
        }
    }
}

/// After a full disk the log has no whole commit; after any other failure it may have one that reached the disk.
fn after_commit(error: rusqlite::Error) -> (ApplyError, Applied) {
    let full = error.sqlite_error_code() == Some(ErrorCode::DiskFull);
    (
        error.into(),
        if full { Applied::No } else { Applied::Maybe },
    )
}
