//! RAM policies: what a caller may do.
//!
//! A file is parsed once, into values that [`PolicySet::decide`] only compares: it allocates nothing. What the format
//! means stands in docs/policies.md.

mod binding;
mod condition;
#[cfg(test)]
mod decisions;
mod document;
mod error;
mod explanation;
mod file;
mod glob;
mod json;
mod moment;
mod operator;
#[cfg(test)]
mod refusals;
mod values;

use std::collections::BTreeSet;
use std::fmt;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::SystemTime;

pub use error::PolicyError;
pub use explanation::{Explanation, Warning};
pub use moment::{InvalidTime, parse_time};

use crate::domain::{AccountId, Action, Caller};
use binding::{AccountPattern, Binding, Fit};
use document::{Effect, Outcome, Policy};
use explanation::Finding;
use file::Contents;
use moment::Moment;

/// Everything that is known of a request when it asks for permission.
#[derive(Debug, Clone, Copy)]
pub struct Attempt<'a> {
    /// Who calls.
    pub caller: &'a Caller,
    /// The account that the request acts on.
    pub account: &'a AccountId,
    /// What it would do.
    pub action: Action,
    /// Where it comes from, where that is known: `acs:SourceIp`.
    pub source_ip: Option<IpAddr>,
    /// Whether it came over TLS: `acs:SecureTransport`.
    pub secure_transport: bool,
    /// When: `acs:CurrentTime`.
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
    /// A statement allows it and none denies it.
    Allowed,
    /// It is denied.
    Denied(Denial),
}

/// Why an attempt is denied.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Denial {
    /// A statement denies it, whatever others allow.
    Explicit,
    /// No statement allows it.
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
    /// [`PolicyError`] for whatever the file says that this service does not know or that makes no sense: no part of a
    /// policy is ever passed over.
    pub fn parse(text: &[u8]) -> Result<Self, PolicyError> {
        let Contents { policies, bindings } = Contents::parse(text)?;
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

    /// The one place where a decision is made. It tells of each binding and each statement, so that an explanation cannot
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
                for (number, statement) in (1..).zip(&policy.statements) {
                    let outcome = statement.outcome(facts);
                    if matches!(outcome, Outcome::Applies) {
                        match statement.effect {
                            Effect::Allow => allowed = true,
                            Effect::Deny => denied = true,
                        }
                    }
                    tell(Finding::Statement {
                        policy,
                        number,
                        statement,
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

    /// What is valid and yet of no use: statements that are ineffective, and policies that are bound to nobody.
    #[must_use]
    pub fn warnings(&self) -> Vec<Warning> {
        let mut warnings = Vec::new();
        for policy in &self.policies {
            let mut bound = self.bindings.iter().flat_map(|binding| &binding.policies);
            if !bound.any(|bound| Arc::ptr_eq(bound, policy)) {
                warnings.push(Warning::unbound(policy));
            }
            let statements = (1..).zip(&policy.statements);
            let ineffective = statements.filter(|(_, statement)| statement.is_ineffective());
            warnings.extend(
                ineffective
                    .map(|(number, statement)| Warning::ineffective(policy, number, statement)),
            );
        }
        warnings
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
