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
    AccountId, PrincipalName, RESOURCE_TYPE_USER, Resource, ResourceId, Timestamp,
};
use crate::store::{NameTaken, StillDeleted};

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
pub struct Imported {
    /// How many users there were.
    pub count: u64,
    /// Why some of them are not in the database alone.
    pub left: Option<LeftInWal>,
}

/// Puts resources into the store of a directory, all of them or, where one fails, none. One that is there already is
/// replaced, and of several with one id the last is taken.
///
/// # Errors
/// The first error of `resources`, or the store's own.
pub fn import<E>(
    directory: &Path,
    resources: impl IntoIterator<Item = Result<Resource, E>>,
) -> Result<Imported, BulkError<E>> {
    let directory = DataDirectory::lock(directory)?;
    let connection = directory.open_writer()?;
    let count = insert(&connection, resources)?;
    let left = directory.wal(u32::MAX).close(connection).err();
    Ok(Imported { count, left })
}

pub(super) fn insert<E>(
    connection: &Connection,
    resources: impl IntoIterator<Item = Result<Resource, E>>,
) -> Result<u64, BulkError<E>> {
    // Dropped without a commit, it rolls back.
    let transaction = connection.unchecked_transaction()?;
    // Tombstones are of the tags that a row has had before.
    compact_all(&transaction).map_err(BulkError::Store)?;
    format::begin_history(&transaction)?;
    let mut import = Import::begin(&transaction)?;
    for resource in resources {
        import.put(&resource.map_err(BulkError::Caller)?)?;
    }
    let users = import.users;
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
    transaction.commit()?;
    Ok(users)
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

/// An import under way.
struct Import<'connection> {
    upsert: Statement<'connection>,
    /// The number of the next new row, and the first of this import.
    next_number: i64,
    first_number: i64,
    /// The rows of users who were there before that the import has written.
    written: Numbers,
    /// How many users the import has had.
    users: u64,
    /// Whether users wait for names that others had when their turn came: those may be given up by a later line.
    has_deferred_names: bool,
}

impl<'connection> Import<'connection> {
    fn begin(connection: &'connection Connection) -> rusqlite::Result<Self> {
        let next_number = format::next_number(connection)?;
        Ok(Self {
            upsert: connection.prepare(UPSERT)?,
            next_number,
            first_number: next_number,
            written: Numbers::default(),
            users: 0,
            has_deferred_names: false,
        })
    }

    fn put(&mut self, resource: &Resource) -> rusqlite::Result<()> {
        let name = resource.principal_name.as_str();
        let number = match self.upsert(resource, name) {
            Err(error) if error.sqlite_error_code() == Some(ErrorCode::ConstraintViolation) => {
                self.has_deferred_names = true;
                // Nobody else has it, and the name can be read from it.
                self.upsert(resource, &format!("{name} {}", resource.id))?
            }
            upserted => upserted?,
        };
        let is_new = number == self.next_number;
        self.next_number += i64::from(is_new);
        // A user that the import itself has added is counted already.
        if is_new || (number < self.first_number && self.written.insert(number)) {
            self.users += 1;
        }
        Ok(())
    }

    /// Writes a resource under this name, and returns the number of its row.
    fn upsert(&mut self, resource: &Resource, name: &str) -> rusqlite::Result<i64> {
        let values = params![
            resource.account.as_str(),
            RESOURCE_TYPE_USER,
            resource.id.as_str(),
            name,
            tags::encode(resource.tags()),
            self.next_number,
        ];
        self.upsert.query_row(values, |row| row.get(0))
    }
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
