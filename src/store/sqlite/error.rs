//! Turns SQLite's errors into the store's. SQLite's own text goes to the log only.

use std::error::Error as StdError;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rusqlite::{ErrorCode, ffi};
use thiserror::Error;

use crate::domain::Applied;
use crate::store::StoreError;

/// Why the store could not be opened: for the person who starts it.
#[derive(Debug, Error)]
pub enum OpenError {
    /// The data directory can't be made, read or written.
    #[error("cannot use the data directory {}: {source}; give a writable directory with --data-dir", path.display())]
    Directory {
        /// The directory.
        path: PathBuf,
        /// What the system says.
        source: std::io::Error,
    },
    /// Another process of `untag` has the data directory.
    #[error(
        "the data directory {} is in use by another untag process; stop that one or give another --data-dir",
        .0.display()
    )]
    InUse(PathBuf),
    /// Another program holds SQLite's lock.
    #[error("{} is locked by another program (an open sqlite3 shell, a backup); close it and start again", .0.display())]
    Locked(PathBuf),
    /// The disk has no space for the files beside the database.
    #[error("there is no room to open {}: its disk is full; free some space and start again", .0.display())]
    DiskFull(PathBuf),
    /// The file is no database, or a damaged one.
    #[error(
        "{} is damaged or not an SQLite database; nothing was changed; restore it from a backup, or move it away and \
         use `untag import` with an export",
        .0.display()
    )]
    Corrupt(PathBuf),
    /// The file is a database of another program.
    #[error("{} is an SQLite database of another program (application id {found:#x}); give another --data-dir", path.display())]
    Foreign {
        /// The file.
        path: PathBuf,
        /// The other program's id.
        found: i32,
    },
    /// The schema has a version that this program does not know.
    #[error(
        "{} has schema version {found}, and this program knows versions {oldest} to {newest} only; nothing was changed; \
         use the version of untag that wrote it, or export with that one and import with this one",
        path.display()
    )]
    UnknownVersion {
        /// The file.
        path: PathBuf,
        /// The file's version.
        found: i32,
        /// The first version that this program can migrate.
        oldest: i32,
        /// The version of this program.
        newest: i32,
    },
    /// The schema has an older version, and the file is only to be read.
    #[error(
        "{} has schema version {found}, and this program reads version {needed}; nothing was changed; stop the service \
         on it, and run `untag migrate` with the same --data-dir first",
        path.display()
    )]
    Outdated {
        /// The file.
        path: PathBuf,
        /// The file's version.
        found: i32,
        /// The version of this program.
        needed: i32,
    },
    /// The program was built with a version of SQLite that could lose a commit.
    #[error(
        "SQLite {found} is linked, and versions before 3.51.3 can lose a commit; build untag with its bundled SQLite"
    )]
    OldSqlite {
        /// The version.
        found: &'static str,
    },
    /// Anything else that SQLite says.
    #[error("cannot open {}: {source}", path.display())]
    Other {
        /// The file.
        path: PathBuf,
        /// What SQLite says.
        source: rusqlite::Error,
    },
}

impl OpenError {
    /// Says what an error of SQLite while opening this file means.
    pub(super) fn from_sqlite(path: &Path, source: rusqlite::Error) -> Self {
        let path = path.to_path_buf();
        match source.sqlite_error_code() {
            _ if is_disk_full(&source) => Self::DiskFull(path),
            Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked) => Self::Locked(path),
            Some(ErrorCode::NotADatabase | ErrorCode::DatabaseCorrupt) => Self::Corrupt(path),
            Some(ErrorCode::ReadOnly | ErrorCode::CannotOpen | ErrorCode::PermissionDenied) => {
                let denied = std::io::Error::new(
                    std::io::ErrorKind::PermissionDenied,
                    format!("{} is read-only or not accessible", path.display()),
                );
                let directory = path.parent().unwrap_or(&path).to_path_buf();
                Self::Directory {
                    path: directory,
                    source: denied,
                }
            }
            _ => Self::Other { path, source },
        }
    }
}

/// Whether an error says that the disk is full. SQLite calls it an I/O error where the file that has no room is the one that connections share (`-shm`).
fn is_disk_full(error: &rusqlite::Error) -> bool {
    error.sqlite_error().is_some_and(|error| {
        error.code == ErrorCode::DiskFull || error.extended_code == ffi::SQLITE_IOERR_SHMSIZE
    })
}

/// A row whose `tags`, or another column, holds something else than this version writes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error("a record is not in the format of this schema version")]
pub struct CorruptTags;

/// A row of the change log, or of what finds its entries, that holds something else.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error("a row of the change log is not in the format of this schema version")]
pub struct CorruptLog;

/// What can fail while a command is applied. A commit that fails has many requests to tell, so it can be cloned.
#[derive(Debug, Clone, Error)]
pub enum ApplyError {
    /// SQLite fails.
    #[error(transparent)]
    Sqlite(Arc<rusqlite::Error>),
    /// A row can't be read.
    #[error(transparent)]
    Tags(#[from] CorruptTags),
    /// The change log holds something else than entries.
    #[error(transparent)]
    Log(#[from] CorruptLog),
}

impl From<rusqlite::Error> for ApplyError {
    fn from(error: rusqlite::Error) -> Self {
        Self::Sqlite(Arc::new(error))
    }
}

impl ApplyError {
    /// Whether the disk was too full for the change.
    pub fn is_disk_full(&self) -> bool {
        matches!(self, Self::Sqlite(error) if is_disk_full(error))
    }

    /// Says what the error means for the caller of the store.
    pub fn to_store_error(&self, applied: Applied) -> StoreError {
        let source: Arc<dyn StdError + Send + Sync> = Arc::new(self.clone());
        let Self::Sqlite(sqlite) = self else {
            return StoreError::Broken(source);
        };
        let reason = match sqlite.sqlite_error_code() {
            _ if is_disk_full(sqlite) => "the store's disk is full",
            Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked) => {
                "the store is locked by another program"
            }
            Some(ErrorCode::ReadOnly) => "the store is read-only",
            Some(ErrorCode::SystemIoFailure | ErrorCode::CannotOpen) => {
                "the store's disk does not work"
            }
            _ => return StoreError::Broken(source),
        };
        StoreError::Unavailable {
            reason,
            applied,
            source: Some(source),
        }
    }
}
