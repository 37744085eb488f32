//! `untag users restore`.

use super::arguments::RestoreArguments;
use super::row::say_changed;
use crate::cli::client::{Exit, Failure, connect};
use crate::cli::process::end_on_signals;
use crate::client;

pub async fn run(arguments: &RestoreArguments) -> Result<Exit, Failure> {
    let connection = connect(&arguments.client).await?;
    end_on_signals().map_err(Failure::Failed)?;
    let (id, name) = (&arguments.id, arguments.name.as_ref());
    let restored = client::undelete_user(&connection, id, name).await?;
    let user = restored.user.as_ref();
    let name = user.map_or_else(String::new, |user| format!(", {}", user.principal_name));
    let what = format!("restored the user {id}{name}");
    say_changed(arguments.client.output(), &what, &restored)
}
