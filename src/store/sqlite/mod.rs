//! The embedded store: one SQLite file, threads that take turns to write, and connections that read beside them.

mod apply;
mod bulk;
mod checkpoint;
mod directory;
mod entries;
mod error;
mod folding;
mod hints;
mod job;
mod key;
mod known;
mod lookup;
mod read;
mod readers;
mod removals;
mod rewrites;
mod roster;
mod schema;
mod tags;
mod turns;
mod untags;
mod vocabulary;
mod wal;
mod wal_readers;
mod writer;

use std::convert::Infallible;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use crossbeam_channel::RecvTimeoutError;
use tokio::sync::{mpsc, oneshot};
use tracing::Instrument as _;

pub use bulk::{BulkError, Imported, export, import};
pub use directory::{Existing, inspect};
pub use error::OpenError;
pub use wal::LeftInWal;

use crate::domain::{Applied, Changed, ListQuery, Resource, TagCommand, TagPage, UntagCommand};
use crate::store::{Store, StoreError};
use crate::telemetry::metrics::{Open, metrics};
use crate::telemetry::trace::{self, Change};
use directory::DataDirectory;
use job::{Job, Work};
use known::Known;
use readers::Readers;
use removals::{Logged, Published};

/// How an embedded store is set up.
#[derive(Debug, Clone, Copy)]
pub struct Options {
    /// How many commands may wait for the writer, and how many reads for the threads that read.
    pub queue: usize,
    /// How many threads read.
    pub readers: usize,
    /// How many threads write: one commits, and the others look up meanwhile what is next.
    pub writers: usize,
    /// How many targets of a commit are little to look up, so that no other thread has to help.
    pub few_targets: usize,
    /// How many commands may share a commit: bounds how long the first of them waits. 1 is a commit for each.
    pub batch: usize,
    /// How many resources may have removed tags that still lie in their rows: bounds the memory, and the time to start.
    pub unfolded: usize,
    /// How many pages of 4 KiB the write-ahead log may have before it has to begin anew. It has twice as many at most, as long
    /// as nobody else reads the store.
    pub wal_pages: u32,
    /// How much memory may be taken by what is known of the users without reading their rows, in bytes.
    pub known_bytes: usize,
    /// How much of the disk may be taken by it where that memory does not suffice, in bytes.
    pub known_file_bytes: usize,
}

impl Default for Options {
    fn default() -> Self {
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        Self {
            queue: 4096,
            readers: cores.clamp(2, 8),
            writers: cores.clamp(2, 8),
            few_targets: 1024,
            batch: 1024,
            unfolded: 1_000_000,
            wal_pages: 16_384,
            known_bytes: 80 << 20,
            // For as many users as there may be hints.
            known_file_bytes: 256 << 20,
        }
    }
}

/// A handle to the embedded store. The last one to go lets the writer end.
#[derive(Debug, Clone)]
pub struct SqliteStore {
    jobs: mpsc::Sender<Job>,
    checks: crossbeam_channel::Sender<Job>,
    readers: Readers,
    published: Published,
    known: Known,
    closing: Closing,
    _counted: Arc<Vec<Open>>,
}

/// The end of a store: its last handle has gone, what was queued is done, and the database is whole without other files.
#[derive(Debug, Clone)]
pub struct Closing(crossbeam_channel::Receiver<Infallible>);

impl Closing {
    /// Waits for that. Returns whether it has come.
    #[must_use]
    pub fn wait(&self, patience: Duration) -> bool {
        self.0.recv_timeout(patience) == Err(RecvTimeoutError::Disconnected)
    }
}

impl SqliteStore {
    /// Opens the store of a directory, which it makes where it is missing, after putting `resources` into it.
    ///
    /// # Errors
    /// [`BulkError`] with what is wrong and what to do.
    pub fn open(
        directory: &Path,
        options: Options,
        resources: Vec<Resource>,
    ) -> Result<Self, BulkError<Infallible>> {
        let directory_path = directory;
        let directory = DataDirectory::lock(directory)?;
        let connection = directory.open_writer()?;
        if !resources.is_empty() {
            bulk::insert(&connection, resources.into_iter().map(Ok))?;
        }
        let wal = directory.wal(options.wal_pages);
        directory.leave_wal(&connection, &wal)?;
        let logged = Logged::read(&connection)?;
        let (readers, reads) = Readers::queue(options.queue);
        let reading = (0..options.readers)
            .map(|_| directory.open_reader())
            .collect::<Result<_, _>>()?;
        let ahead = (0..options.writers)
            .map(|_| directory.open_reader())
            .collect::<Result<_, _>>()?;
        let checkpointer = directory.open_reader()?;
        let (jobs, queue) = mpsc::channel(options.queue);
        let (checks, waiting_checks) = crossbeam_channel::unbounded();
        let (closed, closing) = crossbeam_channel::bounded(0);
        let published = logged.publish();
        let known = Known::default();
        let setup = turns::Setup {
            options,
            directory,
            connection,
            ahead,
            checkpointer,
            wal: wal.clone(),
            reading,
            reads,
            logged,
            published: published.clone(),
            known: known.clone(),
            jobs: queue,
            checks: waiting_checks,
            closed,
        };
        turns::start(setup).map_err(|source| OpenError::Directory {
            path: directory_path.to_path_buf(),
            source,
        })?;
        let metrics = &metrics().store;
        // Weak: whoever reads metrics keeps no store open.
        let waiting = jobs.downgrade();
        metrics.queue(options.queue, move || {
            let jobs = waiting.upgrade();
            jobs.map_or(0, |jobs| jobs.max_capacity() - jobs.capacity())
        });
        metrics.wal(move || wal.bytes());
        // Besides these, one writes and one checkpoints.
        let connections = options.readers + options.writers + 2;
        let connections = std::iter::repeat_with(|| metrics.connection()).take(connections);
        Ok(Self {
            jobs,
            checks,
            readers,
            published,
            known,
            closing: Closing(closing),
            _counted: Arc::new(connections.collect()),
        })
    }

    /// To wait until the store is closed.
    #[must_use]
    pub fn closing(&self) -> Closing {
        self.closing.clone()
    }

    async fn write(&self, work: Work) -> Result<Changed, StoreError> {
        let (reply, outcome) = oneshot::channel();
        let trace = Some(Change::queue());
        self.jobs
            .try_send(Job { work, reply, trace })
            .map_err(|error| match error {
                mpsc::error::TrySendError::Full(_) => StoreError::Busy,
                mpsc::error::TrySendError::Closed(_) => StoreError::stopped(Applied::No),
            })?;
        outcome
            .await
            .unwrap_or_else(|_| Err(StoreError::stopped(Applied::Maybe)))
    }
}

impl Store for SqliteStore {
    async fn untag(&self, command: Arc<UntagCommand>) -> Result<Changed, StoreError> {
        if !command.validate_only {
            return self.write(Work::Untag(command)).await;
        }
        let (published, known) = (self.published.clone(), self.known.clone());
        self.readers
            .run(move |connection| read::check_untag(connection, &published, &known, &command))
            .instrument(trace::read())
            .await?
    }

    async fn tag(&self, command: Arc<TagCommand>) -> Result<Changed, StoreError> {
        self.write(Work::Tag(command)).await
    }

    async fn list(&self, query: Arc<ListQuery>) -> Result<TagPage, StoreError> {
        let (published, known) = (self.published.clone(), self.known.clone());
        self.readers
            .run(move |connection| read::list(connection, &published, &known, &query))
            .instrument(trace::read())
            .await?
    }

    async fn check(&self) -> Result<(), StoreError> {
        let (reply, outcome) = oneshot::channel();
        let check = Job {
            work: Work::Check,
            reply,
            trace: None,
        };
        let stopped = || StoreError::stopped(Applied::No);
        self.checks.send(check).map_err(|_| stopped())?;
        // Where the queue is full, nobody sleeps.
        if let Err(mpsc::error::TrySendError::Closed(_)) = self.jobs.try_send(Job::wake()) {
            return Err(stopped());
        }
        outcome.await.unwrap_or_else(|_| Err(stopped())).map(drop)
    }
}
