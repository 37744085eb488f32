//! Where the revisions of an account are in the change log. Every so often one is written down with its sequence
//! (`change_position`); those after it are found by looking through the rows from there on.

use std::collections::HashMap;

use foldhash::fast::FixedState;
use prost::Message as _;
use rusqlite::{Connection, OptionalExtension as _, params};

use crate::domain::{AccountId, Direction};
use crate::store::sqlite::error::{ApplyError, CorruptLog};
use crate::store::sqlite::format::log_entry::LoggedAccounts;

/// A revision of an account is written down where the last one that was is so many revisions or so many sequences old. So the
/// entries of an account until the next one that is written down are in fewer rows than that.
pub const SPAN: i64 = 256;
/// How many accounts have their newest revision in memory, about 150 bytes each.
const MOST_ACCOUNTS: usize = 16_384;

/// A revision that is written down.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Position {
    revision: u64,
    sequence: i64,
}

/// What is known of an account: its newest revision, 0 where there is none, and the last one that is written down.
#[derive(Debug, Clone, Copy, Default)]
struct Known {
    newest: u64,
    position: Option<Position>,
}

/// The newest revisions of the accounts that were changed lately, after the last commit.
#[derive(Debug, Default)]
pub struct Revisions {
    accounts: HashMap<AccountId, Known, FixedState>,
}

impl Revisions {
    /// The newest revision of an account, 0 where there is none.
    pub fn newest(
        &mut self,
        connection: &Connection,
        account: &AccountId,
    ) -> Result<u64, ApplyError> {
        if let Some(known) = self.accounts.get(account) {
            return Ok(known.newest);
        }
        if self.accounts.len() >= MOST_ACCOUNTS {
            self.accounts.clear();
        }
        let known = read(connection, account)?;
        self.accounts.insert(account.clone(), known);
        Ok(known.newest)
    }

    /// Writes down the revision of an account's first entry in a commit, where the last one that was is too old.
    pub fn write_down(
        &self,
        connection: &Connection,
        account: &AccountId,
        revision: u64,
        sequence: i64,
    ) -> rusqlite::Result<bool> {
        let last = self.accounts.get(account).and_then(|known| known.position);
        let is_near = |last: Position| {
            revision - last.revision < SPAN.unsigned_abs() && sequence - last.sequence < SPAN
        };
        if last.is_some_and(is_near) {
            return Ok(false);
        }
        let insert =
            "INSERT INTO change_position (account_id, revision, sequence) VALUES (?1, ?2, ?3)";
        let columns = params![account.as_str(), revision.cast_signed(), sequence];
        connection.prepare_cached(insert)?.execute(columns)?;
        Ok(true)
    }

    /// Takes over the entries of an account that were committed, and whether the first of them was written down.
    pub fn committed(
        &mut self,
        account: &AccountId,
        first: u64,
        newest: u64,
        written_down_at: Option<i64>,
    ) {
        if let Some(known) = self.accounts.get_mut(account) {
            known.newest = newest;
            if let Some(sequence) = written_down_at {
                known.position = Some(Position {
                    revision: first,
                    sequence,
                });
            }
        }
    }
}

fn read(connection: &Connection, account: &AccountId) -> Result<Known, ApplyError> {
    let position = position_before(connection, account, i64::MAX.unsigned_abs())?;
    let expired = expired(connection, account)?;
    if position.is_none() && expired == 0 {
        return Ok(Known::default());
    }
    let from = position.map_or(0, |position| position.sequence);
    let spans = spans(connection, account, from, i64::MAX)?;
    let newest = spans.last().map_or(expired, |span| span.last);
    Ok(Known { newest, position })
}

/// The newest revision of an account, 0 where there is none.
pub fn newest(connection: &Connection, account: &AccountId) -> Result<u64, ApplyError> {
    Ok(read(connection, account)?.newest)
}

/// The newest revision of an account that is gone from the log, 0 where there is none.
pub fn expired(connection: &Connection, account: &AccountId) -> rusqlite::Result<u64> {
    let select = "SELECT revision FROM change_expired WHERE account_id = ?1";
    let expired: Option<i64> = connection
        .prepare_cached(select)?
        .query_row([account.as_str()], |row| row.get(0))
        .optional()?;
    Ok(expired.unwrap_or_default().unsigned_abs())
}

/// The last revision up to this one that is written down.
fn position_before(
    connection: &Connection,
    account: &AccountId,
    revision: u64,
) -> rusqlite::Result<Option<Position>> {
    let select = "SELECT revision, sequence FROM change_position \
         WHERE account_id = ?1 AND revision <= ?2 ORDER BY revision DESC LIMIT 1";
    let position = |row: &rusqlite::Row<'_>| {
        Ok(Position {
            revision: row.get::<_, i64>(0)?.unsigned_abs(),
            sequence: row.get(1)?,
        })
    };
    connection
        .prepare_cached(select)?
        .query_row(params![account.as_str(), revision.cast_signed()], position)
        .optional()
}

/// The revisions of an account that a commit has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Span {
    pub sequence: i64,
    pub first: u64,
    pub last: u64,
}

/// The commits that have a revision of an account and those around it, from one that is written down to before the next.
fn spans_around(
    connection: &Connection,
    account: &AccountId,
    revision: u64,
) -> Result<Vec<Span>, ApplyError> {
    let position = position_before(connection, account, revision)?;
    let (from, written_down) =
        position.map_or((0, 0), |position| (position.sequence, position.revision));
    let next = "SELECT sequence FROM change_position WHERE account_id = ?1 AND revision > ?2 \
         ORDER BY revision LIMIT 1";
    let until: Option<i64> = connection
        .prepare_cached(next)?
        .query_row(
            params![account.as_str(), written_down.cast_signed()],
            |row| row.get(0),
        )
        .optional()?;
    spans(connection, account, from, until.unwrap_or(i64::MAX))
}

/// The commits of an account among the next [`SPAN`] rows from a sequence on, before another one.
fn spans(
    connection: &Connection,
    account: &AccountId,
    from: i64,
    until: i64,
) -> Result<Vec<Span>, ApplyError> {
    let select = "SELECT sequence, entries FROM change_log WHERE sequence >= ?1 AND sequence < ?2 \
         ORDER BY sequence LIMIT ?3";
    let mut select = connection.prepare_cached(select)?;
    let mut rows = select.query([from, until, SPAN])?;
    let mut spans = Vec::new();
    while let Some(row) = rows.next()? {
        let entries = row.get_ref(1)?.as_blob().map_err(|_| CorruptLog)?;
        let logged = LoggedAccounts::decode(entries).map_err(|_| CorruptLog)?;
        let mut accounts = logged.accounts.iter();
        if let Some(logged) = accounts.find(|logged| logged.id == account.as_str()) {
            spans.push(Span {
                sequence: row.get(0)?,
                first: logged.first,
                last: logged.last(),
            });
        }
    }
    Ok(spans)
}

/// The commits of an account from a revision on in this direction, until they have `most` revisions, or all there are. The first
/// of them may have others too.
pub fn find(
    connection: &Connection,
    account: &AccountId,
    from: u64,
    direction: Direction,
    most: usize,
) -> Result<Vec<Span>, ApplyError> {
    let mut found: Vec<Span> = Vec::new();
    let (mut next, mut revisions) = (from, 0);
    if direction == Direction::Forwards {
        next = next.max(expired(connection, account)? + 1);
    }
    while next > 0 && revisions < most {
        let mut spans = spans_around(connection, account, next)?;
        match direction {
            Direction::Forwards => spans.retain(|span| span.last >= next),
            Direction::Backwards => {
                spans.retain(|span| span.first <= next);
                spans.reverse();
            }
        }
        let Some(last) = spans.last() else {
            break;
        };
        let last = *last;
        for span in spans {
            if revisions >= most {
                break;
            }
            let (first, last) = match direction {
                Direction::Forwards => (span.first.max(next), span.last),
                Direction::Backwards => (span.first, span.last.min(next)),
            };
            revisions += usize::try_from(last - first + 1).unwrap_or(usize::MAX);
            found.push(span);
        }
        next = match direction {
            Direction::Forwards => last.last + 1,
            Direction::Backwards => last.first.saturating_sub(1),
        };
    }
    Ok(found)
}
