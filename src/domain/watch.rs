//! What a watch of changes begins with, and where it has got to.

use std::fmt;

use super::{AccountId, HistoryId, RequestId, Revision};

/// A position in the history of an account: behind a change, or before the first.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct HistoryPosition {
    /// The history.
    pub history: HistoryId,
    /// The last change before the position; `None` before the first.
    pub last: Option<PassedChange>,
}

/// A change that a watch has passed. The request tells it from the change that another past has at the same revision, as behind a backup
/// that was restored.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PassedChange {
    /// The revision of the change.
    pub revision: Revision,
    /// The request that has made it.
    pub request_id: RequestId,
}

impl fmt::Display for HistoryPosition {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let history = self.history;
        match self.last {
            None => write!(formatter, "history {history}, revision 0"),
            Some(PassedChange {
                revision,
                request_id,
            }) => {
                let revision = revision.get();
                write!(
                    formatter,
                    "history {history}, revision {revision}, RequestId {request_id}"
                )
            }
        }
    }
}

/// Where a watch begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum WatchStart {
    /// With the next change.
    Now,
    /// With the first change of all.
    Beginning,
    /// With all users, and then every change since the watch began.
    Snapshot,
    /// Behind a position.
    After(HistoryPosition),
}

/// Follow the changes of an account.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WatchQuery {
    /// The account.
    pub account: AccountId,
    /// Where to begin.
    pub start: WatchStart,
}
