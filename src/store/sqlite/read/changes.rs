//! What is read of the change log.

use rusqlite::{Connection, OptionalExtension as _, params};

use crate::domain::{
    AccountId, Change, ChangeKey, ChangesQuery, History, HistoryId, RESOURCE_TYPE_USER, ResourceId,
    Revision,
};
use crate::store::StoreError;
use crate::store::sqlite::error::ApplyError;
use crate::store::sqlite::log::changes::{Found, Range, RecentKeys, Snapshot, expired, extremes};
use crate::sync::thread;

/// Reads the change of a request or of a revision; `None` where there is none.
pub fn change(
    connection: &Connection,
    recent: &RecentKeys,
    account: &AccountId,
    key: ChangeKey,
) -> Result<Result<Option<Change>, StoreError>, ApplyError> {
    loop {
        // One state. Dropped, it rolls back.
        let transaction = connection.unchecked_transaction()?;
        let snapshot = Snapshot::new(&transaction, account);
        match key {
            ChangeKey::Revision(revision) => {
                return Ok(match compacted(&transaction, account, revision)? {
                    Some(error) => Err(error),
                    None => Ok(snapshot.at(revision)?),
                });
            }
            ChangeKey::RequestId(request_id) => {
                if let Found::Read(change) = snapshot.of_request(recent, request_id)? {
                    return Ok(Ok(change));
                }
            }
        }
        wait();
    }
}

/// Reads changes of an account, or of one of its users.
pub fn changes(
    connection: &Connection,
    recent: &RecentKeys,
    query: &ChangesQuery,
) -> Result<Result<Vec<Change>, StoreError>, ApplyError> {
    let range = Range::from(query);
    loop {
        let transaction = connection.unchecked_transaction()?;
        if let Some(error) = compacted(&transaction, &query.account, query.from)? {
            return Ok(Err(error));
        }
        let snapshot = Snapshot::new(&transaction, &query.account);
        let Some(user) = &query.user else {
            return Ok(Ok(snapshot.of(range)?));
        };
        let Some(number) = number_of(&transaction, &query.account, user)? else {
            return Ok(Ok(Vec::new()));
        };
        if let Found::Read(changes) = snapshot.of_user(recent, number, range)? {
            return Ok(Ok(changes));
        }
        wait();
    }
}

/// Reads the extent of an account's change log.
pub fn history(connection: &Connection, account: &AccountId) -> Result<History, ApplyError> {
    let transaction = connection.unchecked_transaction()?;
    let there = extremes(&transaction, account)?;
    let select = "SELECT history_id FROM state";
    let id = transaction
        .prepare_cached(select)?
        .query_row([], |row| row.get(0))?;
    Ok(History {
        id: HistoryId::from_random_bytes(id),
        newest: there.newest,
        oldest: there.oldest,
    })
}

/// Lets the writer publish what it has committed.
fn wait() {
    thread::yield_now();
}

/// The refusal of a revision, if it is gone.
fn compacted(
    connection: &Connection,
    account: &AccountId,
    revision: Revision,
) -> Result<Option<StoreError>, ApplyError> {
    if revision.get() > expired(connection, account)? {
        return Ok(None);
    }
    let oldest = extremes(connection, account)?.oldest;
    Ok(Some(StoreError::Compacted { oldest }))
}

/// The number of the row that a user has, or had before it was deleted.
fn number_of(
    connection: &Connection,
    account: &AccountId,
    user: &ResourceId,
) -> rusqlite::Result<Option<i64>> {
    for table in ["resource", "deleted_user"] {
        let select = format!(
            "SELECT number FROM {table} \
             WHERE account_id = ?1 AND resource_type = ?2 AND resource_id = ?3"
        );
        let columns = params![account.as_str(), RESOURCE_TYPE_USER, user.as_str()];
        let number = connection
            .prepare_cached(&select)?
            .query_row(columns, |row| row.get(0))
            .optional()?;
        if number.is_some() {
            return Ok(number);
        }
    }
    Ok(None)
}
