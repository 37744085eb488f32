//! The one thread that writes. It takes what has queued up, applies each command, commits once and answers all: many
//! requests share one wait for the disk (group commit).

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::thread;
use std::time::Instant;

use crossbeam_channel::Receiver;
use rusqlite::{Connection, ErrorCode};
use tokio::sync::{mpsc, oneshot};
use tracing::Span;

use super::apply::{Plan, Rewriter, plan_tag};
use super::checkpoint::{self, Checkpointer};
use super::error::ApplyError;
use super::folding::{NoteTable, Occasion, Uncommitted};
use super::hints::Hints;
use super::lookup::Lookup;
use super::readers::{self, Read};
use super::removals::{Logged, Published, Removals};
use super::schema::{self, DataDirectory};
use super::untags::{self, Sighting};
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

impl Job {
    fn is_change(&self) -> bool {
        !matches!(self.work, Work::Check)
    }

    fn untag(&self) -> Option<&UntagCommand> {
        match &self.work {
            Work::Untag(command) => Some(command),
            Work::Tag(_) | Work::Check => None,
        }
    }
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

/// What the thread works with.
pub struct Setup {
    pub directory: DataDirectory,
    pub connection: Connection,
    pub checkpointer: Connection,
    /// What those threads use that read, and what they take reads from.
    pub reading: Vec<Connection>,
    pub reads: Receiver<Read>,
    /// What the table of notes holds, and where what becomes of it is published.
    pub logged: Logged,
    pub published: Published,
    pub hints: Hints,
    pub jobs: mpsc::Receiver<Job>,
    /// As the options have them.
    pub batch: usize,
    pub unfolded: usize,
}

/// Starts the thread. It ends when the last sender is gone and what was queued is done.
pub fn start(setup: Setup) -> std::io::Result<()> {
    let Setup {
        directory,
        connection,
        checkpointer,
        reading,
        reads,
        logged,
        published,
        hints,
        jobs,
        batch,
        unfolded,
    } = setup;
    let mut checkpointer = Checkpointer::start(checkpointer, hints.clone())?;
    let readers = reading
        .into_iter()
        .map(|connection| readers::start(connection, reads.clone()))
        .collect::<std::io::Result<Vec<_>>>()?;
    let body = move || {
        match catch_unwind(AssertUnwindSafe(|| {
            let notes = NoteTable::new(&connection, &logged, unfolded)?;
            drop(logged);
            let mut writer = Writer::new(&connection, &mut checkpointer, notes, published, &hints)?;
            writer.run(jobs, batch);
            Ok::<_, rusqlite::Error>(())
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
        for reader in readers {
            let _ = reader.join();
        }
        // The lock goes last, after the connection has folded its log into the database.
        drop(connection);
        drop(directory);
    };
    thread::Builder::new()
        .name("store-writer".to_owned())
        .spawn(body)
        .map(drop)
}

struct Writer<'connection> {
    connection: &'connection Connection,
    checkpointer: &'connection mut Checkpointer,
    published: Published,
    notes: NoteTable<'connection>,
    lookup: Lookup<'connection>,
    rewriter: Rewriter<'connection>,
    /// Of the open transaction.
    changes: Uncommitted,
    last_commit_failed: bool,
}

impl<'connection> Writer<'connection> {
    fn new(
        connection: &'connection Connection,
        checkpointer: &'connection mut Checkpointer,
        notes: NoteTable<'connection>,
        published: Published,
        hints: &'connection Hints,
    ) -> rusqlite::Result<Self> {
        connection.pragma_update(None, "wal_autocheckpoint", 0)?;
        Ok(Self {
            connection,
            checkpointer,
            published,
            notes,
            lookup: Lookup::new(connection, hints)?,
            rewriter: Rewriter::new(connection)?,
            changes: Uncommitted::default(),
            last_commit_failed: false,
        })
    }

    fn run(&mut self, mut jobs: mpsc::Receiver<Job>, limit: usize) {
        let mut batch = Vec::with_capacity(limit);
        while jobs.blocking_recv_many(&mut batch, limit) > 0 {
            // A caller that is gone has passed its deadline, and is told that nothing is known of its change.
            batch.retain(|job| !job.reply.is_closed());
            let changes = batch.iter().any(Job::is_change);
            self.commit(std::mem::take(&mut batch));
            // Readiness asks every second, so that this comes soon after the last change.
            while !changes && !self.last_commit_failed && jobs.is_empty() && self.fold() {}
        }
    }

    /// Applies a batch in one transaction and answers. Where that fails, each job gets a transaction of its own, so
    /// that one that can't be written does not fail its neighbours.
    fn commit(&mut self, mut batch: Vec<Job>) {
        if batch.is_empty() {
            return;
        }
        let changes = batch.iter().filter(|job| job.is_change()).count();
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
                self.checkpointer
                    .committed(self.connection, self.changes.pages());
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

    /// Folds some notes into their rows. Returns whether there is more to do now.
    fn fold(&mut self) -> bool {
        if !self.notes.has_rest(&self.published.newest().removals) {
            return false;
        }
        let begun = self.connection.execute_batch("BEGIN IMMEDIATE");
        let begun = begun.map_err(|error| (error.into(), Applied::No));
        match begun.and_then(|()| self.transact(&[])) {
            Ok(_) => {
                self.checkpointer
                    .committed(self.connection, self.changes.pages());
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
    fn transact(&mut self, batch: &[Job]) -> Result<Vec<Outcome>, (ApplyError, Applied)> {
        let result = self
            .apply_all(batch)
            .map_err(|error| (error, Applied::No))
            .and_then(|(sequence, outcomes)| {
                let committed = self.connection.execute_batch("COMMIT");
                committed.map_err(after_commit)?;
                self.notes.committed(sequence, &self.changes);
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
    fn apply_all(&mut self, batch: &[Job]) -> Result<(i64, Vec<Outcome>), ApplyError> {
        self.notes.begin(&mut self.changes);
        let published = self.published.clone();
        let newest = published.newest();
        let removals = &newest.removals;
        let mut outcomes = Vec::with_capacity(batch.len());
        for run in batch.chunk_by(|job, next| job.untag().is_some() == next.untag().is_some()) {
            let untags = run.iter().filter_map(Job::untag);
            let sightings = untags::look_up(&mut self.lookup, untags, &self.changes, removals)?;
            let mut rest = sightings.as_slice();
            for job in run {
                let targets = job.untag().map_or(0, |command| command.targets.count());
                let (sightings, others) = rest.split_at(targets);
                outcomes.push(self.apply(&job.work, sightings, removals)?);
                rest = others;
            }
        }
        let occasion = if batch.is_empty() {
            Occasion::Idle
        } else {
            Occasion::Commit
        };
        self.notes.fold(
            occasion,
            removals,
            &mut self.changes,
            &mut self.lookup,
            &mut self.rewriter,
        )?;
        Ok((self.notes.insert(&self.changes)?, outcomes))
    }

    /// An untag comes with what there is of its targets.
    fn apply(
        &mut self,
        work: &Work,
        sightings: &[Sighting],
        removals: &Removals,
    ) -> Result<Outcome, ApplyError> {
        let Self {
            lookup, changes, ..
        } = self;
        let plan = match work {
            Work::Untag(command) => {
                untags::plan(command, sightings, changes).map_err(ApplyError::from)
            }
            Work::Tag(command) => plan_tag(lookup, command, |number| changes.of(number, removals)),
            Work::Check => {
                if self.last_commit_failed {
                    schema::touch(self.connection)?;
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
                for rewrite in &rewrites {
                    self.rewriter.write(rewrite)?;
                    changes.rewrote();
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

/// After a full disk the log has no whole commit; after any other failure it may have one that reached the disk.
fn after_commit(error: rusqlite::Error) -> (ApplyError, Applied) {
    let full = error.sqlite_error_code() == Some(ErrorCode::DiskFull);
    (
        error.into(),
        if full { Applied::No } else { Applied::Maybe },
    )
}
