//! Finding records, in a table and in indexes that are larger than any cache.

use rusqlite::{CachedStatement, Connection, OptionalExtension, params};

use super::key::{Key, KeyKind};
use super::{Found, Index, KnownKeys};
use crate::domain::{AccountId, RESOURCE_TYPE_USER, TagSelection, Targets};
use crate::store::sqlite::format::tags::TagMask;
use crate::store::sqlite::format::{COLUMNS, Record};

macro_rules! select {
    ($condition:literal) => {
        &format!("SELECT {COLUMNS} FROM resource WHERE {}", $condition)
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
            number: connection.prepare_cached(select!("number = ?1 AND resource_type = ?2"))?,
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
        found: impl FnMut(&Record<'_>) -> T,
    ) -> rusqlite::Result<Option<T>> {
        self.find_from(self.index.hint(key), key, found)
    }

    /// As `find`, where this is the number of the row that may have the key.
    pub fn find_from<T>(
        &mut self,
        hint: Option<i64>,
        key: Key<'_>,
        mut found: impl FnMut(&Record<'_>) -> T,
    ) -> rusqlite::Result<Option<T>> {
        if let Some(number) = hint
            && let Some(result) = self.find_at(number, key, &mut found)?
        {
            return Ok(Some(result));
        }
        self.search(key, found)
    }

    /// Calls `found` with the record of a number, if it has the key.
    pub fn find_at<T>(
        &mut self,
        number: i64,
        key: Key<'_>,
        found: impl FnOnce(&Record<'_>) -> T,
    ) -> rusqlite::Result<Option<T>> {
        let record = |row: &rusqlite::Row<'_>| {
            let record = Record::of(row)?;
            Ok(key.is_of(&record).then(|| found(&record)))
        };
        let found = self
            .number
            .query_row(params![number, RESOURCE_TYPE_USER], record);
        found.optional().map(Option::flatten)
    }

    /// As `find`, without a hint.
    pub fn search<T>(
        &mut self,
        key: Key<'_>,
        found: impl FnOnce(&Record<'_>) -> T,
    ) -> rusqlite::Result<Option<T>> {
        let statement = match key.kind {
            KeyKind::Id => &mut self.id,
            KeyKind::Name => &mut self.name,
        };
        let record = |row: &rusqlite::Row<'_>| Ok(found(&Record::of(row)?));
        statement
            .query_row(params![key.account, RESOURCE_TYPE_USER, key.name], record)
            .optional()
    }

    /// What the index knows of a key. Of what the open transaction has written it knows nothing.
    pub fn find_in_index(&self, key: Key<'_>, selection: &TagSelection) -> Found {
        self.index.find(key, selection)
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
        /// The keys of the record, where the index has told of it.
        keys: Option<KnownKeys>,
    },
}
