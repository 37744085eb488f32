//! Finding records, in a table and in indexes that are larger than any cache.

use rusqlite::{CachedStatement, Connection, OptionalExtension, params};

use super::Index;
use super::key::{Key, KeyKind};
use crate::domain::{AccountId, RESOURCE_TYPE_USER, TagSelection, Targets};
use crate::store::sqlite::format::Record;
use crate::store::sqlite::format::tags::TagMask;

/// Whether a row of a lookup is the record with this key.
fn is_of(row: &rusqlite::Row<'_>, key: Key<'_>) -> rusqlite::Result<bool> {
    let column = match key.kind {
        KeyKind::Id => 1,
        KeyKind::Name => 5,
    };
    let name = row.get_ref(column)?.as_bytes()?;
    Ok(key.kind.is_same(name, key.name.as_bytes())
        && row.get_ref(3)?.as_bytes()? == key.account.as_bytes()
        && row.get_ref(4)?.as_bytes()? == RESOURCE_TYPE_USER.as_bytes())
}

macro_rules! select {
    ($condition:literal) => {
        concat!(
            "SELECT number, resource_id, tags, account_id, resource_type, principal_name ",
            "FROM resource WHERE ",
            $condition
        )
    };
}

/// Finds records by id, name or number. The connection keeps the statements: each read has a lookup of its own.
pub struct Lookup<'connection> {
    index: &'connection Index,
    id: CachedStatement<'connection>,
    name: CachedStatement<'connection>,
    number: CachedStatement<'connection>,
}

impl<'connection> Lookup<'connection> {
    pub fn new(
        connection: &'connection Connection,
        index: &'connection Index,
    ) -> rusqlite::Result<Self> {
        Ok(Self {
            index,
            id: connection.prepare_cached(select!(
                "account_id = ?1 AND resource_type = ?2 AND resource_id = ?3"
            ))?,
            name: connection.prepare_cached(select!(
                "account_id = ?1 AND resource_type = ?2 AND principal_name = ?3"
            ))?,
            number: connection.prepare_cached(select!("number = ?1"))?,
        })
    }

    /// Calls `found` with the position in the command and the record of every target that exists, and returns the positions of
    /// the others.
    pub fn each<E: From<rusqlite::Error>>(
        &mut self,
        account: &AccountId,
        targets: &Targets,
        mut found: impl FnMut(usize, &Record<'_>) -> Result<(), E>,
    ) -> Result<Vec<usize>, E> {
        let mut missing = Vec::new();
        for position in 0..targets.count() {
            let key = Key::of(account, targets, position);
            match self.find(key, |record| found(position, record))? {
                Some(result) => result?,
                None => missing.push(position),
            }
        }
        Ok(missing)
    }

    /// Calls `found` with the record of a key, if there is one.
    pub fn find<T>(
        &mut self,
        key: Key<'_>,
        found: impl FnOnce(&Record<'_>) -> T,
    ) -> rusqlite::Result<Option<T>> {
        for number in self.numbers(key) {
            let mut rows = self.number.query([number])?;
            if let Some(row) = rows.next()?
                && is_of(row, key)?
            {
                return Record::of(row).map(|record| Some(found(&record)));
            }
        }
        let statement = match key.kind {
            KeyKind::Id => &mut self.id,
            KeyKind::Name => &mut self.name,
        };
        let record = |row: &rusqlite::Row<'_>| Ok(found(&Record::of(row)?));
        statement
            .query_row(params![key.account, RESOURCE_TYPE_USER, key.name], record)
            .optional()
    }

    /// The numbers that the record of a key may have.
    pub fn numbers(&self, key: Key<'_>) -> impl Iterator<Item = i64> + Clone + use<'connection> {
        self.index.row_ids.of(key.kind, key.account, key.name)
    }

    /// The number of a record among these, and which of its tags are selected, those too that are removed, if that is known
    /// without its row. What the open transaction has written is not.
    pub fn selected(
        &self,
        mut numbers: impl Iterator<Item = i64>,
        key: Key<'_>,
        selection: &TagSelection,
    ) -> Option<(i64, TagMask)> {
        numbers.find_map(|number| {
            let selected = self.index.summaries.selected(number, key, selection)?;
            Some((number, selected))
        })
    }
}

/// What a lookup has found of a target.
#[derive(Debug, Clone, Copy)]
pub enum LookupResult {
    Missing,
    Corrupt,
    /// The number of its record, and which of the tags there are selected, those too that are removed.
    Record {
        number: i64,
        selected: TagMask,
    },
}
