//! The schema of the database: which version a file has, and the settings that it is used with.

use std::path::Path;

use rusqlite::Connection;

use super::migrations::{self, APPLICATION_ID, NEWEST, OLDEST};
use crate::store::sqlite::error::OpenError;

/// The first version of SQLite in which a commit can't be lost to a concurrent checkpoint.
const OLDEST_SQLITE: i32 = 3_051_003;
/// How large SQLite makes the pages of a new file.
pub const PAGE_BYTES: u32 = 4096;

/// The pages that the writer keeps in memory: the upper levels of the tables of some million users. The system has the others,
/// and more of them here were slower.
const WRITER_CACHE_KIB: i32 = 16 * 1024;

/// The state of a database that can be used.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Found {
    /// The file is empty.
    Empty,
    /// The file has the schema of this program.
    Ours,
    /// The file has this older version of the schema, which can be migrated.
    Older(i32),
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

/// Refuses a file that is not ours, and one of a version that this program does not know, before anything is written to it.
pub fn check(path: &Path, connection: &Connection) -> Result<Found, OpenError> {
    let found = identify(connection).map_err(|error| OpenError::from_sqlite(path, error))?;
    let path = path.to_path_buf();
    match found {
        (APPLICATION_ID, NEWEST, _) => Ok(Found::Ours),
        (APPLICATION_ID, found @ OLDEST..NEWEST, _) => Ok(Found::Older(found)),
        (APPLICATION_ID, found, _) => Err(OpenError::UnknownVersion {
            path,
            found,
            oldest: OLDEST,
            newest: NEWEST,
        }),
        (0, 0, 0) => Ok(Found::Empty),
        (found, ..) => Err(OpenError::Foreign { path, found }),
    }
}

/// Sets the connection up, and brings the schema of its file up to date.
pub fn prepare(connection: &mut Connection, found: Found) -> rusqlite::Result<()> {
    // FULL makes each commit wait for the write-ahead log to be on the disk: an answered request survives a power
    // loss. NORMAL would not.
    connection.pragma_update(None, "journal_mode", "wal")?;
    connection.pragma_update(None, "synchronous", "full")?;
    connection.pragma_update(None, "cache_size", -WRITER_CACHE_KIB)?;
    match found {
        Found::Empty => migrations::create(connection),
        Found::Ours => Ok(()),
        Found::Older(version) => migrations::apply(connection, migrations::missing(version)),
    }
}

/// The application id, the schema version and how many tables and indexes there are.
pub fn identify(connection: &Connection) -> rusqlite::Result<(i32, i32, i64)> {
    Ok((
        connection.pragma_query_value(None, "application_id", |row| row.get(0))?,
        connection.pragma_query_value(None, "user_version", |row| row.get(0))?,
        connection.query_row("SELECT count(*) FROM sqlite_schema", [], |row| row.get(0))?,
    ))
}

/// How many pages of the database are kept free.
const RESERVED_PAGES: i64 = 64;

/// Sees that the database has some pages without content. On a full disk the change log grows into them: else the write-ahead log
/// could not be copied to its end, and its room could not be used again.
pub fn reserve_pages(connection: &Connection) -> rusqlite::Result<()> {
    let free: i64 = connection.pragma_query_value(None, "freelist_count", |row| row.get(0))?;
    if free >= RESERVED_PAGES / 2 {
        return Ok(());
    }
    let bytes = RESERVED_PAGES * i64::from(PAGE_BYTES);
    // Two transactions: pages that one takes and gives back are never written, and have no room on the disk.
    connection.execute_batch(&format!(
        "CREATE TABLE IF NOT EXISTS reserve (bytes BLOB) STRICT; \
         INSERT INTO reserve VALUES (zeroblob({bytes})); DROP TABLE reserve;"
    ))
}

/// Empties the change log, and begins a new history: what has come into the tables was not changed from what they had.
pub fn begin_history(connection: &Connection) -> rusqlite::Result<()> {
    connection.execute_batch(
        "DELETE FROM change_log; DELETE FROM change_position; DELETE FROM change_expired; \
         DELETE FROM change_run; DELETE FROM change_key; DELETE FROM removed_tags; \
         DELETE FROM client_token; UPDATE state SET history_id = randomblob(16), audited = NULL;",
    )
}

/// Writes the schema version again: the smallest change that shows that a commit gets through.
pub fn touch(connection: &Connection) -> rusqlite::Result<()> {
    connection.pragma_update(None, "user_version", NEWEST)
}
