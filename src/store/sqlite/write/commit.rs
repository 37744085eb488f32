//! Applies each command of a batch, commits once and answers all: many requests share one wait for the disk (group
//! commit).

use std::time::Instant;

use rusqlite::{Connection, ErrorCode, TransactionBehavior};
use tracing::Span;

use super::apply::Rows;
use super::job::Job;
use super::population::{Forgotten, Population};
use super::untags;
use crate::domain::Applied;
use crate::store::sqlite::checkpoint::Checkpointer;
use crate::store::sqlite::error::ApplyError;
use crate::store::sqlite::format::{self, Rewriter};
use crate::store::sqlite::index::{Index, Lookup};
use crate::store::sqlite::log::changes::ChangeLog;
use crate::store::sqlite::log::{CompactionTrigger, Published, TombstoneLog, Uncommitted};
use crate::sync::thread;
use crate::telemetry::metrics::metrics;

/// The writer: the connection that writes, and what follows from each commit.
pub struct Writer {
    connection: Connection,
    checkpointer: Checkpointer,
    published: Published,
    tombstones: TombstoneLog,
    index: Index,
    population: Population,
    log: ChangeLog,
    /// The changes of the open transaction.
    changes: Uncommitted,
    /// Whether the last commit that had something to write has failed.
    last_commit_failed: bool,
}

/// The logs that the writer adds to, and where it publishes its tombstones.
pub struct Logs {
    pub tombstones: TombstoneLog,
    pub published: Published,
    pub changes: ChangeLog,
}

impl Writer {
    pub fn new(
        connection: Connection,
        checkpointer: Checkpointer,
        logs: Logs,
        index: Index,
        population: Population,
    ) -> Self {
        Self {
            connection,
            checkpointer,
            published: logs.published,
            tombstones: logs.tombstones,
            log: logs.changes,
            index,
            population,
            changes: Uncommitted::default(),
            last_commit_failed: false,
        }
    }

    /// Stops the threads beside it, and returns the connection.
    pub fn stop(mut self) -> Connection {
        if let Err(error) = self.log.save_position(&self.connection) {
            tracing::warn!(%error, "cannot write down how far the audit is: some lines will be repeated");
        }
        self.checkpointer.stop();
        self.connection
    }

    /// Commits a batch. Where that changes nothing, there is time for compaction, as long as nobody waits (`is_idle`).
    pub fn run(&mut self, batch: Vec<Job>, is_idle: impl Fn() -> bool) {
        // Readiness asks every second, so that this comes soon after the last change.
        let has_changes = batch.iter().any(Job::is_change);
        self.commit(batch);
        if !has_changes && !self.last_commit_failed {
            while is_idle() && (self.compact() || self.forget() || self.expire()) {}
            if is_idle() {
                // Where that fails, the next change tells.
                let _ = format::reserve_pages(&self.connection);
                self.checkpointer.idle(&self.connection);
            }
        }
    }

    /// Applies a batch in one transaction and answers. Where that fails, each job gets a transaction of its own, so
    /// that one that can't be written does not fail its neighbours.
    fn commit(&mut self, mut batch: Vec<Job>) {
        let changes = batch.iter().filter(|job| job.is_change()).count();
        let traced = batch.iter_mut().filter_map(|job| job.trace.as_mut());
        let spans: Vec<Span> = traced.filter_map(|change| change.commit(changes)).collect();
        let begun = Instant::now();
        if let Err(error) = self.connection.execute_batch("BEGIN IMMEDIATE") {
            // No job is at fault, and one by one each would wait for another program's lock again.
            self.refuse(batch, &error.into(), Applied::No);
            return;
        }
        let result = self.transact(Some(&mut batch));
        drop(spans);
        let metrics = &metrics().store;
        if changes > 0 {
            metrics.committed(begun.elapsed());
        }
        match result {
            Ok(()) => {
                if changes > 0 {
                    metrics.shared_commit(changes);
                }
                let has_written = self.changes.has_written();
                self.last_commit_failed &= !has_written;
                batch.into_iter().for_each(Job::answer);
                if has_written {
                    self.checkpointer.committed(&self.connection);
                }
            }
            Err((error, Applied::No)) if batch.len() > 1 => {
                let jobs = batch.len();
                metrics.retries.inc_by(changes as u64);
                tracing::warn!(%error, jobs, "a shared commit has failed; committing one by one");
                for job in batch {
                    self.commit(vec![job]);
                }
            }
            Err((error, applied)) => self.refuse(batch, &error, applied),
        }
    }

    fn refuse(&mut self, jobs: Vec<Job>, error: &ApplyError, applied: Applied) {
        self.last_commit_failed = true;
        if error.is_disk_full() {
            // Where that fails too, the next refusal tries again.
            self.checkpointer.make_room(&self.connection);
        }
        for job in jobs {
            job.fail(error.to_store_error(applied));
        }
    }

    /// Compacts some tombstones into their rows. Returns whether there is more to do now.
    fn compact(&mut self) -> bool {
        // What can't be checkpointed as fast makes the WAL longer.
        if self.checkpointer.is_behind()
            || !self.tombstones.has_rest(&self.published.newest().in_force)
        {
            return false;
        }
        let begun = self.connection.execute_batch("BEGIN IMMEDIATE");
        let begun = begun.map_err(|error| (error.into(), Applied::No));
        match begun.and_then(|()| self.transact(None)) {
            Ok(()) => {
                self.checkpointer.committed(&self.connection);
                self.tombstones.is_compacting()
            }
            Err((error, _)) => {
                // The tombstones stay, and are as durable as rows.
                tracing::warn!(%error, "cannot compact tombstones into their rows");
                false
            }
        }
    }

    /// Removes some of the deleted users that are gone for good. Returns whether there is more to do now.
    fn forget(&mut self) -> bool {
        if self.checkpointer.is_behind() {
            return false;
        }
        let forgotten = self.population.forget(&mut self.connection);
        let forgotten = forgotten.unwrap_or_else(|error| {
            // They stay, and nobody sees them.
            tracing::warn!(%error, "cannot remove deleted users that have expired");
            Forgotten::None
        });
        if forgotten != Forgotten::None {
            self.checkpointer.committed(&self.connection);
        }
        forgotten == Forgotten::Many
    }

    /// Deletes some of what has expired in the change log. Returns whether there is more to do now.
    fn expire(&mut self) -> bool {
        let now = self.population.now();
        if self.checkpointer.is_behind() || !self.log.has_expired(now) {
            return false;
        }
        self.log.begin(now);
        if let Err(error) = self.expire_some() {
            // It stays, and the next idle moment tries again.
            tracing::warn!(%error, "cannot delete what has expired in the change log");
            return false;
        }
        self.log.committed();
        self.checkpointer.committed(&self.connection);
        self.log.has_expired(now)
    }

    fn expire_some(&mut self) -> Result<(), ApplyError> {
        let behavior = TransactionBehavior::Immediate;
        let transaction = self.connection.transaction_with_behavior(behavior)?;
        self.log.expire(&transaction)?;
        Ok(transaction.commit()?)
    }

    /// Applies a batch in the open transaction, and ends that. Without a batch, there is time for compaction.
    fn transact(&mut self, batch: Option<&mut [Job]>) -> Result<(), (ApplyError, Applied)> {
        let result = self
            .apply_all(batch)
            .map_err(|error| (error, Applied::No))
            .and_then(|sequence| {
                let committed = self.connection.execute_batch("COMMIT");
                committed.map_err(after_commit)?;
                debug_assert!(
                    self.connection.is_autocommit(),
                    "published only once it is committed"
                );
                self.population.next_number = self.changes.next_number;
                self.tombstones.committed(sequence, &self.changes);
                self.log.committed();
                self.index.apply(self.changes.rows());
                let uncompacted = self.published.publish(sequence, self.changes.tombstones());
                metrics().store.set_uncompacted(uncompacted);
                Ok(())
            });
        if result.is_err() && !self.connection.is_autocommit() {
            // A failure here leaves the transaction open, and the next BEGIN says so.
            let _ = self.connection.execute_batch("ROLLBACK");
        }
        result
    }

    /// Applies all jobs. Returns the sequence of the newest tombstones. `Err` only where the transaction is lost; a job that is refused has
    /// changed nothing in it.
    fn apply_all(&mut self, batch: Option<&mut [Job]>) -> Result<i64, ApplyError> {
        let Self {
            connection,
            tombstones,
            changes,
            log,
            ..
        } = self;
        tombstones.begin(changes);
        changes.next_number = self.population.next_number;
        log.begin(self.population.now());
        let newest = self.published.newest();
        let mut trigger = CompactionTrigger::Idle;
        if let Some(batch) = batch {
            trigger = CompactionTrigger::Commit;
            let mut rows = Rows {
                connection,
                lookup: Lookup::new(connection, &self.index)?,
                rewriter: Rewriter::new(connection)?,
                in_force: &newest.in_force,
                log,
                touch: self.last_commit_failed,
            };
            let results = untags::look_up(&mut rows.lookup, batch)?;
            let mut rest = results.as_slice();
            for job in batch {
                let (results, others) = rest.split_at(job.targets());
                rest = others;
                rows.apply(job, results, changes)?;
            }
        }
        tombstones.compact(trigger, &newest.in_force, changes, connection, log)?;
        log.write(connection)?;
        Ok(tombstones.insert(connection, changes)?)
    }
}

/// A guard that ends the process with the first panic of its thread: nobody may go on with a store that
/// stopped half-way, but start again from what is on the disk.
pub struct AbortOnPanic;

impl Drop for AbortOnPanic {
    fn drop(&mut self) {
        if thread::panicking() {
            tracing::error!("the store's writer has panicked; ending the process");
            std::process::abort();
        }
    }
}

/// What a failed COMMIT may have done: after a full disk the WAL has no whole commit, and after any other failure it may have
/// one that reached the disk.
fn after_commit(error: rusqlite::Error) -> (ApplyError, Applied) {
    let full = error.sqlite_error_code() == Some(ErrorCode::DiskFull);
    (
        error.into(),
        if full { Applied::No } else { Applied::Maybe },
    )
}
