//! The actions that a statement is about.

use std::fmt;

use serde::Deserialize;

use super::glob::{Case, Glob};
use crate::domain::Action;

/// The service of all actions here.
const SERVICE: &str = "ram";
/// The name of the API of the same actions, which is no service of policies.
const API: &str = "ims";
/// How much a name has to be like that of an action to be taken for a misspelling of it: 0 to 1.
const LIKE: f64 = 0.8;

/// The actions that a statement is about.
#[derive(Debug)]
pub(super) enum Actions {
    These(Vec<ActionPattern>),
    AllBut(Vec<ActionPattern>),
}

impl Actions {
    pub(super) fn cover(&self, action: &str) -> bool {
        let named = |patterns: &[ActionPattern]| patterns.iter().any(|it| it.0.matches(action));
        match self {
            Self::These(patterns) => named(patterns),
            Self::AllBut(patterns) => !named(patterns),
        }
    }

    /// Whether an action of this service is among them.
    pub(super) fn cover_any(&self) -> bool {
        Action::ALL.iter().any(|action| self.cover(action.as_str()))
    }

    /// The patterns that fit no action of this service and look like one that is misspelt.
    pub(super) fn misspelt(&self) -> impl Iterator<Item = &ActionPattern> {
        let (Self::These(patterns) | Self::AllBut(patterns)) = self;
        patterns.iter().filter(|pattern| pattern.is_misspelt())
    }

    /// The first pattern of those that are named.
    pub(super) fn first(&self) -> Option<&ActionPattern> {
        match self {
            Self::These(patterns) => patterns.first(),
            Self::AllBut(_) => None,
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

impl ActionPattern {
    fn covers_any(&self) -> bool {
        let mut actions = Action::ALL.iter();
        actions.any(|action| self.0.matches(action.as_str()))
    }

    /// The service and the name of the action.
    fn parts(&self) -> (&str, &str) {
        let text = self.0.as_str();
        text.split_once(':').unwrap_or((text, "*"))
    }

    /// The pattern with the service of all actions here in place of its own.
    fn as_ours(&self) -> Self {
        let (_, name) = self.parts();
        Self(Glob::new(format!("{SERVICE}:{name}"), Case::Ignored))
    }

    fn is_misspelt(&self) -> bool {
        let (service, _) = self.parts();
        let service = service.to_ascii_lowercase();
        let is_meant = service == API || strsim::damerau_levenshtein(&service, SERVICE) <= 1;
        let ours = self.as_ours();
        is_meant && !self.covers_any() && (ours.covers_any() || ours.most_like().1 >= LIKE)
    }

    /// The action or pattern of this service that comes nearest to a pattern which fits none of its actions.
    pub(super) fn nearest(&self) -> String {
        let ours = self.as_ours();
        if ours.covers_any() {
            ours.0.as_str().to_owned()
        } else {
            ours.most_like().0.as_str().to_owned()
        }
    }

    /// The action whose name is most like the pattern, and how much it is: 0 to 1.
    fn most_like(&self) -> (Action, f64) {
        let pattern = self.0.as_str().to_ascii_lowercase();
        let likeness = |action: Action| {
            let name = action.as_str().to_ascii_lowercase();
            (
                action,
                strsim::normalized_damerau_levenshtein(&pattern, &name),
            )
        };
        let [first, others @ ..] = Action::ALL.map(likeness);
        let more =
            |most: (Action, f64), next: (Action, f64)| if next.1 > most.1 { next } else { most };
        others.into_iter().fold(first, more)
    }
}

impl fmt::Display for ActionPattern {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.0.as_str())
    }
}
