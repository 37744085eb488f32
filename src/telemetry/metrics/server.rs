//! The metrics of the server: connections, certificates and files, decisions and refusals.

use std::array;

use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;

use super::{Labels, Open, Reading};

/// The kinds of files, or of a URL, that are followed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reload {
    /// Certificate, key and client CA.
    Tls,
    /// The policies.
    Policy,
    /// The keys of tokens.
    Jwks,
    /// Access keys of callers.
    AccessKeys,
    /// The service's own credentials in the cloud, from a file or a role.
    CloudCredentials,
    /// The connection string, the password and the root certificates for the database.
    StoreCredentials,
}

/// The limit that a request was refused for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Throttle {
    /// The caller sends too many requests a second.
    CallerRate,
    /// Too many requests are carried out.
    RequestsInFlight,
    /// Too many requests wait for the store.
    StoreQueue,
    /// The source address has failed too often to prove who calls.
    FailedAuthentications,
    /// The connection holds as much memory as it may.
    Memory,
}

const RELOADS: [&str; 6] = [
    "tls",
    "policy",
    "jwks",
    "access_keys",
    "cloud_credentials",
    "store_credentials",
];
/// The codes of requests that are refused before they are carried out.
const RPC_CODES: [&str; 12] = [
    "IncompleteSignature",
    "InvalidAccessKeyId.NotFound",
    "InvalidAction.NotFound",
    "InvalidParameter.Request",
    "InvalidSecurityToken.MismatchWithAccessKey",
    "InvalidTimeStamp.Expired",
    "InvalidTimeStamp.Format",
    "InvalidVersion",
    "SignatureDoesNotMatch",
    "SignatureNonceUsed",
    "Throttling.User",
    "other",
];
const OUTCOMES: [&str; 2] = ["ok", "failed"];
const THROTTLES: [&str; 5] = [
    "caller_rate",
    "requests_in_flight",
    "store_queue",
    "failed_authentications",
    "memory",
];
/// The actions, in the order of the domain's list.
const ACTIONS: [&str; 16] = [
    "ram:UntagResources",
    "ram:TagResources",
    "ram:ListTagResources",
    "ram:ListTagKeys",
    "ram:ListTagValues",
    "ram:CreateUser",
    "ram:GetUser",
    "ram:ListUsers",
    "ram:UpdateUser",
    "ram:DeleteUser",
    "ram:UndeleteUser",
    "untag:ImportUsers",
    "untag:GetChange",
    "untag:ListChanges",
    "untag:RevertChange",
    "untag:WatchChanges",
];
const DECISIONS: [&str; 2] = ["allowed", "denied"];

/// The metrics of the server.
#[derive(Debug)]
pub struct Server {
    /// Requests of the tag service that are being carried out or answered.
    pub in_flight: Reading,
    /// Bytes of the budget of memory that requests and answers hold.
    pub held_bytes: Reading,
    watches: Gauge,
    /// Handshakes that came to nothing.
    pub tls_handshakes_failed: Counter,
    /// Lines of the audit that could not be written.
    pub audit_lines_lost: Counter,
    /// Refused requests that got no line of the audit, since their source had too many.
    pub audit_refusals_left_out: Counter,
    /// Changes that were answered as earlier ones with the same client token.
    pub replays: Counter,
    /// 1 while lines of the audit can't be written.
    pub audit_failing: Gauge,
    /// Bytes of the change log whose lines of the audit are not on the disk.
    pub audit_behind_bytes: Gauge,
    connections: Family<Labels, Gauge>,
    refused: Family<Labels, Counter>,
    evicted: Family<Labels, Counter>,
    reloads: [[Counter; OUTCOMES.len()]; RELOADS.len()],
    decisions: [[Counter; DECISIONS.len()]; ACTIONS.len()],
    throttled: [Counter; THROTTLES.len()],
    rpc_refused: [Counter; RPC_CODES.len()],
    /// The end of the certificate: a family, since without TLS there is no certificate and nothing to say of it.
    certificate_expiry: Family<Labels, Gauge>,
}

/// The connections of a port.
#[derive(Debug)]
pub struct Connections {
    open: Gauge,
    /// The connections that were closed, since another needed their slot.
    pub evicted: Counter,
    /// The connections that were turned away, since as many are open as may be.
    pub refused_at_limit: Counter,
    /// The connections that were not accepted, as a rule for want of file descriptors.
    pub refused_by_system: Counter,
}

impl Server {
    pub(super) fn register(registry: &mut Registry) -> Self {
        let reloads = Family::<Labels, Counter>::default();
        let decisions = Family::<Labels, Counter>::default();
        let throttled = Family::<Labels, Counter>::default();
        let rpc_refused = Family::<Labels, Counter>::default();
        let server = Self {
            in_flight: Reading::default(),
            held_bytes: Reading::default(),
            watches: Gauge::default(),
            tls_handshakes_failed: Counter::default(),
            audit_lines_lost: Counter::default(),
            audit_refusals_left_out: Counter::default(),
            replays: Counter::default(),
            audit_failing: Gauge::default(),
            audit_behind_bytes: Gauge::default(),
            connections: Family::default(),
            refused: Family::default(),
            evicted: Family::default(),
            reloads: array::from_fn(|what| {
                array::from_fn(|outcome| {
                    let outcome = ("outcome", OUTCOMES[outcome]);
                    reloads.get_or_create_owned(&vec![("what", RELOADS[what]), outcome])
                })
            }),
            decisions: array::from_fn(|action| {
                array::from_fn(|decision| {
                    let decision = ("decision", DECISIONS[decision]);
                    decisions.get_or_create_owned(&vec![("action", ACTIONS[action]), decision])
                })
            }),
            throttled: array::from_fn(|reason| {
                throttled.get_or_create_owned(&vec![("reason", THROTTLES[reason])])
            }),
            rpc_refused: array::from_fn(|code| {
                rpc_refused.get_or_create_owned(&vec![("code", RPC_CODES[code])])
            }),
            certificate_expiry: Family::default(),
        };
        server.register_requests(registry);
        server.register_connections(registry);
        registry.register(
            "untag_reloads",
            "Looks at files or a URL that brought something new, or failed",
            reloads,
        );
        registry.register(
            "untag_policy_decisions",
            "What callers were allowed and denied",
            decisions,
        );
        register_refusals(registry, throttled, rpc_refused);
        server.register_audit(registry);
        server
    }

    fn register_requests(&self, registry: &mut Registry) {
        registry.register(
            "untag_requests_in_flight",
            "Calls of the tag service that are carried out or answered now",
            self.in_flight.clone(),
        );
        registry.register(
            "untag_held_bytes",
            "Memory that is held for requests and answers, of the budget for it",
            self.held_bytes.clone(),
        );
        registry.register(
            "untag_watches",
            "Open watches of changes",
            self.watches.clone(),
        );
        registry.register(
            "untag_replays",
            "Changes that were answered as earlier ones with the same client token",
            self.replays.clone(),
        );
    }

    fn register_connections(&self, registry: &mut Registry) {
        registry.register(
            "untag_connections",
            "Open connections of a port",
            self.connections.clone(),
        );
        registry.register(
            "untag_connections_refused",
            "Connections that a port did not take",
            self.refused.clone(),
        );
        registry.register(
            "untag_connections_evicted",
            "Connections that were closed since another needed their slot",
            self.evicted.clone(),
        );
        registry.register(
            "untag_tls_handshakes_failed",
            "TLS handshakes that failed or took too long",
            self.tls_handshakes_failed.clone(),
        );
        registry.register(
            "untag_tls_certificate_expiry_timestamp_seconds",
            "When the certificate that is served expires",
            self.certificate_expiry.clone(),
        );
    }

    fn register_audit(&self, registry: &mut Registry) {
        registry.register(
            "untag_audit_lines_lost",
            "Lines of the audit that could not be written",
            self.audit_lines_lost.clone(),
        );
        registry.register(
            "untag_audit_refusals_left_out",
            "Refused requests that got no line of the audit, since their source had too many",
            self.audit_refusals_left_out.clone(),
        );
        registry.register(
            "untag_audit_failing",
            "1 while lines of the audit can't be written, else 0",
            self.audit_failing.clone(),
        );
        registry.register(
            "untag_audit_behind_bytes",
            "Bytes of the change log whose lines of the audit are not on the disk",
            self.audit_behind_bytes.clone(),
        );
    }

    /// The metrics of the connections of the port with this name.
    #[must_use]
    pub fn connections(&self, port: &'static str) -> Connections {
        let labels = vec![("port", port)];
        let refused = |reason| {
            let labels = vec![("port", port), ("reason", reason)];
            self.refused.get_or_create_owned(&labels)
        };
        Connections {
            open: self.connections.get_or_create_owned(&labels),
            evicted: self.evicted.get_or_create_owned(&labels),
            refused_at_limit: refused("limit"),
            refused_by_system: refused("system"),
        }
    }

    /// Counts a watch of changes as open until the guard is dropped.
    #[must_use]
    pub fn open_watch(&self) -> Open {
        Open::new(&self.watches)
    }

    /// Counts a look at files that brought something new, or failed.
    pub fn reloaded(&self, what: Reload, is_ok: bool) {
        self.reloads[what as usize][usize::from(!is_ok)].inc();
    }

    /// How many looks at files have failed.
    #[cfg(test)]
    #[must_use]
    pub fn reloads_failed(&self, what: Reload) -> u64 {
        self.reloads[what as usize][1].get()
    }

    /// Counts a decision on an action, by the action's position in the domain's list.
    pub fn decided(&self, action: usize, is_allowed: bool) {
        if let Some(decisions) = self.decisions.get(action) {
            decisions[usize::from(!is_allowed)].inc();
        }
    }

    /// Counts a request that was refused for this limit.
    pub fn throttled(&self, reason: Throttle) {
        self.throttled[reason as usize].inc();
    }

    /// Counts a request of the RPC style that did not become a call, by the code that it is answered with.
    pub fn rpc_refused(&self, code: &str) {
        let position = RPC_CODES.iter().position(|known| *known == code);
        self.rpc_refused[position.unwrap_or(RPC_CODES.len() - 1)].inc();
    }

    /// Says when the certificate that is served from now on expires, in seconds since 1970.
    pub fn certificate_expires(&self, at: i64) {
        self.certificate_expiry.get_or_create(&Vec::new()).set(at);
    }
}

fn register_refusals(
    registry: &mut Registry,
    throttled: Family<Labels, Counter>,
    rpc: Family<Labels, Counter>,
) {
    registry.register(
        "untag_throttled",
        "Calls that were refused because a limit was reached",
        throttled,
    );
    registry.register(
        "untag_rpc_refused",
        "Requests of the RPC style that were refused before they became calls",
        rpc,
    );
}

impl Connections {
    /// Counts a connection as open until the guard is dropped.
    #[must_use]
    pub fn open(&self) -> Open {
        Open::new(&self.open)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::Action;

    #[test]
    fn the_actions_are_those_of_the_domain() {
        assert_eq!(Action::ALL.map(Action::as_str), ACTIONS);
        let positions = Action::ALL.map(|action| action as usize);
        assert_eq!(positions, std::array::from_fn(|position| position));
    }
}
