//! `untag tags list`.

use serde::Serialize;

use super::arguments::ListArguments;
use super::users;
use crate::cli::client::{Exit, Failure, Table, connect, tag_filter};
use crate::cli::process::end_on_signals;
use crate::client::{self, UserTag};
use crate::domain::{RESOURCE_TYPE_USER, TagFilter};

/// A tag, as programs get it.
#[derive(Serialize)]
struct Row<'a> {
    resource_type: &'static str,
    resource_id: &'a str,
    tag_key: &'a str,
    tag_value: &'a str,
}

pub async fn run(arguments: &ListArguments) -> Result<Exit, Failure> {
    end_on_signals().map_err(Failure::Failed)?;
    let users = match arguments.users.as_slice() {
        [] => None,
        users => Some(users::of_one_call(users).map_err(Failure::Usage)?),
    };
    let filters = arguments.keys.iter().map(|text| tag_filter(text));
    let filters: Vec<TagFilter> = filters.collect::<Result<_, _>>().map_err(Failure::Usage)?;
    let connection = connect(&arguments.client).await?;
    let mut output = arguments.client.output();
    let mut listing = client::list(&connection, users.as_ref(), &filters, arguments.revision);
    let mut table = Table::new(["USER", "KEY", "VALUE"]);
    while !output.is_closed()
        && let Some(tags) = listing.page().await?
    {
        let rows: Vec<Row<'_>> = tags.iter().map(Row::of).collect();
        output.rows(&mut table, &rows, Row::cells)?;
    }
    if output.is_table() && table.is_empty() {
        eprintln!("no tags");
    }
    Ok(Exit::Done)
}

impl<'a> Row<'a> {
    fn of(tag: &'a UserTag) -> Self {
        Self {
            resource_type: RESOURCE_TYPE_USER,
            resource_id: &tag.resource_id,
            tag_key: &tag.key,
            tag_value: &tag.value,
        }
    }

    fn cells(&self) -> [String; 3] {
        [self.resource_id, self.tag_key, self.tag_value].map(str::to_owned)
    }
}
