//! What is known of the users without reading their rows. It is read when the service has started.

mod dictionary;
mod key;
mod lookup;
mod row_ids;
mod slots;
mod summaries;

use std::ops::ControlFlow;
use std::path::PathBuf;

use rusqlite::Connection;

pub use key::Key;
pub use lookup::{Lookup, Sighting};

use row_ids::Hints;
use slots::{Entries, Entry};
use summaries::Roster;

/// What the connections of a store share. There is nothing in it until it is read.
#[derive(Debug, Clone, Default)]
pub struct Known {
    pub hints: Hints,
    pub roster: Roster,
}

/// What that may take.
#[derive(Debug)]
pub struct Room {
    /// Of memory, in bytes.
    pub bytes: usize,
    /// Of the disk, in bytes, where memory does not suffice.
    pub file_bytes: usize,
    /// Where a file may be made for it.
    pub file: PathBuf,
}

impl Known {
    /// Reads the hints, and the roster into the room that they leave. `go_on` is asked now and then, while no transaction is open.
    pub fn read(
        &self,
        connection: &Connection,
        room: &Room,
        mut go_on: impl FnMut() -> ControlFlow<()>,
    ) -> rusqlite::Result<()> {
        let newest = "SELECT coalesce(max(number), 0) FROM resource";
        let newest = connection.query_row(newest, [], |row| row.get(0))?;
        if self.hints.read(connection, newest, &mut go_on)?.is_break() {
            return Ok(());
        }
        // From 0, which no row has.
        let numbers = usize::try_from(newest).unwrap_or_default() + 1;
        let left = room.bytes.saturating_sub(self.hints.bytes());
        let in_memory = numbers.min(left / Entry::BYTES);
        let in_file = numbers.min(room.file_bytes / Entry::BYTES);
        let file = (in_file > in_memory).then(|| slots::nameless(&room.file));
        let file = file.transpose().unwrap_or_else(|error| {
            let path = room.file.display();
            tracing::warn!(%error, %path, "cannot make a file for what is known of users; some of their rows are read");
            None
        });
        let last = i64::try_from(in_memory.max(in_file)).unwrap_or(i64::MAX) - 1;
        let entries = Entries::new(in_memory, file);
        self.roster.read(connection, last, entries, go_on)
    }
}
