//! The authorisation of calls, by the newest policies.

use std::sync::Arc;

use arc_swap::ArcSwap;

use super::policy::{Attempt, Decision, PolicySet};
use crate::domain::{AccountId, Action, Call};

/// The authority that decides what callers may do.
#[derive(Debug, Clone)]
pub struct Authority(Option<Arc<ArcSwap<PolicySet>>>);

impl Authority {
    /// An authority by these policies, which may be replaced at any time. Without policies everybody may do everything.
    #[must_use]
    pub fn new(policies: Option<Arc<ArcSwap<PolicySet>>>) -> Self {
        Self(policies)
    }

    /// Whether a call may carry out this action in this account.
    #[must_use]
    pub fn allows(&self, call: &Call, action: Action, account: &AccountId) -> bool {
        let Some(policies) = &self.0 else {
            return true;
        };
        let attempt = Attempt {
            caller: &call.caller,
            account,
            action,
            source_ip: Some(call.source_ip),
            secure_transport: call.secure_transport,
            time: call.time,
        };
        policies.load().decide(&attempt) == Decision::Allowed
    }
}
