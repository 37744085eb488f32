//! `untag changes list`.

use std::num::NonZeroUsize;

use super::arguments::ListArguments;
use super::row::{ChangeRow, HEADS};
use crate::cli::client::{Exit, Failure, Table, connect};
use crate::cli::process::end_on_signals;
use crate::client;
use crate::domain::{ChangeFilter, Direction};

pub async fn run(arguments: &ListArguments) -> Result<Exit, Failure> {
    end_on_signals().map_err(Failure::Failed)?;
    let connection = connect(&arguments.client).await?;
    let filter = ChangeFilter {
        user: match &arguments.user {
            Some(user) => Some(user.id(&connection).await?),
            None => None,
        },
        tag_key: arguments.tag.clone(),
        caller: arguments.caller.clone(),
        action: arguments.action,
        start: arguments.since,
        end: arguments.until,
    };
    let direction = if arguments.oldest_first {
        Direction::Forwards
    } else {
        Direction::Backwards
    };
    let limit = arguments.limit.map(NonZeroUsize::get);
    let mut output = arguments.client.output();
    let mut listing = client::list_changes(&connection, &filter, direction, limit);
    let mut table = Table::new(HEADS);
    while !output.is_closed()
        && let Some(changes) = listing.page().await?
    {
        let rows: Vec<ChangeRow<'_>> = changes.iter().map(ChangeRow::of).collect();
        output.rows(&mut table, &rows, ChangeRow::cells)?;
    }
    if output.is_table() && table.is_empty() {
        eprintln!("no changes");
    }
    Ok(Exit::Done)
}
