//! The threads that write, and the queue that they take jobs from. One at a time commits. As long as there is little to look up,
//! the same thread takes what is queued and does all of it. Where there is much, another goes on with the queue meanwhile, and
//! only the commits come one after the other: nine tenths of a large untag are its search for the records.

use std::convert::Infallible;
use std::ops::ControlFlow;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::thread::{self, JoinHandle};

use crossbeam_channel::{Receiver, Sender};
use parking_lot::Mutex;
use rusqlite::Connection;
use tokio::sync::mpsc;

use super::batch::Batch;
use super::commit::{AbortOnPanic, Writer};
use super::job::Job;
use crate::store::sqlite::checkpoint::Checkpointer;
use crate::store::sqlite::format::DataDirectory;
use crate::store::sqlite::index::{Index, Lookup};
use crate::store::sqlite::log::{Published, StoredTombstones, TombstoneLog};
use crate::store::sqlite::options::Options;
use crate::store::sqlite::wal::Wal;

const NAME: &str = "store-writer";
/// How many rows the jobs of a commit may name before it takes no more: bounds how much it adds to the WAL.
const MOST_ROWS: usize = 2048;

/// All that the threads that write work with.
pub struct Setup {
    pub options: Options,
    pub directory: DataDirectory,
    pub connection: Connection,
    /// One for each thread that writes, for what it looks up before it commits.
    pub ahead: Vec<Connection>,
    pub checkpointer: Connection,
    pub wal: Wal,
    /// The threads that read, which end before the connection that writes.
    pub readers: Vec<JoinHandle<()>>,
    /// What the table of tombstones holds, and where what becomes of it is published.
    pub stored: StoredTombstones,
    pub published: Published,
    pub index: Index,
    pub jobs: mpsc::Receiver<Job>,
    /// Checks, which pass what is queued. A job that wakes a thread follows each.
    pub checks: Receiver<Job>,
    /// A sender that is dropped when the store is closed.
    pub closed: Sender<Infallible>,
}

/// Starts the threads. They end when the last sender is gone and what was queued is done.
pub fn start(setup: Setup) -> std::io::Result<()> {
    let checkpointer =
        Checkpointer::start(setup.checkpointer, setup.wal.clone(), setup.index.clone())?;
    let completed = Arc::new(AtomicU64::new(0));
    let writer = Writer::new(
        setup.connection,
        checkpointer,
        TombstoneLog::new(&setup.stored, setup.options.uncompacted),
        setup.published,
        setup.index.clone(),
        Arc::clone(&completed),
    );
    drop(setup.stored);
    let queue = Queue {
        options: setup.options,
        index: setup.index,
        jobs: Mutex::new(setup.jobs),
        checks: setup.checks,
        preparing: AtomicUsize::new(0),
        wal: setup.wal.clone(),
        completed,
        writer: Mutex::new(writer),
    };
    let (directory, ahead, wal) = (setup.directory, setup.ahead, setup.wal);
    let readers = setup.readers;
    let closed = setup.closed;
    let body = move || {
        thread::scope(|scope| {
            for connection in ahead {
                let queue = &queue;
                let thread = thread::Builder::new().name(NAME.to_owned());
                let started = thread.spawn_scoped(scope, move || queue.run(&connection));
                if let Err(error) = started {
                    tracing::error!(%error, "cannot start a thread that writes");
                }
            }
        });
        let connection = queue.writer.into_inner().stop();
        for reader in readers {
            let _ = reader.join();
        }
        if let Err(error) = wal.close(connection) {
            tracing::warn!(%error, "the database is not whole without its write-ahead log");
        }
        // The lock goes last, and whoever waits for the end is told.
        drop(directory);
        drop(closed);
    };
    thread::Builder::new()
        .name(NAME.to_owned())
        .spawn(body)
        .map(drop)
}

struct Queue {
    options: Options,
    index: Index,
    jobs: Mutex<mpsc::Receiver<Job>>,
    checks: Receiver<Job>,
    /// How many threads look up what they are going to commit.
    preparing: AtomicUsize,
    wal: Wal,
    /// The last commit epoch that is completed.
    completed: Arc<AtomicU64>,
    /// A fair lock: a thread that commits one small batch after the other must not keep those out that are prepared.
    writer: Mutex<Writer>,
}

impl Queue {
    fn run(&self, ahead: &Connection) {
        let _guard = AbortOnPanic;
        while self.work(ahead).is_continue() {}
    }

    /// Commits small batches until there is a large one, lets another thread go on with the queue, and commits that too.
    /// Breaks when no more jobs can come.
    fn work(&self, ahead: &Connection) -> ControlFlow<()> {
        let mut jobs = self.jobs.lock();
        let mut batch = loop {
            let Some(first) = jobs.blocking_recv() else {
                return ControlFlow::Break(());
            };
            let mut batch = Batch::from(first);
            self.fill(&mut batch, &mut jobs);
            if self.is_large(&batch) {
                break batch;
            }
            let mut writer = self.writer.lock();
            // What has come while this thread waited.
            self.fill(&mut batch, &mut jobs);
            if self.is_large(&batch) {
                break batch;
            }
            self.add_checks(&mut batch);
            writer.run(batch, || {
                jobs.is_empty() && self.preparing.load(Ordering::Acquire) == 0
            });
        };
        self.preparing.fetch_add(1, Ordering::AcqRel);
        drop(jobs);
        if let Err(error) = self.look_up(&mut batch, ahead) {
            // Before its commit it is tried again, and answered.
            tracing::warn!(%error, "cannot look up ahead of a commit");
        }
        let mut writer = self.writer.lock();
        self.preparing.fetch_sub(1, Ordering::AcqRel);
        self.add_checks(&mut batch);
        writer.run(batch, || false);
        ControlFlow::Continue(())
    }

    /// Lets the checks that wait share the next commit, whatever is queued before it.
    fn add_checks(&self, batch: &mut Batch) {
        self.checks.try_iter().for_each(|check| batch.add(check));
    }

    fn is_large(&self, batch: &Batch) -> bool {
        batch.targets() > self.options.few_targets
    }

    /// Adds what is queued to a batch: all of it, or this thread's part where that is much to look up.
    fn fill(&self, batch: &mut Batch, jobs: &mut mpsc::Receiver<Job>) {
        let part = batch.jobs.len() + jobs.len().div_ceil(self.options.writers);
        while batch.jobs.len() < self.options.batch
            && batch.rows() < MOST_ROWS
            && (!self.is_large(batch) || batch.jobs.len() < part)
            && let Ok(job) = jobs.try_recv()
        {
            batch.add(job);
        }
    }

    /// Looks up the targets of a batch ahead of its commit, in one state of the store. While the WAL is too long nobody may hold one, and
    /// targets are looked up by the writer.
    fn look_up(&self, batch: &mut Batch, ahead: &Connection) -> rusqlite::Result<()> {
        if self.wal.is_long() {
            return Ok(());
        }
        let completed = self.completed.load(Ordering::Acquire);
        // Dropped, it rolls back.
        let _snapshot = ahead.unchecked_transaction()?;
        batch.look_up(&mut Lookup::new(ahead, &self.index)?, completed)
    }
}
