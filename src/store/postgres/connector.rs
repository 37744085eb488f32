//! Opens connections: to one of the hosts, with the password and the certificates that its files hold now.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use arc_swap::ArcSwap;

use super::OpenError;
use super::config::{CONNECT_TIMEOUT, ConnectionString};
use super::credentials::Credentials;
use super::error::Failure;
use super::hosts;
use super::session::{Host, Session};
use crate::telemetry::metrics::metrics;

/// What opens connections to one database.
pub struct Connector {
    connection: ConnectionString,
    credentials: Arc<ArcSwap<Credentials>>,
    hosts: Vec<Host>,
    /// The place of the host that was connected to last: it is tried first.
    preferred: AtomicUsize,
}

impl Connector {
    /// A connector that goes on with the files as they are now.
    pub fn new(connection: &ConnectionString) -> Result<Self, OpenError> {
        let credentials = Arc::new(ArcSwap::from_pointee(Credentials::read(connection)?));
        Self::with(connection, credentials)
    }

    /// A connector that follows the files when they change.
    pub fn following(connection: &ConnectionString, interval: Duration) -> Result<Self, OpenError> {
        Self::with(connection, Credentials::follow(connection, interval)?)
    }

    fn with(
        connection: &ConnectionString,
        credentials: Arc<ArcSwap<Credentials>>,
    ) -> Result<Self, OpenError> {
        let hosts = hosts::split(connection.config())?;
        Ok(Self {
            connection: connection.clone(),
            credentials,
            hosts: hosts.into_iter().map(Host::new).collect(),
            preferred: AtomicUsize::new(0),
        })
    }

    /// Opens a connection. Where that fails, and the files have changed since they were looked at, tries it with what they hold
    /// now: a password that was just changed need not be waited for.
    pub async fn connect(&self) -> Result<Session, Failure> {
        let known = self.credentials.load_full();
        let mut opened = self.connect_with(&known).await;
        if opened.is_err()
            && let Some(changed) = self.read_again(&known).await
        {
            opened = self.connect_with(&changed).await;
        }
        if opened.is_err() {
            metrics().store.connections_failed.inc();
        }
        opened
    }

    /// What the files hold, if that can be used and is not known yet.
    async fn read_again(&self, known: &Credentials) -> Option<Arc<Credentials>> {
        let connection = self.connection.clone();
        let read = tokio::task::spawn_blocking(move || Credentials::read(&connection)).await;
        // What is wrong with the files, those who follow them say.
        let found = read.ok()?.ok().filter(|found| found.differ_from(known))?;
        let found = Arc::new(found);
        self.credentials.store(Arc::clone(&found));
        Some(found)
    }

    /// Opens a connection to the first host that takes it within its time.
    async fn connect_with(&self, credentials: &Credentials) -> Result<Session, Failure> {
        let preferred = self.preferred.load(Ordering::Relaxed);
        let mut failure = Failure::NoConnection("there is no host to connect to".into());
        for turn in 0..self.hosts.len() {
            let at = (preferred + turn) % self.hosts.len();
            let host = &self.hosts[at];
            let limit = host
                .config
                .get_connect_timeout()
                .copied()
                .unwrap_or(CONNECT_TIMEOUT);
            match tokio::time::timeout(limit, host.connect(credentials)).await {
                Ok(Ok(session)) => {
                    self.preferred.store(at, Ordering::Relaxed);
                    return Ok(session);
                }
                Ok(Err(error)) => failure = Failure::NoConnection(Box::new(error)),
                Err(_) => {
                    failure = Failure::NoConnection(format!("no answer within {limit:?}").into());
                }
            }
        }
        Err(failure)
    }
}
