//! Import and export of whole resources.

use std::collections::{BTreeMap, HashMap};
use std::path::Path;
use std::time::SystemTime;

use rusqlite::{Connection, ErrorCode, OptionalExtension as _, Statement, params};
use thiserror::Error;

use super::error::{ApplyError, CorruptTags, OpenError};
use super::format::tags::{self, TagMask};
use super::format::{self, DataDirectory, UserTables, open_existing};
use super::log::{StoredTombstones, compact_all};
use super::wal::LeftInWal;
use crate::domain::{
    AccountId, ImportMode, PrincipalName, RESOURCE_TYPE_USER, Resource, ResourceId, Timestamp,
    limits,
};
use crate::store::{BulkCounts, BulkLine, BulkSettings, NameTaken, RefusedLine, StillDeleted};

/// Why an import or an export stopped. An import that stopped has changed nothing.
#[derive(Debug, Error)]
pub enum BulkError<E> {
    /// The store can't be opened.
    #[error(transparent)]
    Open(#[from] OpenError),
    /// The caller's side fails: the lines that are read, or the file that is written.
    #[error(transparent)]
    Caller(E),
    /// A name that two resources of an account would have.
    #[error(transparent)]
    NameTaken(NameTaken),
    /// A user that was deleted and can still be restored.
    #[error(transparent)]
    StillDeleted(StillDeleted),
    /// A line that the mode does not allow.
    #[error(transparent)]
    Refused(RefusedLine),
    /// The store fails.
    #[error("the store failed: {0}")]
    Store(#[source] ApplyError),
}

impl<E> From<rusqlite::Error> for BulkError<E> {
    fn from(error: rusqlite::Error) -> Self {
        Self::Store(error.into())
    }
}

/// The result of an import.
#[derive(Debug)]
pub struct BulkImported {
    /// How many users there were.
    pub counts: BulkCounts,
    /// Why some of them are not in the database alone.
    pub left: Option<LeftInWal>,
}

/// Puts users into the store of a directory, all of them or, where one fails, none.
///
/// # Errors
/// The first error of `lines`, or the store's own.
pub fn import<E>(
    directory: &Path,
    settings: BulkSettings,
    lines: impl IntoIterator<Item = Result<BulkLine, E>>,
) -> Result<BulkImported, BulkError<E>> {
    let directory = DataDirectory::lock(directory)?;
    let connection = directory.open_writer()?;
    let counts = insert(&connection, settings, lines)?;
    let left = directory.wal(u32::MAX).close(connection).err();
    Ok(BulkImported { counts, left })
}

pub(super) fn insert<E>(
    connection: &Connection,
    settings: BulkSettings,
    lines: impl IntoIterator<Item = Result<BulkLine, E>>,
) -> Result<BulkCounts, BulkError<E>> {
    // Dropped without a commit, it rolls back.
    let transaction = connection.unchecked_transaction()?;
    // Tombstones are of the tags that a row has had before.
    compact_all(&transaction).map_err(BulkError::Store)?;
    format::begin_history(&transaction)?;
    let mut import = Import::begin(&transaction, settings.mode)?;
    for line in lines {
        import.put(&line.map_err(BulkError::Caller)?)?;
    }
    let counts = import.counts;
    refuse_deleted(&transaction, import.next_number)?;
    if import.has_deferred_names && give_deferred_names(&transaction)? == NamesGiven::Taken {
        let taken = transaction.query_row(NAME_TAKEN, [], |row| {
            Ok(NameTaken {
                account: row.get(0)?,
                name: row.get(1)?,
                first: row.get(2)?,
                second: row.get(3)?,
            })
        })?;
        return Err(BulkError::NameTaken(taken));
    }
    drop(import);
    if !settings.dry_run {
        transaction.commit()?;
    }
    Ok(counts)
}

/// Sees that no user of an import is a deleted one that has not expired. `next_number` is the number that no row has had.
fn refuse_deleted<E>(connection: &Connection, next_number: i64) -> Result<(), BulkError<E>> {
    let until = Timestamp::from(SystemTime::now()).newest_expired();
    let tables = UserTables(connection);
    if tables.has_expired(until)? {
        tables.forget_expired(until, usize::MAX)?;
        format::keep_next_number(connection, next_number)?;
    }
    let select = "SELECT account_id, resource_id FROM deleted_user \
         JOIN resource USING (account_id, resource_type, resource_id) ORDER BY 1, 2 LIMIT 1";
    let deleted = connection.query_row(select, [], |row| {
        Ok(StillDeleted {
            account: row.get(0)?,
            id: row.get(1)?,
        })
    });
    match deleted.optional()? {
        Some(deleted) => Err(BulkError::StillDeleted(deleted)),
        None => Ok(()),
    }
}

const UPSERT: &str = "INSERT INTO resource (account_id, resource_type, resource_id, principal_name, tags, number) \
     VALUES (?1, ?2, ?3, ?4, ?5, ?6) \
     ON CONFLICT (account_id, resource_type, resource_id) \
     DO UPDATE SET principal_name = excluded.principal_name, tags = excluded.tags \
     RETURNING number";

/// Gives every row with a deferred name that name. A name has no space.
const GIVE_NAMES: &str = "UPDATE resource \
     SET principal_name = substr(principal_name, 1, instr(principal_name, ' ') - 1) \
     WHERE instr(principal_name, ' ') > 0";

/// Two users with one name, of whom one at least has it deferred.
const NAME_TAKEN: &str = "WITH deferred AS ( \
         SELECT account_id, resource_type, resource_id, \
             substr(principal_name, 1, instr(principal_name, ' ') - 1) AS name \
         FROM resource WHERE instr(principal_name, ' ') > 0 \
     ) \
     SELECT account_id, principal_name, holder.resource_id, deferred.resource_id \
     FROM deferred JOIN resource AS holder USING (account_id, resource_type) \
     WHERE holder.principal_name = deferred.name \
     UNION ALL \
     SELECT account_id, name, min(resource_id), max(resource_id) \
     FROM deferred GROUP BY account_id, name COLLATE NOCASE HAVING count(*) > 1 \
     ORDER BY 1, 3, 4 LIMIT 1";

const FIND: &str = "SELECT number, principal_name, tags FROM resource \
     WHERE account_id = ?1 AND resource_type = ?2 AND resource_id = ?3";

/// An import under way.
struct Import<'connection> {
    mode: ImportMode,
    find: Statement<'connection>,
    upsert: Statement<'connection>,
    /// The number of the next new row, and the first of this import.
    next_number: i64,
    first_number: i64,
    /// The rows of users who were there before and are counted already.
    counted: Numbers,
    counts: BulkCounts,
    /// Whether users wait for names that others had when their turn came: those may be given up by a later line.
    has_deferred_names: bool,
}

/// The row of a user as an import finds it.
struct Row {
    number: i64,
    name: String,
    tags: Vec<u8>,
}

impl<'connection> Import<'connection> {
    fn begin(connection: &'connection Connection, mode: ImportMode) -> rusqlite::Result<Self> {
        let next_number = format::next_number(connection)?;
        Ok(Self {
            mode,
            find: connection.prepare(FIND)?,
            upsert: connection.prepare(UPSERT)?,
            next_number,
            first_number: next_number,
            counted: Numbers::default(),
            counts: BulkCounts::default(),
            has_deferred_names: false,
        })
    }

    fn put<E>(&mut self, line: &BulkLine) -> Result<(), BulkError<E>> {
        let user = &line.user;
        let before = self.row(user)?;
        let tags = match (&before, self.mode) {
            (Some(_), ImportMode::CreateOnly) => {
                return Err(BulkError::Refused(RefusedLine::Exists {
                    number: line.number,
                    account: user.account.to_string(),
                    id: user.id.to_string(),
                }));
            }
            (Some(before), ImportMode::Merge) => merged(line, before)?,
            _ => tags::encode(user.tags()),
        };
        let name = user.principal_name.as_str();
        if let Some(before) = before
            .as_ref()
            .filter(|row| row.name == name && row.tags == tags)
        {
            self.counts.unchanged += u64::from(self.counts_row(before.number));
            return Ok(());
        }
        let number = match self.upsert(user, name, &tags) {
            Err(error) if error.sqlite_error_code() == Some(ErrorCode::ConstraintViolation) => {
                self.has_deferred_names = true;
                // Nobody else has it, and the name can be read from it.
                self.upsert(user, &format!("{name} {}", user.id), &tags)?
            }
            upserted => upserted?,
        };
        if before.is_none() {
            self.next_number += 1;
            self.counts.created += 1;
        } else {
            self.counts.updated += u64::from(self.counts_row(number));
        }
        Ok(())
    }

    /// Whether the user of a row that was found is not counted yet: one that the import itself has added is.
    fn counts_row(&mut self, number: i64) -> bool {
        number < self.first_number && self.counted.insert(number)
    }

    fn row(&mut self, user: &Resource) -> rusqlite::Result<Option<Row>> {
        let place = params![user.account.as_str(), RESOURCE_TYPE_USER, user.id.as_str()];
        let row = self.find.query_row(place, |row| {
            Ok(Row {
                number: row.get(0)?,
                name: row.get(1)?,
                tags: row.get(2)?,
            })
        });
        row.optional()
    }

    /// Writes a user under this name and with these tags, and returns the number of its row.
    fn upsert(&mut self, user: &Resource, name: &str, tags: &[u8]) -> rusqlite::Result<i64> {
        let values = params![
            user.account.as_str(),
            RESOURCE_TYPE_USER,
            user.id.as_str(),
            name,
            tags,
            self.next_number,
        ];
        self.upsert.query_row(values, |row| row.get(0))
    }
}

/// The tags of a row with those of a line, encoded. The row has lost none.
fn merged<E>(line: &BulkLine, before: &Row) -> Result<Vec<u8>, BulkError<E>> {
    let user = &line.user;
    let decoded = tags::decode(&before.tags, 0);
    let decoded = decoded.map_err(|error| BulkError::Store(error.into()))?;
    let mut all: BTreeMap<_, _> = decoded.into_iter().collect();
    let given = user.tags().iter();
    all.extend(given.map(|(key, value)| (key.clone(), value.clone())));
    if all.len() > limits::TAGS_OF_A_USER {
        return Err(BulkError::Refused(RefusedLine::TagLimit {
            number: line.number,
            account: user.account.to_string(),
            id: user.id.to_string(),
        }));
    }
    Ok(tags::encode(&all))
}

/// A set of numbers that lie close together: a bit for each.
#[derive(Default)]
struct Numbers(HashMap<i64, Box<[u64; 64]>>);

impl Numbers {
    /// Adds a number. Returns whether it was not there.
    fn insert(&mut self, number: i64) -> bool {
        let words = self.0.entry(number >> 12).or_insert([0; 64].into());
        let place = usize::try_from(number & 4095).unwrap_or_default();
        let (word, bit) = (&mut words[place / 64], 1 << (place % 64));
        let is_new = *word & bit == 0;
        *word |= bit;
        is_new
    }
}

/// What came of the deferred names.
#[derive(PartialEq, Eq)]
enum NamesGiven {
    All,
    /// No name was given: somebody has one of them.
    Taken,
}

fn give_deferred_names(connection: &Connection) -> rusqlite::Result<NamesGiven> {
    match connection.execute(GIVE_NAMES, []) {
        Ok(_) => Ok(NamesGiven::All),
        Err(error) if error.sqlite_error_code() == Some(ErrorCode::ConstraintViolation) => {
            Ok(NamesGiven::Taken)
        }
        Err(error) => Err(error),
    }
}

/// Hands every resource of a directory's store to `each`, in order of account and id, as they were at one moment. The
/// store may be in use. Returns how many there were.
///
/// # Errors
/// The first error of `each`, or the store's own.
pub fn export<E>(
    directory: &Path,
    mut each: impl FnMut(Resource) -> Result<(), E>,
) -> Result<u64, BulkError<E>> {
    let connection = open_existing(directory)?;
    // One state: the tombstones belong to these rows.
    let transaction = connection.unchecked_transaction()?;
    let in_force = StoredTombstones::read(&transaction)?.in_force;
    let mut statement = transaction.prepare(
        "SELECT account_id, resource_id, principal_name, tags, number FROM resource \
         ORDER BY account_id, resource_type, resource_id",
    )?;
    let mut rows = statement.query([])?;
    let mut count = 0;
    while let Some(row) = rows.next()? {
        let (account, id): (String, String) = (row.get(0)?, row.get(1)?);
        let (name, tags): (String, Vec<u8>) = (row.get(2)?, row.get(3)?);
        let removed = in_force.of(row.get(4)?);
        let resource = decode(&account, &id, &name, &tags, removed)
            .ok_or(BulkError::Store(CorruptTags.into()))?;
        each(resource).map_err(BulkError::Caller)?;
        count += 1;
    }
    Ok(count)
}

fn decode(
    account: &str,
    id: &str,
    name: &str,
    encoded: &[u8],
    removed: TagMask,
) -> Option<Resource> {
    let tags: BTreeMap<_, _> = tags::decode(encoded, removed).ok()?.into_iter().collect();
    Resource::new(
        AccountId::parse(account).ok()?,
        ResourceId::parse(id).ok()?,
        PrincipalName::parse(name).ok()?,
        tags,
    )
    .ok()
}
