//! The nonces that have been used, so that no request is taken twice.

use std::collections::hash_map::RandomState;
use std::collections::{BTreeMap, HashMap, HashSet};
use std::hash::BuildHasher as _;
use std::time::{Duration, SystemTime};

/// How far the date of a request may be from now, to either side. Its nonce is remembered as long as its date is good.
pub const TOLERANCE: Duration = Duration::from_mins(15);

/// Nonces whose dates end within one such time are forgotten together.
const SLOT_SECONDS: u64 = 60;

/// How many nonces all keys may have together before those that have more than their part are refused: some 20 MiB.
/// What the others may have then is as much again at most.
const CAPACITY: usize = 1_000_000;

/// What became of a nonce.
#[derive(Debug, PartialEq, Eq)]
pub enum Use {
    First,
    Again,
    /// There is no room to remember it, so that it can't be let in.
    Full,
}

/// What each key has used. A key that uses up all the room takes none from the others.
#[derive(Debug)]
pub struct Nonces {
    capacity: usize,
    count: usize,
    of_keys: HashMap<String, Marks>,
    /// The slot in which old nonces were last forgotten.
    swept: u64,
    hasher: RandomState,
}

/// The nonces of a key, as hashes, whose size no caller chooses. A hash that two nonces share refuses the second, to the
/// one who has chosen both.
#[derive(Debug, Default)]
struct Marks {
    count: usize,
    /// By the slot in which their dates end.
    slots: BTreeMap<u64, HashSet<u64>>,
}

impl Default for Nonces {
    fn default() -> Self {
        Self {
            capacity: CAPACITY,
            count: 0,
            of_keys: HashMap::new(),
            swept: 0,
            hasher: RandomState::new(),
        }
    }
}

impl Nonces {
    /// Uses a nonce of an access key, one of so many, in a request of this date, which is good now.
    pub fn enter(
        &mut self,
        access_key_id: &str,
        keys: usize,
        nonce: &str,
        date: SystemTime,
        now: SystemTime,
    ) -> Use {
        self.forget(slot(now));
        let mark = self.hasher.hash_one(nonce);
        let marks = self.of_keys.entry(access_key_id.to_owned()).or_default();
        if marks.slots.values().any(|slot| slot.contains(&mark)) {
            return Use::Again;
        }
        let part = self.capacity / keys.max(1);
        if self.count >= self.capacity && marks.count >= part {
            return Use::Full;
        }
        marks
            .slots
            .entry(slot(date + TOLERANCE))
            .or_default()
            .insert(mark);
        marks.count += 1;
        self.count += 1;
        Use::First
    }

    /// Forgets what is of no use in this slot: a request with such a date is refused for the date.
    fn forget(&mut self, now: u64) {
        if now <= self.swept {
            return;
        }
        self.swept = now;
        self.of_keys.retain(|_, marks| {
            marks.slots = marks.slots.split_off(&now);
            marks.count = marks.slots.values().map(HashSet::len).sum();
            marks.count > 0
        });
        self.count = self.of_keys.values().map(|marks| marks.count).sum();
    }
}

fn slot(time: SystemTime) -> u64 {
    let since = time.duration_since(SystemTime::UNIX_EPOCH);
    since.unwrap_or_default().as_secs() / SLOT_SECONDS
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(minutes: u64) -> SystemTime {
        SystemTime::UNIX_EPOCH + Duration::from_hours(1000) + Duration::from_mins(minutes)
    }

    #[test]
    fn a_nonce_is_good_once_for_a_key_as_long_as_its_date_is_good() {
        let mut nonces = Nonces::default();
        let mut enter = |key, nonce, date, now| nonces.enter(key, 2, nonce, at(date), at(now));
        assert_eq!(enter("a", "1", 0, 0), Use::First);
        assert_eq!(enter("a", "1", 0, 0), Use::Again);
        assert_eq!(enter("b", "1", 0, 0), Use::First);
        // Another date does not make another nonce of it.
        assert_eq!(enter("a", "1", 5, 0), Use::Again);
        // A date that is ahead is good for longer.
        assert_eq!(enter("a", "2", 15, 0), Use::First);
        assert_eq!(enter("a", "1", 0, 15), Use::Again);
        assert_eq!(enter("a", "1", 16, 16), Use::First);
        assert_eq!(enter("a", "2", 15, 30), Use::Again);
        assert_eq!(enter("a", "2", 31, 31), Use::First);
    }

    #[test]
    fn what_cannot_be_remembered_is_not_let_in() {
        let mut nonces = Nonces {
            capacity: 2,
            ..Nonces::default()
        };
        let mut enter = |nonce, now| nonces.enter("a", 1, nonce, at(now), at(now));
        assert_eq!(enter("1", 0), Use::First);
        assert_eq!(enter("2", 0), Use::First);
        assert_eq!(enter("3", 0), Use::Full);
        assert_eq!(enter("2", 0), Use::Again);
        assert_eq!(enter("3", 16), Use::First);
    }

    #[test]
    fn a_key_that_uses_up_all_the_room_takes_none_from_the_others() {
        let mut nonces = Nonces {
            capacity: 8,
            ..Nonces::default()
        };
        let mut enter = |key: &str| {
            let all = 0..100;
            let used = all.map(|n: u32| nonces.enter(key, 4, &n.to_string(), at(0), at(0)));
            used.filter(|used| *used == Use::First).count()
        };
        // All that there is, while nobody else needs it, and then their part for each of the others.
        assert_eq!(["a", "b", "c", "d"].map(&mut enter), [8, 2, 2, 2]);
        assert_eq!(nonces.count, 14);
        nonces.enter("e", 4, "1", at(16), at(16));
        assert_eq!((nonces.count, nonces.of_keys.len()), (1, 1));
    }
}
