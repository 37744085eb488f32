//! The data directory: its files, which are for their owner alone, its lock, and the connections to its database.

use std::fs::{self, DirBuilder, File, Permissions, TryLockError};
use std::io::{self, ErrorKind};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use rusqlite::config::DbConfig;
use rusqlite::{Connection, OpenFlags};

use super::migrations::{self, Migration};
use super::schema::{self, Found};
use crate::directory;
use crate::store::sqlite::error::OpenError;
use crate::store::sqlite::wal::{BUSY_TIMEOUT, Wal};

/// The files in the data directory: the database with the two that SQLite puts beside it, and one that is locked by the process
/// that may write, for as long as it runs.
const DATABASE: &str = "untag.db";
const BESIDE_DATABASE: [&str; 2] = ["untag.db-wal", "untag.db-shm"];
const LOCK: &str = "untag.lock";
/// How many statements a connection keeps prepared: more than any has.
const STATEMENTS: usize = 64;
/// The mode of files and of new directories: others than their owner may do nothing with them.
const FILE_MODE: u32 = 0o600;
const DIRECTORY_MODE: u32 = 0o700;

/// A data directory that this process may write.
#[derive(Debug)]
pub struct DataDirectory {
    database: PathBuf,
    _lock: File,
}

impl DataDirectory {
    /// Makes the directory where it is missing, and takes the lock.
    pub fn lock(path: &Path) -> Result<Self, OpenError> {
        let failed = |source| OpenError::Directory {
            path: path.to_path_buf(),
            source,
        };
        create_directory(path).map_err(failed)?;
        let lock = File::options()
            .create(true)
            .truncate(false)
            .write(true)
            .mode(FILE_MODE)
            .open(path.join(LOCK))
            .map_err(failed)?;
        lock.try_lock().map_err(|error| match error {
            TryLockError::WouldBlock => OpenError::InUse(path.to_path_buf()),
            TryLockError::Error(source) => failed(source),
        })?;
        for file in [LOCK, DATABASE].iter().chain(&BESIDE_DATABASE) {
            keep_from_others(&path.join(file));
        }
        Ok(Self {
            database: path.join(DATABASE),
            _lock: lock,
        })
    }

    /// Opens the connection that writes, after making the schema in an empty file or bringing it up to date.
    pub fn open_writer(&self) -> Result<Connection, OpenError> {
        schema::check_sqlite()?;
        self.create_database()?;
        let mut connection = open(&self.database).map_err(|error| self.explain(error))?;
        let found = schema::check(&self.database, &connection)?;
        schema::prepare(&mut connection, found).map_err(|error| self.explain(error))?;
        Ok(connection)
    }

    /// The write-ahead log, which has to begin anew when it has more pages than the limit.
    pub fn wal(&self, limit: u32) -> Wal {
        Wal::new(&self.database, limit)
    }

    /// Leaves it to others to checkpoint the write-ahead log. A file that a reader has made longer than its bound is cut when
    /// it begins anew.
    pub fn leave_wal(&self, writer: &Connection, wal: &Wal) -> Result<(), OpenError> {
        let bytes = 2 * i64::from(wal.limit()) * i64::from(schema::PAGE_BYTES);
        writer
            .pragma_update(None, "wal_autocheckpoint", 0)
            .and_then(|()| writer.pragma_update(None, "journal_size_limit", bytes))
            .map_err(|error| self.explain(error))
    }

    /// Opens a connection that reads.
    pub fn open_reader(&self) -> Result<Connection, OpenError> {
        open_reader(&self.database)
    }

    /// Makes an empty database where there is none. SQLite would make it readable for others, and gives the files beside it the
    /// mode of the database.
    fn create_database(&self) -> Result<(), OpenError> {
        let created = File::options()
            .write(true)
            .create_new(true)
            .mode(FILE_MODE)
            .open(&self.database);
        match created {
            Err(source) if source.kind() != ErrorKind::AlreadyExists => Err(OpenError::Directory {
                path: self.database.clone(),
                source,
            }),
            _ => Ok(()),
        }
    }

    fn explain(&self, error: rusqlite::Error) -> OpenError {
        OpenError::from_sqlite(&self.database, error)
    }
}

/// Makes a directory, and those above it that are missing, for the owner alone. All of them survive a power loss.
///
/// # Errors
/// What the system says.
pub fn create_directory(path: &Path) -> io::Result<()> {
    if path.is_dir() {
        return Ok(());
    }
    create_directory(directory::of(path))?;
    match DirBuilder::new().mode(DIRECTORY_MODE).create(path) {
        Err(error) if error.kind() == ErrorKind::AlreadyExists && path.is_dir() => {}
        created => created?,
    }
    directory::sync_of(path)
}

/// Takes a file that is there away from others: what an older version has made, everybody could read.
fn keep_from_others(path: &Path) {
    let mode = path.metadata().map(|file| file.permissions().mode());
    if !matches!(mode, Ok(mode) if mode & 0o077 != 0) {
        return;
    }
    if let Err(error) = fs::set_permissions(path, Permissions::from_mode(FILE_MODE)) {
        let path = path.display();
        tracing::warn!(%path, %error, "others than the owner may read or write this file");
    }
}

/// What `serve` would find in a directory.
#[derive(Debug, Clone, Copy)]
pub enum Existing {
    /// There is no database, or an empty one: `serve` makes one with this version of the schema.
    Nothing(i32),
    /// There is a database with this version of the schema, which `serve` takes as it is.
    Database(i32),
    /// There is a database of an older version, to which `serve` applies these migrations.
    Older(&'static [Migration]),
}

/// Looks what `serve` would find in a directory, which another process may be serving.
///
/// # Errors
/// Why `serve` would refuse it.
pub fn inspect(directory: &Path) -> Result<Existing, OpenError> {
    let path = directory.join(DATABASE);
    let nothing = Ok(Existing::Nothing(migrations::NEWEST));
    match path.metadata() {
        Err(error) if error.kind() == ErrorKind::NotFound => return nothing,
        Err(source) => {
            return Err(OpenError::Directory {
                path: directory.to_path_buf(),
                source,
            });
        }
        Ok(_) => {}
    }
    match schema::check(&path, &open_reader(&path)?)? {
        Found::Ours => Ok(Existing::Database(migrations::NEWEST)),
        Found::Older(version) => Ok(Existing::Older(migrations::missing(version))),
        Found::Empty => nothing,
    }
}

/// Opens the database of a directory that another process may be serving, to read it.
pub fn open_existing(directory: &Path) -> Result<Connection, OpenError> {
    let path = directory.join(DATABASE);
    if !path.is_file() {
        let missing = io::Error::new(ErrorKind::NotFound, format!("there is no {DATABASE} in it"));
        return Err(OpenError::Directory {
            path: directory.to_path_buf(),
            source: missing,
        });
    }
    let connection = open_reader(&path)?;
    match schema::check(&path, &connection)? {
        Found::Ours => Ok(connection),
        Found::Older(found) => Err(OpenError::Outdated {
            path,
            found,
            needed: migrations::NEWEST,
        }),
        Found::Empty => Err(OpenError::Foreign { path, found: 0 }),
    }
}

/// Opens a connection to a database that is there.
fn open(path: &Path) -> rusqlite::Result<Connection> {
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = Connection::open_with_flags(path, flags)?;
    connection.busy_timeout(BUSY_TIMEOUT)?;
    connection.set_prepared_statement_cache_capacity(STATEMENTS);
    // The journal of a statement that changes many pages is a file in /tmp else, and a hardened container has no /tmp.
    connection.pragma_update(None, "temp_store", "memory")?;
    // Plans do not depend on the values that are bound: else SQLite compiles a statement anew for each of them.
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_ENABLE_QPSG, true)?;
    Ok(connection)
}

fn open_reader(path: &Path) -> Result<Connection, OpenError> {
    let open = || {
        let connection = open(path)?;
        connection.pragma_update(None, "query_only", true)?;
        // The first read opens the log, for which there may be no file descriptor left when that is a request's.
        schema::identify(&connection)?;
        Ok(connection)
    };
    open().map_err(|error| OpenError::from_sqlite(path, error))
}

#[cfg(test)]
mod tests {
    use rusqlite::StatementStatus;

    use super::*;

    #[test]
    fn connections_open_all_their_files_before_the_first_request() {
        let data = tempfile::tempdir().unwrap();
        let directory = DataDirectory::lock(data.path()).unwrap();
        let _writer = directory.open_writer().unwrap();
        let open_logs = || {
            let files = fs::read_dir("/proc/self/fd").unwrap();
            let links = files.filter_map(|file| fs::read_link(file.ok()?.path()).ok());
            let log = data.path().join("untag.db-wal");
            links.filter(|link| *link == log).count()
        };
        assert_eq!(open_logs(), 1);
        let _reader = directory.open_reader().unwrap();
        assert_eq!(open_logs(), 2);
    }

    #[test]
    fn a_statement_is_not_compiled_anew_for_other_values() {
        let data = tempfile::tempdir().unwrap();
        let directory = DataDirectory::lock(data.path()).unwrap();
        let connections = [directory.open_writer(), directory.open_reader()];
        let select = "SELECT revision FROM change_position \
             WHERE account_id = ?1 AND revision <= ?2 ORDER BY revision DESC LIMIT 1";
        for connection in connections.map(Result::unwrap) {
            for revision in 0..5 {
                let mut statement = connection.prepare_cached(select).unwrap();
                statement.exists(("1", revision)).unwrap();
                assert_eq!(statement.get_status(StatementStatus::RePrepare), 0);
            }
        }
    }
}
