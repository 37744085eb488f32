//! The flags for the store that a subcommand works on.

use std::fmt::{self, Display};
use std::path::PathBuf;

use clap::Args;

use super::process::runtime;
use crate::store::postgres::{ConnectionString, is_url};

/// Where the tags are kept.
#[derive(Debug, Args)]
pub struct StoreArguments {
    /// The store: sqlite for the embedded one, the connection string of a PostgreSQL, such as
    /// `postgres://untag@db1,db2/untag?target_session_attrs=read-write&sslmode=verify-full`, or ims to stand in front of
    /// Alibaba Cloud itself.
    #[arg(
        long,
        env = "UNTAG_STORE",
        value_name = "STORE",
        default_value = "sqlite",
        hide_env_values = true
    )]
    store: String,

    /// A file that holds the connection string of a PostgreSQL, in the place of --store. It is followed when it changes: what is sent
    /// from then on goes to where it leads.
    #[arg(
        long,
        env = "UNTAG_STORE_FILE",
        value_name = "FILE",
        conflicts_with = "store"
    )]
    store_file: Option<PathBuf>,

    /// The directory of the embedded store; made where it is missing.
    #[arg(
        long,
        env = "UNTAG_DATA_DIR",
        value_name = "DIRECTORY",
        default_value = "untag-data"
    )]
    data_dir: PathBuf,

    /// A file that holds the password for PostgreSQL. Without it: the connection string's, or the variable PGPASSWORD.
    #[arg(long, env = "UNTAG_STORE_PASSWORD_FILE", value_name = "FILE")]
    store_password_file: Option<PathBuf>,
}

/// The chosen store, which keeps tags itself.
pub enum Choice {
    /// The embedded store in this directory.
    Sqlite(PathBuf),
    /// The shared store behind this connection string.
    Postgres(Box<ConnectionString>),
}

impl Display for Choice {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Sqlite(directory) => directory.display().fmt(formatter),
            Self::Postgres(_) => formatter.write_str("PostgreSQL"),
        }
    }
}

impl StoreArguments {
    /// Whether the tags are kept by the cloud.
    pub fn is_ims(&self) -> bool {
        self.store == "ims"
    }

    /// Chooses the store.
    ///
    /// # Errors
    /// What is wrong with the connection string, without repeating it.
    pub fn choose(&self) -> Result<Choice, String> {
        let password_file = self.store_password_file.as_deref();
        if let Some(file) = &self.store_file {
            return ConnectionString::read(file, password_file)
                .map(|connection| Choice::Postgres(Box::new(connection)))
                .map_err(|error| error.to_string());
        }
        if self.store == "sqlite" {
            return Ok(Choice::Sqlite(self.data_dir.clone()));
        }
        if self.is_ims() {
            return Err(
                "only `untag serve` can use --store ims: the users and their tags are in the cloud"
                    .to_owned(),
            );
        }
        if !is_url(&self.store) {
            return Err("--store must be sqlite, ims, or start with postgres://".to_owned());
        }
        ConnectionString::parse(&self.store, password_file)
            .map(|connection| Choice::Postgres(Box::new(connection)))
            .map_err(|error| error.to_string())
    }
}

/// Runs the work of a subcommand that is not a server.
///
/// # Errors
/// The work's error, or why it could not start, as text for the person who started it.
pub fn block_on<T, E: Display>(work: impl Future<Output = Result<T, E>>) -> Result<T, String> {
    runtime()?.block_on(work).map_err(|error| error.to_string())
}
