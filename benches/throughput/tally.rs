//! The tally of the tags that are left by the answers, which tells how many tags were removed, and whether lists are true.

use std::sync::atomic::{AtomicU32, Ordering};

use crate::names::KEYS;
use crate::workload::Draw;

const ALL: u32 = (1 << KEYS) - 1;

/// The keys that each user still has, a bit each.
pub struct Tally {
    /// The keys of each user without those whose removal was answered.
    left: Vec<AtomicU32>,
    /// The keys of each user without those whose removal was asked for; empty where nothing is listed.
    untouched: Vec<AtomicU32>,
}

impl Tally {
    pub fn new(users: u32, lists: bool) -> Self {
        let full = |users| (0..users).map(|_| AtomicU32::new(ALL)).collect();
        Self {
            left: full(users),
            untouched: full(if lists { users } else { 0 }),
        }
    }

    /// Records a request that is about to be sent.
    pub fn ask(&self, draw: &Draw) {
        if draw.keys != 0 && !self.untouched.is_empty() {
            take(&self.untouched, draw);
        }
    }

    /// Records a request that was answered with OK, and tells how many tags it has removed.
    pub fn remove(&self, draw: &Draw) -> u32 {
        take(&self.left, draw)
    }

    /// The keys that a list of a user may show if it is sent now.
    pub fn possible(&self, user: u32) -> u32 {
        self.left[user as usize].load(Ordering::Relaxed)
    }

    /// The keys that a list of a user which is answered now has to show.
    pub fn certain(&self, user: u32) -> u32 {
        self.untouched[user as usize].load(Ordering::Relaxed)
    }

    /// The keys that a user still has.
    pub fn keys(&self, user: u32) -> impl Iterator<Item = usize> {
        let left = self.possible(user);
        (0..KEYS).filter(move |key| left & 1 << key != 0)
    }

    /// The share of the tags that is left.
    #[expect(clippy::cast_precision_loss, reason = "fewer than 2^52 tags")]
    pub fn share_left(&self) -> f64 {
        let tags = |user: &AtomicU32| u64::from(user.load(Ordering::Relaxed).count_ones());
        let left: u64 = self.left.iter().map(tags).sum();
        left as f64 / (self.left.len() * KEYS) as f64
    }

    /// Records that all users have all tags again.
    pub fn refill(&self) {
        for keys in self.left.iter().chain(&self.untouched) {
            keys.store(ALL, Ordering::Relaxed);
        }
    }

    /// The users of whom something was removed.
    pub fn changed(&self) -> Vec<u32> {
        let users = (0_u32..).zip(&self.left);
        users
            .filter(|(_, keys)| keys.load(Ordering::Relaxed) != ALL)
            .map(|(user, _)| user)
            .collect()
    }
}

fn take(keys: &[AtomicU32], draw: &Draw) -> u32 {
    let removed = |&user: &u32| {
        let before = keys[user as usize].fetch_and(!draw.keys, Ordering::Relaxed);
        (before & draw.keys).count_ones()
    };
    draw.users.iter().map(removed).sum()
}
