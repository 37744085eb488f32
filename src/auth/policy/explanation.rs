//! The explanation of a decision, in words.

use std::fmt::{self, Display};

use super::binding::{Binding, Fit};
use super::document::{NumberedStatement, Policy};
use super::statement::Outcome;
use super::warning::narrow_resources;
use super::{Decision, Facts};

/// A decision, and what each binding and each statement had to do with it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Explanation {
    decision: Decision,
    findings: Vec<String>,
}

impl Explanation {
    pub(super) fn new(decision: Decision, findings: Vec<String>) -> Self {
        Self { decision, findings }
    }

    /// The decision, which is that of [`decide`](super::PolicySet::decide).
    #[must_use]
    pub fn decision(&self) -> Decision {
        self.decision
    }
}

impl Display for Explanation {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.decision.fmt(formatter)?;
        self.findings
            .iter()
            .try_for_each(|finding| write!(formatter, "\n  {finding}"))
    }
}

/// A binding or a statement that the evaluation has looked at, with its result.
pub(super) enum Finding<'a> {
    Binding {
        number: usize,
        binding: &'a Binding,
        fit: Fit,
    },
    Statement {
        policy: &'a Policy,
        numbered: &'a NumberedStatement,
        outcome: Outcome<'a>,
    },
}

impl Finding<'_> {
    pub(super) fn describe(&self, facts: &Facts<'_>) -> String {
        match self {
            Self::Binding {
                number,
                binding,
                fit,
            } => {
                let policies = binding.policies.iter().map(|policy| &policy.name);
                let skipped = format!("binding {number} with {} does not apply:", listed(policies));
                match fit {
                    Fit::Applies => format!("binding {number} applies"),
                    Fit::OtherCaller => format!(
                        "{skipped} {} fits none of Callers {}",
                        facts.caller,
                        listed(&binding.callers)
                    ),
                    Fit::OtherAccount => format!(
                        "{skipped} {} is none of Accounts {}",
                        facts.account,
                        listed(&binding.accounts)
                    ),
                }
            }
            Self::Statement {
                policy,
                numbered,
                outcome,
            } => {
                let NumberedStatement {
                    number, statement, ..
                } = numbered;
                let outcome = match outcome {
                    Outcome::Applies => "applies".to_owned(),
                    Outcome::Ineffective => {
                        format!("is ineffective: {}", narrow_resources(statement))
                    }
                    Outcome::OtherAction => format!(
                        "does not apply: {} does not cover {}",
                        statement.actions(),
                        facts.action
                    ),
                    Outcome::Unfulfilled(condition) => format!(
                        "does not apply: the condition {condition} does not hold for {}",
                        condition.attempted(facts)
                    ),
                };
                format!(
                    "  {}, statement {number}, {}: {outcome}",
                    policy.name, statement.effect
                )
            }
        }
    }
}

fn listed(values: impl IntoIterator<Item = impl Display>) -> String {
    let values: Vec<_> = values.into_iter().map(|value| value.to_string()).collect();
    format!("[{}]", values.join(", "))
}
