//! Reading the table of users into the index, a part at a time, while users change.

use std::collections::HashSet;
use std::ops::ControlFlow;

use foldhash::fast::FixedState;
use rusqlite::{CachedStatement, Connection, params};

use super::Index;
use crate::domain::RESOURCE_TYPE_USER;
use crate::store::sqlite::format::{COLUMNS, Record};

/// How many rows are read at once.
const PART: usize = 4096;

impl Index {
    /// Reads all rows, in order of number. `go_on` is asked between two parts, while no transaction is open.
    pub fn fill(
        &self,
        connection: &Connection,
        mut go_on: impl FnMut() -> ControlFlow<()>,
    ) -> rusqlite::Result<()> {
        // Those that are added from now on come by `apply`.
        let newest = "SELECT coalesce(max(number), 0) FROM resource";
        let newest: i64 = connection.query_row(newest, [], |row| row.get(0))?;
        let mut statement = connection.prepare_cached(&format!(
            "SELECT {COLUMNS} FROM resource \
             WHERE number > ?1 AND number <= ?2 AND resource_type = ?3 ORDER BY number LIMIT {PART}"
        ))?;
        let mut last = Some(i64::MIN);
        while let Some(after) = last {
            // Before the part's transaction, which may see what is changed from now on, or not.
            self.note_changes(Some(HashSet::default()));
            let read = self.fill_part(&mut statement, after, newest);
            self.note_changes(None);
            last = read?;
            if go_on().is_break() {
                break;
            }
        }
        if self.0.changing.lock().budget.is_exceeded() {
            tracing::info!(
                "the index has no memory for all users, and the others are searched for; a higher --index-memory has room for them"
            );
        }
        Ok(())
    }

    pub(super) fn note_changes(&self, noted: Option<HashSet<i64, FixedState>>) {
        self.0.changing.lock().changed = noted;
    }

    /// Reads the rows behind a number. Returns the last one, if there may be more.
    fn fill_part(
        &self,
        statement: &mut CachedStatement<'_>,
        after: i64,
        newest: i64,
    ) -> rusqlite::Result<Option<i64>> {
        let mut rows = statement.query(params![after, newest, RESOURCE_TYPE_USER])?;
        let (mut count, mut last) = (0, None);
        while let Some(row) = rows.next()? {
            let record = Record::of(row)?;
            self.put_unchanged(&record);
            count += 1;
            last = Some(record.number);
        }
        Ok(last.filter(|_| count == PART))
    }

    /// Puts a row in as a part's transaction has read it. One that has changed since is in the index as it is now.
    pub(super) fn put_unchanged(&self, record: &Record<'_>) {
        let mut changing = self.0.changing.lock();
        let changed = changing.changed.as_ref();
        if !changed.is_some_and(|changed| changed.contains(&record.number)) {
            self.put(record, &mut changing.budget);
        }
    }
}
