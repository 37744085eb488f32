//! Sorted runs: the keys by which the entries of many commits are found, in order of key. Each run is written at once when there
//! are enough of them, so that keys that come in any order share pages. A search looks into the runs one by one.

use rusqlite::{Connection, params};

use crate::domain::Direction;
use crate::store::sqlite::error::{ApplyError, CorruptLog};

/// A key of an entry, and the sequence of the commit that has the entry.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct EntryKey {
    pub key: u64,
    pub sequence: i64,
}

/// The kind of a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum KeyKind {
    /// The lower half of a RequestId.
    Request = 0,
    /// The number of a user's row.
    User = 1,
}

/// The commits of a run, and the stamps of the requests that have made their changes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Run {
    pub first_sequence: i64,
    pub last_sequence: i64,
    pub stamps: Stamps,
}

/// A range that has the stamps of some requests: the first 48 bits of their ids, which are milliseconds where the id is of version 7. It leaves
/// out the runs that can't have an id, whatever clock the id was made by.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stamps {
    low: i64,
    high: i64,
}

impl Stamps {
    /// The range without any.
    pub const NONE: Self = Self {
        low: i64::MAX,
        high: i64::MIN,
    };

    /// Makes room for one.
    pub fn add(&mut self, stamp: i64) {
        self.low = self.low.min(stamp);
        self.high = self.high.max(stamp);
    }
}

/// How a key lies in a run: its number, and the sequence as a distance from the first of the run, both big-endian, so that bytes
/// are in the order of keys.
const KEY_BYTES: usize = 12;
/// How many keys share a row: four rows fill a page, and larger ones would need pages of their own.
const ROW_KEYS: usize = 78;

fn encode(EntryKey { key, sequence }: EntryKey, run: &Run) -> [u8; KEY_BYTES] {
    let distance = sequence.clamp(run.first_sequence, run.last_sequence) - run.first_sequence;
    let mut bytes = [0; KEY_BYTES];
    bytes[..8].copy_from_slice(&key.to_be_bytes());
    bytes[8..].copy_from_slice(&u32::try_from(distance).unwrap_or(u32::MAX).to_be_bytes());
    bytes
}

fn decode<'bytes>(
    bytes: &'bytes [u8],
    run: &Run,
) -> Result<impl DoubleEndedIterator<Item = EntryKey> + use<'bytes>, CorruptLog> {
    let first = run.first_sequence;
    let (keys, rest) = bytes.as_chunks::<KEY_BYTES>();
    if !rest.is_empty() {
        return Err(CorruptLog);
    }
    Ok(keys.iter().filter_map(move |bytes| {
        let (key, distance) = bytes.split_first_chunk()?;
        Some(EntryKey {
            key: u64::from_be_bytes(*key),
            sequence: first + i64::from(u32::from_be_bytes(*distance.first_chunk()?)),
        })
    }))
}

/// Writes the keys of a run, which it sorts. Returns how many bytes they take.
pub fn write_keys(
    connection: &Connection,
    run: &Run,
    kind: KeyKind,
    keys: &mut Vec<EntryKey>,
) -> rusqlite::Result<usize> {
    keys.sort_unstable();
    keys.dedup();
    let insert = "INSERT INTO change_key (kind, run, first, keys) VALUES (?1, ?2, ?3, ?4)";
    let mut insert = connection.prepare_cached(insert)?;
    let mut encoded = Vec::with_capacity(ROW_KEYS * KEY_BYTES);
    for keys in keys.chunks(ROW_KEYS) {
        encoded.clear();
        for key in keys {
            encoded.extend_from_slice(&encode(*key, run));
        }
        insert.execute(params![
            kind as i64,
            run.last_sequence,
            &encoded[..KEY_BYTES],
            encoded
        ])?;
    }
    Ok(keys.len() * KEY_BYTES)
}

/// Adds a run to the list of runs.
pub fn add(connection: &Connection, run: &Run) -> rusqlite::Result<()> {
    let insert = "INSERT INTO change_run VALUES (?1, ?2, ?3, ?4)";
    let columns = params![
        run.last_sequence,
        run.first_sequence,
        run.stamps.low,
        run.stamps.high
    ];
    connection
        .prepare_cached(insert)?
        .execute(columns)
        .map(drop)
}

/// Deletes a run whose commits are all gone before this sequence, if there is one. Returns whether there was. The newest stays: it tells
/// readers which keys are in memory.
pub fn delete_one_before(connection: &Connection, oldest: i64) -> rusqlite::Result<bool> {
    let delete = "DELETE FROM change_run \
         WHERE last_sequence = (SELECT min(last_sequence) FROM change_run) AND last_sequence < ?1 \
         AND last_sequence < (SELECT max(last_sequence) FROM change_run) RETURNING last_sequence";
    let mut delete = connection.prepare_cached(delete)?;
    let Some(row) = delete
        .query_map([oldest], |row| row.get::<_, i64>(0))?
        .next()
    else {
        return Ok(false);
    };
    let run = row?;
    let delete = "DELETE FROM change_key WHERE kind = ?1 AND run = ?2";
    let mut delete = connection.prepare_cached(delete)?;
    for kind in [KeyKind::Request, KeyKind::User] {
        delete.execute([kind as i64, run])?;
    }
    Ok(true)
}

/// The last sequence of which a run has the keys, 0 where there is none.
pub fn covered(connection: &Connection) -> rusqlite::Result<i64> {
    let newest = "SELECT coalesce(max(last_sequence), 0) FROM change_run";
    connection
        .prepare_cached(newest)?
        .query_row([], |row| row.get(0))
}

/// The runs that may have a key of a RequestId with this stamp, the newest first.
pub fn with_stamp(connection: &Connection, stamp: i64) -> rusqlite::Result<Vec<Run>> {
    let select = "SELECT first_sequence, last_sequence, low_stamp, high_stamp FROM change_run \
         WHERE ?1 BETWEEN low_stamp AND high_stamp ORDER BY last_sequence DESC";
    let mut select = connection.prepare_cached(select)?;
    select.query_map([stamp], run_of)?.collect()
}

/// The runs that have commits between these two, in this order.
pub fn between(
    connection: &Connection,
    first: i64,
    last: i64,
    direction: Direction,
) -> rusqlite::Result<Vec<Run>> {
    let select = "SELECT first_sequence, last_sequence, low_stamp, high_stamp FROM change_run \
         WHERE last_sequence >= ?1 AND first_sequence <= ?2 ORDER BY last_sequence";
    let mut select = connection.prepare_cached(select)?;
    let runs: rusqlite::Result<Vec<_>> = select.query_map([first, last], run_of)?.collect();
    let mut runs = runs?;
    if direction == Direction::Backwards {
        runs.reverse();
    }
    Ok(runs)
}

fn run_of(row: &rusqlite::Row<'_>) -> rusqlite::Result<Run> {
    Ok(Run {
        first_sequence: row.get(0)?,
        last_sequence: row.get(1)?,
        stamps: Stamps {
            low: row.get(2)?,
            high: row.get(3)?,
        },
    })
}

/// The sequences that a run has for a key, from one on in this direction, at most so many.
pub fn find(
    connection: &Connection,
    run: &Run,
    kind: KeyKind,
    from: EntryKey,
    direction: Direction,
    most: usize,
) -> Result<Vec<i64>, ApplyError> {
    let mut found = Vec::new();
    let select = match direction {
        // The row before may have the key at its end.
        Direction::Forwards => {
            "SELECT keys FROM change_key WHERE kind = ?1 AND run = ?2 AND first >= coalesce( \
                 (SELECT max(first) FROM change_key WHERE kind = ?1 AND run = ?2 AND first <= ?3), ?3) \
             ORDER BY first"
        }
        Direction::Backwards => {
            "SELECT keys FROM change_key WHERE kind = ?1 AND run = ?2 AND first <= ?3 \
             ORDER BY first DESC"
        }
    };
    let mut select = connection.prepare_cached(select)?;
    let bound = encode(from, run);
    let mut rows = select.query(params![kind as i64, run.last_sequence, bound.as_slice()])?;
    while let Some(row) = rows.next()? {
        let keys = decode(row.get_ref(0)?.as_blob().map_err(|_| CorruptLog)?, run)?;
        let mut is_past = false;
        let mut take = |key: EntryKey, is_before: bool| {
            is_past = !is_before && key.key != from.key;
            if !is_before && !is_past && found.len() < most {
                found.push(key.sequence);
            }
            is_past || found.len() >= most
        };
        let is_done = match direction {
            Direction::Forwards => keys.into_iter().any(|key| take(key, key < from)),
            Direction::Backwards => keys.rev().any(|key| take(key, key > from)),
        };
        if is_done {
            break;
        }
    }
    Ok(found)
}

/// Whether a revision, or a sequence, lies from another one on in this direction.
pub fn is_behind<T: Copy + PartialOrd>(at: T, from: T, direction: Direction) -> bool {
    match direction {
        Direction::Forwards => at >= from,
        Direction::Backwards => at <= from,
    }
}
