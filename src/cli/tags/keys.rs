//! `untag tags keys`.

use serde::Serialize;

use super::arguments::KeysArguments;
use crate::cli::client::{Exit, Failure, Output, Table, connect};
use crate::cli::process::end_on_signals;
use crate::client::{self, Counts};
use crate::domain::TagKey;

/// A key, as programs get it.
#[derive(Serialize)]
struct KeyRow {
    tag_key: String,
    users: i64,
}

/// A value of a key, as programs get it.
#[derive(Serialize)]
struct ValueRow<'a> {
    tag_key: &'a str,
    tag_value: String,
    users: i64,
}

pub async fn run(arguments: &KeysArguments) -> Result<Exit, Failure> {
    end_on_signals().map_err(Failure::Failed)?;
    let connection = connect(&arguments.client).await?;
    let mut output = arguments.client.output();
    let is_empty = match &arguments.tag {
        None => print_keys(client::count_keys(&connection).await?, &mut output)?,
        Some(key) => {
            let counts = client::count_values(&connection, key).await?;
            print_values(key, counts, &mut output)?
        }
    };
    if is_empty && output.is_table() {
        eprintln!("no tags");
    }
    Ok(Exit::Done)
}

/// Prints keys, and says whether there are none.
fn print_keys(counts: Counts, output: &mut Output) -> Result<bool, Failure> {
    let rows = counts.into_iter();
    let rows: Vec<_> = rows
        .map(|(tag_key, users)| KeyRow { tag_key, users })
        .collect();
    let cells = |row: &KeyRow| [row.tag_key.clone(), row.users.to_string()];
    output.rows(&mut Table::new(["KEY", "USERS"]), &rows, cells)?;
    Ok(rows.is_empty())
}

/// Prints the values of a key, and says whether there are none.
fn print_values(key: &TagKey, counts: Counts, output: &mut Output) -> Result<bool, Failure> {
    let row = |(tag_value, users)| ValueRow {
        tag_key: key.as_str(),
        tag_value,
        users,
    };
    let rows: Vec<_> = counts.into_iter().map(row).collect();
    let cells = |row: &ValueRow<'_>| [row.tag_value.clone(), row.users.to_string()];
    output.rows(&mut Table::new(["VALUE", "USERS"]), &rows, cells)?;
    Ok(rows.is_empty())
}
