//! The actions that a statement is about.

use std::fmt;

use serde::Deserialize;

use super::glob::{Case, Glob};
use crate::domain::Action;

/// The services of the actions here: the cloud's own, and that of what only this service has.
const SERVICES: [&str; 2] = ["ram", "untag"];
/// The name of the API of the cloud's actions, which is no service of policies.
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

    /// How many slips lead from the pattern's service to one of ours.
    fn slips(&self, service: &str) -> usize {
        let own = self.parts().0.to_ascii_lowercase();
        let own = if own == API { SERVICES[0] } else { &own };
        strsim::damerau_levenshtein(own, service)
    }

    /// The pattern with a service of the actions here in place of its own, that of the most similar name first. One with wildcards may
    /// mean actions of its own service that are not here, and has no other.
    fn as_ours(&self) -> impl Iterator<Item = Self> {
        let (_, name) = self.parts();
        let mut services = SERVICES;
        services.sort_by_key(|service| self.slips(service));
        let count = if name.contains(['*', '?']) {
            1
        } else {
            SERVICES.len()
        };
        let ours = services.map(|service| Glob::new(format!("{service}:{name}"), Case::Ignored));
        ours.into_iter().take(count).map(Self)
    }

    fn is_misspelt(&self) -> bool {
        let is_meant = SERVICES.iter().any(|service| self.slips(service) <= 1);
        let is_like = || {
            self.as_ours()
                .take(1)
                .any(|ours| ours.most_like().1 >= LIKE)
        };
        is_meant
            && !self.covers_any()
            && (self.as_ours().any(|ours| ours.covers_any()) || is_like())
    }

    /// The action or pattern of this service that comes nearest to a pattern which fits none of its actions.
    pub(super) fn nearest(&self) -> String {
        if let Some(ours) = self.as_ours().find(Self::covers_any) {
            return ours.0.as_str().to_owned();
        }
        let nearest = self.as_ours().next().map(|ours| ours.most_like().0);
        nearest.map_or_else(String::new, |action| action.as_str().to_owned())
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
