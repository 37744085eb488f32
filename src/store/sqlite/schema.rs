//! The database file: its place, its lock, its settings and its schema version.

use std::fs::{self, File, TryLockError};
use std::path::{Path, PathBuf};
use std::time::Duration;

use rusqlite::{Connection, OpenFlags};

use super::error::OpenError;

/// The file in the data directory.
const DATABASE: &str = "untag.db";
/// Held by the process that may write, for as long as it runs.
const LOCK: &str = "untag.lock";
/// Where a file may be made that has no name once it is open.
const SCRATCH: &str = "untag.scratch";
/// "untg": tells our files from those of other programs.
const APPLICATION_ID: i32 = 0x756e_7467;
/// The version of the schema below, and of the formats in `tags.rs` and `removals.rs`.
const VERSION: i32 = 2;
/// The first version in which a commit can't be lost to a concurrent checkpoint.
const OLDEST_SQLITE: i32 = 3_051_003;
/// How long to wait for another program's lock, at start and for each commit.
const BUSY_TIMEOUT: Duration = Duration::from_secs(2);

/// The pages that the writer keeps in memory: the upper levels of the tables of some million users. The system has the others,
/// and more of them here were slower.
const WRITER_CACHE_KIB: i32 = 16 * 1024;

/// One resource is one row, which the notes of `removals.rs` know by its number. Every key begins with the account. A row
/// of `removal` has the notes of a commit.
const SCHEMA: &str = "
    CREATE TABLE resource (
        number         INTEGER PRIMARY KEY,
        account_id     TEXT NOT NULL,
        resource_type  TEXT NOT NULL,
        resource_id    TEXT NOT NULL,
        principal_name TEXT NOT NULL COLLATE NOCASE,
        tags           BLOB NOT NULL
    ) STRICT;
    CREATE UNIQUE INDEX resource_by_id
        ON resource (account_id, resource_type, resource_id);
    CREATE UNIQUE INDEX resource_by_principal_name
        ON resource (account_id, resource_type, principal_name);
    CREATE TABLE removal (
        sequence INTEGER PRIMARY KEY,
        notes    BLOB NOT NULL
    ) STRICT;
";

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
        if !path.is_dir() {
            fs::create_dir_all(path).map_err(failed)?;
            // The directory's own entry has to survive a power loss too.
            let parent = path
                .parent()
                .filter(|parent| !parent.as_os_str().is_empty());
            File::open(parent.unwrap_or(Path::new(".")))
                .and_then(|dir| dir.sync_all())
                .map_err(failed)?;
        }
        let lock = File::options()
            .create(true)
            .truncate(false)
            .write(true)
            .open(path.join(LOCK))
            .map_err(failed)?;
        lock.try_lock().map_err(|error| match error {
            TryLockError::WouldBlock => OpenError::InUse(path.to_path_buf()),
            TryLockError::Error(source) => failed(source),
        })?;
        Ok(Self {
            database: path.join(DATABASE),
            _lock: lock,
        })
    }

    /// Opens the connection that writes, and makes the schema in an empty file.
    pub fn open_writer(&self) -> Result<Connection, OpenError> {
        if rusqlite::version_number() < OLDEST_SQLITE {
            return Err(OpenError::OldSqlite {
                found: rusqlite::version(),
            });
        }
        let open = || {
            let connection = Connection::open_with_flags(
                &self.database,
                OpenFlags::SQLITE_OPEN_READ_WRITE
                    | OpenFlags::SQLITE_OPEN_CREATE
                    | OpenFlags::SQLITE_OPEN_NO_MUTEX,
            )?;
            connection.busy_timeout(BUSY_TIMEOUT)?;
            Ok(connection)
        };
        let connection = open().map_err(|error| self.explain(error))?;
        self.check_version(&connection)?;
        prepare(&connection).map_err(|error| self.explain(error))?;
        Ok(connection)
    }

    /// Leaves it to other connections to fold the log into the database.
    pub fn leave_log(&self, writer: &Connection) -> Result<(), OpenError> {
        writer
            .pragma_update(None, "wal_autocheckpoint", 0)
            .map_err(|error| self.explain(error))
    }

    /// Where a file may be made for as long as the process runs.
    pub fn scratch(&self) -> PathBuf {
        self.database.with_file_name(SCRATCH)
    }

    /// Opens a connection that reads.
    pub fn open_reader(&self) -> Result<Connection, OpenError> {
        open_reader(&self.database)
    }

    /// Refuses a file that is not ours, before anything is written to it.
    fn check_version(&self, connection: &Connection) -> Result<(), OpenError> {
        let path = self.database.clone();
        let (application_id, version, objects) =
            identify(connection).map_err(|error| self.explain(error))?;
        match (application_id, version) {
            (APPLICATION_ID, VERSION) => Ok(()),
            (APPLICATION_ID, found) => Err(OpenError::UnknownVersion {
                path,
                found,
                known: VERSION,
            }),
            (0, 0) if objects == 0 => Ok(()),
            (found, _) => Err(OpenError::Foreign { path, found }),
        }
    }

    fn explain(&self, error: rusqlite::Error) -> OpenError {
        OpenError::from_sqlite(&self.database, error)
    }
}

/// Sets the connection up, and makes the schema in an empty file.
fn prepare(connection: &Connection) -> rusqlite::Result<()> {
    // FULL makes each commit wait for the write-ahead log to be on the disk: an answered request survives a power
    // loss. NORMAL would not.
    connection.pragma_update(None, "journal_mode", "wal")?;
    connection.pragma_update(None, "synchronous", "full")?;
    connection.pragma_update(None, "cache_size", -WRITER_CACHE_KIB)?;
    let (application_id, ..) = identify(connection)?;
    if application_id == 0 {
        connection.execute_batch(&format!(
            "BEGIN IMMEDIATE; {SCHEMA} PRAGMA application_id = {APPLICATION_ID}; \
             PRAGMA user_version = {VERSION}; COMMIT;"
        ))?;
    }
    Ok(())
}

/// Opens the database of a directory that another process may be serving, to read it.
pub fn open_existing(directory: &Path) -> Result<Connection, OpenError> {
    let path = directory.join(DATABASE);
    if !path.is_file() {
        let missing = std::io::Error::new(
            std::io::ErrorKind::NotFound,
            format!("there is no {DATABASE} in it"),
        );
        return Err(OpenError::Directory {
            path: directory.to_path_buf(),
            source: missing,
        });
    }
    let connection = open_reader(&path)?;
    let found = identify(&connection).map_err(|error| OpenError::from_sqlite(&path, error))?;
    match found {
        (APPLICATION_ID, VERSION, _) => Ok(connection),
        (APPLICATION_ID, found, _) => Err(OpenError::UnknownVersion {
            path,
            found,
            known: VERSION,
        }),
        (found, ..) => Err(OpenError::Foreign { path, found }),
    }
}

fn open_reader(path: &Path) -> Result<Connection, OpenError> {
    let open = || {
        let connection = Connection::open_with_flags(
            path,
            OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX,
        )?;
        connection.busy_timeout(BUSY_TIMEOUT)?;
        connection.pragma_update(None, "query_only", true)?;
        // The first read opens the log, for which there may be no file descriptor left when that is a request's.
        identify(&connection)?;
        Ok(connection)
    };
    open().map_err(|error| OpenError::from_sqlite(path, error))
}

/// The application id, the schema version and how many tables and indexes there are.
fn identify(connection: &Connection) -> rusqlite::Result<(i32, i32, i64)> {
    Ok((
        connection.pragma_query_value(None, "application_id", |row| row.get(0))?,
        connection.pragma_query_value(None, "user_version", |row| row.get(0))?,
        connection.query_row("SELECT count(*) FROM sqlite_schema", [], |row| row.get(0))?,
    ))
}

/// Writes the schema version again: the smallest change that shows that a commit gets through.
pub fn touch(connection: &Connection) -> rusqlite::Result<()> {
    connection.pragma_update(None, "user_version", VERSION)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn connections_open_all_their_files_before_the_first_request() {
        let data = tempfile::tempdir().unwrap();
        let directory = DataDirectory::lock(data.path()).unwrap();
        let _writer = directory.open_writer().unwrap();
        let open_logs = || {
            let files = std::fs::read_dir("/proc/self/fd").unwrap();
            let links = files.filter_map(|file| std::fs::read_link(file.ok()?.path()).ok());
            let log = data.path().join("untag.db-wal");
            links.filter(|link| *link == log).count()
        };
        assert_eq!(open_logs(), 1);
        let _reader = directory.open_reader().unwrap();
        assert_eq!(open_logs(), 2);
    }
}
