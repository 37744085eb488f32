//! Removed tags that still lie in their rows.
//!
//! A row is a page of the log for each change, and later one of the database. So an untag does not rewrite its rows: it
//! writes a tombstone for each, which tells which of their tags are gone, and all tombstones of a commit are one row of the table
//! `tombstone`. They are also held in memory, where every read and every change looks them up. Compaction brings them into the
//! rows when the writer has nothing else to do, or when there are too many.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, PoisonError};

use foldhash::fast::FixedState;
use rusqlite::{Connection, Transaction};

use crate::store::sqlite::format::tags::TagMask;
use crate::store::sqlite::format::tombstone::{Tombstone, decode};
use crate::sync::{RwLock, RwLockReadGuard, thread};

/// How many numbers share a range.
const RANGE_BITS: u32 = 12;

/// The tombstones of a range of numbers. It is copied when it changes while somebody reads it.
type Range = HashMap<u16, TagMask, FixedState>;

/// The tombstones that are in force: for each resource the last one, unless its row has been rewritten.
#[derive(Debug, Clone, Default)]
pub struct Tombstones {
    ranges: BTreeMap<i64, Arc<Range>>,
    count: usize,
}

impl Tombstones {
    /// The tags that a resource has lost.
    pub fn of(&self, number: i64) -> TagMask {
        let (range, place) = locate(number);
        let range = self.ranges.get(&range);
        range
            .and_then(|range| range.get(&place))
            .map_or(0, |&removed| removed)
    }

    /// How many resources have lost tags.
    pub fn count(&self) -> usize {
        self.count
    }

    /// Up to `most` tombstones in order of number, from a number on.
    pub fn from(&self, number: i64, most: usize) -> Vec<Tombstone> {
        let (first, _) = locate(number);
        let mut tombstones = Vec::new();
        for (range, places) in self.ranges.range(first..) {
            if tombstones.len() >= most {
                break;
            }
            let begun = tombstones.len();
            let tombstone = |(&place, &removed)| Tombstone {
                number: range << RANGE_BITS | i64::from(place),
                removed,
            };
            tombstones.extend(
                places
                    .iter()
                    .map(tombstone)
                    .filter(|tombstone| tombstone.number >= number),
            );
            tombstones[begun..].sort_unstable_by_key(|tombstone| tombstone.number);
        }
        tombstones.truncate(most);
        tombstones
    }

    fn add(&mut self, Tombstone { number, removed }: Tombstone) {
        let (range, place) = locate(number);
        if removed != 0 {
            let places = Arc::make_mut(self.ranges.entry(range).or_default());
            self.count += usize::from(places.insert(place, removed).is_none());
        } else if let Some(places) = self.ranges.get_mut(&range)
            && places.contains_key(&place)
        {
            Arc::make_mut(places).remove(&place);
            self.count -= 1;
            if places.is_empty() {
                self.ranges.remove(&range);
            }
        }
    }
}

/// The range of a number, and its position there.
fn locate(number: i64) -> (i64, u16) {
    let place = number & ((1 << RANGE_BITS) - 1);
    (
        number >> RANGE_BITS,
        u16::try_from(place).unwrap_or_default(),
    )
}

/// The tombstones of one commit after another, as the writer publishes them to those who read.
#[derive(Debug, Clone, Default)]
pub struct Published(Arc<RwLock<State>>);

/// The tombstones that are in force after a commit.
#[derive(Debug, Default)]
pub struct State {
    /// The sequence of the newest row of the table.
    sequence: i64,
    pub in_force: Tombstones,
}

impl Published {
    /// The tombstones that are in force, for the writer alone: it stays that of the newest commit while it looks.
    pub fn newest(&self) -> RwLockReadGuard<'_, State> {
        self.0.read().unwrap_or_else(PoisonError::into_inner)
    }

    /// Begins a transaction that reads one state of the store: what the transaction sees, and what `capture` takes of the tombstones that are
    /// in force there.
    pub fn snapshot<'connection, T>(
        &self,
        connection: &'connection Connection,
        capture: impl Fn(&Tombstones) -> T,
    ) -> rusqlite::Result<(Transaction<'connection>, T)> {
        loop {
            // Dropped, it rolls back.
            let transaction = connection.unchecked_transaction()?;
            let sequence = newest_sequence(&transaction)?;
            {
                let state = self.newest();
                if state.sequence == sequence {
                    let captured = capture(&state.in_force);
                    return Ok((transaction, captured));
                }
            }
            // A commit came in between, or is about to be published.
            drop(transaction);
            thread::yield_now();
        }
    }

    /// Lets everybody see the tombstones of a commit. Returns how many resources have one now.
    pub fn publish(&self, sequence: i64, tombstones: &[Tombstone]) -> usize {
        let mut state = self.0.write().unwrap_or_else(PoisonError::into_inner);
        debug_assert!(sequence >= state.sequence, "commits are published in order");
        state.sequence = sequence;
        for tombstone in tombstones {
            debug_assert!(
                tombstone.keeps(state.in_force.of(tombstone.number)),
                "positions hold until the row is rewritten"
            );
            state.in_force.add(*tombstone);
        }
        state.in_force.count()
    }
}

/// The sequence of the newest row of the table, 0 where there is none.
fn newest_sequence(connection: &Connection) -> rusqlite::Result<i64> {
    let mut statement = connection.prepare_cached("SELECT max(sequence) FROM tombstone")?;
    let newest: Option<i64> = statement.query_row([], |row| row.get(0))?;
    Ok(newest.unwrap_or_default())
}

/// The tombstones that the table holds.
#[derive(Debug)]
pub struct StoredTombstones {
    pub in_force: Tombstones,
    /// The sequence of the oldest row, or the next one where there is none, and that of the newest, or 0.
    pub oldest: i64,
    pub newest: i64,
    /// How many tombstones there are, those that are no longer in force too.
    pub tombstones: usize,
}

impl StoredTombstones {
    /// Reads the table.
    pub fn read(connection: &Connection) -> rusqlite::Result<Self> {
        let mut stored = Self {
            in_force: Tombstones::default(),
            oldest: 1,
            newest: 0,
            tombstones: 0,
        };
        let mut statement =
            connection.prepare("SELECT sequence, tombstones FROM tombstone ORDER BY sequence")?;
        let mut rows = statement.query([])?;
        while let Some(row) = rows.next()? {
            let sequence = row.get(0)?;
            if stored.newest == 0 {
                stored.oldest = sequence;
            }
            stored.newest = sequence;
            for tombstone in decode(row.get_ref(1)?.as_blob()?) {
                stored.in_force.add(tombstone);
                stored.tombstones += 1;
            }
        }
        Ok(stored)
    }

    /// Publishes these tombstones.
    pub fn publish(&self) -> Published {
        let (in_force, sequence) = (self.in_force.clone(), self.newest);
        Published(Arc::new(RwLock::new(State { sequence, in_force })))
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::thread;

    use proptest::prelude::*;

    use super::*;
    use crate::store::sqlite::format::DataDirectory;
    use crate::store::sqlite::format::tombstone::encode;

    fn tombstones() -> impl Strategy<Value = Vec<Tombstone>> {
        let number = prop_oneof![-3..3_i64, 4_090..4_100_i64, Just(i64::MIN), Just(i64::MAX)];
        let tombstone = (number, prop_oneof![Just(0), 1..4_u32]);
        let tombstone = tombstone.prop_map(|(number, removed)| Tombstone { number, removed });
        proptest::collection::vec(tombstone, 0..60)
    }

    #[test]
    fn a_snapshot_has_the_tombstones_of_its_transaction() {
        let temporary = tempfile::tempdir().unwrap();
        let directory = DataDirectory::lock(temporary.path()).unwrap();
        let writer = directory.open_writer().unwrap();
        let reader = directory.open_reader().unwrap();
        let commit = |sequence: i64| {
            let insert = "INSERT INTO tombstone (sequence, tombstones) VALUES (?1, x'')";
            writer.execute(insert, [sequence]).unwrap();
        };
        let published = Published::default();
        let publish =
            |sequence, removed| published.publish(sequence, &[Tombstone { number: 1, removed }]);
        commit(1);
        publish(1, 1);

        // The next commit comes when the tombstones are taken.
        let taken = published.snapshot(&reader, |in_force| {
            commit(2);
            in_force.of(1)
        });
        let (transaction, removed) = taken.unwrap();
        assert_eq!((newest_sequence(&transaction).unwrap(), removed), (1, 1));
        drop(transaction);

        // It is not published yet when the transaction begins.
        thread::scope(|scope| {
            scope.spawn(|| {
                for _ in 0..1_000 {
                    thread::yield_now();
                }
                publish(2, 3);
            });
            let taken = published.snapshot(&reader, |in_force| in_force.of(1));
            let (transaction, removed) = taken.unwrap();
            assert_eq!((newest_sequence(&transaction).unwrap(), removed), (2, 3));
        });
    }

    proptest! {
        #[test]
        fn the_last_tombstone_of_a_resource_is_in_force(tombstones in tombstones(), from in -3..4_100_i64, most in 0..9_usize) {
            let (mut in_force, mut expected) = (Tombstones::default(), BTreeMap::new());
            for tombstone in &tombstones {
                let before = in_force.clone();
                in_force.add(*tombstone);
                prop_assert_eq!(before.of(tombstone.number), expected.get(&tombstone.number).copied().unwrap_or(0));
                expected.insert(tombstone.number, tombstone.removed);
            }
            expected.retain(|_, removed| *removed != 0);
            prop_assert_eq!(in_force.count(), expected.len());
            for tombstone in &tombstones {
                prop_assert_eq!(in_force.of(tombstone.number), expected.get(&tombstone.number).copied().unwrap_or(0));
            }
            let some: Vec<_> = expected
                .range(from..)
                .take(most)
                .map(|(&number, &removed)| Tombstone { number, removed })
                .collect();
            prop_assert_eq!(in_force.from(from, most), some);
        }

        #[test]
        fn tombstones_come_back_from_their_bytes(tombstones in tombstones()) {
            let mut encoded = vec![1];
            encode(&tombstones, &mut encoded);
            prop_assert_eq!(decode(&encoded).collect::<Vec<_>>(), tombstones);
        }
    }
}
