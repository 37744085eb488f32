//! Import and export of whole resources.

use std::collections::BTreeMap;
use std::path::Path;

use rusqlite::{Connection, ErrorCode, params};
use thiserror::Error;

use super::error::{ApplyError, OpenError};
use super::removals::{self, Logged, Removed};
use super::schema::{self, DataDirectory};
use super::tags::{self, CorruptTags};
use crate::domain::{AccountId, PrincipalName, RESOURCE_TYPE_USER, Resource, ResourceId};

/// Why an import or an export stopped. An import that stopped has changed nothing.
#[derive(Debug, Error)]
pub enum BulkError<E> {
    /// The store can't be opened.
    #[error(transparent)]
    Open(#[from] OpenError),
    /// The other side: the lines that are read, or the file that is written.
    #[error(transparent)]
    Caller(E),
    /// A name that another resource of the account has.
    #[error(
        "resource {number} ({name}): another user of account {account} has this principal name; \
         give each user its own"
    )]
    NameTaken {
        /// Its place in the import, from 1.
        number: u64,
        /// The name.
        name: PrincipalName,
        /// The account.
        account: AccountId,
    },
    /// The store.
    #[error("the store failed: {0}")]
    Store(#[source] ApplyError),
}

impl<E> From<rusqlite::Error> for BulkError<E> {
    fn from(error: rusqlite::Error) -> Self {
        Self::Store(error.into())
    }
}

/// Puts resources into the store of a directory, all of them or, where one fails, none. One that is there already is
/// replaced. Returns how many there were.
///
/// # Errors
/// The first error of `resources`, or the store's own.
pub fn import<E>(
    directory: &Path,
    resources: impl IntoIterator<Item = Result<Resource, E>>,
) -> Result<u64, BulkError<E>> {
    let directory = DataDirectory::lock(directory)?;
    let connection = directory.open_writer()?;
    insert(&connection, resources)
}

pub(super) fn insert<E>(
    connection: &Connection,
    resources: impl IntoIterator<Item = Result<Resource, E>>,
) -> Result<u64, BulkError<E>> {
    // Dropped without a commit, it rolls back.
    let transaction = connection.unchecked_transaction()?;
    // Notes are of the tags that a row has had before.
    removals::fold_all(&transaction).map_err(BulkError::Store)?;
    let mut statement = connection.prepare(
        "INSERT INTO resource (account_id, resource_type, resource_id, principal_name, tags) \
         VALUES (?1, ?2, ?3, ?4, ?5) \
         ON CONFLICT (account_id, resource_type, resource_id) \
         DO UPDATE SET principal_name = excluded.principal_name, tags = excluded.tags",
    )?;
    let mut number = 0;
    for resource in resources {
        let resource = resource.map_err(BulkError::Caller)?;
        number += 1;
        let inserted = statement.execute(params![
            resource.account.as_str(),
            RESOURCE_TYPE_USER,
            resource.id.as_str(),
            resource.principal_name.as_str(),
            tags::encode(resource.tags()),
        ]);
        match inserted {
            Ok(_) => {}
            Err(error) if error.sqlite_error_code() == Some(ErrorCode::ConstraintViolation) => {
                let Resource {
                    account,
                    principal_name: name,
                    ..
                } = resource;
                return Err(BulkError::NameTaken {
                    number,
                    name,
                    account,
                });
            }
            Err(error) => return Err(error.into()),
        }
    }
    transaction.commit()?;
    Ok(number)
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
    let connection = schema::open_existing(directory)?;
    // One state: the notes belong to these rows.
    let transaction = connection.unchecked_transaction()?;
    let removals = Logged::read(&transaction)?.removals;
    let mut statement = transaction.prepare(
        "SELECT account_id, resource_id, principal_name, tags, number FROM resource \
         ORDER BY account_id, resource_type, resource_id",
    )?;
    let mut rows = statement.query([])?;
    let mut count = 0;
    while let Some(row) = rows.next()? {
        let (account, id): (String, String) = (row.get(0)?, row.get(1)?);
        let (name, tags): (String, Vec<u8>) = (row.get(2)?, row.get(3)?);
        let removed = removals.of(row.get(4)?);
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
    removed: Removed,
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
