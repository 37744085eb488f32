//! The audit of requests that were refused before the service was asked.

use std::net::IpAddr;

use http::HeaderMap;
use tonic::Code;
use tonic_types::StatusExt as _;

use super::context::RequestContext;
use super::peer::Peer;
use super::{TAG_SERVICE, status};
use crate::domain::Action;
use crate::service::{Audit, Refused};

/// Where a request comes from.
#[derive(Debug, Clone, Copy)]
pub struct Source {
    address: IpAddr,
    is_secure: bool,
}

impl Source {
    pub fn of(peer: &Peer) -> Self {
        Self {
            address: peer.address,
            is_secure: peer.secure,
        }
    }
}

/// Has a request audited that is answered with these headers: whoever is nobody, and a change that is wrong or one too many.
/// What was asked of the service, that audits by itself.
pub fn audit(
    audit: &Audit,
    context: &RequestContext,
    source: Source,
    path: &str,
    headers: &HeaderMap,
) {
    if !audit.is_kept() || context.was_asked() {
        return;
    }
    let Some(failure) = status::failure_in(headers) else {
        return;
    };
    let action = action(path);
    if failure.code() != Code::Unauthenticated && !action.is_some_and(Action::changes) {
        return;
    }
    let details = failure.get_error_details();
    let code = details
        .error_info()
        .and_then(|info| info.metadata.get("code"));
    audit.refused(&Refused {
        request_id: context.id(),
        caller: context.call().map(|call| &call.caller),
        source_ip: source.address,
        secure_transport: source.is_secure,
        account: context.account(),
        action,
        code: code.map_or_else(|| status::code_name(failure.code()), String::as_str),
    });
}

/// What a method does.
fn action(path: &str) -> Option<Action> {
    let method = path.strip_prefix('/')?.strip_prefix(TAG_SERVICE)?;
    let method = method.strip_prefix('/')?;
    Action::ALL
        .into_iter()
        .find(|action| action.operation() == method)
}
