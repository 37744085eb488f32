//! The audit of requests that were refused before the service was asked.

use std::net::IpAddr;

use http::HeaderMap;
use tonic::Code;
use tonic_types::StatusExt as _;

use super::peer::Peer;
use super::status;
use super::underway::Underway;
use crate::domain::{Action, Call};
use crate::service::{Audit, Refused};
use crate::telemetry::metrics::{self, Kind};

/// The source of a request, for the audit.
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

/// Writes the line of the audit for a request that is answered with these headers, if it was refused before the service was
/// asked: one of nobody who may call, or a change that is wrong or one too many.
pub fn audit(
    audit: &Audit,
    underway: &Underway,
    call: Option<&Call>,
    source: Source,
    headers: &HeaderMap,
) {
    if !audit.is_kept() {
        return;
    }
    let Some(failure) = status::failure_in(headers) else {
        return;
    };
    let stage = underway.progress.stage();
    if stage.asked().is_some() {
        return;
    }
    let action = action(&underway.path);
    if failure.code() != Code::Unauthenticated && !action.is_some_and(Action::changes) {
        return;
    }
    let details = failure.get_error_details();
    let code = details
        .error_info()
        .and_then(|info| info.metadata.get("code"));
    audit.refused(&Refused {
        request_id: underway.id,
        client_request_id: underway.client_id.as_ref(),
        caller: call.map(|call| &call.caller),
        source_ip: source.address,
        secure_transport: source.is_secure,
        account: stage.account(),
        action,
        code: code.map_or_else(|| status::code_name(failure.code()), String::as_str),
    });
}

/// The action of the method in a path, where there is such a method and it has an action.
fn action(path: &str) -> Option<Action> {
    let (_, method) = path.rsplit_once('/')?;
    if metrics::kind_of(path) == Kind::Unknown {
        return None;
    }
    Action::ALL
        .into_iter()
        .find(|action| action.operation() == method)
}
