//! Whether a caller may do what it asks for.

use crate::auth::Authority;
use crate::domain::{AccountId, Action, Call, Error};
use crate::telemetry::metrics::metrics;
use crate::telemetry::trace;

/// Lets a call carry out an action in an account, and counts what was decided.
///
/// # Errors
/// [`Error::NoPermission`].
pub fn authorise(
    authority: &Authority,
    call: &Call,
    action: Action,
    account: &AccountId,
) -> Result<(), Error> {
    let is_allowed = trace::authorise().in_scope(|| authority.allows(call, action, account));
    metrics().server.decided(action as usize, is_allowed);
    if is_allowed {
        return Ok(());
    }
    Err(Error::NoPermission {
        caller: call.caller.clone(),
        action,
        account: account.clone(),
    })
}

/// Whether a caller may see the values of tags.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Values {
    /// They are shown.
    Shown,
    /// They are left out.
    Redacted,
}

impl Values {
    /// Whether a call may see the values of tags in an account: who may not list tags does not see their values anywhere else.
    pub(super) fn of(authority: &Authority, call: &Call, account: &AccountId) -> Self {
        if authority.allows(call, Action::ListTagResources, account) {
            Self::Shown
        } else {
            Self::Redacted
        }
    }
}
