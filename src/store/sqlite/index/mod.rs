//! The index: what is known of the users without reading their rows. It is read when the service has started.

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
pub use lookup::{Lookup, LookupResult};

use row_ids::RowIds;
use slots::{RowSummary, Slots};
use summaries::RowSummaries;

/// The index that the connections of a store share. There is nothing in it until it is read.
#[derive(Debug, Clone, Default)]
pub struct Index {
    pub row_ids: RowIds,
    pub summaries: RowSummaries,
}

/// How much the index may take.
#[derive(Debug)]
pub struct MemoryBudget {
    /// The most memory, in bytes.
    pub bytes: usize,
    /// The most space on the disk, in bytes, where memory does not suffice.
    pub file_bytes: usize,
    /// The path at which a file may be made for it.
    pub file: PathBuf,
}

impl Index {
    /// Reads the row ids, and the summaries into the memory that they leave. `go_on` is asked now and then, while no transaction is open.
    pub fn read(
        &self,
        connection: &Connection,
        budget: &MemoryBudget,
        mut go_on: impl FnMut() -> ControlFlow<()>,
    ) -> rusqlite::Result<()> {
        let newest = "SELECT coalesce(max(number), 0) FROM resource";
        let newest = connection.query_row(newest, [], |row| row.get(0))?;
        if self
            .row_ids
            .read(connection, newest, &mut go_on)?
            .is_break()
        {
            return Ok(());
        }
        // From 0, which no row has.
        let numbers = usize::try_from(newest).unwrap_or_default() + 1;
        let left = budget.bytes.saturating_sub(self.row_ids.bytes());
        let in_memory = numbers.min(left / RowSummary::BYTES);
        let in_file = numbers.min(budget.file_bytes / RowSummary::BYTES);
        let file = (in_file > in_memory).then(|| slots::unlinked_file(&budget.file));
        let file = file.transpose().unwrap_or_else(|error| {
            let path = budget.file.display();
            tracing::warn!(%error, %path, "cannot make a file for the index; some rows are read");
            None
        });
        let last = i64::try_from(in_memory.max(in_file)).unwrap_or(i64::MAX) - 1;
        let slots = Slots::new(in_memory, file);
        self.summaries.read(connection, last, slots, go_on)
    }
}
