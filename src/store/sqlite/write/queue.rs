//! The thread that writes, and the queue that it takes jobs from: it commits what has queued up, and then what has come meanwhile.

#[cfg(all(test, shuttle))]
mod threads;

use std::convert::Infallible;

use rusqlite::Connection;
use tokio::sync::mpsc;

use super::commit::{AbortOnPanic, Logs, Writer};
use super::job::Job;
use super::population::Population;
use crate::store::sqlite::checkpoint::Checkpointer;
use crate::store::sqlite::format::DataDirectory;
use crate::store::sqlite::index::Index;
use crate::store::sqlite::log::changes::ChangeLog;
use crate::store::sqlite::log::{Published, StoredTombstones, TombstoneLog};
use crate::store::sqlite::options::Options;
use crate::store::sqlite::wal::Wal;
use crate::sync;
use crate::sync::crossbeam_channel::{Receiver, Sender};
use crate::sync::thread::{self, JoinHandle};

const NAME: &str = "store-writer";
/// How many rows the jobs of a commit may name before it takes no more: bounds how much it adds to the WAL.
const MOST_ROWS: usize = 2048;

/// All that the thread that writes works with.
pub struct Setup {
    pub options: Options,
    pub directory: DataDirectory,
    pub connection: Connection,
    pub checkpointer: Connection,
    pub wal: Wal,
    /// The threads that read, which end before the connection that writes.
    pub readers: Vec<JoinHandle<()>>,
    /// What the table of tombstones holds, and where what becomes of it is published.
    pub stored: StoredTombstones,
    pub published: Published,
    pub changes: ChangeLog,
    pub index: Index,
    pub population: Population,
    pub jobs: mpsc::Receiver<Job>,
    /// Checks, which pass what is queued. A job that wakes the thread follows each.
    pub checks: Receiver<Job>,
    /// A sender that is dropped when the store is closed.
    pub closed: Sender<Infallible>,
}

/// Starts the thread. It ends when the last sender is gone and what was queued is done.
pub fn start(setup: Setup) -> std::io::Result<()> {
    let checkpointer =
        Checkpointer::start(setup.checkpointer, setup.wal.clone(), setup.index.clone())?;
    let mut writer = Writer::new(
        setup.connection,
        checkpointer,
        Logs {
            tombstones: TombstoneLog::new(&setup.stored, setup.options.uncompacted),
            published: setup.published,
            changes: setup.changes,
        },
        setup.index,
        setup.population,
    );
    drop(setup.stored);
    let mut queue = Queue {
        batch: setup.options.batch,
        jobs: setup.jobs,
        checks: setup.checks,
    };
    let (directory, readers, wal) = (setup.directory, setup.readers, setup.wal);
    let closed = setup.closed;
    let body = move || {
        queue.run(|batch, is_idle| writer.run(batch, is_idle));
        let connection = writer.stop();
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
    /// How many jobs may share a commit.
    batch: usize,
    jobs: mpsc::Receiver<Job>,
    checks: Receiver<Job>,
}

impl Queue {
    /// Lets all that is queued be committed in batches, until no more can come. `commit` may ask whether nobody waits.
    fn run(&mut self, mut commit: impl FnMut(Vec<Job>, &dyn Fn() -> bool)) {
        let _guard = AbortOnPanic;
        while let Some(first) = sync::receive(&mut self.jobs) {
            let batch = self.take(first);
            commit(batch, &|| self.jobs.is_empty());
        }
    }

    /// The jobs of the next commit. Checks share it, whatever is queued before them.
    fn take(&mut self, first: Job) -> Vec<Job> {
        let mut rows = first.rows();
        let mut batch = vec![first];
        while batch.len() < self.batch
            && rows < MOST_ROWS
            && let Ok(job) = self.jobs.try_recv()
        {
            rows += job.rows();
            batch.push(job);
        }
        batch.extend(self.checks.try_iter());
        batch
    }
}
