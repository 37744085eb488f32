//! A user as it is typed.

use std::str::FromStr;

use crate::domain::{PrincipalName, ResourceId};

/// A user, by id or by name.
#[derive(Debug, Clone)]
pub enum User {
    /// By id.
    Id(ResourceId),
    /// By principal name.
    Name(PrincipalName),
}

impl FromStr for User {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if text.contains('@') {
            let name = PrincipalName::parse(text).map(Self::Name);
            return name.map_err(|error| format!("a principal name {error}"));
        }
        ResourceId::parse(text)
            .map(Self::Id)
            .map_err(|error| format!("an id {error}, and a principal name has an @"))
    }
}
