//! `untag users list`.

use super::arguments::ListArguments;
use super::row::Row;
use crate::cli::client::{Exit, Failure, Table, connect, tag_filter};
use crate::cli::process::end_on_signals;
use crate::client::{self, UserSelection};
use crate::domain::{DeletedUsers, TagCondition};

pub async fn run(arguments: &ListArguments) -> Result<Exit, Failure> {
    end_on_signals().map_err(Failure::Failed)?;
    let selection = UserSelection {
        name_prefix: arguments.name_prefix.clone(),
        tags: tags(arguments).map_err(Failure::Usage)?,
        deleted: if arguments.deleted {
            DeletedUsers::Show
        } else {
            DeletedUsers::Hide
        },
    };
    let connection = connect(&arguments.client).await?;
    let mut output = arguments.client.output();
    let mut listing = client::list_users(&connection, &selection);
    let mut table = Table::new(Row::HEADS);
    while !output.is_closed()
        && let Some(users) = listing.page().await?
    {
        let rows: Vec<Row<'_>> = users.iter().map(Row::of).collect();
        output.rows(&mut table, &rows, Row::cells)?;
    }
    if output.is_table() && table.is_empty() {
        eprintln!("no users");
    }
    Ok(Exit::Done)
}

fn tags(arguments: &ListArguments) -> Result<TagCondition, String> {
    match &arguments.tag {
        Some(tag) => tag_filter(tag).map(TagCondition::Carries),
        None if arguments.untagged => Ok(TagCondition::Untagged),
        None => Ok(TagCondition::Any),
    }
}
