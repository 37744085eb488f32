//! `untag changes show`.

use super::arguments::ShowArguments;
use super::effects;
use super::row::ChangeRow;
use crate::cli::client::{Exit, Failure, Table, connect, rfc3339};
use crate::cli::process::end_on_signals;
use crate::client::{self, Change};

pub async fn run(arguments: &ShowArguments) -> Result<Exit, Failure> {
    end_on_signals().map_err(Failure::Failed)?;
    let connection = connect(&arguments.client).await?;
    let change = client::get_change(&connection, &arguments.change).await?;
    let text = format!(
        "{}\n{}\nto undo it: untag changes revert {}",
        head(&change),
        effects::text(&change.effects, change.changed_users, change.values),
        change.request_id
    );
    let mut output = arguments.client.output();
    output.result(&text, &ChangeRow::of(&change))?;
    Ok(Exit::Done)
}

/// What there is to say of a change beside its effects.
fn head(change: &Change) -> String {
    let rows = [
        ("request", change.request_id.clone()),
        ("revision", change.revision.to_string()),
        ("time", change.time.and_then(rfc3339).unwrap_or_default()),
        ("caller", change.caller.clone()),
        ("address", change.source_ip.clone()),
        ("action", change.action.clone()),
        ("users", change.changed_users.to_string()),
    ];
    let rows = rows.map(|(field, value)| [field.to_owned(), value]);
    Table::new(["FIELD", "VALUE"]).lines(&rows)
}
