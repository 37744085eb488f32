//! Import and export of whole resources.

use std::collections::BTreeMap;
use std::path::Path;

use rusqlite::{Connection, ErrorCode, Statement, params};
use thiserror::Error;

use super::error::{ApplyError, CorruptTags, OpenError};
use super::format::tags::{self, TagMask};
use super::format::{DataDirectory, open_existing};
use super::log::{StoredTombstones, compact_all};
use super::wal::LeftInWal;
use crate::domain::{AccountId, PrincipalName, RESOURCE_TYPE_USER, Resource, ResourceId};
use crate::store::NameTaken;

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
    let mut import = Import::begin(&transaction)?;
    for resource in resources {
        import.put(&resource.map_err(BulkError::Caller)?)?;
    }
    let users = import.users;
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

const UPSERT: &str = "INSERT INTO resource (account_id, resource_type, resource_id, principal_name, tags) \
     VALUES (?1, ?2, ?3, ?4, ?5) \
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
    /// Whether a user of the import has the row of this number.
    written: Vec<bool>,
    /// How many users the import has had.
    users: u64,
    /// Whether users wait for names that others had when their turn came: those may be given up by a later line.
    has_deferred_names: bool,
}

impl<'connection> Import<'connection> {
    fn begin(connection: &'connection Connection) -> rusqlite::Result<Self> {
        Ok(Self {
            upsert: connection.prepare(UPSERT)?,
            written: Vec::new(),
            users: 0,
            has_deferred_names: false,
        })
    }

    fn put(&mut self, resource: &Resource) -> rusqlite::Result<()> {
        let name = resource.principal_name.as_str();
        let row = match self.upsert(resource, name) {
            Err(error) if error.sqlite_error_code() == Some(ErrorCode::ConstraintViolation) => {
                self.has_deferred_names = true;
                // Nobody else has it, and the name can be read from it.
                self.upsert(resource, &format!("{name} {}", resource.id))?
            }
            upserted => upserted?,
        };
        if self.written.len() <= row {
            self.written.resize(row + 1, false);
        }
        if !std::mem::replace(&mut self.written[row], true) {
            self.users += 1;
        }
        Ok(())
    }

    /// Writes a resource under this name, and returns the number of its row.
    fn upsert(&mut self, resource: &Resource, name: &str) -> rusqlite::Result<usize> {
        let values = params![
            resource.account.as_str(),
            RESOURCE_TYPE_USER,
            resource.id.as_str(),
            name,
            tags::encode(resource.tags()),
        ];
        let number: i64 = self.upsert.query_row(values, |row| row.get(0))?;
        usize::try_from(number).map_err(|_| rusqlite::Error::IntegralValueOutOfRange(0, number))
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
