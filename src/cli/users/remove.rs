//! `untag users remove`.

use super::arguments::RemoveArguments;
use super::row::{Row, say_changed};
use crate::cli::client::{Exit, Failure, Table, ask, can_ask, connect};
use crate::cli::process::end_on_signals;
use crate::client;
use crate::domain::ResourceId;

pub async fn run(arguments: &RemoveArguments) -> Result<Exit, Failure> {
    if !arguments.yes && !can_ask() {
        return Err(Failure::Usage(
            "there is no terminal to ask on: give --yes to delete the user; nothing was changed"
                .to_owned(),
        ));
    }
    let connection = connect(&arguments.client).await?;
    end_on_signals().map_err(Failure::Failed)?;
    let id = if arguments.yes {
        arguments.user.id(&connection).await?
    } else {
        let user = client::get_user(&connection, &arguments.user.key()).await?;
        let mut table = Table::new(["FIELD", "VALUE"]);
        ask(
            &table.lines(&Row::of(&user).lines()),
            "Delete this user? For 30 days it can be restored.",
        )?;
        // The one that was shown, whoever has its name by now.
        let id = ResourceId::parse(user.resource_id);
        id.map_err(|error| Failure::Failed(format!("the service answers with an id that {error}")))?
    };
    let deleted = client::delete_user(&connection, &id).await?;
    let what = format!("deleted the user {id}");
    say_changed(arguments.client.output(), &what, &deleted)
}
