//! The statements of RAM policies, which allow or deny actions.

use std::fmt;

use serde::Deserialize;
use serde::de::IgnoredAny;
use serde_json::value::RawValue;

use super::Facts;
use super::action::{ActionPattern, Actions};
use super::condition::{Condition, Conditions};
use super::error::PolicyError;
use super::json::{OneOrMore, present};
use crate::json_object::Object;

/// What is done with a file in which a Deny can never apply because of its Resource.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum IneffectiveDeny {
    /// The file is refused: whoever wrote it believes that something is denied.
    Refused,
    /// The file is taken, with a warning.
    Allowed,
}

/// The effect of a statement that applies.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub(super) enum Effect {
    Allow,
    Deny,
}

impl TryFrom<String> for Effect {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        match text.as_str() {
            "Allow" => Ok(Self::Allow),
            "Deny" => Ok(Self::Deny),
            _ => Err(format!(
                "the Effect {text:?} is not known; write \"Allow\" or \"Deny\""
            )),
        }
    }
}

impl fmt::Display for Effect {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::Allow => "Allow",
            Self::Deny => "Deny",
        })
    }
}

/// One statement.
#[derive(Debug, Deserialize)]
#[serde(try_from = "StatementMembers")]
pub(super) struct Statement {
    pub(super) effect: Effect,
    actions: Actions,
    resources: Vec<Resource>,
    conditions: Conditions,
    passed_over: Vec<String>,
}

/// Whether a statement applies to an attempt, or the first thing about it that does not fit.
#[derive(Debug, Clone, Copy)]
pub(super) enum Outcome<'a> {
    Applies,
    OtherAction,
    /// No attempt ever has the statement's resources.
    Ineffective,
    Unfulfilled(&'a Condition),
}

impl Statement {
    /// Reads a statement that is a part of the text. Everything in it has to be known, unless the statement can never
    /// apply to an action of this service, whatever else it says.
    pub(super) fn read(value: &RawValue, text: &str) -> Result<Self, PolicyError> {
        let fault = match serde_json::from_str(value.get()) {
            Ok(Object(statement)) => return Ok(statement),
            Err(fault) => PolicyError::within(text, value, fault),
        };
        match serde_json::from_str::<Object<Outline>>(value.get()) {
            Ok(Object(outline)) => outline.into_statement(&fault).ok_or(fault),
            Err(_) => Err(fault),
        }
    }

    pub(super) fn outcome(&self, facts: &Facts<'_>) -> Outcome<'_> {
        if !self.actions.cover(facts.action) {
            Outcome::OtherAction
        } else if self.has_narrow_resources() {
            Outcome::Ineffective
        } else {
            let failed = self.conditions.first_that_fails(facts);
            failed.map_or(Outcome::Applies, Outcome::Unfulfilled)
        }
    }

    /// Whether the statement is about actions of this service and can never apply to them because of its Resource.
    pub(super) fn is_ineffective(&self) -> bool {
        self.actions.cover_any() && self.has_narrow_resources()
    }

    /// Whether the statement names resources other than `*`. The actions here are not about single resources, and RAM lets a
    /// statement name them only with the Resource `*`.
    fn has_narrow_resources(&self) -> bool {
        !self.resources.iter().any(|Resource(name)| name == "*")
    }

    /// The actions of the statement.
    pub(super) fn actions(&self) -> &Actions {
        &self.actions
    }

    /// The resources of the statement, to be shown.
    pub(super) fn shown_resources(&self) -> String {
        let names = self.resources.iter().map(|Resource(name)| name.as_str());
        names.collect::<Vec<_>>().join(", ")
    }

    /// The parts of the statement that have no meaning here, and change no decision.
    pub(super) fn passed_over(&self) -> &[String] {
        &self.passed_over
    }
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
struct StatementMembers {
    #[serde(default, deserialize_with = "present")]
    sid: Option<String>,
    effect: Effect,
    #[serde(default, deserialize_with = "present")]
    action: Option<OneOrMore<ActionPattern>>,
    #[serde(default, deserialize_with = "present")]
    not_action: Option<OneOrMore<ActionPattern>>,
    resource: OneOrMore<Resource>,
    #[serde(default, deserialize_with = "present")]
    condition: Option<Conditions>,
}

impl TryFrom<StatementMembers> for Statement {
    type Error = &'static str;

    fn try_from(members: StatementMembers) -> Result<Self, Self::Error> {
        let sid = members
            .sid
            .map(|sid| format!("the Sid {sid:?} has no meaning here"));
        let is_empty = members.condition.as_ref().is_some_and(Conditions::is_empty);
        let empty = is_empty.then(|| "the Condition is empty, and holds always".to_owned());
        Ok(Self {
            effect: members.effect,
            actions: one_of(members.action, members.not_action)?,
            resources: members.resource.0,
            conditions: members.condition.unwrap_or_default(),
            passed_over: sid.into_iter().chain(empty).collect(),
        })
    }
}

fn one_of(
    action: Option<OneOrMore<ActionPattern>>,
    not_action: Option<OneOrMore<ActionPattern>>,
) -> Result<Actions, &'static str> {
    match (action, not_action) {
        (Some(OneOrMore(these)), None) => Ok(Actions::These(these)),
        (None, Some(OneOrMore(these))) => Ok(Actions::AllBut(these)),
        (None, None) => Err("the statement has no Action; give Action or NotAction"),
        (Some(_), Some(_)) => Err("the statement has both Action and NotAction; keep one of them"),
    }
}

/// The parts of a statement that decide whether it can ever apply.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Outline {
    effect: Effect,
    #[serde(default, deserialize_with = "present")]
    action: Option<OneOrMore<ActionPattern>>,
    #[serde(default, deserialize_with = "present")]
    not_action: Option<OneOrMore<ActionPattern>>,
    #[serde(default)]
    resource: Option<Understood<OneOrMore<Resource>>>,
}

/// A value that was read, or one of a form that is not known.
#[derive(Deserialize)]
#[serde(untagged)]
enum Understood<T> {
    Yes(T),
    No(IgnoredAny),
}

impl Outline {
    /// The statement, if it can never apply, with the parts of it that are not known.
    fn into_statement(self, fault: &PolicyError) -> Option<Statement> {
        let (resources, are_narrow) = match self.resource {
            Some(Understood::Yes(OneOrMore(resources))) => (resources, true),
            Some(Understood::No(_)) | None => (Vec::new(), false),
        };
        let statement = Statement {
            effect: self.effect,
            actions: one_of(self.action, self.not_action).ok()?,
            resources,
            conditions: Conditions::default(),
            passed_over: Vec::new(),
        };
        let why = if !statement.actions.cover_any() {
            "covers no action of this service"
        } else if are_narrow && statement.has_narrow_resources() {
            "is ineffective"
        } else {
            return None;
        };
        let passed_over = vec![format!(
            "{} (line {}); that is passed over, since the statement {why}",
            fault.reason(),
            fault.line(),
        )];
        Some(Statement {
            passed_over,
            ..statement
        })
    }
}

/// The name of a resource.
#[derive(Debug, Deserialize)]
#[serde(try_from = "String")]
struct Resource(String);

impl TryFrom<String> for Resource {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        if text == "*" || text.starts_with("acs:") {
            Ok(Self(text))
        } else {
            Err(format!(
                "the Resource {text:?} must be *, or a name that begins with acs:"
            ))
        }
    }
}
