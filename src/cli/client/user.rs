//! A user as it is typed.

use std::str::FromStr;

use super::failure::Failure;
use crate::client::{self, Connection};
use crate::domain::{PrincipalName, ResourceId, UserKey};

/// A user, by id or by name.
#[derive(Debug, Clone)]
pub enum User {
    /// By id.
    Id(ResourceId),
    /// By principal name.
    Name(PrincipalName),
}

impl User {
    /// What the user is asked for by.
    pub fn key(&self) -> UserKey {
        match self {
            Self::Id(id) => UserKey::Id(id.clone()),
            Self::Name(name) => UserKey::Name(name.clone()),
        }
    }

    /// The id of the user. One that is typed by name is asked for.
    ///
    /// # Errors
    /// [`Failure`].
    pub async fn id(&self, connection: &Connection) -> Result<ResourceId, Failure> {
        match self {
            Self::Id(id) => Ok(id.clone()),
            Self::Name(_) => {
                let found = client::get_user(connection, &self.key()).await?;
                let id = ResourceId::parse(found.resource_id);
                id.map_err(|error| {
                    Failure::Failed(format!("the service answers with an id that {error}"))
                })
            }
        }
    }
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
