//! `untag users show`, and users by the names that are typed.

use super::arguments::ShowArguments;
use super::row::Row;
use crate::cli::client::{Exit, Failure, Table, User, connect};
use crate::cli::process::end_on_signals;
use crate::client::{self, Connection};
use crate::domain::{ResourceId, UserKey};

pub async fn run(arguments: &ShowArguments) -> Result<Exit, Failure> {
    end_on_signals().map_err(Failure::Failed)?;
    let connection = connect(&arguments.client).await?;
    let user = client::get_user(&connection, &key(&arguments.user)).await?;
    let mut output = arguments.client.output();
    let row = Row::of(&user);
    if output.is_table() {
        let mut table = Table::new(["FIELD", "VALUE"]);
        output.rows(&mut table, &row.lines(), Clone::clone)?;
    } else {
        output.result("", &row)?;
    }
    Ok(Exit::Done)
}

/// The id of the user that is typed. One that is typed by name is asked for.
///
/// # Errors
/// [`Failure`].
pub async fn id_of(connection: &Connection, user: &User) -> Result<ResourceId, Failure> {
    match user {
        User::Id(id) => Ok(id.clone()),
        User::Name(_) => {
            let found = client::get_user(connection, &key(user)).await?;
            let id = ResourceId::parse(found.resource_id);
            id.map_err(|error| {
                Failure::Failed(format!("the service answers with an id that {error}"))
            })
        }
    }
}

/// What a user is asked for by.
pub fn key(user: &User) -> UserKey {
    match user {
        User::Id(id) => UserKey::Id(id.clone()),
        User::Name(name) => UserKey::Name(name.clone()),
    }
}
