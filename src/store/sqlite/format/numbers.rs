//! The numbers of rows: each is given once and for ever.

use rusqlite::Connection;

/// The number that no row has had yet.
pub fn next_number(connection: &Connection) -> rusqlite::Result<i64> {
    let select = "SELECT max(coalesce((SELECT next_number FROM state), 1), \
         coalesce((SELECT max(number) FROM resource), 0) + 1, \
         coalesce((SELECT max(number) FROM deleted_user), 0) + 1)";
    connection.query_row(select, [], |row| row.get(0))
}

/// Notes the number that no row has had yet, for the time when the tables do not show it any more.
pub fn keep_next_number(connection: &Connection, next_number: i64) -> rusqlite::Result<()> {
    connection
        .prepare_cached("UPDATE state SET next_number = ?1")?
        .execute([next_number])
        .map(drop)
}
