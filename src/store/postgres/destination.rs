//! Where connections lead, by the connection string and the files of it as they are now.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use arc_swap::ArcSwap;
use tokio_postgres::Config;

use super::OpenError;
use super::config::{CONNECT_TIMEOUT, ConfigError, ConnectionString, Verification};
use super::credentials::Credentials;
use super::error::Failure;
use super::hosts;
use super::session::{Host, Session};
use crate::reload::{self, Content, Follower, LoadError};
use crate::telemetry::metrics::Reload;

/// What the files hold, for the log and for messages.
const WHAT: &str = "connection string, password or root certificates for the database";

/// The servers that can be connected to, and what that takes.
pub struct Destination {
    /// The files that it is of.
    files: Vec<Content>,
    config: Config,
    credentials: Credentials,
    hosts: Vec<Host>,
    /// The place of the host that was connected to last: it is tried first.
    preferred: AtomicUsize,
}

impl Destination {
    /// Reads the files.
    pub fn read(given: &ConnectionString) -> Result<Self, OpenError> {
        Ok(Self::parse(given, &files(given)?)?)
    }

    /// Reads the files, and again when they change.
    pub fn follow(
        given: &ConnectionString,
        interval: Duration,
    ) -> Result<Arc<ArcSwap<Self>>, OpenError> {
        let read = Self::read(given)?;
        if read.files.is_empty() {
            return Ok(Arc::new(ArcSwap::from_pointee(read)));
        }
        let (to_read, to_parse) = (given.clone(), given.clone());
        let follower = Follower::load_by(
            Reload::StoreCredentials,
            WHAT,
            move || files(&to_read),
            move |files: &[Content]| Self::parse(&to_parse, files),
        );
        Ok(follower?.follow(interval))
    }

    /// Takes the files, in their order.
    fn parse(given: &ConnectionString, files: &[Content]) -> Result<Self, ConfigError> {
        let mut contents = files.iter().map(|(_, content)| content.as_slice());
        let connection = match given.file() {
            Some(_) => given.changed(contents.next().unwrap_or_default())?,
            None => given.clone(),
        };
        let password = match connection.password_file() {
            Some(_) => contents.next(),
            None => None,
        };
        let hosts = hosts::split(connection.config())?;
        Ok(Self {
            files: files.to_vec(),
            config: connection.config().clone(),
            credentials: Credentials::parse(&connection, password, contents.next())?,
            hosts: hosts.into_iter().map(Host::new).collect(),
            preferred: AtomicUsize::new(0),
        })
    }

    /// Whether these files are others, or hold something else.
    pub fn differs_from(&self, other: &Self) -> bool {
        self.files != other.files
    }

    /// Whether connections to the other one are as good as those to this one: the password of the file may differ.
    pub fn is_that_of(&self, other: &Self) -> bool {
        std::ptr::eq(self, other) || self.config == other.config
    }

    /// Opens a connection to the first host that takes it within its time.
    pub async fn connect(&self) -> Result<Session, Failure> {
        let preferred = self.preferred.load(Ordering::Relaxed);
        let mut failure = Failure::NoConnection("there is no host to connect to".into());
        for turn in 0..self.hosts.len() {
            let at = (preferred + turn) % self.hosts.len();
            let host = &self.hosts[at];
            let limit = host.config.get_connect_timeout().copied();
            let limit = limit.unwrap_or(CONNECT_TIMEOUT);
            match tokio::time::timeout(limit, host.connect(&self.credentials)).await {
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

/// The files: that of the connection string, that of the password, and that of the root certificates, which the string names.
fn files(given: &ConnectionString) -> Result<Vec<Content>, LoadError> {
    let paths = given.file().into_iter().chain(given.password_file());
    let paths: Vec<PathBuf> = paths.map(PathBuf::from).collect();
    let mut files = reload::read(WHAT, &paths)?;
    let changed = match (given.file(), files.first()) {
        // Where it can't be read, whoever parses it says so.
        (Some(_), Some((_, text))) => given.changed(text).ok(),
        _ => Some(given.clone()),
    };
    if let Some(connection) = &changed
        && connection.uses_tls()
        && connection.verification() == Verification::Full
        && let Some(roots) = connection.root_certificates()
    {
        files.extend(reload::read(WHAT, &[roots.to_path_buf()])?);
    }
    Ok(files)
}
