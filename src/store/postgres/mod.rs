//! The shared store: PostgreSQL, or a distributed engine that speaks its protocol.

mod batch;
mod bulk;
mod config;
mod connector;
mod credentials;
mod error;
mod hosts;
mod list;
mod migrations;
mod pool;
mod probe;
mod session;
mod statements;
mod tls;
mod users;

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;
use std::time::{Duration, Instant};

use thiserror::Error;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio_postgres::Client;
use tokio_postgres::types::Type;
use tracing::{Instrument as _, Span};

pub use bulk::{BulkError, export, import};
pub use config::{ConfigError, ConnectionString};
pub use migrations::{Applied as AppliedMigrations, MigrateError};

use crate::domain::{
    AccountId, Change as ChangeEntry, ChangeKey, Changed, ChangesQuery, History, ListQuery, Origin,
    PrincipalName, TagCommand, TagKey, TagPage, TagSelection, TagValue, Targets, UntagCommand,
    User, UserCommand, UserListQuery, UserPage, UserQuery, limits,
};
use crate::reload::LoadError;
use crate::store::{Store, StoreError};
use crate::telemetry::metrics::metrics;
use crate::telemetry::trace::{self, Change};
use batch::{Batches, Shared};
use connector::Connector;
use error::Failure;
use list::record;
use pool::{Locks, Pool};
use session::Parameters;
use statements::{BY_ID, BY_NAME, ByTarget, Untag};

/// How many times a statement is sent that the server could not carry out for its concurrency.
const TRIES: u32 = 5;
/// How long to wait before the second try; doubled for each one after.
const FIRST_PAUSE: Duration = Duration::from_millis(10);

/// How a shared store is set up.
#[derive(Debug, Clone, Copy)]
pub struct Options {
    /// How many requests may be at the database or waiting for it.
    pub queue: usize,
    /// How many connections to open.
    pub connections: usize,
    /// How often the files of the password and the certificates are looked at for changes.
    pub reload_interval: Duration,
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
        let places = Arc::new(Semaphore::new(options.queue));
        let store = Self {
            batches: Arc::new(Batches::new(Arc::clone(&pool))),
            pool,
            places: Arc::clone(&places),
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

    /// A place of the queue, which is kept until the database is done, also when the caller has stopped waiting: a
    /// database that hangs must not collect more work than the queue may hold.
    fn place(&self) -> Result<OwnedSemaphorePermit, StoreError> {
        let place = Arc::clone(&self.places).try_acquire_owned();
        place.map_err(|_| StoreError::Busy)
    }

    /// Sends a statement in a place of the queue.
    async fn query(
        &self,
        sql: &'static str,
        parameters: Parameters,
        changes: bool,
    ) -> Result<Vec<tokio_postgres::Row>, StoreError> {
        let place = self.place()?;
        self.send(sql, parameters, changes, Arc::new(place)).await
    }

    /// Sends a statement, again where that may help and can't change anything twice. What it `holds` is let go when the
    /// database and the caller are done with it.
    async fn send(
        &self,
        sql: &'static str,
        parameters: Parameters,
        changes: bool,
        holds: Arc<impl Send + Sync + 'static>,
    ) -> Result<Vec<tokio_postgres::Row>, StoreError> {
        let parameters = Arc::new(parameters);
        let mut pause = FIRST_PAUSE;
        let mut attempt = 1;
        loop {
            let (parameters, holds) = (Arc::clone(&parameters), Arc::clone(&holds));
            let mut change = changes.then(Change::queue);
            let locks = if changes {
                Locks::Block
            } else {
                Locks::SkipLocked
            };
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
                Err(failure) if failure.may_be_repeated(changes) && attempt < TRIES => {
                    metrics().store.retries.inc();
                    tracing::debug!(%failure, attempt, "sending a statement again");
                    // Up to twice the pause, so that those who collided do not meet again.
                    let jitter = pause.mul_f64(rand::random::<f64>());
                    tokio::time::sleep(pause + jitter).await;
                    pause *= 2;
                    attempt += 1;
                }
                Err(failure) => return Err(Arc::new(failure).to_store_error(changes)),
            }
        }
    }

    /// An untag that only validates: nothing is locked.
    async fn validate(&self, command: &UntagCommand) -> Result<Changed, StoreError> {
        let names = Names::of(&command.targets);
        let parameters = names.parameters(command.account.as_str());
        let rows = self.query(names.statements.find, parameters, false).await?;
        let found: Vec<String> = rows.iter().map(|row| row.get(0)).collect();
        let missing = names.missing(&found);
        if !missing.is_empty() && !command.allow_missing {
            return Err(StoreError::Missing(missing));
        }
        let mut count = 0;
        for row in &rows {
            let (_, tags) = record(row.get(1), row.get(2))?;
            let selected =
                |(key, _): &&(TagKey, TagValue)| command.selection.contains(key.as_str());
            count += tags.iter().filter(selected).count();
        }
        Ok(Changed::count(rows.len(), count))
    }

    /// An untag with a statement of its own, which waits for locks and tells whom it has not found.
    async fn untag_alone(
        &self,
        command: &UntagCommand,
        holds: Arc<impl Send + Sync + 'static>,
    ) -> Result<Changed, StoreError> {
        let names = Names::of(&command.targets);
        let (untag, parameters) = names.untag(command, command.allow_missing);
        let rows = self.send(untag.waiting, parameters, true, holds).await?;
        let (found, tags) = untagged(&rows);
        let missing = names.missing(&found);
        if !missing.is_empty() && !command.allow_missing {
            return Err(StoreError::Missing(missing));
        }
        Ok(Changed::count(found.len(), tags))
    }
}

/// Opens a connection to a database that can hold every name and tag.
async fn connect(connector: &Connector) -> Result<Client, OpenError> {
    let failed = |failure: Failure| OpenError::Database(failure.to_string());
    let client = connector.connect().await.map_err(failed)?.into_client();
    let rows = client.query_typed(statements::ENCODING, &[]).await;
    let rows = rows.map_err(|error| failed(error.into()))?;
    match rows.first().map(|row| row.get(0)) {
        None | Some("UTF8") => Ok(client),
        Some(other) => Err(OpenError::Encoding(other.to_owned())),
    }
}

/// The answer to an untag by itself: the targets that were found, and how many tags went.
fn untagged(rows: &[tokio_postgres::Row]) -> (Vec<String>, usize) {
    let (found, removed): (Vec<String>, i64) = rows
        .first()
        .map(|row| (row.get(0), row.get(1)))
        .unwrap_or_default();
    (found, usize::try_from(removed).unwrap_or_default())
}

/// A change at the database, from when it has a connection. Notes how long it took when it goes: answered, failed or given up.
struct Commit(Instant);

impl Drop for Commit {
    fn drop(&mut self) {
        metrics().store.committed(self.0.elapsed());
    }
}

/// The targets of a command as the statements take them.
struct Names {
    names: Vec<String>,
    statements: &'static ByTarget,
}

impl Names {
    fn of(targets: &Targets) -> Self {
        match targets {
            Targets::Ids(ids) => Self {
                names: ids.iter().map(ToString::to_string).collect(),
                statements: &BY_ID,
            },
            Targets::Names(names) => Self {
                names: names.iter().map(PrincipalName::folded).collect(),
                statements: &BY_NAME,
            },
        }
    }

    fn parameters(&self, account: &str) -> Parameters {
        vec![
            (Box::new(account.to_owned()), Type::TEXT),
            (Box::new(self.names.clone()), Type::TEXT_ARRAY),
        ]
    }

    /// The statement of an untag by itself.
    fn untag(&self, command: &UntagCommand, allow_missing: bool) -> (&'static Untag, Parameters) {
        let mut parameters = self.parameters(command.account.as_str());
        parameters.push((Box::new(allow_missing), Type::BOOL));
        let untag = match &command.selection {
            TagSelection::All => &self.statements.untag_all,
            TagSelection::Keys(keys) => {
                let keys: Vec<String> = keys.iter().map(ToString::to_string).collect();
                parameters.push((Box::new(keys), Type::TEXT_ARRAY));
                &self.statements.untag_keys
            }
        };
        (untag, parameters)
    }

    /// The places of the targets that are not among those found.
    fn missing(&self, found: &[String]) -> Vec<usize> {
        if found.len() == self.names.len() {
            return Vec::new();
        }
        let found: HashSet<&String> = found.iter().collect();
        let missing = |(_, name): &(usize, &String)| !found.contains(name);
        self.names
            .iter()
            .enumerate()
            .filter(missing)
            .map(|(position, _)| position)
            .collect()
    }

    /// The places of these, in order.
    fn positions(&self, wanted: &[String]) -> Vec<usize> {
        let places: HashMap<&String, usize> = self
            .names
            .iter()
            .enumerate()
            .map(|(position, name)| (name, position))
            .collect();
        let mut positions: Vec<usize> = wanted
            .iter()
            .filter_map(|name| places.get(name).copied())
            .collect();
        positions.sort_unstable();
        positions
    }
}

/// This store does not keep what was changed yet.
const NO_HISTORY: StoreError = StoreError::Unsupported {
    what: "tell what was changed",
};

impl Store for PostgresStore {
    async fn untag(
        &self,
        command: Arc<UntagCommand>,
        _origin: Arc<Origin>,
    ) -> Result<Changed, StoreError> {
        if command.validate_only {
            return self.validate(&command).await;
        }
        let place = self.place()?;
        match self.batches.untag(Arc::clone(&command), place).await? {
            Shared::Applied(changed) => Ok(changed),
            Shared::NotApplied(place, claim) => {
                self.untag_alone(&command, Arc::new((place, claim))).await
            }
        }
    }

    async fn tag(
        &self,
        command: Arc<TagCommand>,
        _origin: Arc<Origin>,
    ) -> Result<Changed, StoreError> {
        let names = Names::of(&command.targets);
        let tags: BTreeMap<&str, &str> = command
            .tags
            .iter()
            .map(|(key, value)| (key.as_str(), value.as_str()))
            .collect();
        let tags =
            serde_json::to_string(&tags).map_err(|error| StoreError::Broken(Arc::new(error)))?;
        let most = i64::try_from(limits::TAGS_OF_A_USER).unwrap_or(i64::MAX);
        let mut parameters = names.parameters(command.account.as_str());
        parameters.push((Box::new(tags), Type::TEXT));
        parameters.push((Box::new(most), Type::INT8));
        let rows = self.query(names.statements.tag, parameters, true).await?;
        let (found, too_many): (Vec<String>, Vec<String>) = rows
            .first()
            .map(|row| (row.get(0), row.get(1)))
            .unwrap_or_default();
        let missing = names.missing(&found);
        if !missing.is_empty() {
            return Err(StoreError::Missing(missing));
        }
        if !too_many.is_empty() {
            return Err(StoreError::TagLimit(names.positions(&too_many)));
        }
        let tags = found.len() * command.tags.len();
        Ok(Changed::count(found.len(), tags))
    }

    async fn list(&self, query: Arc<ListQuery>) -> Result<TagPage, StoreError> {
        match &query.targets {
            Some(targets) => self.page_of(&query, targets).await,
            None => self.page(&query).await,
        }
    }

    async fn change_users(
        &self,
        command: Arc<UserCommand>,
        _origin: Arc<Origin>,
    ) -> Result<Vec<User>, StoreError> {
        self.change(&command).await
    }

    async fn change(
        &self,
        _account: AccountId,
        _key: ChangeKey,
    ) -> Result<Option<ChangeEntry>, StoreError> {
        Err(NO_HISTORY)
    }

    async fn changes(&self, _query: Arc<ChangesQuery>) -> Result<Vec<ChangeEntry>, StoreError> {
        Err(NO_HISTORY)
    }

    async fn history(&self, _account: AccountId) -> Result<History, StoreError> {
        Err(NO_HISTORY)
    }

    async fn get_user(&self, query: Arc<UserQuery>) -> Result<Option<User>, StoreError> {
        self.find(&query).await
    }

    async fn list_users(&self, query: Arc<UserListQuery>) -> Result<UserPage, StoreError> {
        self.users(&query).await
    }

    async fn check(&self) -> Result<(), StoreError> {
        // Without a place: a queue that is full for a moment is not a database that is down.
        let rows = self
            .send(statements::CHECK, Vec::new(), false, Arc::new(()))
            .await?;
        if rows.first().is_none_or(|row| row.get(0)) {
            return Err(StoreError::Unavailable {
                reason: "the database is read-only",
                applied: crate::domain::Applied::No,
                source: None,
            });
        }
        let proven = self.pool.prove().await;
        proven.map_err(|failure| Arc::new(failure).to_store_error(false))
    }
}
