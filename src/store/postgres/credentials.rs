//! The password and the certificates for the database, as their files hold them.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use tokio_postgres::{Client, Config};

use super::OpenError;
use super::config::{ConfigError, ConnectionString, Verification};
use super::tls::Tls;
use crate::reload::{self, Follower};
use crate::telemetry::metrics::Reload;

/// What the files hold, for the log and for messages.
const WHAT: &str = "password or root certificates for the database";

/// What a connection is opened with.
pub struct Credentials {
    /// The contents of the files that these are of.
    contents: Vec<Vec<u8>>,
    /// The password of the file, if there is one.
    password: Option<Vec<u8>>,
    tls: Tls,
}

impl Credentials {
    /// Reads the files.
    pub fn read(connection: &ConnectionString) -> Result<Self, OpenError> {
        let contents = reload::read(WHAT, &files(connection))?;
        Ok(Self::parse(connection, &contents)?)
    }

    /// Reads the files, and again when they change.
    pub fn follow(
        connection: &ConnectionString,
        interval: Duration,
    ) -> Result<Arc<ArcSwap<Self>>, OpenError> {
        let files = files(connection);
        if files.is_empty() {
            return Ok(Arc::new(ArcSwap::from_pointee(Self::read(connection)?)));
        }
        let connection = connection.clone();
        let parse = move |contents: &[Vec<u8>]| Self::parse(&connection, contents);
        let follower = Follower::load(Reload::StoreCredentials, WHAT, files, parse)?;
        Ok(follower.follow(interval))
    }

    /// Takes the contents of the files, in their order.
    fn parse(connection: &ConnectionString, contents: &[Vec<u8>]) -> Result<Self, ConfigError> {
        let mut each = contents.iter();
        let mut password = None;
        if let (Some(path), Some(text)) = (connection.password_file(), each.clone().next()) {
            each.next();
            let end = text.iter().rposition(|byte| !b"\r\n".contains(byte));
            let end = end.ok_or_else(|| ConfigError::Empty(path.to_path_buf()))?;
            password = Some(text[..=end].to_vec());
        }
        Ok(Self {
            contents: contents.to_vec(),
            password,
            tls: Tls::new(connection, each.next().map(Vec::as_slice))?,
        })
    }

    /// Whether these are of other contents.
    pub fn differ_from(&self, other: &Self) -> bool {
        self.contents != other.contents
    }

    /// Opens a connection, which runs until its client is gone.
    pub async fn connect(&self, config: &Config) -> Result<Client, tokio_postgres::Error> {
        match &self.password {
            None => self.tls.connect(config).await,
            Some(password) => {
                let mut config = config.clone();
                self.tls.connect(config.password(password)).await
            }
        }
    }
}

/// The files: that of the password before that of the certificates.
fn files(connection: &ConnectionString) -> Vec<PathBuf> {
    let is_verified = connection.uses_tls() && connection.verification() == Verification::Full;
    let certificates = connection.root_certificates().filter(|_| is_verified);
    let files = connection.password_file().into_iter().chain(certificates);
    files.map(PathBuf::from).collect()
}
