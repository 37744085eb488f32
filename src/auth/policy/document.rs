//! RAM policy documents: statements that allow or deny actions.

use std::fmt;

use serde::Deserialize;

use super::Facts;
use super::condition::{Condition, Conditions};
use super::glob::{Case, Glob};
use super::json::{Object, OneOrMore, present};

/// A document under its name.
#[derive(Debug)]
pub(super) struct Policy {
    pub(super) name: String,
    pub(super) statements: Vec<Statement>,
}

/// A document as JSON has it.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
pub(super) struct Document {
    #[serde(rename = "Version")]
    _version: Version,
    statement: OneOrMore<Object<Statement>>,
}

impl Document {
    pub(super) fn named(self, name: String) -> Policy {
        let statements = self.statement.0.into_iter();
        Policy {
            name,
            statements: statements.map(|Object(statement)| statement).collect(),
        }
    }
}

/// The only version of the language: `"1"`.
#[derive(Debug, Deserialize)]
#[serde(try_from = "String")]
struct Version;

impl TryFrom<String> for Version {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        match text.as_str() {
            "1" => Ok(Self),
            _ => Err(format!("the Version {text:?} is not known; write \"1\"")),
        }
    }
}

/// What a statement that applies does.
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
}

/// Whether a statement applies to an attempt, or the first thing about it that does not fit.
#[derive(Debug, Clone, Copy)]
pub(super) enum Outcome<'a> {
    Applies,
    /// No attempt is ever of its resources.
    Ineffective,
    OtherAction,
    Unfulfilled(&'a Condition),
}

impl Statement {
    pub(super) fn outcome(&self, facts: &Facts<'_>) -> Outcome<'_> {
        if self.is_ineffective() {
            Outcome::Ineffective
        } else if !self.actions.cover(facts.action) {
            Outcome::OtherAction
        } else {
            let failed = self.conditions.first_that_fails(facts);
            failed.map_or(Outcome::Applies, Outcome::Unfulfilled)
        }
    }

    /// The three actions are not about single resources: RAM lets a statement speak of them only with the Resource `*`.
    pub(super) fn is_ineffective(&self) -> bool {
        !self.resources.iter().any(|Resource(name)| name == "*")
    }

    /// Its actions, to be shown.
    pub(super) fn actions(&self) -> &Actions {
        &self.actions
    }

    /// Its resources, to be shown.
    pub(super) fn shown_resources(&self) -> String {
        let names = self.resources.iter().map(|Resource(name)| name.as_str());
        names.collect::<Vec<_>>().join(", ")
    }
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
struct StatementMembers {
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
        let actions = match (members.action, members.not_action) {
            (Some(OneOrMore(these)), None) => Actions::These(these),
            (None, Some(OneOrMore(these))) => Actions::AllBut(these),
            (None, None) => return Err("the statement has no Action; give Action or NotAction"),
            (Some(_), Some(_)) => {
                return Err("the statement has both Action and NotAction; keep one of them");
            }
        };
        Ok(Self {
            effect: members.effect,
            actions,
            resources: members.resource.0,
            conditions: members.condition.unwrap_or_default(),
        })
    }
}

/// Which actions a statement is about.
#[derive(Debug)]
pub(super) enum Actions {
    These(Vec<ActionPattern>),
    AllBut(Vec<ActionPattern>),
}

impl Actions {
    fn cover(&self, action: &str) -> bool {
        let named = |patterns: &[ActionPattern]| patterns.iter().any(|it| it.0.matches(action));
        match self {
            Self::These(patterns) => named(patterns),
            Self::AllBut(patterns) => !named(patterns),
        }
    }
}

impl fmt::Display for Actions {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (name, patterns) = match self {
            Self::These(patterns) => ("Action", patterns),
            Self::AllBut(patterns) => ("NotAction", patterns),
        };
        let patterns: Vec<_> = patterns.iter().map(|it| it.0.as_str()).collect();
        write!(formatter, "{name} [{}]", patterns.join(", "))
    }
}

/// A pattern over names of actions, such as `ram:*`.
#[derive(Debug, Deserialize)]
#[serde(try_from = "String")]
pub(super) struct ActionPattern(Glob);

impl TryFrom<String> for ActionPattern {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        let named = text.split_once(':');
        let complete = named.is_some_and(|(service, name)| !service.is_empty() && !name.is_empty());
        if complete || text == "*" {
            Ok(Self(Glob::new(text, Case::Ignored)))
        } else {
            Err(format!(
                "the action {text:?} must be <service>:<action>, such as ram:UntagResources or ram:*, or *"
            ))
        }
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
