//! Which rows were written lately: what was looked up before is no longer true of them.

use std::collections::HashMap;

use foldhash::fast::FixedState;

/// How many of the last rows are told apart at least. Before these, any row may have been written.
const LEAST: usize = 32_768;

/// The rows that were written, by their numbers, and the commit epoch in which each was.
#[derive(Default)]
pub struct RecentWrites {
    epoch: u64,
    newer: HashMap<i64, u64, FixedState>,
    older: HashMap<i64, u64, FixedState>,
    /// The last epoch of the older ones, and of those that are forgotten.
    older_until: u64,
    forgotten_until: u64,
}

impl RecentWrites {
    /// Begins a commit epoch.
    pub fn begin(&mut self, epoch: u64) {
        self.epoch = epoch;
    }

    /// Adds a row that is written.
    pub fn add(&mut self, number: i64) {
        if self.newer.len() >= LEAST {
            std::mem::swap(&mut self.newer, &mut self.older);
            self.newer.clear();
            self.forgotten_until = self.older_until;
            self.older_until = self.epoch;
        }
        self.newer.insert(number, self.epoch);
    }

    /// Whether a row may have been written after an epoch.
    pub fn since(&self, seen: u64, number: i64) -> bool {
        let later =
            |rows: &HashMap<_, u64, _>| rows.get(&number).is_some_and(|&epoch| epoch > seen);
        seen < self.forgotten_until || later(&self.newer) || later(&self.older)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_row_counts_as_written_for_whoever_looked_before() {
        let mut rewrites = RecentWrites::default();
        assert!(!rewrites.since(0, 7));
        rewrites.begin(1);
        rewrites.add(7);
        rewrites.begin(2);
        rewrites.add(8);
        assert!(rewrites.since(0, 7) && !rewrites.since(1, 7));
        assert!(rewrites.since(1, 8) && !rewrites.since(2, 8));
        assert!(!rewrites.since(0, 9));
    }

    #[test]
    fn what_was_forgotten_may_have_been_any_row() {
        let mut rewrites = RecentWrites::default();
        let rows = 3 * i64::try_from(LEAST).unwrap();
        for number in 0..rows {
            rewrites.begin(number.unsigned_abs() + 1);
            rewrites.add(number);
        }
        let newest = rows.unsigned_abs();
        assert!(rewrites.since(0, -1), "of the first turns nothing is known");
        assert!(!rewrites.since(newest - LEAST as u64, -1));
        assert!(rewrites.since(newest - LEAST as u64, rows - 1));
        assert!(rewrites.newer.len() + rewrites.older.len() <= 2 * LEAST);
    }
}
