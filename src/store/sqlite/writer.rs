//! The one thread that writes. It takes what has queued up, applies each command, commits once and answers all: many
//! requests share one wait for the disk (group commit).

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::thread;
use std::time::Instant;

use rusqlite::{Connection, ErrorCode};
use tokio::sync::{mpsc, oneshot};
use tracing::Span;

use super::apply::{Lookup, Rewriter};
use super::checkpoint::{self, Checkpointer};
use super::error::ApplyError;
use super::schema::{self, DataDirectory};
use crate::domain::{Applied, Changed, TagCommand, UntagCommand};
use crate::store::StoreError;
use crate::telemetry::metrics::metrics;
use crate::telemetry::trace::Change;

/// Something for the writer to do, and where the answer goes.
pub struct Job {
    pub work: Work,
    pub reply: oneshot::Sender<Outcome>,
    /// Where the job stands, for whoever traces it. A check has none.
    pub trace: Option<Change>,
}

/// What came of a job.
pub type Outcome = Result<Changed, StoreError>;

/// What there is to do.
pub enum Work {
    Untag(Arc<UntagCommand>),
    Tag(Arc<TagCommand>),
    /// Find out whether commits get through.
    Check,
}

/// Starts the thread, in which up to `batch` jobs share a commit. It ends when the last sender is gone and what was
/// queued is done.
pub fn start(
    directory: DataDirectory,
    connection: Connection,
    checkpointer: Connection,
    jobs: mpsc::Receiver<Job>,
    batch: usize,
) -> std::io::Result<()> {
    let mut checkpointer = Checkpointer::start(checkpointer)?;
    let body = move || {
        match catch_unwind(AssertUnwindSafe(|| {
            run(&connection, &mut checkpointer, jobs, batch)
        })) {
            Ok(Ok(())) => {}
            Ok(Err(error)) => tracing::error!(%error, "the store's writer could not start"),
            Err(_) => {
                // Nobody may go on with a store that stopped half-way: start again from what is on the disk.
                tracing::error!("the store's writer has panicked; ending the process");
                std::process::abort();
            }
        }
        checkpointer.stop();
        // The lock goes last, after the connection has folded its log into the database.
        drop(connection);
        drop(directory);
    };
    thread::Builder::new()
        .name("store-writer".to_owned())
        .spawn(body)
        .map(drop)
}

fn run(
    connection: &Connection,
    checkpointer: &mut Checkpointer,
    mut jobs: mpsc::Receiver<Job>,
    limit: usize,
) -> rusqlite::Result<()> {
    connection.pragma_update(None, "wal_autocheckpoint", 0)?;
    let mut writer = Writer {
        connection,
        checkpointer,
        changed_rows: 0,
        lookup: Lookup::new(connection)?,
        rewriter: Rewriter::new(connection)?,
        last_commit_failed: false,
    };
    let mut batch = Vec::with_capacity(limit);
    while jobs.blocking_recv_many(&mut batch, limit) > 0 {
        // A caller that is gone has passed its deadline, and is told that nothing is known of its change.
        batch.retain(|job| !job.reply.is_closed());
        writer.commit(std::mem::take(&mut batch));
    }
    Ok(())
}

struct Writer<'connection> {
    connection: &'connection Connection,
    checkpointer: &'connection mut Checkpointer,
    changed_rows: usize,
    lookup: Lookup<'connection>,
    rewriter: Rewriter<'connection>,
    last_commit_failed: bool,
}

impl Writer<'_> {
    /// Applies a batch in one transaction and answers. Where that fails, each job gets a transaction of its own, so
    /// that one that can't be written does not fail its neighbours.
    fn commit(&mut self, mut batch: Vec<Job>) {
        if batch.is_empty() {
            return;
        }
        let changes = batch.iter().filter(|job| !matches!(job.work, Work::Check));
        let changes = changes.count();
        let traced = batch.iter_mut().filter_map(|job| job.trace.as_mut());
        let spans: Vec<Span> = traced.filter_map(|change| change.commit(changes)).collect();
        let begun = Instant::now();
        if let Err(error) = self.connection.execute_batch("BEGIN IMMEDIATE") {
            // No job is at fault, and one by one each would wait for another program's lock again.
            self.refuse(batch, &error.into(), Applied::No);
            return;
        }
        let result = self.transact(&batch);
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
                self.last_commit_failed = false;
                for (job, outcome) in batch.into_iter().zip(outcomes) {
                    // Whoever has gone meanwhile needs no answer.
                    let _ = job.reply.send(outcome);
                }
                let changed_rows = std::mem::take(&mut self.changed_rows);
                self.checkpointer.committed(self.connection, changed_rows);
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

    fn refuse(&mut self, batch: Vec<Job>, error: &ApplyError, applied: Applied) {
        self.last_commit_failed = true;
        if error.is_disk_full() {
            // Folding the log into the database makes room in the log for the next commit. Where that fails too, the
            // next refusal tries again.
            checkpoint::fold(self.connection);
        }
        for job in batch {
            let _ = job.reply.send(Err(error.to_store_error(applied)));
        }
    }

    /// Applies a batch in the open transaction, and ends that.
    fn transact(&mut self, batch: &[Job]) -> Result<Vec<Outcome>, (ApplyError, Applied)> {
        self.changed_rows = 0;
        let applied: Result<Vec<_>, _> = batch.iter().map(|job| self.apply(&job.work)).collect();
        let result = applied
            .map_err(|error| (error, Applied::No))
            .and_then(|outcomes| {
                let committed = self.connection.execute_batch("COMMIT");
                committed.map_err(after_commit).map(|()| outcomes)
            });
        if result.is_err() && !self.connection.is_autocommit() {
            // A failure here leaves the transaction open, and the next BEGIN says so.
            let _ = self.connection.execute_batch("ROLLBACK");
        }
        result
    }

    /// `Err` only where the transaction is lost; a job that is refused has changed nothing in it.
    fn apply(&mut self, work: &Work) -> Result<Outcome, ApplyError> {
        let (account, plan) = match work {
            Work::Untag(command) => (&command.account, self.lookup.plan_untag(command)),
            Work::Tag(command) => (&command.account, self.lookup.plan_tag(command)),
            Work::Check => {
                if self.last_commit_failed {
                    schema::touch(self.connection)?;
                }
                return Ok(Ok(Changed::count(0, 0)));
            }
        };
        match plan {
            Ok(plan) => {
                self.rewriter.write(account, &plan.rewrites)?;
                self.changed_rows += plan.rewrites.len();
                Ok(plan.answer)
            }
            Err(error @ ApplyError::Tags(_)) => Ok(Err(error.to_store_error(Applied::No))),
            Err(error) => Err(error),
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
