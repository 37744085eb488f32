//! The nonces that have been used, so that no request is taken twice.

use std::collections::HashSet;
use std::time::{Duration, SystemTime};

use ring::digest;

/// How long a nonce is remembered at least: a request may be dated so far ahead, and is good for so long afterwards.
pub const REMEMBERED: Duration = Duration::from_mins(30);

/// How many nonces a generation holds: some 32 MiB. Only those who have a key can use them up.
const CAPACITY: usize = 1_000_000;

/// What became of a nonce.
#[derive(Debug, PartialEq, Eq)]
pub enum Use {
    First,
    Again,
    /// There is no room to remember it, so that it can't be let in.
    Full,
}

/// Two generations: the older is forgotten as a whole when the newer is old enough.
#[derive(Debug)]
pub struct Nonces {
    capacity: usize,
    since: SystemTime,
    newer: HashSet<[u8; 16]>,
    older: HashSet<[u8; 16]>,
}

impl Default for Nonces {
    fn default() -> Self {
        Self {
            capacity: CAPACITY,
            since: SystemTime::UNIX_EPOCH,
            newer: HashSet::new(),
            older: HashSet::new(),
        }
    }
}

impl Nonces {
    /// Uses a nonce of an access key.
    pub fn enter(&mut self, access_key_id: &str, nonce: &str, now: SystemTime) -> Use {
        if now >= self.since + REMEMBERED {
            self.older = std::mem::take(&mut self.newer);
            // After a long silence the older generation has outlived its time too.
            if now >= self.since + REMEMBERED * 2 {
                self.older = HashSet::new();
            }
            self.since = now;
        }
        let mark = mark(access_key_id, nonce);
        if self.newer.contains(&mark) || self.older.contains(&mark) {
            return Use::Again;
        }
        if self.newer.len() >= self.capacity {
            return Use::Full;
        }
        self.newer.insert(mark);
        Use::First
    }
}

/// A hash, whose size no caller chooses. An id has no line break.
fn mark(access_key_id: &str, nonce: &str) -> [u8; 16] {
    let text = format!("{access_key_id}\n{nonce}");
    let hash = digest::digest(&digest::SHA256, text.as_bytes());
    let mut mark = [0; 16];
    mark.copy_from_slice(&hash.as_ref()[..16]);
    mark
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_nonce_is_good_once_for_a_key_and_for_its_time() {
        let mut nonces = Nonces::default();
        let start = SystemTime::UNIX_EPOCH + Duration::from_hours(1000);
        assert_eq!(nonces.enter("a", "1", start), Use::First);
        assert_eq!(nonces.enter("a", "1", start), Use::Again);
        assert_eq!(nonces.enter("b", "1", start), Use::First);
        let late = start + Duration::from_mins(29);
        assert_eq!(nonces.enter("a", "2", late), Use::First);
        // The first generation is the older one now, and still remembered.
        let later = start + Duration::from_mins(58);
        assert_eq!(nonces.enter("a", "2", later), Use::Again);
        assert_eq!(nonces.enter("a", "1", later), Use::Again);
        let much_later = start + Duration::from_mins(89);
        assert_eq!(nonces.enter("a", "1", much_later), Use::First);
        let long_after = much_later + REMEMBERED * 3;
        assert_eq!(nonces.enter("a", "1", long_after), Use::First);
    }

    #[test]
    fn what_cannot_be_remembered_is_not_let_in() {
        let mut nonces = Nonces {
            capacity: 2,
            ..Nonces::default()
        };
        let now = SystemTime::UNIX_EPOCH + REMEMBERED;
        assert_eq!(nonces.enter("a", "1", now), Use::First);
        assert_eq!(nonces.enter("a", "2", now), Use::First);
        assert_eq!(nonces.enter("a", "3", now), Use::Full);
        assert_eq!(nonces.enter("a", "2", now), Use::Again);
        assert_eq!(nonces.enter("a", "3", now + REMEMBERED), Use::First);
    }
}
