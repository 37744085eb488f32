//! How much of the change log a store keeps.

use std::time::Duration;

/// How long entries of the change log are kept, and in how many bytes. The newest one always stays.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Retention {
    /// How old an entry may get. With 0 it goes as soon as there is time.
    pub age: Duration,
    /// How many bytes the log may take before the oldest entries go.
    pub bytes: u64,
}

impl Default for Retention {
    fn default() -> Self {
        Self {
            age: Duration::from_hours(30 * 24),
            bytes: 1 << 30,
        }
    }
}
