//! A connection to the database, and whether statements stay prepared on it.
//!
//! Parsing and planning are two thirds of what PostgreSQL does for an untag, and a prepared statement is planned once.
//! But a pooler such as PgBouncer may carry out two statements of one connection in two sessions of the server, where
//! what one has prepared is not there, or is another client's statement of the same name. So a connection begins by giving
//! a setting a value of its own: where it reads that value again, it has the session to itself.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};

use tokio_postgres::error::SqlState;
use tokio_postgres::types::{ToSql, Type};
use tokio_postgres::{Client, Config, Error, Row, Statement};
use uuid::Uuid;

use super::credentials::Credentials;

/// PostgreSQL takes any setting whose name has a dot.
const SETTING: &str = "untag.session";
/// Every plan is a search by key. PostgreSQL takes the array of names for longer than it is, finds the plan that would serve
/// any names too dear, and would make one for each request after all.
const GENERIC_PLANS: &str = "-c plan_cache_mode=force_generic_plan";
/// Citus routes a statement by the values of its parameters, and has to plan for them: there, planning is left to it.
const READ_SETTING: &str = "SELECT current_setting('untag.session', true), \
    (SELECT set_config('plan_cache_mode', 'auto', false) FROM pg_extension WHERE extname = 'citus')";

/// The parameters of a statement.
pub type Parameters = Vec<(Box<dyn ToSql + Send + Sync>, Type)>;

/// What a statement does, and so whether it may be sent again when its answer is lost.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Access {
    Read,
    /// Finds out what became of a change: done twice it does what it does once.
    FindOut,
    Change,
}

/// A server that can be connected to.
pub struct Host {
    pub config: Config,
    /// Whether connections to it were sessions so far: if they are not, that need not be found out each time.
    has_sessions: AtomicBool,
}

/// A connection.
pub struct Session {
    client: Client,
    /// What it has prepared, by the SQL; `None` where it may change sessions.
    prepared: Option<Mutex<HashMap<&'static str, Statement>>>,
}

impl Host {
    pub fn new(config: Config) -> Self {
        Self {
            config,
            has_sessions: AtomicBool::new(true),
        }
    }

    /// Opens a connection.
    pub async fn connect(&self, credentials: &Credentials) -> Result<Session, Error> {
        if self.has_sessions.load(Ordering::Relaxed) {
            if let Some(client) = self.connect_to_session(credentials).await? {
                let prepared = Some(Mutex::default());
                return Ok(Session { client, prepared });
            }
            tracing::info!("a pooler shares the database's sessions: statements are not prepared");
            self.has_sessions.store(false, Ordering::Relaxed);
        }
        let client = credentials.connect(&self.config).await?;
        let prepared = None;
        Ok(Session { client, prepared })
    }

    /// Opens a connection that has a session to itself; `None` where that can't be had.
    async fn connect_to_session(&self, credentials: &Credentials) -> Result<Option<Client>, Error> {
        let mark = Uuid::new_v4().simple().to_string();
        let options = self.config.get_options().unwrap_or_default();
        let mut marked = self.config.clone();
        marked.options(format!("-c {SETTING}={mark} {GENERIC_PLANS} {options}"));
        let client = match credentials.connect(&marked).await {
            Ok(client) => client,
            Err(error) if error.code().is_some_and(refuses_settings) => return Ok(None),
            Err(error) => return Err(error),
        };
        let rows = client.query_typed(READ_SETTING, &[]).await?;
        let found: Option<&str> = rows.first().and_then(|row| row.get(0));
        Ok((found == Some(&mark)).then_some(client))
    }
}

/// PgBouncer, RDS Proxy, and other servers that speak PostgreSQL's protocol.
fn refuses_settings(code: &SqlState) -> bool {
    [
        SqlState::PROTOCOL_VIOLATION,
        SqlState::FEATURE_NOT_SUPPORTED,
        SqlState::UNDEFINED_OBJECT,
    ]
    .contains(code)
}

impl Session {
    /// Sends a statement, which is prepared first where it has not been.
    pub async fn query(
        &self,
        sql: &'static str,
        parameters: &Parameters,
    ) -> Result<Vec<Row>, Error> {
        let values = parameters
            .iter()
            .map(|(value, _)| &**value as &(dyn ToSql + Sync));
        let kinds = parameters.iter().map(|(_, kind)| kind.clone());
        let Some(prepared) = &self.prepared else {
            let typed: Vec<_> = values.zip(kinds).collect();
            return self.client.query_typed(sql, &typed).await;
        };
        let statements = || prepared.lock().unwrap_or_else(PoisonError::into_inner);
        let known = statements().get(sql).cloned();
        let statement = if let Some(statement) = known {
            statement
        } else {
            let kinds: Vec<Type> = kinds.collect();
            let statement = self.client.prepare_typed(sql, &kinds).await?;
            statements().insert(sql, statement.clone());
            statement
        };
        let values: Vec<_> = values.collect();
        self.client.query(&statement, &values).await
    }

    pub fn is_closed(&self) -> bool {
        self.client.is_closed()
    }

    /// For whoever wants the connection to themselves.
    pub fn into_client(self) -> Client {
        self.client
    }
}
