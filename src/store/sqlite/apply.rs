//! One command against the tables: first everything is looked up and checked, then what changes is noted or written.

use rusqlite::{CachedStatement, Connection, OptionalExtension, Statement, params};

use super::error::ApplyError;
use super::hints::{Hints, KeyKind};
use super::removals::{Note, Removed};
use super::tags::{self, CorruptTags};
use crate::domain::{
    AccountId, Changed, RESOURCE_TYPE_USER, TagCommand, Targets, UntagCommand, limits,
};
use crate::store::StoreError;

/// A row that is to get other tags.
pub struct Rewrite {
    pub number: i64,
    pub tags: Vec<u8>,
}

/// What a command comes to: its answer, the removals to note for it and the rows to write.
pub struct Plan {
    pub answer: Result<Changed, StoreError>,
    pub notes: Vec<Note>,
    pub rewrites: Vec<Rewrite>,
}

impl Plan {
    fn refused(error: StoreError) -> Self {
        Self {
            answer: Err(error),
            notes: Vec::new(),
            rewrites: Vec::new(),
        }
    }
}

/// A row as it lies in the table.
pub struct Record<'row> {
    pub number: i64,
    pub id: &'row str,
    /// Encoded, with those that are removed already.
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

/// Finds records by id, name or number. The connection keeps the statements: each read has a lookup of its own.
pub struct Lookup<'connection> {
    hints: &'connection Hints,
    id: CachedStatement<'connection>,
    name: CachedStatement<'connection>,
    number: CachedStatement<'connection>,
}

impl<'connection> Lookup<'connection> {
    pub fn new(
        connection: &'connection Connection,
        hints: &'connection Hints,
    ) -> rusqlite::Result<Self> {
        let prepare = |condition: &str| {
            connection.prepare_cached(&format!(
                "SELECT number, resource_id, tags, account_id, resource_type, principal_name \
                 FROM resource WHERE {condition}"
            ))
        };
        let by = |kind: KeyKind| {
            let key = kind.column();
            prepare(&format!(
                "account_id = ?1 AND resource_type = ?2 AND {key} = ?3"
            ))
        };
        Ok(Self {
            hints,
            id: by(KeyKind::Id)?,
            name: by(KeyKind::Name)?,
            number: prepare("number = ?1")?,
        })
    }

    /// Calls `found` with the place in the command and the record of every target that exists, and returns the places of
    /// the others.
    pub fn each<E: From<rusqlite::Error>>(
        &mut self,
        account: &AccountId,
        targets: &Targets,
        mut found: impl FnMut(usize, &Record<'_>) -> Result<(), E>,
    ) -> Result<Vec<usize>, E> {
        let kind = KeyKind::of(targets);
        let account = account.as_str();
        let mut missing = Vec::new();
        'targets: for position in 0..targets.count() {
            let key = targets.name_at(position);
            for number in self.hints.of(kind, account, key) {
                let mut rows = self.number.query([number])?;
                if let Some(row) = rows.next()?
                    && is_of(row, account, kind, key)?
                {
                    found(position, &Record::of(row)?)?;
                    continue 'targets;
                }
            }
            let statement = match kind {
                KeyKind::Id => &mut self.id,
                KeyKind::Name => &mut self.name,
            };
            let mut rows = statement.query(params![account, RESOURCE_TYPE_USER, key])?;
            match rows.next()? {
                Some(row) => found(position, &Record::of(row)?)?,
                None => missing.push(position),
            }
        }
        Ok(missing)
    }

    /// Calls `found` with the record of a number, if there is one.
    pub fn numbered<T>(
        &mut self,
        number: i64,
        found: impl FnOnce(&Record<'_>) -> T,
    ) -> rusqlite::Result<Option<T>> {
        let row = |row: &rusqlite::Row<'_>| Ok(found(&Record::of(row)?));
        self.number.query_row([number], row).optional()
    }
}

/// Whether a row of a lookup is the record with this key.
fn is_of(
    row: &rusqlite::Row<'_>,
    account: &str,
    kind: KeyKind,
    key: &str,
) -> rusqlite::Result<bool> {
    let key_column = match kind {
        KeyKind::Id => 1,
        KeyKind::Name => 5,
    };
    Ok(
        kind.is_same(row.get_ref(key_column)?.as_bytes()?, key.as_bytes())
            && row.get_ref(3)?.as_bytes()? == account.as_bytes()
            && row.get_ref(4)?.as_bytes()? == RESOURCE_TYPE_USER.as_bytes(),
    )
}

/// Works out an untag, record by record.
pub struct Untag<'command> {
    command: &'command UntagCommand,
    resources: usize,
    tags: usize,
    notes: Vec<Note>,
}

impl<'command> Untag<'command> {
    pub fn plan(command: &'command UntagCommand) -> Self {
        Self {
            command,
            resources: 0,
            tags: 0,
            notes: Vec::new(),
        }
    }

    /// Takes the next record, which has lost these tags already.
    pub fn add(&mut self, record: &Record<'_>, removed: Removed) -> Result<(), CorruptTags> {
        let selected = tags::selected(record.tags, removed, &self.command.selection)?;
        self.resources += 1;
        if selected != 0 {
            self.tags += selected.count_ones() as usize;
            self.notes.push(Note {
                number: record.number,
                removed: removed | selected,
            });
        }
        Ok(())
    }

    /// The plan, where these targets do not exist.
    pub fn finish(self, missing: Vec<usize>) -> Plan {
        if !missing.is_empty() && !self.command.allow_missing {
            return Plan::refused(StoreError::Missing(missing));
        }
        Plan {
            answer: Ok(Changed::count(self.resources, self.tags)),
            notes: self.notes,
            rewrites: Vec::new(),
        }
    }
}

/// Works out a tag. `removed` tells what a record, by its number, has lost already.
pub fn plan_tag(
    lookup: &mut Lookup<'_>,
    command: &TagCommand,
    removed: impl Fn(i64) -> Removed,
) -> Result<Plan, ApplyError> {
    let mut over_limit = Vec::new();
    let mut notes = Vec::new();
    let mut rewrites = Vec::new();
    let missing = lookup.each(
        &command.account,
        &command.targets,
        |position,
         &Record {
             number,
             tags: encoded,
             ..
         }| {
            let removed = removed(number);
            let (tags, count) = tags::with(encoded, removed, &command.tags)?;
            if count > limits::TAGS_OF_A_USER {
                over_limit.push(position);
            } else if tags != encoded || removed != 0 {
                if removed != 0 {
                    notes.push(Note { number, removed: 0 });
                }
                rewrites.push(Rewrite { number, tags });
            }
            Ok::<_, ApplyError>(())
        },
    )?;
    if !missing.is_empty() {
        return Ok(Plan::refused(StoreError::Missing(missing)));
    }
    if !over_limit.is_empty() {
        return Ok(Plan::refused(StoreError::TagLimit(over_limit)));
    }
    let resources = command.targets.count();
    Ok(Plan {
        answer: Ok(Changed::count(resources, resources * command.tags.len())),
        notes,
        rewrites,
    })
}

/// Writes rows.
pub struct Rewriter<'connection>(Statement<'connection>);

impl<'connection> Rewriter<'connection> {
    pub fn new(connection: &'connection Connection) -> rusqlite::Result<Self> {
        let statement = connection.prepare("UPDATE resource SET tags = ?2 WHERE number = ?1")?;
        Ok(Self(statement))
    }

    pub fn write(&mut self, Rewrite { number, tags }: &Rewrite) -> rusqlite::Result<()> {
        self.0.execute(params![number, tags]).map(drop)
    }
}
