//! The nonces that have been used, so that no request is accepted twice.

use std::collections::hash_map::RandomState;
use std::collections::{BTreeMap, HashMap, HashSet};
use std::hash::BuildHasher as _;
use std::time::{Duration, Instant, SystemTime};

/// How far the date of a request may be from now, to either side. Its nonce is remembered as long as its date is good.
pub const TOLERANCE: Duration = Duration::from_mins(15);

/// The length of a slot: nonces whose dates end within one are forgotten together.
const SLOT_SECONDS: u64 = 60;

/// How many nonces all keys may have together before keys with more than their equal part are refused: some 20 MiB. The other
/// keys may have as many again at most.
const CAPACITY: usize = 1_000_000;

/// The result of using a nonce.
#[derive(Debug, PartialEq, Eq)]
pub enum Use {
    First,
    Again,
    /// There is no memory left to remember it, so that the request can't be let in.
    Full,
}

/// A moment, by the clock that dates are compared with and by the one that nobody sets.
#[derive(Debug, Clone, Copy)]
pub struct Moment {
    pub date: SystemTime,
    pub instant: Instant,
}

impl Moment {
    pub fn now() -> Self {
        Self {
            date: SystemTime::now(),
            instant: Instant::now(),
        }
    }
}

/// The nonces that each key has used. A key that uses up all memory for them takes none from the others.
///
/// They are forgotten when their dates have ended by both clocks: by a clock that steps forward they would be forgotten too
/// early, and be good again when it steps back.
#[derive(Debug)]
pub struct Nonces {
    capacity: usize,
    count: usize,
    of_keys: HashMap<String, UsedNonces>,
    /// The instant that slots are counted from.
    started: Instant,
    /// The slot in which old nonces were last forgotten.
    last_forgotten: u64,
    hasher: RandomState,
}

/// The nonces of a key, as hashes, whose size no caller chooses. A hash that two nonces share refuses the second, to the
/// one who has chosen both.
#[derive(Debug, Default)]
struct UsedNonces {
    count: usize,
    /// The nonces by the slot in which their dates end.
    slots: BTreeMap<u64, Slot>,
}

/// The nonces whose dates end within one slot of the clock that nobody sets.
#[derive(Debug)]
struct Slot {
    /// When the last of their dates ends, by the clock that dates are compared with.
    last_end: SystemTime,
    hashes: HashSet<u64>,
}

impl Default for Nonces {
    fn default() -> Self {
        Self {
            capacity: CAPACITY,
            count: 0,
            of_keys: HashMap::new(),
            started: Instant::now(),
            last_forgotten: 0,
            hasher: RandomState::new(),
        }
    }
}

impl Nonces {
    /// Uses a nonce of one of `keys` access keys, in a request of this date, which is good now.
    pub fn enter(
        &mut self,
        access_key_id: &str,
        keys: usize,
        nonce: &str,
        date: SystemTime,
        now: Moment,
    ) -> Use {
        self.forget(now);
        let hash = self.hasher.hash_one(nonce);
        let used = self.of_keys.entry(access_key_id.to_owned()).or_default();
        if used.slots.values().any(|slot| slot.hashes.contains(&hash)) {
            return Use::Again;
        }
        let part = self.capacity / keys.max(1);
        if self.count >= self.capacity && used.count >= part {
            return Use::Full;
        }
        let end = date + TOLERANCE;
        let left = end.duration_since(now.date).unwrap_or_default();
        let slot = slot(self.started, now.instant + left);
        let slot = used.slots.entry(slot).or_insert_with(|| Slot {
            last_end: end,
            hashes: HashSet::new(),
        });
        slot.last_end = slot.last_end.max(end);
        slot.hashes.insert(hash);
        used.count += 1;
        self.count += 1;
        Use::First
    }

    /// Forgets nonces whose dates have ended: a request with such a date is refused for the date.
    fn forget(&mut self, now: Moment) {
        let this_slot = slot(self.started, now.instant);
        if this_slot <= self.last_forgotten {
            return;
        }
        self.last_forgotten = this_slot;
        self.of_keys.retain(|_, used| {
            let is_good = |end: u64, slot: &Slot| end >= this_slot || slot.last_end >= now.date;
            used.slots.retain(|end, slot| is_good(*end, slot));
            used.count = used.slots.values().map(|slot| slot.hashes.len()).sum();
            used.count > 0
        });
        self.count = self.of_keys.values().map(|used| used.count).sum();
    }
}

/// The slot of an instant.
fn slot(started: Instant, instant: Instant) -> u64 {
    instant.saturating_duration_since(started).as_secs() / SLOT_SECONDS
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(minutes: u64) -> SystemTime {
        SystemTime::UNIX_EPOCH + Duration::from_hours(1000) + Duration::from_mins(minutes)
    }

    /// So many minutes by the clock, and so many by the one that nobody sets.
    fn moment(nonces: &Nonces, clock: u64, passed: u64) -> Moment {
        Moment {
            date: at(clock),
            instant: nonces.started + Duration::from_mins(passed),
        }
    }

    fn with_capacity(capacity: usize) -> Nonces {
        Nonces {
            capacity,
            ..Nonces::default()
        }
    }

    #[test]
    fn a_nonce_is_good_once_for_a_key_as_long_as_its_date_is_good() {
        let mut nonces = Nonces::default();
        let mut enter = |key, nonce, date, now| {
            let now = moment(&nonces, now, now);
            nonces.enter(key, 2, nonce, at(date), now)
        };
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
    fn a_clock_that_is_set_makes_no_nonce_good_again() {
        let mut nonces = Nonces::default();
        let mut enter = |nonce, date, clock, passed| {
            let now = moment(&nonces, clock, passed);
            nonces.enter("a", 1, nonce, at(date), now)
        };
        // An hour forward, and back.
        assert_eq!(enter("1", 100, 100, 0), Use::First);
        assert_eq!(enter("2", 160, 160, 1), Use::First);
        assert_eq!(enter("1", 100, 102, 2), Use::Again);
        // Good again when the clock comes to it by itself, long after it was used.
        assert_eq!(enter("2", 160, 150, 50), Use::Again);
        // An hour back, and forward.
        assert_eq!(enter("3", 92, 92, 52), Use::First);
        assert_eq!(enter("4", 154, 154, 54), Use::First);
        assert_eq!(enter("3", 92, 95, 55), Use::Again);
        // What has ended by both clocks is forgotten.
        assert_eq!(enter("5", 300, 300, 200), Use::First);
        assert_eq!(nonces.count, 1);
    }

    #[test]
    fn what_cannot_be_remembered_is_not_let_in() {
        let mut nonces = with_capacity(2);
        let mut enter = |nonce, now| {
            let today = moment(&nonces, now, now);
            nonces.enter("a", 1, nonce, at(now), today)
        };
        assert_eq!(enter("1", 0), Use::First);
        assert_eq!(enter("2", 0), Use::First);
        assert_eq!(enter("3", 0), Use::Full);
        assert_eq!(enter("2", 0), Use::Again);
        assert_eq!(enter("3", 16), Use::First);
    }

    #[test]
    fn a_key_that_uses_up_all_the_memory_takes_none_from_the_others() {
        let mut nonces = with_capacity(8);
        let start = moment(&nonces, 0, 0);
        let mut enter = |key: &str| {
            let all = 0..100;
            let used = all.map(|n: u32| nonces.enter(key, 4, &n.to_string(), at(0), start));
            used.filter(|used| *used == Use::First).count()
        };
        // All that there is, while nobody else needs it, and then their part for each of the others.
        assert_eq!(["a", "b", "c", "d"].map(&mut enter), [8, 2, 2, 2]);
        assert_eq!(nonces.count, 14);
        let later = moment(&nonces, 16, 16);
        nonces.enter("e", 4, "1", at(16), later);
        assert_eq!((nonces.count, nonces.of_keys.len()), (1, 1));
    }
}
