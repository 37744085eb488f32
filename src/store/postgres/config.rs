//! The connection string: `postgres://user@host:port,host:port/database?options`, or `key=value` pairs.

use std::fmt;
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::time::Duration;

use thiserror::Error;
use tokio_postgres::Config;
use tokio_postgres::config::{Host, SslMode};

use super::OpenError;
use crate::reload::{self, LoadError};

/// How long one host may take to open a session, unless `connect_timeout` says otherwise.
pub(super) const CONNECT_TIMEOUT: Duration = Duration::from_secs(3);
/// How long sent data may stay unacknowledged before the connection counts as lost: bounds how long a host that is gone
/// without a word is waited for.
const TCP_USER_TIMEOUT: Duration = Duration::from_secs(10);
const KEEPALIVE_IDLE: Duration = Duration::from_secs(10);

/// What TLS has to show.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verification {
    /// Nothing: the connection is private, but to whom is not known.
    None,
    /// That the server's certificate is of a trusted authority and names the host.
    Full,
}

/// A parsed connection string. It shows no password.
#[derive(Clone)]
pub struct ConnectionString {
    config: Config,
    verification: Verification,
    root_certificates: Option<PathBuf>,
    password_file: Option<PathBuf>,
    /// The file that it is read from, if it is.
    file: Option<PathBuf>,
}

impl fmt::Debug for ConnectionString {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("ConnectionString")
            .field("hosts", &self.config.get_hosts())
            .field("database", &self.config.get_dbname())
            .finish_non_exhaustive()
    }
}

/// A connection string that can't be used. It never repeats the string, which may hold a password.
#[derive(Debug, Error)]
pub enum ConfigError {
    /// The string.
    #[error("cannot read the connection string: {0}; write postgres://user@host:5432/database")]
    Invalid(String),
    /// A password file without a password.
    #[error("the password file {} is empty", .0.display())]
    Empty(PathBuf),
    /// The certificates.
    #[error("cannot use the root certificates: {0}")]
    Certificates(String),
}

impl ConnectionString {
    /// Reads a connection string; the variables PGHOST, PGPORT, PGUSER, PGDATABASE, PGPASSWORD, PGSSLMODE and PGSSLROOTCERT
    /// fill in what it leaves out, and `password_file`, which is not read yet, holds the password alone.
    ///
    /// # Errors
    /// [`ConfigError`] with what is wrong, without the string.
    pub fn parse(text: &str, password_file: Option<&Path>) -> Result<Self, ConfigError> {
        let variable = |name: &str| std::env::var(name).ok().filter(|value| !value.is_empty());
        let (plain, mut own) = take_own_options(text);
        let mut config = Config::from_str(&plain).map_err(|error| invalid(&error))?;
        own.mode = own.mode.or_else(|| variable("PGSSLMODE"));
        own.root_certificates = own.root_certificates.or_else(|| variable("PGSSLROOTCERT"));

        if config.get_hosts().is_empty() {
            config.host(variable("PGHOST").unwrap_or_else(|| "localhost".to_owned()));
        }
        if config.get_ports().is_empty()
            && let Some(port) = variable("PGPORT")
        {
            config.port(
                port.parse()
                    .map_err(|_| ConfigError::Invalid("PGPORT is no port".into()))?,
            );
        }
        if config.get_user().is_none() {
            config.user(variable("PGUSER").unwrap_or_else(|| "untag".to_owned()));
        }
        if config.get_dbname().is_none()
            && let Some(database) = variable("PGDATABASE")
        {
            config.dbname(database);
        }
        if password_file.is_none()
            && config.get_password().is_none()
            && let Some(password) = variable("PGPASSWORD")
        {
            config.password(password);
        }
        let verification = set_ssl_mode(&mut config, own.mode.as_deref())?;
        if config.get_connect_timeout().is_none() {
            config.connect_timeout(CONNECT_TIMEOUT);
        }
        config
            .tcp_user_timeout(TCP_USER_TIMEOUT)
            .keepalives_idle(KEEPALIVE_IDLE)
            .application_name("untag");
        let root_certificates = own.root_certificates.map(PathBuf::from);
        Ok(Self {
            config,
            verification,
            root_certificates,
            password_file: password_file.map(Path::to_path_buf),
            file: None,
        })
    }

    /// Reads a connection string from a file, which holds nothing else. It is read again for each connection that is opened.
    ///
    /// # Errors
    /// [`OpenError`] with what is wrong, without the string.
    pub fn read(file: &Path, password_file: Option<&Path>) -> Result<Self, OpenError> {
        let content = reload::read_file(file).map_err(|source| LoadError::Read {
            what: "connection string of the database",
            path: file.to_path_buf(),
            source,
        })?;
        let mut connection = Self::parse(text(&content)?, password_file)?;
        connection.file = Some(file.to_path_buf());
        Ok(connection)
    }

    /// The connection string that its file holds by now.
    pub(super) fn changed(&self, content: &[u8]) -> Result<Self, ConfigError> {
        let mut changed = Self::parse(text(content)?, self.password_file())?;
        changed.file.clone_from(&self.file);
        Ok(changed)
    }

    /// The file that it is read from, if it is.
    pub(super) fn file(&self) -> Option<&Path> {
        self.file.as_deref()
    }

    /// For tokio-postgres.
    pub(super) fn config(&self) -> &Config {
        &self.config
    }

    pub(super) fn verification(&self) -> Verification {
        self.verification
    }

    pub(super) fn root_certificates(&self) -> Option<&Path> {
        self.root_certificates.as_deref()
    }

    pub(super) fn password_file(&self) -> Option<&Path> {
        self.password_file.as_deref()
    }

    /// Whether TLS can be used at all: not on a Unix socket.
    pub(super) fn uses_tls(&self) -> bool {
        let is_tcp = |host: &Host| matches!(host, Host::Tcp(_));
        self.config.get_ssl_mode() != SslMode::Disable && self.config.get_hosts().iter().any(is_tcp)
    }
}

/// The connection string in a file, as a URL: an editor ends it with a line break.
fn text(content: &[u8]) -> Result<&str, ConfigError> {
    let text = std::str::from_utf8(content)
        .map(str::trim)
        .unwrap_or_default();
    if is_url(text) {
        return Ok(text);
    }
    Err(ConfigError::Invalid(
        "it does not start with postgres://".to_owned(),
    ))
}

/// Whether a text is meant as a connection string.
#[must_use]
pub fn is_url(text: &str) -> bool {
    text.starts_with("postgres://") || text.starts_with("postgresql://")
}

fn invalid(error: &tokio_postgres::Error) -> ConfigError {
    let cause = std::error::Error::source(error).map(ToString::to_string);
    ConfigError::Invalid(cause.unwrap_or_else(|| "it is not one".to_owned()))
}

/// Options of libpq that tokio-postgres does not know.
#[derive(Default)]
struct OwnOptions {
    mode: Option<String>,
    root_certificates: Option<String>,
}

/// Takes `sslmode` and `sslrootcert` out of a connection string.
fn take_own_options(text: &str) -> (String, OwnOptions) {
    let mut own = OwnOptions::default();
    let mut keep = |option: &&str| {
        let (name, value) = option.split_once('=').unwrap_or((option, ""));
        let slot = match name.trim() {
            "sslmode" => &mut own.mode,
            "sslrootcert" => &mut own.root_certificates,
            _ => return true,
        };
        *slot = Some(value.trim_matches('\'').replace("%2F", "/"));
        false
    };
    let plain = match text.split_once('?') {
        Some((url, options)) => {
            let kept: Vec<&str> = options.split('&').filter(&mut keep).collect();
            if kept.is_empty() {
                url.to_owned()
            } else {
                format!("{url}?{}", kept.join("&"))
            }
        }
        None if text.contains("://") => text.to_owned(),
        None => text
            .split_whitespace()
            .filter(&mut keep)
            .collect::<Vec<_>>()
            .join(" "),
    };
    (plain, own)
}

fn set_ssl_mode(config: &mut Config, mode: Option<&str>) -> Result<Verification, ConfigError> {
    let (mode, verification) = match mode {
        Some("disable") => (SslMode::Disable, Verification::None),
        None | Some("prefer") => (SslMode::Prefer, Verification::None),
        Some("require") => (SslMode::Require, Verification::None),
        Some("verify-full") => (SslMode::Require, Verification::Full),
        Some(other) => {
            return Err(ConfigError::Invalid(format!(
                "sslmode={other} must be disable, prefer, require or verify-full"
            )));
        }
    };
    config.ssl_mode(mode);
    Ok(verification)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tls_options_are_taken_out_and_understood() {
        let text = "postgres://u:secret@a:1,b:2/db?sslmode=verify-full&target_session_attrs=read-write\
                    &sslrootcert=%2Fca.pem";
        let parsed = ConnectionString::parse(text, None).unwrap();
        assert_eq!(parsed.verification, Verification::Full);
        assert_eq!(parsed.config.get_ssl_mode(), SslMode::Require);
        assert_eq!(parsed.root_certificates(), Some(Path::new("/ca.pem")));
        assert_eq!(parsed.config.get_hosts().len(), 2);
        assert!(!format!("{parsed:?}").contains("secret"));
    }

    #[test]
    fn a_bad_string_is_refused_without_repeating_it() {
        for bad in [
            "postgres://u:secret@h:x/db",
            "secret",
            "postgres://h/db?sslmode=secret-not",
        ] {
            let error = ConnectionString::parse(bad, None).unwrap_err().to_string();
            assert!(!error.contains("u:secret"), "{error}");
        }
    }
}
