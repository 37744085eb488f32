//! The changes that a store has committed, as the audit reads them.

use std::time::Duration;

use super::StoreError;
use crate::domain::AuditedChange;

/// The next changes that have no line in the audit.
#[derive(Debug, Default)]
pub struct NextChanges {
    /// The changes, in the order in which they were committed.
    pub changes: Vec<AuditedChange>,
    /// How many changes before them are lost to the audit: too many were waiting for their lines, or they can't be read.
    pub lost: u64,
}

impl NextChanges {
    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.changes.is_empty() && self.lost == 0
    }
}

/// A reader of all changes that a store commits, of each account in the order of its revisions. It begins behind the last change whose
/// line is known to be safe, also after a crash. All of it blocks, and is for a thread of its own.
pub trait CommittedChanges: Send + 'static {
    /// Reads on, a bounded number of changes; none where there is nothing new.
    ///
    /// # Errors
    /// Why the store can't be read now. The next call tries again.
    fn next(&mut self) -> Result<NextChanges, StoreError>;

    /// Goes back to the last change whose line is safe.
    fn rewind(&mut self);

    /// Takes note that all changes that were read have their lines, which survive a crash. The store may forget the changes then, and a
    /// reader that is opened later begins behind them, or a little before.
    fn written(&mut self);

    /// How many bytes of the change log have no safe lines.
    fn bytes_behind(&self) -> u64;

    /// Waits until there may be something new, the thread is unparked, or `patience` has passed.
    fn wait(&mut self, patience: Duration);
}

/// The use of the change log by an audit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AuditUse {
    /// No audit is made of it.
    None,
    /// Its entries are kept until they have their lines in the audit.
    Kept,
}
