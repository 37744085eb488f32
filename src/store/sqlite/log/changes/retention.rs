//! The end of entries: those that are too old, or too many bytes, are deleted with all that belongs to them, a few at a time.

use std::collections::BTreeMap;

use prost::Message as _;
use rusqlite::{Connection, params};

use super::audited::AuditProgress;
use super::extent::Extent;
use super::{removed_tags, runs};
use crate::domain::Timestamp;
use crate::store::Retention;
use crate::store::sqlite::error::{ApplyError, CorruptLog};
use crate::store::sqlite::format::log_entry::LoggedAccounts;

/// How many commits are deleted at once, and how many of their bytes are read for that.
const COMMITS_AT_ONCE: i64 = 128;
const BYTES_AT_ONCE: usize = 4 << 20;
/// How many bytes of entries are kept beyond the retention where the audit has no lines of them.
const UNAUDITED_BYTES: u64 = 1 << 30;
/// How many rows of removed tags are deleted at once.
const REMOVED_TAGS_AT_ONCE: usize = 512;

/// What is left of a log once some of its entries are deleted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Expired {
    /// The sequence of the oldest commit that is left, and the total at it.
    pub oldest: i64,
    pub oldest_total: u64,
    /// Whether there is more to delete now.
    pub has_more: bool,
    /// How many changes were deleted that have no line of the audit.
    pub unaudited: u64,
}

/// Whether a commit of this time that had this total may go, in a log of this total.
fn has_expired(
    retention: Retention,
    now: Timestamp,
    (time, total): (i64, u64),
    newest_total: u64,
) -> bool {
    let age = i64::try_from(retention.age.as_millis()).unwrap_or(i64::MAX);
    time <= now.millis().saturating_sub(age) || newest_total - total > retention.bytes
}

/// Whether the audit still needs a commit of this sequence and total.
fn is_unaudited(
    audit: Option<&AuditProgress>,
    (sequence, total): (i64, u64),
    newest_total: u64,
) -> Unaudited {
    if audit.is_none_or(|audit| sequence <= audit.written().sequence) {
        Unaudited::No
    } else if newest_total - total > UNAUDITED_BYTES {
        Unaudited::TooMany
    } else {
        Unaudited::Yes
    }
}

/// Whether a commit has to stay for the audit, which has no lines of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Unaudited {
    No,
    Yes,
    /// It had to, but there are too many.
    TooMany,
}

/// Deletes some of what has expired. The newest commit stays, whatever its age.
pub fn expire(
    connection: &Connection,
    retention: Retention,
    audit: Option<&AuditProgress>,
    extent: &Extent,
    now: Timestamp,
) -> Result<Expired, ApplyError> {
    let (mut oldest, mut oldest_total) = (extent.oldest, extent.oldest_total);
    let mut gone: BTreeMap<String, u64> = BTreeMap::new();
    let (mut has_more, mut unwritten) = (false, 0);
    let select = "SELECT sequence, time, total, entries FROM change_log \
             WHERE sequence >= ?1 AND sequence <= ?2 ORDER BY sequence LIMIT ?3";
    let mut select = connection.prepare_cached(select)?;
    // One more tells the new oldest.
    let mut rows = select.query([oldest, extent.newest, COMMITS_AT_ONCE + 1])?;
    let (mut commits, mut bytes) = (0, 0);
    while let Some(row) = rows.next()? {
        let total = row.get::<_, i64>(2)?.unsigned_abs();
        (oldest, oldest_total) = (row.get(0)?, total);
        let unaudited = is_unaudited(audit, (oldest, total), extent.total);
        let is_gone = oldest < extent.newest
            && unaudited != Unaudited::Yes
            && has_expired(retention, now, (row.get(1)?, total), extent.total);
        if !is_gone {
            break;
        }
        if commits == COMMITS_AT_ONCE || bytes > BYTES_AT_ONCE {
            has_more = true;
            break;
        }
        let entries = row.get_ref(3)?.as_blob().map_err(|_| CorruptLog)?;
        (commits, bytes) = (commits + 1, bytes + entries.len());
        let logged = LoggedAccounts::decode(entries).map_err(|_| CorruptLog)?;
        for account in logged.accounts {
            let last = account.last();
            if unaudited == Unaudited::TooMany {
                unwritten += account.count;
            }
            gone.insert(account.id, last);
        }
    }
    drop(rows);
    if oldest > extent.oldest {
        delete(connection, oldest, &gone)?;
    }
    has_more |= removed_tags::delete_before(connection, oldest, REMOVED_TAGS_AT_ONCE)?;
    has_more |= runs::delete_one_before(connection, oldest)?;
    Ok(Expired {
        oldest,
        oldest_total,
        has_more,
        unaudited: unwritten,
    })
}

/// Deletes the commits before a sequence, which have these last revisions of accounts.
fn delete(
    connection: &Connection,
    oldest: i64,
    gone: &BTreeMap<String, u64>,
) -> rusqlite::Result<()> {
    connection
        .prepare_cached("DELETE FROM change_log WHERE sequence < ?1")?
        .execute([oldest])?;
    let mut expire = connection.prepare_cached(
        "INSERT INTO change_expired (account_id, revision) VALUES (?1, ?2) \
         ON CONFLICT (account_id) DO UPDATE SET revision = excluded.revision",
    )?;
    let mut delete = connection
        .prepare_cached("DELETE FROM change_position WHERE account_id = ?1 AND revision <= ?2")?;
    for (account, last) in gone {
        expire.execute(params![account, last.cast_signed()])?;
        delete.execute(params![account, last.cast_signed()])?;
    }
    Ok(())
}
