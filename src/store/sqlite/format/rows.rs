//! Rows of the table of resources, found by their numbers and written.

use rusqlite::{CachedStatement, Connection, OptionalExtension, params};

/// The columns of a record, for statements that read some.
pub const COLUMNS: &str = "number, account_id, resource_id, principal_name, tags";

/// A row as it lies in the table.
pub struct Record<'row> {
    pub number: i64,
    pub account: &'row str,
    pub id: &'row str,
    pub name: &'row str,
    /// The tags, encoded, with those that are removed already.
    pub tags: &'row [u8],
}

impl<'row> Record<'row> {
    pub fn of(row: &'row rusqlite::Row<'_>) -> rusqlite::Result<Self> {
        Ok(Self {
            number: row.get(0)?,
            account: row.get_ref(1)?.as_str()?,
            id: row.get_ref(2)?.as_str()?,
            name: row.get_ref(3)?.as_str()?,
            tags: row.get_ref(4)?.as_blob()?,
        })
    }

    /// This row with other tags.
    pub fn rewrite(&self, tags: Vec<u8>) -> Rewrite {
        Rewrite {
            number: self.number,
            account: self.account.into(),
            id: self.id.into(),
            name: self.name.into(),
            tags,
        }
    }
}

/// A statement that reads rows by their numbers.
pub struct RowReader<'connection>(CachedStatement<'connection>);

impl<'connection> RowReader<'connection> {
    pub fn new(connection: &'connection Connection) -> rusqlite::Result<Self> {
        let select = format!("SELECT {COLUMNS} FROM resource WHERE number = ?1");
        Ok(Self(connection.prepare_cached(&select)?))
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

/// What a transaction does to a row.
#[derive(Debug)]
pub enum RowChange {
    Written(Rewrite),
    /// The user of this row is gone.
    Removed {
        number: i64,
        account: Box<str>,
        id: Box<str>,
    },
}

impl RowChange {
    /// The number of the row.
    pub fn number(&self) -> i64 {
        match self {
            Self::Written(rewrite) => rewrite.number,
            Self::Removed { number, .. } => *number,
        }
    }
}

/// A row as it is written.
#[derive(Debug)]
pub struct Rewrite {
    pub number: i64,
    pub account: Box<str>,
    pub id: Box<str>,
    pub name: Box<str>,
    pub tags: Vec<u8>,
}

impl Rewrite {
    pub fn record(&self) -> Record<'_> {
        Record {
            number: self.number,
            account: &self.account,
            id: &self.id,
            name: &self.name,
            tags: &self.tags,
        }
    }
}

/// A statement that writes the tags of rows.
pub struct Rewriter<'connection>(CachedStatement<'connection>);

impl<'connection> Rewriter<'connection> {
    pub fn new(connection: &'connection Connection) -> rusqlite::Result<Self> {
        let update = "UPDATE resource SET tags = ?2 WHERE number = ?1";
        Ok(Self(connection.prepare_cached(update)?))
    }

    pub fn write(&mut self, Rewrite { number, tags, .. }: &Rewrite) -> rusqlite::Result<()> {
        self.0.execute(params![number, tags]).map(drop)
    }
}
