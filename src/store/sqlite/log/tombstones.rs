//! Removed tags that still lie in their rows.
//!
//! A row is a page of the log for each change, and later one of the database. So an untag does not rewrite its rows: it
//! notes which of their tags are gone, and all notes of a commit are one row of the table `removal`. The notes are also
//! held in memory, where every read and every change looks them up. The writer folds them into the rows when it has
//! nothing else to do, or when there are too many.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard};

use foldhash::fast::FixedState;
use rusqlite::{Connection, Transaction};

use crate::store::sqlite::format::tags::Removed;
use crate::store::sqlite::format::tombstone::{Note, decode};

/// How many numbers share a range.
const RANGE_BITS: u32 = 12;

/// Notes on a range of numbers. It is copied when it changes while somebody reads it.
type Range = HashMap<u16, Removed, FixedState>;

/// The notes that are in force: for each resource the last one, unless its row has been rewritten.
#[derive(Debug, Clone, Default)]
pub struct Removals {
    ranges: BTreeMap<i64, Arc<Range>>,
    count: usize,
}

impl Removals {
    /// What a resource has lost.
    pub fn of(&self, number: i64) -> Removed {
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

    /// Up to `most` notes in order of number, from a number on.
    pub fn from(&self, number: i64, most: usize) -> Vec<Note> {
        let (first, _) = locate(number);
        let mut notes = Vec::new();
        for (range, places) in self.ranges.range(first..) {
            if notes.len() >= most {
                break;
            }
            let begun = notes.len();
            let note = |(&place, &removed)| Note {
                number: range << RANGE_BITS | i64::from(place),
                removed,
            };
            notes.extend(places.iter().map(note).filter(|note| note.number >= number));
            notes[begun..].sort_unstable_by_key(|note| note.number);
        }
        notes.truncate(most);
        notes
    }

    fn note(&mut self, Note { number, removed }: Note) {
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

/// The range of a number, and its place there.
fn locate(number: i64) -> (i64, u16) {
    let place = number & ((1 << RANGE_BITS) - 1);
    (
        number >> RANGE_BITS,
        u16::try_from(place).unwrap_or_default(),
    )
}

/// The notes of one commit after another, as the writer publishes them to those who read.
#[derive(Debug, Clone, Default)]
pub struct Published(Arc<RwLock<State>>);

/// The notes of a commit and of all before it.
#[derive(Debug, Default)]
pub struct State {
    /// That of the newest row of the table.
    sequence: i64,
    pub removals: Removals,
}

impl Published {
    /// What is in force, for the writer alone: it stays that of the newest commit while it looks.
    pub fn newest(&self) -> RwLockReadGuard<'_, State> {
        self.0.read().unwrap_or_else(PoisonError::into_inner)
    }

    /// Begins to read one state of the store: what the transaction sees, and what `capture` takes of the notes that are in
    /// force there.
    pub fn snapshot<'connection, T>(
        &self,
        connection: &'connection Connection,
        capture: impl Fn(&Removals) -> T,
    ) -> rusqlite::Result<(Transaction<'connection>, T)> {
        loop {
            // Dropped, it rolls back.
            let transaction = connection.unchecked_transaction()?;
            let sequence = newest_sequence(&transaction)?;
            {
                let state = self.newest();
                if state.sequence == sequence {
                    let captured = capture(&state.removals);
                    return Ok((transaction, captured));
                }
            }
            // A commit came in between, or is about to be published.
            drop(transaction);
            std::thread::yield_now();
        }
    }

    /// Lets everybody see the notes of a commit. Returns on how many resources there are notes now.
    pub fn publish(&self, sequence: i64, notes: &[Note]) -> usize {
        let mut state = self.0.write().unwrap_or_else(PoisonError::into_inner);
        state.sequence = sequence;
        for note in notes {
            state.removals.note(*note);
        }
        state.removals.count()
    }
}

/// The sequence of the newest row of the table, 0 where there is none.
fn newest_sequence(connection: &Connection) -> rusqlite::Result<i64> {
    let mut statement = connection.prepare_cached("SELECT max(sequence) FROM removal")?;
    let newest: Option<i64> = statement.query_row([], |row| row.get(0))?;
    Ok(newest.unwrap_or_default())
}

/// What the table holds.
#[derive(Debug)]
pub struct Logged {
    pub removals: Removals,
    /// The sequence of the oldest row, or the next one where there is none, and that of the newest, or 0.
    pub oldest: i64,
    pub newest: i64,
    /// How many notes there are, those that are no longer in force too.
    pub notes: usize,
}

impl Logged {
    /// Reads the table.
    pub fn read(connection: &Connection) -> rusqlite::Result<Self> {
        let mut logged = Self {
            removals: Removals::default(),
            oldest: 1,
            newest: 0,
            notes: 0,
        };
        let mut statement =
            connection.prepare("SELECT sequence, notes FROM removal ORDER BY sequence")?;
        let mut rows = statement.query([])?;
        while let Some(row) = rows.next()? {
            let sequence = row.get(0)?;
            if logged.newest == 0 {
                logged.oldest = sequence;
            }
            logged.newest = sequence;
            for note in decode(row.get_ref(1)?.as_blob()?) {
                logged.removals.note(note);
                logged.notes += 1;
            }
        }
        Ok(logged)
    }

    /// Publishes these notes.
    pub fn publish(&self) -> Published {
        let (removals, sequence) = (self.removals.clone(), self.newest);
        Published(Arc::new(RwLock::new(State { sequence, removals })))
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;
    use crate::store::sqlite::format::tombstone::encode;

    fn notes() -> impl Strategy<Value = Vec<Note>> {
        let number = prop_oneof![-3..3_i64, 4_090..4_100_i64, Just(i64::MIN), Just(i64::MAX)];
        let note = (number, prop_oneof![Just(0), 1..4_u32]);
        let note = note.prop_map(|(number, removed)| Note { number, removed });
        proptest::collection::vec(note, 0..60)
    }

    proptest! {
        #[test]
        fn the_last_note_on_a_resource_is_in_force(notes in notes(), from in -3..4_100_i64, most in 0..9_usize) {
            let (mut removals, mut expected) = (Removals::default(), BTreeMap::new());
            for note in &notes {
                let before = removals.clone();
                removals.note(*note);
                prop_assert_eq!(before.of(note.number), expected.get(&note.number).copied().unwrap_or(0));
                expected.insert(note.number, note.removed);
            }
            expected.retain(|_, removed| *removed != 0);
            prop_assert_eq!(removals.count(), expected.len());
            for note in &notes {
                prop_assert_eq!(removals.of(note.number), expected.get(&note.number).copied().unwrap_or(0));
            }
            let some: Vec<_> = expected
                .range(from..)
                .take(most)
                .map(|(&number, &removed)| Note { number, removed })
                .collect();
            prop_assert_eq!(removals.from(from, most), some);
        }

        #[test]
        fn notes_come_back_from_their_bytes(notes in notes()) {
            let mut encoded = vec![1];
            encode(&notes, &mut encoded);
            prop_assert_eq!(decode(&encoded).collect::<Vec<_>>(), notes);
        }
    }
}
