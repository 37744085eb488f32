//! Opens connections: to where the connection string and its files lead now.

use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;

use super::OpenError;
use super::config::ConnectionString;
use super::destination::Destination;
use super::error::Failure;
use super::session::Session;
use crate::telemetry::metrics::metrics;

/// What opens connections to one database.
pub struct Connector {
    given: ConnectionString,
    destination: Arc<ArcSwap<Destination>>,
}

impl Connector {
    /// A connector that goes on with the files as they are now.
    pub fn new(given: &ConnectionString) -> Result<Self, OpenError> {
        let destination = ArcSwap::from_pointee(Destination::read(given)?);
        Ok(Self {
            given: given.clone(),
            destination: Arc::new(destination),
        })
    }

    /// A connector that follows the files when they change.
    pub fn following(given: &ConnectionString, interval: Duration) -> Result<Self, OpenError> {
        Ok(Self {
            given: given.clone(),
            destination: Destination::follow(given, interval)?,
        })
    }

    /// Whether a connection that was opened to this destination is still one to use.
    pub fn leads_to(&self, destination: &Destination) -> bool {
        self.destination.load().is_that_of(destination)
    }

    /// Opens a connection. Where that fails, and the files have changed since they were looked at, tries it with what they hold
    /// now: a password that was just changed need not be waited for.
    pub async fn connect(&self) -> Result<(Session, Arc<Destination>), Failure> {
        let mut destination = self.destination.load_full();
        let mut opened = destination.connect().await;
        if opened.is_err()
            && let Some(changed) = self.read_again(&destination).await
        {
            destination = changed;
            opened = destination.connect().await;
        }
        if opened.is_err() {
            metrics().store.connections_failed.inc();
        }
        opened.map(|session| (session, destination))
    }

    /// What the files hold, if that can be used and is not known yet.
    async fn read_again(&self, known: &Destination) -> Option<Arc<Destination>> {
        let given = self.given.clone();
        let read = tokio::task::spawn_blocking(move || Destination::read(&given)).await;
        // What is wrong with the files, those who follow them say.
        let found = read.ok()?.ok().filter(|found| found.differs_from(known))?;
        let found = Arc::new(found);
        self.destination.store(Arc::clone(&found));
        Some(found)
    }
}
