//! The lines of changes that were made, from their entries in the change log.

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::time::{Duration, UNIX_EPOCH};

use serde::Serialize;

use super::line;
use crate::domain::{AuditedChange, ClientRequestId, TagKey, Timestamp};

/// The line of a change that was made, from its entry in the change log.
#[derive(Debug, Serialize)]
struct MadeLine<'a> {
    time: String,
    target: &'static str,
    request_id: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    client_request_id: Option<&'a str>,
    caller: &'a str,
    source_ip: IpAddr,
    secure_transport: bool,
    account: &'a str,
    action: &'static str,
    resource_ids: Vec<&'a str>,
    tag_keys: BTreeSet<&'a str>,
    decision: &'static str,
    outcome: &'static str,
    revision: u64,
    affected_resources: usize,
    affected_tags: usize,
}

/// The line of a change that was made, without its newline.
pub fn text(change: &AuditedChange) -> String {
    let effects = &change.effects;
    let keys = || effects.iter().flat_map(|effect| &effect.tag_keys);
    let client_request_id = change.client_request_id.as_ref();
    line::text(&MadeLine {
        time: line::rfc3339(UNIX_EPOCH + since_1970(change.time)),
        target: line::TARGET,
        request_id: change.request_id.as_str(),
        client_request_id: client_request_id.map(ClientRequestId::as_str),
        caller: change.caller.as_str(),
        source_ip: change.source_ip,
        secure_transport: change.secure_transport,
        account: change.account.as_str(),
        action: change.action.as_str(),
        resource_ids: effects
            .iter()
            .map(|effect| effect.resource_id.as_str())
            .collect(),
        tag_keys: keys().map(TagKey::as_str).collect(),
        decision: "allowed",
        outcome: "OK",
        revision: change.revision.get(),
        affected_resources: effects.len(),
        affected_tags: keys().count(),
    })
}

fn since_1970(time: Timestamp) -> Duration {
    Duration::from_millis(u64::try_from(time.millis()).unwrap_or_default())
}
