//! The resources that a request names.

use super::{PrincipalName, ResourceId};

/// The resources that a request names: at least one, each once, in the order of the request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Targets {
    /// Resources by their ids.
    Ids(Vec<ResourceId>),
    /// Resources by their principal names.
    Names(Vec<PrincipalName>),
}

impl Targets {
    /// The number of resources.
    #[must_use]
    pub fn count(&self) -> usize {
        match self {
            Self::Ids(ids) => ids.len(),
            Self::Names(names) => names.len(),
        }
    }

    /// The resources at these positions.
    ///
    /// # Panics
    /// If a position is past the end.
    #[must_use]
    pub fn at(&self, positions: &[usize]) -> Self {
        match self {
            Self::Ids(ids) => Self::Ids(positions.iter().map(|&at| ids[at].clone()).collect()),
            Self::Names(names) => {
                Self::Names(positions.iter().map(|&at| names[at].clone()).collect())
            }
        }
    }

    /// The resources at these positions, for messages.
    #[must_use]
    pub fn named(&self, positions: &[usize]) -> Vec<NamedResource> {
        let named = |&position| NamedResource {
            position,
            name: self.name_at(position).to_owned(),
        };
        positions.iter().map(named).collect()
    }

    /// The id or name at a position, for messages. Empty past the end.
    #[must_use]
    pub fn name_at(&self, position: usize) -> &str {
        match self {
            Self::Ids(ids) => ids.get(position).map_or("", ResourceId::as_str),
            Self::Names(names) => names.get(position).map_or("", PrincipalName::as_str),
        }
    }
}

/// A resource of the request, for a message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NamedResource {
    /// The position among the different resources of the request, from 0.
    pub position: usize,
    /// The id or the principal name, as the request has it.
    pub name: String,
}
