//! What a connection proves itself and its server with.

use tokio_postgres::{Client, Config};

use super::config::{ConfigError, ConnectionString};
use super::tls::Tls;

/// What a connection is opened with.
pub struct Credentials {
    /// The password of the file, if there is one.
    password: Option<Vec<u8>>,
    tls: Tls,
}

impl Credentials {
    /// Takes what the files of a connection string hold: that of the password and that of the root certificates.
    pub fn parse(
        connection: &ConnectionString,
        password: Option<&[u8]>,
        roots: Option<&[u8]>,
    ) -> Result<Self, ConfigError> {
        let password = match (connection.password_file(), password) {
            (Some(path), Some(text)) => {
                let end = text.iter().rposition(|byte| !b"\r\n".contains(byte));
                let end = end.ok_or_else(|| ConfigError::Empty(path.to_path_buf()))?;
                Some(text[..=end].to_vec())
            }
            _ => None,
        };
        Ok(Self {
            password,
            tls: Tls::new(connection, roots)?,
        })
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
