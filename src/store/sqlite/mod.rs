//! The embedded store: one SQLite file, a thread that writes, and connections that read beside it.

mod bulk;
mod checkpoint;
mod error;
mod format;
mod index;
mod log;
mod options;
mod read;
#[cfg(all(test, shuttle))]
mod threads;
mod wal;
mod write;

use std::convert::Infallible;
use std::path::Path;
use std::sync::{Arc, PoisonError};
use std::time::Duration;

use rusqlite::Connection;
use tokio::sync::mpsc;
use tracing::Instrument as _;

pub use bulk::{BulkError, BulkImported, export, import};
pub use error::OpenError;
#[cfg(feature = "fuzzing")]
pub use format::fuzzing;
pub use format::{Existing, Migration, create_directory, inspect};
pub use options::Options;
pub use read::UnauditedChanges;
pub use wal::LeftInWal;

use crate::domain::{
    AccountId, Applied, Change, ChangeKey, Changed, ChangesQuery, History, ImportCommand, Imported,
    ListQuery, Origin, Resource, RevertCommand, Reverted, TagCommand, TagKeyPage, TagKeysQuery,
    TagPage, TagValuePage, TagValuesQuery, UntagCommand, User, UserCommand, UserListQuery,
    UserPage, UserQuery, UsersChanged,
};
use crate::store::{BulkLine, BulkSettings, News, Store, StoreError, past, user_position};
use crate::sync::Mutex;
use crate::sync::crossbeam_channel::{self, RecvTimeoutError};
use crate::telemetry::metrics::{Open, metrics};
use crate::telemetry::trace;
use format::DataDirectory;
use index::Index;
use log::changes::{AuditProgress, ChangeLog, Listeners, RecentKeys};
use log::{Published, StoredTombstones};
use read::Readers;
use wal::{End, Wal};
use write::{Job, Pending, Population, Setup, Work};

/// A handle to the embedded store. The last one to go lets the writer end.
#[derive(Debug, Clone)]
pub struct SqliteStore {
    jobs: mpsc::Sender<Job>,
    checks: crossbeam_channel::Sender<Job>,
    readers: Readers,
    published: Published,
    recent: RecentKeys,
    listeners: Listeners,
    index: Index,
    /// What reads the changes for the audit, until it is taken.
    unaudited: Arc<Mutex<Option<(Connection, AuditProgress)>>>,
    closing: Closing,
    _counted: Arc<Vec<Open>>,
}

/// The end of a store: its last handle has gone, what was queued is done, and the database is whole without other files.
#[derive(Debug, Clone)]
pub struct Closing(crossbeam_channel::Receiver<Infallible>);

impl Closing {
    /// Waits until the store is closed. Returns whether it is.
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
        let failed = |source| OpenError::Directory {
            path: directory.to_path_buf(),
            source,
        };
        let directory = DataDirectory::lock(directory)?;
        let connection = directory.open_writer()?;
        if !resources.is_empty() {
            let lines = resources.into_iter().zip(1..);
            let lines = lines.map(|(user, number)| Ok(BulkLine { number, user }));
            bulk::insert(&connection, BulkSettings::REPLACE, lines)?;
        }
        let wal = directory.wal(options.wal_pages);
        directory.leave_wal(&connection, &wal)?;
        let reading = (0..options.readers).map(|_| directory.open_reader());
        let reading = reading.collect::<Result<Vec<_>, _>>()?;
        // Into the file at once, and not with the first checkpoint.
        let reserved = format::reserve_pages(&connection)
            .and_then(|()| wal.end(&connection, End::Truncate, Duration::ZERO));
        if let Err(error) = reserved {
            tracing::warn!(%error, "no pages of the database can be kept free");
        }
        let stored = StoredTombstones::read(&connection)?;
        let changes = ChangeLog::open(&connection, &options).map_err(BulkError::Store)?;
        let (recent, listeners) = (changes.recent(), changes.listeners());
        let unaudited = open_unaudited(&directory, &changes)?;
        let (published, index) = (stored.publish(), Index::new(options.index_bytes));
        let (readers, threads) = Readers::start(reading, options.queue).map_err(failed)?;
        let (jobs, queue) = mpsc::channel(options.queue);
        let (checks, waiting_checks) = crossbeam_channel::unbounded();
        let (closed, closing) = crossbeam_channel::bounded(0);
        let setup = Setup {
            options,
            checkpointer: directory.open_reader()?,
            directory,
            connection,
            wal: wal.clone(),
            readers: threads,
            stored,
            published: published.clone(),
            changes,
            index: index.clone(),
            population: Population::new(options.now),
            jobs: queue,
            checks: waiting_checks,
            closed,
        };
        write::start(setup).map_err(failed)?;
        Ok(Self {
            _counted: count(options, &jobs, wal),
            jobs,
            checks,
            readers,
            published,
            recent,
            listeners,
            index,
            unaudited: Arc::new(Mutex::new(unaudited)),
            closing: Closing(closing),
        })
    }

    /// The end of this store, to wait for.
    #[must_use]
    pub fn closing(&self) -> Closing {
        self.closing.clone()
    }

    /// The reader of the changes that have no line in the audit. There is one, where the options want an audit.
    #[must_use]
    pub fn unaudited_changes(&self) -> Option<UnauditedChanges> {
        let mut unaudited = self
            .unaudited
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        let (reader, progress) = unaudited.take()?;
        Some(UnauditedChanges::new(
            reader,
            self.index.clone(),
            progress,
            self.jobs.clone(),
        ))
    }

    async fn write<T>(&self, work: impl FnOnce(Pending<T>) -> Work) -> Result<T, StoreError> {
        let (pending, answer) = Pending::new();
        let (work, trace) = (work(pending), Some(trace::Change::queue()));
        self.jobs
            .try_send(Job { work, trace })
            .map_err(|error| match error {
                mpsc::error::TrySendError::Full(_) => StoreError::Busy,
                mpsc::error::TrySendError::Closed(_) => StoreError::stopped(Applied::No),
            })?;
        answer
            .await
            .unwrap_or_else(|_| Err(StoreError::stopped(Applied::Maybe)))
    }
}

impl Store for SqliteStore {
    async fn untag(
        &self,
        command: Arc<UntagCommand>,
        origin: Arc<Origin>,
    ) -> Result<Changed, StoreError> {
        if !command.validate_only {
            let work = |pending| Work::Untag(command, origin, pending);
            return self.write(work).await;
        }
        let (published, index) = (self.published.clone(), self.index.clone());
        self.readers
            .run(move |connection| read::check_untag(connection, &published, &index, &command))
            .instrument(trace::read())
            .await?
    }

    async fn tag(
        &self,
        command: Arc<TagCommand>,
        origin: Arc<Origin>,
    ) -> Result<Changed, StoreError> {
        self.write(|pending| Work::Tag(command, origin, pending))
            .await
    }

    async fn list(&self, query: Arc<ListQuery>) -> Result<TagPage, StoreError> {
        if let Some(revision) = query.revision {
            return past::list(self, &query, revision).await;
        }
        let (published, index) = (self.published.clone(), self.index.clone());
        self.readers
            .run(move |connection| read::list(connection, &published, &index, &query))
            .instrument(trace::read())
            .await?
    }

    async fn tag_keys(&self, query: Arc<TagKeysQuery>) -> Result<TagKeyPage, StoreError> {
        let published = self.published.clone();
        self.readers
            .run(move |connection| read::tag_keys(connection, &published, &query))
            .instrument(trace::read())
            .await
    }

    async fn tag_values(&self, query: Arc<TagValuesQuery>) -> Result<TagValuePage, StoreError> {
        let published = self.published.clone();
        self.readers
            .run(move |connection| read::tag_values(connection, &published, &query))
            .instrument(trace::read())
            .await
    }

    async fn change_users(
        &self,
        command: Arc<UserCommand>,
        origin: Arc<Origin>,
    ) -> Result<UsersChanged, StoreError> {
        self.write(|pending| Work::Users(command, origin, pending))
            .await
    }

    async fn get_user(&self, query: Arc<UserQuery>) -> Result<Option<User>, StoreError> {
        let published = self.published.clone();
        self.readers
            .run(move |connection| read::get_user(connection, &published, &query))
            .instrument(trace::read())
            .await
    }

    async fn list_users(&self, query: Arc<UserListQuery>) -> Result<UserPage, StoreError> {
        user_position(&query)?;
        let published = self.published.clone();
        self.readers
            .run(move |connection| read::list_users(connection, &published, &query))
            .instrument(trace::read())
            .await
    }

    async fn change(
        &self,
        account: AccountId,
        key: ChangeKey,
    ) -> Result<Option<Change>, StoreError> {
        let recent = self.recent.clone();
        self.readers
            .run(move |connection| read::change(connection, &recent, &account, key))
            .instrument(trace::read())
            .await?
    }

    async fn changes(&self, query: Arc<ChangesQuery>) -> Result<Vec<Change>, StoreError> {
        let recent = self.recent.clone();
        self.readers
            .run(move |connection| read::changes(connection, &recent, &query))
            .instrument(trace::read())
            .await?
    }

    async fn import_users(
        &self,
        command: Arc<ImportCommand>,
        origin: Arc<Origin>,
    ) -> Result<Imported, StoreError> {
        if !command.validate_only() {
            let work = |pending| Work::Import(command, origin, pending);
            return self.write(work).await;
        }
        let published = self.published.clone();
        self.readers
            .run(move |connection| read::check_import(connection, &published, &command))
            .instrument(trace::read())
            .await
    }

    async fn revert(
        &self,
        command: Arc<RevertCommand>,
        origin: Arc<Origin>,
    ) -> Result<Reverted, StoreError> {
        if !command.validate_only {
            let work = |pending| Work::Revert(command, origin, pending);
            return self.write(work).await;
        }
        let published = self.published.clone();
        self.readers
            .run(move |connection| read::check_revert(connection, &published, &command))
            .instrument(trace::read())
            .await?
    }

    async fn history(&self, account: AccountId) -> Result<History, StoreError> {
        self.readers
            .run(move |connection| read::history(connection, &account))
            .instrument(trace::read())
            .await
    }

    fn listen(&self, account: &AccountId) -> News {
        News::told(self.listeners.listen(account))
    }

    async fn check(&self) -> Result<(), StoreError> {
        let (pending, answer) = Pending::new();
        let stopped = || StoreError::stopped(Applied::No);
        let sent = self.checks.send(Job::check(pending));
        sent.map_err(|_| stopped())?;
        // Where the queue is full, nobody sleeps.
        if let Err(mpsc::error::TrySendError::Closed(_)) = self.jobs.try_send(Job::wake()) {
            return Err(stopped());
        }
        answer.await.unwrap_or_else(|_| Err(stopped()))
    }
}

/// Opens a connection that reads for the audit, if one is kept.
fn open_unaudited(
    directory: &DataDirectory,
    changes: &ChangeLog,
) -> Result<Option<(Connection, AuditProgress)>, OpenError> {
    let Some(progress) = changes.audit() else {
        return Ok(None);
    };
    Ok(Some((directory.open_reader()?, progress)))
}

/// Brings the schema of a directory's store up to date, as `serve` does when it starts. Returns why some of it is not in the database
/// alone.
///
/// # Errors
/// Why the store can't be opened.
pub fn migrate(directory: &Path) -> Result<Option<LeftInWal>, OpenError> {
    let directory = DataDirectory::lock(directory)?;
    let connection = directory.open_writer()?;
    Ok(directory.wal(u32::MAX).close(connection).err())
}

/// Lets the metrics read the queue and the write-ahead log, and counts the connections for as long as the store is there.
fn count(options: Options, jobs: &mpsc::Sender<Job>, wal: Wal) -> Arc<Vec<Open>> {
    let metrics = &metrics().store;
    // Weak: whoever reads metrics keeps no store open.
    let jobs = jobs.downgrade();
    metrics.queue(options.queue, move || {
        let jobs = jobs.upgrade();
        jobs.map_or(0, |jobs| jobs.max_capacity() - jobs.capacity())
    });
    metrics.wal(move || wal.bytes());
    // Besides these, one writes and one checkpoints.
    let connections = options.readers + 2;
    let connections = std::iter::repeat_with(|| metrics.connection()).take(connections);
    Arc::new(connections.collect())
}
