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
        self.hints.read(connection, &mut go_on)?;
        let left = most_bytes.saturating_sub(self.hints.bytes());
        self.roster.read(connection, left, go_on)
    }
}
