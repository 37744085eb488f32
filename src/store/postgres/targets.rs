//! The targets of a command as the functions of the database take them.

use std::collections::{HashMap, HashSet};

use tokio_postgres::types::Type;

use super::session::Parameters;
use super::statements::{FIND_BY_ID, FIND_BY_NAME};
use crate::domain::{PrincipalName, Targets};
use crate::store::StoreError;

/// What the users that a command names are looked for by.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum By {
    Id,
    Name,
}

impl By {
    fn of(targets: &Targets) -> Self {
        match targets {
            Targets::Ids(_) => Self::Id,
            Targets::Names(_) => Self::Name,
        }
    }

    /// The statement that finds users.
    pub fn find(self) -> &'static str {
        match self {
            Self::Id => FIND_BY_ID,
            Self::Name => FIND_BY_NAME,
        }
    }
}

/// The targets of a command: ids or lower-case names.
pub struct Names {
    pub names: Vec<String>,
    pub by: By,
}

impl Names {
    pub fn of(targets: &Targets) -> Self {
        let names = match targets {
            Targets::Ids(ids) => ids.iter().map(ToString::to_string).collect(),
            Targets::Names(names) => names.iter().map(PrincipalName::folded).collect(),
        };
        Self {
            names,
            by: By::of(targets),
        }
    }

    /// The account, and what to look for in it.
    pub fn parameters(&self, account: &str) -> Parameters {
        vec![
            (Box::new(account.to_owned()), Type::TEXT),
            (Box::new(self.names.clone()), Type::TEXT_ARRAY),
        ]
    }

    /// Refuses a command whose targets are not all among those found.
    pub fn all_among(&self, found: &[String]) -> Result<(), StoreError> {
        let missing = self.missing(found);
        if missing.is_empty() {
            return Ok(());
        }
        Err(StoreError::Missing(missing))
    }

    /// The places of the targets that are not among those found.
    fn missing(&self, found: &[String]) -> Vec<usize> {
        if found.len() == self.names.len() {
            return Vec::new();
        }
        let found: HashSet<&String> = found.iter().collect();
        let missing = |(_, name): &(usize, &String)| !found.contains(name);
        self.names
            .iter()
            .enumerate()
            .filter(missing)
            .map(|(position, _)| position)
            .collect()
    }

    /// The places of these, in order.
    pub fn positions(&self, wanted: &[String]) -> Vec<usize> {
        let places: HashMap<&String, usize> = self
            .names
            .iter()
            .enumerate()
            .map(|(position, name)| (name, position))
            .collect();
        let mut positions: Vec<usize> = wanted
            .iter()
            .filter_map(|name| places.get(name).copied())
            .collect();
        positions.sort_unstable();
        positions
    }
}
