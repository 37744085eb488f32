//! What is read: lists, and untags that only validate.

use rusqlite::{Connection, params};

use crate::domain::{
    AccountId, Changed, ListQuery, RESOURCE_TYPE_USER, ResourceId, TagPage, Targets, UntagCommand,
};
use crate::store::StoreError;
use crate::store::paging::{PageBuilder, SCAN_LIMIT};
use crate::store::sqlite::error::{ApplyError, CorruptTags};
use crate::store::sqlite::format::tags::{self, TagMask};
use crate::store::sqlite::format::{Record, RowReader};
use crate::store::sqlite::index::{Index, Lookup};
use crate::store::sqlite::log::{Published, Tombstones};
use crate::store::sqlite::write::Untag;

/// Checks an untag, and changes nothing.
pub fn check_untag(
    connection: &Connection,
    published: &Published,
    index: &Index,
    command: &UntagCommand,
) -> Result<Result<Changed, StoreError>, ApplyError> {
    let mut plan = Untag::plan(command);
    let missing = each_target(
        connection,
        published,
        index,
        &command.account,
        &command.targets,
        |record, removed| plan.add(record, removed),
    )?;
    Ok(plan.finish(missing).answer)
}

/// Reads a list: a page, or the positions of the targets that do not exist.
pub fn list(
    connection: &Connection,
    published: &Published,
    index: &Index,
    query: &ListQuery,
) -> Result<Result<TagPage, StoreError>, ApplyError> {
    match &query.targets {
        Some(targets) => list_targets(connection, published, index, query, targets),
        None => list_account(connection, published, query),
    }
}

/// Calls `found` with the record of every target that exists and what it has lost, all in one state of the store, and
/// returns the positions of the others.
fn each_target(
    connection: &Connection,
    published: &Published,
    index: &Index,
    account: &AccountId,
    targets: &Targets,
    mut found: impl FnMut(&Record<'_>, TagMask) -> Result<(), CorruptTags>,
) -> Result<Vec<usize>, ApplyError> {
    let mut lookup = Lookup::new(connection, index)?;
    let mut numbers = Vec::with_capacity(targets.count());
    // Users neither come nor go, and keep their numbers: that needs no snapshot.
    let missing = lookup.each(account, targets, |_, record| {
        numbers.push(record.number);
        Ok::<_, ApplyError>(())
    })?;
    let removed = |in_force: &Tombstones| -> Vec<_> {
        numbers.iter().map(|&number| in_force.of(number)).collect()
    };
    let (_snapshot, removed) = published.snapshot(connection, removed)?;
    let mut rows = RowReader::new(connection)?;
    for (&number, removed) in numbers.iter().zip(removed) {
        let found = rows.read(number, |record| found(record, removed))?;
        found.ok_or(rusqlite::Error::QueryReturnedNoRows)??;
    }
    Ok(missing)
}

fn list_targets(
    connection: &Connection,
    published: &Published,
    index: &Index,
    query: &ListQuery,
    targets: &Targets,
) -> Result<Result<TagPage, StoreError>, ApplyError> {
    let mut records = Vec::with_capacity(targets.count());
    let account = &query.account;
    let missing = each_target(
        connection,
        published,
        index,
        account,
        targets,
        |record, removed| {
            let id = ResourceId::parse(record.id).map_err(|_| CorruptTags)?;
            records.push((id, tags::decode(record.tags, removed)?));
            Ok(())
        },
    )?;
    if !missing.is_empty() {
        return Ok(Err(StoreError::Missing(missing)));
    }
    Ok(PageBuilder::page_of(query, records))
}

fn list_account(
    connection: &Connection,
    published: &Published,
    query: &ListQuery,
) -> Result<Result<TagPage, StoreError>, ApplyError> {
    let mut page = match PageBuilder::new(query) {
        Ok(page) => page,
        Err(error) => return Ok(Err(error)),
    };
    let mut statement = connection.prepare_cached(
        "SELECT number, resource_id, tags FROM resource \
         WHERE account_id = ?1 AND resource_type = ?2 AND resource_id >= ?3 \
         ORDER BY resource_id LIMIT ?4",
    )?;
    let (_snapshot, in_force) = published.snapshot(connection, Tombstones::clone)?;
    // One more than a page looks at tells whether it has seen the last.
    let most = i64::try_from(SCAN_LIMIT + 1).unwrap_or(i64::MAX);
    let mut rows = statement.query(params![
        query.account.as_str(),
        RESOURCE_TYPE_USER,
        page.from(),
        most
    ])?;
    while let Some(row) = rows.next()? {
        let record = Record::of(row)?;
        let id = ResourceId::parse(record.id).map_err(|_| CorruptTags)?;
        let tags = tags::decode(record.tags, in_force.of(record.number))?;
        if page.add(&id, &tags).is_break() {
            break;
        }
    }
    Ok(Ok(page.finish()))
}
