//! What is left of the tags, by the answers: so that it is known how many requests had something to remove.

use std::sync::atomic::{AtomicU32, Ordering};

use crate::population::KEYS;
use crate::workload::Draw;

/// The keys that each user still has, a bit each.
pub struct Tally(Vec<AtomicU32>);

impl Tally {
    pub fn new(users: u32) -> Self {
        Self(
            (0..users)
                .map(|_| AtomicU32::new((1 << KEYS) - 1))
                .collect(),
        )
    }

    /// Notes a request that was answered with OK, and tells whether it has removed a tag.
    pub fn remove(&self, draw: &Draw) -> bool {
        let mut removed = 0;
        for &user in &draw.users {
            let before = self.0[user as usize].fetch_and(!draw.keys, Ordering::Relaxed);
            removed |= before & draw.keys;
        }
        removed != 0
    }

    /// The keys that a user still has.
    pub fn keys(&self, user: u32) -> impl Iterator<Item = usize> {
        let left = self.0[user as usize].load(Ordering::Relaxed);
        (0..KEYS).filter(move |key| left & 1 << key != 0)
    }

    /// The users of whom something was removed.
    pub fn changed(&self) -> Vec<u32> {
        let all = (1 << KEYS) - 1;
        let users = (0_u32..).zip(&self.0);
        users
            .filter(|(_, keys)| keys.load(Ordering::Relaxed) != all)
            .map(|(user, _)| user)
            .collect()
    }
}
