//! The schema of the database: its version, and the settings that it is used with.

use std::path::Path;

use rusqlite::Connection;

use crate::store::sqlite::error::OpenError;

/// The application id of our files, "untg", which tells them from those of other programs.
const APPLICATION_ID: i32 = 0x756e_7467;
/// The version of the schema below, and of the formats in `tags.rs` and `tombstone.rs`.
pub const VERSION: i32 = 2;
/// The first version in which a commit can't be lost to a concurrent checkpoint.
const OLDEST_SQLITE: i32 = 3_051_003;
/// How large SQLite makes the pages of a new file.
pub const PAGE_BYTES: u32 = 4096;

/// The pages that the writer keeps in memory: the upper levels of the tables of some million users. The system has the others,
/// and more of them here were slower.
const WRITER_CACHE_KIB: i32 = 16 * 1024;

/// One resource is one row, which tombstones name by its number. Every key begins with the account. A row of `removal` has the
/// tombstones of a commit.
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

/// The state of a database that can be used.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Found {
    /// The file is empty.
    Empty,
    /// The file has the schema of this version.
    Ours,
}

/// Refuses a version of SQLite that could lose a commit.
pub fn check_sqlite() -> Result<(), OpenError> {
    if rusqlite::version_number() < OLDEST_SQLITE {
        return Err(OpenError::OldSqlite {
            found: rusqlite::version(),
        });
    }
    Ok(())
}

/// Refuses a file that is not ours, and one of another version, before anything is written to it.
pub fn check(path: &Path, connection: &Connection) -> Result<Found, OpenError> {
    let found = identify(connection).map_err(|error| OpenError::from_sqlite(path, error))?;
    let path = path.to_path_buf();
    match found {
        (APPLICATION_ID, VERSION, _) => Ok(Found::Ours),
        (APPLICATION_ID, found, _) => Err(OpenError::UnknownVersion {
            path,
            found,
            known: VERSION,
        }),
        (0, 0, 0) => Ok(Found::Empty),
        (found, ..) => Err(OpenError::Foreign { path, found }),
    }
}

/// Sets the connection up, and makes the schema in an empty file.
pub fn prepare(connection: &Connection) -> rusqlite::Result<()> {
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

/// The application id, the schema version and how many tables and indexes there are.
pub fn identify(connection: &Connection) -> rusqlite::Result<(i32, i32, i64)> {
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
