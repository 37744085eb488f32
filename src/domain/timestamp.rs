//! Moments, and how long deleted users are kept.

use std::time::{Duration, SystemTime};

/// How long a deleted user can be restored. After that it is gone for good.
pub const KEEP_DELETED: Duration = Duration::from_hours(30 * 24);

/// A moment, in milliseconds since 1970-01-01T00:00:00Z, without leap seconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Timestamp(i64);

impl Timestamp {
    /// The moment of so many milliseconds.
    #[must_use]
    pub fn from_millis(millis: i64) -> Self {
        Self(millis)
    }

    /// The milliseconds.
    #[must_use]
    pub fn millis(self) -> i64 {
        self.0
    }

    /// The moment when a user is gone for good that was deleted at this one.
    #[must_use]
    pub fn expiry(self) -> Self {
        Self(self.0.saturating_add(keep_deleted_millis()))
    }

    /// The newest moment whose deletions have expired at this one: those after it can be restored.
    #[must_use]
    pub fn newest_expired(self) -> Self {
        Self(self.0.saturating_sub(keep_deleted_millis()))
    }
}

fn keep_deleted_millis() -> i64 {
    i64::try_from(KEEP_DELETED.as_millis()).unwrap_or(i64::MAX)
}

impl From<SystemTime> for Timestamp {
    /// Cuts off what is finer than a millisecond. A clock before 1970 shows a negative number.
    fn from(time: SystemTime) -> Self {
        let millis = |span: Duration| i64::try_from(span.as_millis()).unwrap_or(i64::MAX);
        Self(match time.duration_since(SystemTime::UNIX_EPOCH) {
            Ok(since) => millis(since),
            Err(before) => -millis(before.duration()),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_deleted_user_expires_after_30_days() {
        let deleted = Timestamp::from_millis(1_000);
        let expiry = deleted.expiry();
        assert_eq!(expiry.millis(), 1_000 + 30 * 24 * 60 * 60 * 1_000);
        assert_eq!(expiry.newest_expired(), deleted);
    }

    #[test]
    fn times_are_milliseconds_also_before_1970() {
        let at = |time: SystemTime| Timestamp::from(time).millis();
        let span = Duration::from_micros(1_500_900);
        assert_eq!(at(SystemTime::UNIX_EPOCH + span), 1_500);
        assert_eq!(at(SystemTime::UNIX_EPOCH - span), -1_500);
    }
}
