//! The warnings about a valid file that may not do what it was written for.

use std::fmt::{self, Display};

use super::document::{NumberedStatement, Policy};
use super::error::PolicyError;
use super::statement::{Effect, IneffectiveDeny, Statement};
use crate::domain::Action;

/// A warning about something in a valid file that has no effect.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Warning(String);

impl Warning {
    /// The warnings about a policy, which is bound to somebody or not.
    pub(super) fn of(policy: &Policy, is_bound: bool) -> Vec<Self> {
        let unbound = (!is_bound).then(|| {
            Self(format!(
                "{} is bound to nobody: name it in the Policies of a binding, or remove it",
                policy.name
            ))
        });
        let of_statements = policy.statements.iter().flat_map(|numbered| {
            let complaints = complaints(&numbered.statement).into_iter();
            complaints.map(|complaint| Self(policy.complain(numbered, &complaint)))
        });
        unbound.into_iter().chain(of_statements).collect()
    }
}

impl Display for Warning {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

impl Policy {
    /// Refuses a Deny that is ineffective, unless that is allowed.
    pub(super) fn check(&self, ineffective: IneffectiveDeny) -> Result<(), PolicyError> {
        let is_refused = |numbered: &&NumberedStatement| {
            numbered.statement.effect == Effect::Deny && numbered.statement.is_ineffective()
        };
        match (ineffective, self.statements.iter().find(is_refused)) {
            (IneffectiveDeny::Allowed, _) | (_, None) => Ok(()),
            (IneffectiveDeny::Refused, Some(numbered)) => {
                let complaint = format!(
                    "{}, or give --allow-ineffective-deny",
                    ineffective_statement(&numbered.statement)
                );
                let reason = format!(
                    "{}, statement {}, Deny {complaint}",
                    self.name, numbered.number
                );
                Err(PolicyError::at(numbered.line, numbered.column, reason))
            }
        }
    }

    fn complain(&self, numbered: &NumberedStatement, complaint: &str) -> String {
        let NumberedStatement {
            number,
            line,
            statement,
            ..
        } = numbered;
        let (name, effect) = (&self.name, statement.effect);
        format!("line {line}: {name}, statement {number}, {effect} {complaint}")
    }
}

/// The warnings about a statement, as sentences whose subject is the statement.
fn complaints(statement: &Statement) -> Vec<String> {
    let mut complaints = Vec::new();
    for what in statement.passed_over() {
        complaints.push(format!("says something of no account: {what}"));
    }
    if statement.is_ineffective() {
        complaints.push(ineffective_statement(statement));
    }
    let actions = statement.actions();
    if statement.effect == Effect::Deny && !actions.cover_any() {
        let known = Action::ALL.map(Action::as_str).join(", ");
        let nearest = actions.first().map(|pattern| {
            let nearest = pattern.nearest();
            format!("; the nearest to {pattern} is {nearest}")
        });
        let nearest = nearest.unwrap_or_default();
        complaints.push(format!(
            "can match nothing: {actions} covers no action of this service, which has {known}{nearest}"
        ));
    } else {
        for pattern in actions.misspelt() {
            let nearest = pattern.nearest();
            complaints.push(format!(
                "names the action {pattern}, which this service does not have; the nearest is {nearest}"
            ));
        }
    }
    complaints
}

fn ineffective_statement(statement: &Statement) -> String {
    let resources = narrow_resources(statement);
    format!("is ineffective: {resources}; write \"Resource\": \"*\"")
}

/// Why a statement about these actions is ineffective.
pub(super) fn narrow_resources(statement: &Statement) -> String {
    format!(
        "its Resource [{}] holds no plain *, and these actions have no narrower resources",
        statement.shown_resources()
    )
}
