//! Rows of the table of resources, found by their numbers and written.

use rusqlite::{CachedStatement, Connection, OptionalExtension, params};

/// A row as it lies in the table.
pub struct Record<'row> {
    pub number: i64,
    pub id: &'row str,
    /// The tags, encoded, with those that are removed already.
    pub tags: &'row [u8],
}

impl<'row> Record<'row> {
    pub fn of(row: &'row rusqlite::Row<'_>) -> rusqlite::Result<Self> {
        Ok(Self {
            number: row.get(0)?,
            id: row.get_ref(1)?.as_str()?,
            tags: row.get_ref(2)?.as_blob()?,
        })
    }
}

/// A statement that reads rows by their numbers.
pub struct RowReader<'connection>(CachedStatement<'connection>);

impl<'connection> RowReader<'connection> {
    pub fn new(connection: &'connection Connection) -> rusqlite::Result<Self> {
        let select = "SELECT number, resource_id, tags FROM resource WHERE number = ?1";
        Ok(Self(connection.prepare_cached(select)?))
    }

    /// Calls `found` with the record of a number, if there is one.
    pub fn read<T>(
        &mut self,
        number: i64,
        found: impl FnOnce(&Record<'_>) -> T,
    ) -> rusqlite::Result<Option<T>> {
        let row = |row: &rusqlite::Row<'_>| Ok(found(&Record::of(row)?));
        self.0.query_row([number], row).optional()
    }
}

/// A rewrite of a row: the tags that it is to get.
pub struct Rewrite {
    pub number: i64,
    pub tags: Vec<u8>,
}

/// A statement that writes rows.
pub struct Rewriter<'connection>(CachedStatement<'connection>);

impl<'connection> Rewriter<'connection> {
    pub fn new(connection: &'connection Connection) -> rusqlite::Result<Self> {
        let update = "UPDATE resource SET tags = ?2 WHERE number = ?1";
        Ok(Self(connection.prepare_cached(update)?))
    }

    pub fn write(&mut self, Rewrite { number, tags }: &Rewrite) -> rusqlite::Result<()> {
        self.0.execute(params![number, tags]).map(drop)
    }
}
