//! The shared store: PostgreSQL, or a distributed engine that speaks its protocol.

mod batch;
mod bulk;
mod changes;
mod config;
mod connector;
mod counts;
mod credentials;
mod destination;
mod distribution;
mod error;
mod expected;
mod hosts;
mod imports;
mod list;
mod migrations;
mod origin;
mod outcome;
mod planned;
mod pool;
mod probe;
mod replica;
mod retention;
mod reverts;
mod rounds;
mod session;
mod statements;
mod tags;
mod targets;
mod tls;
mod unaudited;
mod users;

use std::sync::Arc;
use std::time::{Duration, Instant};

use thiserror::Error;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio_postgres::Client;
use tracing::{Instrument as _, Span};

pub use bulk::{BulkError, export, import};
pub use config::{ConfigError, ConnectionString, is_url};
pub use migrations::{Applied as AppliedMigrations, MigrateError};
pub use unaudited::UnauditedChanges;

use crate::domain::{
    AccountId, Applied, Change as Entry, ChangeKey, Changed, ChangesQuery, History, ImportCommand,
    Imported, ListQuery, Origin, RevertCommand, Reverted, TagCommand, TagKeyPage, TagKeysQuery,
    TagPage, TagValuePage, TagValuesQuery, UntagCommand, User, UserCommand, UserListQuery,
    UserPage, UserQuery, UsersChanged,
};
use crate::reload::LoadError;
use crate::store::{AuditUse, News, Retention, Store, StoreError, past};
use crate::telemetry::metrics::metrics;
use crate::telemetry::trace::{self, Change};
use batch::{Batches, Shared};
use connector::Connector;
use error::Failure;
use list::record;
use outcome::Sent;
use pool::{Locks, Pool};
use replica::Replica;
use session::{Access, Parameters};

/// How many times a statement is sent that the server could not carry out for its concurrency.
const TRIES: u32 = 5;
/// How long to wait before the second try; doubled for each one after, up to the longest.
const FIRST_PAUSE: Duration = Duration::from_millis(10);
const LAST_PAUSE: Duration = Duration::from_millis(500);
/// How often the changes of an account that is watched are asked for. A NOTIFY would take a lock of the whole cluster at each commit.
const ASK_INTERVAL: Duration = Duration::from_millis(100);

/// How a shared store is set up.
#[derive(Debug, Clone, Copy)]
pub struct Options {
    /// How many requests may be at the database or waiting for it.
    pub queue: usize,
    /// How many connections to open.
    pub connections: usize,
    /// How often the files of the password and the certificates are looked at for changes.
    pub reload_interval: Duration,
    /// How much of the change log is kept.
    pub retention: Retention,
    /// Whether changes have lines in an audit, which are made from the change log.
    pub audit: AuditUse,
}

/// Why the store could not be opened: for the person who starts it.
#[derive(Debug, Error)]
pub enum OpenError {
    /// The connection string.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// The files that it names.
    #[error(transparent)]
    Files(#[from] LoadError),
    /// The database.
    #[error("cannot use the database: {0}")]
    Database(String),
    /// The encoding of the database.
    #[error(
        "the encoding of the database is {0}, and only UTF8 holds every name and tag; make a database with \
         CREATE DATABASE … ENCODING 'UTF8' TEMPLATE template0, and move what is in this one with pg_dump and psql, \
         which convert it"
    )]
    Encoding(String),
    /// The schema.
    #[error(transparent)]
    Schema(#[from] MigrateError),
}

/// A handle to the shared store.
#[derive(Clone)]
pub struct PostgresStore {
    pool: Arc<Pool>,
    batches: Arc<Batches>,
    places: Arc<Semaphore>,
    replica: Replica,
}

impl PostgresStore {
    /// Connects, and checks that the schema is one that this program knows.
    ///
    /// # Errors
    /// [`OpenError`] with what is wrong and what to do.
    pub async fn open(connection: &ConnectionString, options: Options) -> Result<Self, OpenError> {
        let connector = Connector::following(connection, options.reload_interval)?;
        migrations::check(&mut connect(&connector).await?).await?;
        let pool = Arc::new(Pool::new(connector, options.connections));
        tokio::spawn(retention::keep(Arc::downgrade(&pool), options.retention));
        let places = Arc::new(Semaphore::new(options.queue));
        let replica = match options.audit {
            AuditUse::Kept => Replica::with_audit(),
            AuditUse::None => Replica::default(),
        };
        let store = Self {
            batches: Arc::new(Batches::new(Arc::clone(&pool), replica.clone())),
            pool,
            places: Arc::clone(&places),
            replica,
        };
        metrics().store.queue(options.queue, move || {
            options.queue.saturating_sub(places.available_permits())
        });
        Ok(store)
    }

    /// Reads the files that a connection needs, and opens none.
    ///
    /// # Errors
    /// [`OpenError`] with what is wrong and what to do.
    pub fn check(connection: &ConnectionString) -> Result<(), OpenError> {
        Connector::new(connection).map(drop)
    }

    /// The changes that this replica commits, for the lines of the audit; `None` where none is kept. They are read on a connection of
    /// their own.
    ///
    /// # Errors
    /// [`OpenError`] with what is wrong and what to do.
    pub fn unaudited_changes(
        &self,
        connection: &ConnectionString,
        reload_interval: Duration,
    ) -> Result<Option<UnauditedChanges>, OpenError> {
        let Some(own) = self.replica.id() else {
            return Ok(None);
        };
        let connector = Connector::following(connection, reload_interval)?;
        UnauditedChanges::new(connector, own.to_owned(), self.replica.clone()).map(Some)
    }

    /// Brings the schema up to date, or only says what that would take.
    ///
    /// # Errors
    /// [`OpenError`] with what is wrong and what to do.
    pub async fn migrate(
        connection: &ConnectionString,
        dry_run: bool,
    ) -> Result<AppliedMigrations, OpenError> {
        let mut client = connect(&Connector::new(connection)?).await?;
        Ok(migrations::migrate(&mut client, dry_run).await?)
    }

    /// Distributes the tables over the nodes of a Citus cluster by account, or only says what that would take: tables and functions.
    ///
    /// # Errors
    /// [`OpenError`] with what is wrong and what to do.
    pub async fn distribute(
        connection: &ConnectionString,
        dry_run: bool,
    ) -> Result<Vec<String>, OpenError> {
        let mut client = connect(&Connector::new(connection)?).await?;
        Ok(distribution::distribute(&mut client, dry_run).await?)
    }

    /// A place of the queue, which is kept until the database is done, also when the caller has stopped waiting: a
    /// database that hangs must not collect more work than the queue may hold.
    fn place(&self) -> Result<OwnedSemaphorePermit, StoreError> {
        let place = Arc::clone(&self.places).try_acquire_owned();
        place.map_err(|_| StoreError::Busy)
    }

    /// Carries out an untag in a place of the queue, where that can be in a call that it shares with others.
    async fn untag_in(
        &self,
        place: OwnedSemaphorePermit,
        command: &Arc<UntagCommand>,
        origin: &Arc<Origin>,
    ) -> Result<Changed, StoreError> {
        // Those are of one command.
        if command.expected.is_some() {
            let alone = self.untag_alone(command, origin, Sent::No, Arc::new(place));
            return alone.await;
        }
        let shared = self
            .batches
            .untag(Arc::clone(command), Arc::clone(origin), place);
        match shared.await? {
            Shared::Applied(changed) => Ok(changed),
            Shared::NotApplied(sent, holds) => {
                self.untag_alone(command, origin, sent, Arc::new(holds))
                    .await
            }
        }
    }

    /// Sends a statement that only reads, in a place of the queue.
    async fn read(
        &self,
        sql: &'static str,
        parameters: Parameters,
    ) -> Result<Vec<tokio_postgres::Row>, StoreError> {
        let place = Arc::new(self.place()?);
        let answer = self.send(sql, parameters, Access::Read, place).await;
        answer.map_err(|failure| failure.to_store_error(Applied::No))
    }

    /// Sends a statement, again where that may help and can't change anything twice. What it `holds` is let go when the
    /// database and the caller are done with it.
    async fn send(
        &self,
        sql: &'static str,
        parameters: Parameters,
        access: Access,
        holds: Arc<impl Send + Sync + 'static>,
    ) -> Result<Vec<tokio_postgres::Row>, Arc<Failure>> {
        let parameters = Arc::new(parameters);
        let mut pauses = Pauses::default();
        let mut attempt = 1;
        let changes = access == Access::Change;
        let locks = match access {
            Access::Read => Locks::SkipLocked,
            Access::FindOut | Access::Change => Locks::Block,
        };
        loop {
            let (parameters, holds) = (Arc::clone(&parameters), Arc::clone(&holds));
            let mut change = changes.then(Change::queue);
            let answer = self.pool.run(locks, move |session| async move {
                let _holds = holds;
                let _span = change.as_mut().and_then(|change| change.commit(1));
                let _commit = changes.then(|| Commit(Instant::now()));
                session.query(sql, &parameters).await
            });
            let reading = if changes { Span::none() } else { trace::read() };
            match answer.instrument(reading).await {
                Ok(rows) => {
                    if changes {
                        metrics().store.shared_commit(1);
                    }
                    return Ok(rows);
                }
                Err(failure) if failure.may_be_repeated(access) && attempt < TRIES => {
                    metrics().store.retries.inc();
                    tracing::debug!(%failure, attempt, "sending a statement again");
                    pauses.wait().await;
                    attempt += 1;
                }
                Err(failure) => return Err(Arc::new(failure)),
            }
        }
    }
}

/// The pauses between tries, each twice as long as the one before.
struct Pauses(Duration);

impl Default for Pauses {
    fn default() -> Self {
        Self(FIRST_PAUSE)
    }
}

impl Pauses {
    /// Waits for the next one, or up to twice as long, so that those who collided do not meet again.
    async fn wait(&mut self) {
        let jitter = self.0.mul_f64(rand::random::<f64>());
        tokio::time::sleep(self.0 + jitter).await;
        self.0 = LAST_PAUSE.min(self.0 * 2);
    }
}

/// Opens a connection to a database that can hold every name and tag.
async fn connect(connector: &Connector) -> Result<Client, OpenError> {
    let failed = |failure: Failure| OpenError::Database(failure.to_string());
    let (session, _) = connector.connect().await.map_err(failed)?;
    let client = session.into_client();
    let rows = client.query_typed(statements::ENCODING, &[]).await;
    let rows = rows.map_err(|error| failed(error.into()))?;
    match rows.first().map(|row| row.get(0)) {
        None | Some("UTF8") => Ok(client),
        Some(other) => Err(OpenError::Encoding(other.to_owned())),
    }
}

/// A change at the database, from when it has a connection. Notes how long it took when it goes: answered, failed or given up.
struct Commit(Instant);

impl Drop for Commit {
    fn drop(&mut self) {
        metrics().store.committed(self.0.elapsed());
    }
}

impl Store for PostgresStore {
    async fn untag(
        &self,
        command: Arc<UntagCommand>,
        origin: Arc<Origin>,
    ) -> Result<Changed, StoreError> {
        if command.validate_only {
            return self.validate(&command).await;
        }
        let place = self.place()?;
        let changed = self.untag_in(place, &command, &origin).await?;
        self.replica.made(&command.account, changed.entry());
        Ok(changed)
    }

    async fn tag(
        &self,
        command: Arc<TagCommand>,
        origin: Arc<Origin>,
    ) -> Result<Changed, StoreError> {
        let changed = self.set_tags(&command, &origin).await?;
        self.replica.made(&command.account, changed.entry());
        Ok(changed)
    }

    async fn list(&self, query: Arc<ListQuery>) -> Result<TagPage, StoreError> {
        if let Some(revision) = query.revision {
            return past::list(self, &query, revision).await;
        }
        match &query.targets {
            Some(targets) => self.page_of(&query, targets).await,
            None => self.page(&query).await,
        }
    }

    async fn tag_keys(&self, query: Arc<TagKeysQuery>) -> Result<TagKeyPage, StoreError> {
        self.keys(&query).await
    }

    async fn tag_values(&self, query: Arc<TagValuesQuery>) -> Result<TagValuePage, StoreError> {
        self.values(&query).await
    }

    async fn change_users(
        &self,
        command: Arc<UserCommand>,
        origin: Arc<Origin>,
    ) -> Result<UsersChanged, StoreError> {
        let changed = self.apply(&command, &origin).await?;
        self.replica.made(command.account(), changed.entry());
        Ok(changed)
    }

    async fn import_users(
        &self,
        command: Arc<ImportCommand>,
        origin: Arc<Origin>,
    ) -> Result<Imported, StoreError> {
        let imported = self.import(&command, &origin).await?;
        self.replica.made(command.account(), imported.entry());
        Ok(imported)
    }

    async fn change(
        &self,
        account: AccountId,
        key: ChangeKey,
    ) -> Result<Option<Entry>, StoreError> {
        self.find_change(&account, key).await
    }

    async fn changes(&self, query: Arc<ChangesQuery>) -> Result<Vec<Entry>, StoreError> {
        self.find_changes(&query).await
    }

    async fn revert(
        &self,
        command: Arc<RevertCommand>,
        origin: Arc<Origin>,
    ) -> Result<Reverted, StoreError> {
        let reverted = self.make_revert(&command, &origin).await?;
        self.replica.made(&command.account, reverted.entry());
        Ok(reverted)
    }

    async fn history(&self, account: AccountId) -> Result<History, StoreError> {
        self.extent(&account).await
    }

    async fn get_user(&self, query: Arc<UserQuery>) -> Result<Option<User>, StoreError> {
        self.find(&query).await
    }

    async fn list_users(&self, query: Arc<UserListQuery>) -> Result<UserPage, StoreError> {
        self.users(&query).await
    }

    fn listen(&self, _account: &AccountId) -> News {
        News::asked(ASK_INTERVAL)
    }

    async fn check(&self) -> Result<(), StoreError> {
        // Without a place: a queue that is full for a moment is not a database that is down.
        let sent = self.send(statements::CHECK, Vec::new(), Access::Read, Arc::new(()));
        let rows = sent
            .await
            .map_err(|failure| failure.to_store_error(Applied::No))?;
        if rows.first().is_none_or(|row| row.get(0)) {
            return Err(StoreError::Unavailable {
                reason: "the database is read-only",
                applied: Applied::No,
                source: None,
            });
        }
        let proven = self.pool.prove().await;
        proven.map_err(StoreError::from)
    }
}
