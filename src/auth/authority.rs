//! What callers may do.

use crate::domain::{AccountId, Action, Call};

/// Decides what callers may do.
#[derive(Debug, Clone, Default)]
pub struct Authority {}

impl Authority {
    /// Whether a call may do this in this account.
    #[must_use]
    pub fn allows(&self, _call: &Call, _action: Action, _account: &AccountId) -> bool {
        true
    }
}
