//! RAM policies: what a caller may do.
//!
//! A file is parsed once, into values that [`PolicySet::decide`] only compares: it allocates nothing. What the format
//! means stands in docs/policies.md.

mod action;
mod binding;
mod condition;
mod document;
mod error;
mod explanation;
mod file;
mod glob;
mod json;
mod moment;
mod operator;
mod statement;
#[cfg(test)]
mod tests;
mod values;
mod warning;

use std::collections::BTreeSet;
use std::fmt;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::SystemTime;

pub use error::PolicyError;
pub use explanation::Explanation;
pub use moment::{InvalidTime, parse_time};
pub use statement::IneffectiveDeny;
pub use warning::Warning;

use crate::domain::{AccountId, Action, Caller};
use binding::{AccountPattern, Binding, Fit};
use document::Policy;
use explanation::Finding;
use file::Contents;
use moment::Moment;
use statement::{Effect, Outcome};

/// A request for permission, with everything that is known of it.
#[derive(Debug, Clone, Copy)]
pub struct Attempt<'a> {
    /// Who calls.
    pub caller: &'a Caller,
    /// The account that the request acts on.
    pub account: &'a AccountId,
    /// The action that the request would carry out.
    pub action: Action,
    /// The address that it comes from, if that is known: `acs:SourceIp`.
    pub source_ip: Option<IpAddr>,
    /// Whether it came over TLS: `acs:SecureTransport`.
    pub secure_transport: bool,
    /// The time of the request: `acs:CurrentTime`.
    pub time: SystemTime,
}

/// An attempt in the form that policies compare.
#[derive(Debug)]
struct Facts<'a> {
    caller: &'a str,
    account: &'a AccountId,
    action: &'static str,
    source_ip: Option<IpAddr>,
    secure_transport: bool,
    moment: Moment,
}

impl<'a> Facts<'a> {
    fn of(attempt: &Attempt<'a>) -> Self {
        Self {
            caller: attempt.caller.as_str(),
            account: attempt.account,
            action: attempt.action.as_str(),
            // A listener for both versions sees IPv4 as ::ffff:192.0.2.1, which no policy means to tell apart.
            source_ip: attempt.source_ip.map(|address| address.to_canonical()),
            secure_transport: attempt.secure_transport,
            moment: attempt.time.into(),
        }
    }
}

/// Whether an attempt is allowed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Decision {
    /// A statement allows the attempt and none denies it.
    Allowed,
    /// The attempt is denied.
    Denied(Denial),
}

/// Why an attempt is denied.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Denial {
    /// A statement denies the attempt, whatever others allow.
    Explicit,
    /// No statement allows the attempt.
    Implicit,
}

impl fmt::Display for Decision {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::Allowed => "allowed",
            Self::Denied(Denial::Explicit) => "denied: a Deny applies, which beats every Allow",
            Self::Denied(Denial::Implicit) => "denied: no Allow applies",
        })
    }
}

/// The policies of a file and the callers that they are bound to.
#[derive(Debug)]
pub struct PolicySet {
    policies: Vec<Arc<Policy>>,
    bindings: Vec<Binding>,
}

impl PolicySet {
    /// Reads a policy file.
    ///
    /// # Errors
    /// [`PolicyError`] for whatever the file says that this service does not know or that makes no sense, where it could
    /// change a decision, and for a Deny that its Resource makes ineffective, unless that is allowed.
    pub fn parse(text: &[u8], ineffective: IneffectiveDeny) -> Result<Self, PolicyError> {
        let Contents { policies, bindings } = Contents::parse(text, ineffective)?;
        Ok(Self { policies, bindings })
    }

    /// Whether the attempt is allowed.
    #[must_use]
    pub fn decide(&self, attempt: &Attempt<'_>) -> Decision {
        self.evaluate(&Facts::of(attempt), |_| ())
    }

    /// Whether the attempt is allowed, and what each statement has to do with it.
    #[must_use]
    pub fn explain(&self, attempt: &Attempt<'_>) -> Explanation {
        let facts = Facts::of(attempt);
        let mut findings = Vec::new();
        let decision = self.evaluate(&facts, |finding| findings.push(finding.describe(&facts)));
        Explanation::new(decision, findings)
    }

    /// Makes every decision. It tells of each binding and each statement, so that an explanation cannot
    /// say anything else than what was decided.
    fn evaluate<'a>(&'a self, facts: &Facts<'_>, mut tell: impl FnMut(Finding<'a>)) -> Decision {
        let (mut allowed, mut denied) = (false, false);
        for (number, binding) in (1..).zip(&self.bindings) {
            let fit = binding.fit(facts);
            tell(Finding::Binding {
                number,
                binding,
                fit,
            });
            if fit != Fit::Applies {
                continue;
            }
            for policy in &binding.policies {
                for numbered in &policy.statements {
                    let outcome = numbered.statement.outcome(facts);
                    if matches!(outcome, Outcome::Applies) {
                        match numbered.statement.effect {
                            Effect::Allow => allowed = true,
                            Effect::Deny => denied = true,
                        }
                    }
                    tell(Finding::Statement {
                        policy,
                        numbered,
                        outcome,
                    });
                }
            }
        }
        match (denied, allowed) {
            (true, _) => Decision::Denied(Denial::Explicit),
            (false, true) => Decision::Allowed,
            (false, false) => Decision::Denied(Denial::Implicit),
        }
    }

    /// The warnings about what is valid and yet may not do what it was written for.
    #[must_use]
    pub fn warnings(&self) -> Vec<Warning> {
        let bound = |policy: &Arc<Policy>| {
            let mut bound = self.bindings.iter().flat_map(|binding| &binding.policies);
            bound.any(|bound| Arc::ptr_eq(bound, policy))
        };
        let policies = self.policies.iter();
        policies
            .flat_map(|policy| Warning::of(policy, bound(policy)))
            .collect()
    }

    /// The accounts that bindings name. Where there are none, the account makes no difference.
    #[must_use]
    pub fn named_accounts(&self) -> BTreeSet<&AccountId> {
        let patterns = self.bindings.iter().flat_map(|binding| &binding.accounts);
        let named = patterns.filter_map(|pattern| match pattern {
            AccountPattern::Every => None,
            AccountPattern::One(account) => Some(account),
        });
        named.collect()
    }

    /// How many policies, statements and bindings there are, in words.
    #[must_use]
    pub fn summary(&self) -> String {
        let count = |number: usize, one: &str, more: &str| {
            format!("{number} {}", if number == 1 { one } else { more })
        };
        let statements = self.policies.iter().map(|policy| policy.statements.len());
        format!(
            "{} with {}, {}",
            count(self.policies.len(), "policy", "policies"),
            count(statements.sum(), "statement", "statements"),
            count(self.bindings.len(), "binding", "bindings"),
        )
    }
}
