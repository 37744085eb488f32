//! Attempts, and policies that decide on them.

use std::time::Duration;

use serde_json::{Value, json};

use super::super::*;

pub const ACCOUNT: &str = "1000000000000001";
pub const CLEANER: &str = "spiffe://example.org/ns/billing/sa/cleaner";

/// An attempt of the cleaner to untag, at noon of 2026-08-12 in UTC, from 10.1.2.3 over TLS.
pub struct Try {
    pub caller: Caller,
    pub account: AccountId,
    pub action: Action,
    pub source_ip: Option<IpAddr>,
    pub secure_transport: bool,
    pub time: SystemTime,
}

impl Default for Try {
    fn default() -> Self {
        Self {
            caller: Caller::spiffe(CLEANER),
            account: AccountId::parse(ACCOUNT).unwrap(),
            action: Action::UntagResources,
            source_ip: Some("10.1.2.3".parse().unwrap()),
            secure_transport: true,
            time: parse_time("2026-08-12T12:00:00Z").unwrap() + Duration::from_millis(700),
        }
    }
}

impl Try {
    pub fn attempt(&self) -> Attempt<'_> {
        Attempt {
            caller: &self.caller,
            account: &self.account,
            action: self.action,
            source_ip: self.source_ip,
            secure_transport: self.secure_transport,
            time: self.time,
        }
    }

    pub fn from_address(address: Option<&str>) -> Self {
        Self {
            source_ip: address.map(|address| address.parse().unwrap()),
            ..Self::default()
        }
    }

    pub fn decide(&self, policies: &PolicySet) -> Decision {
        let explained = policies.explain(&self.attempt());
        let decision = policies.decide(&self.attempt());
        assert_eq!(explained.decision(), decision);
        decision
    }
}

pub fn set(file: &Value) -> PolicySet {
    let read = PolicySet::parse(file.to_string().as_bytes(), IneffectiveDeny::Allowed);
    read.unwrap_or_else(|error| panic!("{file}: {error}"))
}

/// These statements, bound to everybody everywhere.
pub fn statements(statements: &Value) -> PolicySet {
    set(&json!({
        "Policies": {"p": {"Version": "1", "Statement": statements}},
        "Bindings": [{"Callers": "*", "Accounts": "*", "Policies": "p"}],
    }))
}

pub const ALLOWED: Decision = Decision::Allowed;
pub const EXPLICIT: Decision = Decision::Denied(Denial::Explicit);
pub const IMPLICIT: Decision = Decision::Denied(Denial::Implicit);
