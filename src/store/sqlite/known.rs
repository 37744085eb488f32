//! What is known of the users without reading their rows. It is in memory, and read when the service has started.

use std::ops::ControlFlow;

use rusqlite::Connection;

use super::hints::Hints;
use super::roster::Roster;

/// What the connections of a store share. There is nothing in it until it is read.
#[derive(Debug, Clone, Default)]
pub struct Known {
    pub hints: Hints,
    pub roster: Roster,
}

impl Known {
    /// Reads the hints, and with the memory that they leave of so many bytes the roster. `go_on` is asked now and then, while
    /// no transaction is open.
    pub fn read(
        &self,
        connection: &Connection,
        most_bytes: usize,
        mut go_on: impl FnMut() -> ControlFlow<()>,
    ) -> rusqlite::Result<()> {
        let newest = "SELECT coalesce(max(number), 0) FROM resource";
        let newest = connection.query_row(newest, [], |row| row.get(0))?;
        if self.hints.read(connection, newest, &mut go_on)?.is_break() {
            return Ok(());
        }
        let left = most_bytes.saturating_sub(self.hints.bytes());
        let rows = i64::try_from(left / Roster::BYTES_OF_A_ROW).unwrap_or(i64::MAX);
        self.roster.read(connection, newest.min(rows), go_on)
    }
}
