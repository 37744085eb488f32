//! The extent of the change log: which commits it has, and how many bytes it takes.

use rusqlite::{Connection, OptionalExtension as _};

/// What a row of any table takes beside its content, about.
pub const ROW_BYTES: usize = 24;
/// The extent of the log: the sequences of its oldest and newest commit, and the bytes that it had ever taken by then. All are 0 where
/// there is none.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Extent {
    pub oldest: i64,
    pub oldest_total: u64,
    pub newest: i64,
    pub total: u64,
}

impl Extent {
    /// Reads the extent of the log.
    pub fn read(connection: &Connection) -> rusqlite::Result<Self> {
        let end = |order| {
            let select =
                format!("SELECT sequence, total FROM change_log ORDER BY sequence {order} LIMIT 1");
            let end =
                |row: &rusqlite::Row<'_>| Ok((row.get(0)?, row.get::<_, i64>(1)?.unsigned_abs()));
            let end = connection.prepare_cached(&select)?.query_row([], end);
            Ok::<_, rusqlite::Error>(end.optional()?.unwrap_or_default())
        };
        let ((oldest, oldest_total), (newest, total)) = (end("ASC")?, end("DESC")?);
        Ok(Self {
            oldest,
            oldest_total,
            newest,
            total,
        })
    }
}

/// The sequence of the newest commit of the log, 0 where there is none.
pub fn newest_sequence(connection: &Connection) -> rusqlite::Result<i64> {
    let newest = "SELECT coalesce(max(sequence), 0) FROM change_log";
    connection
        .prepare_cached(newest)?
        .query_row([], |row| row.get(0))
}
