//! A place in the change log.

/// A commit of the change log: its sequence, and the total at it. Both are 0 before the first.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Mark {
    pub sequence: i64,
    pub total: u64,
}
