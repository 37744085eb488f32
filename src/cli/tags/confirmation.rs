//! The question before every tag of users is removed.

use super::look::tags_of_each;
use super::source::{Source, people};
use crate::cli::client::{Failure, Table, ask, can_ask};
use crate::client::Connection;

/// Checks that somebody can be asked.
///
/// # Errors
/// What to do where there is no terminal.
pub fn check(source: &Source) -> Result<(), String> {
    if can_ask() && !source.is_stdin() {
        return Ok(());
    }
    Err(
        "--all removes every tag, and there is no terminal to ask on: give --yes to go on; nothing was changed"
            .to_owned(),
    )
}

/// Shows on the terminal which tags would go, and asks. The tags of a file's users are too many to be shown.
///
/// # Errors
/// [`Failure`] where the answer is no.
pub async fn confirm(connection: &Connection, source: &Source) -> Result<(), Failure> {
    let mut shown = String::new();
    if let Source::Typed(users) = source {
        let mut table = Table::new(["USER", "KEY", "VALUE"]);
        for (user, tags) in tags_of_each(connection, users).await? {
            // One that does not exist is a matter for the call itself.
            let tags = tags.unwrap_or_default();
            let rows: Vec<_> = tags
                .into_iter()
                .map(|tag| [user.clone(), tag.key, tag.value])
                .collect();
            shown += &table.lines(&rows);
        }
        if table.is_empty() {
            shown += "no tags\n";
        }
    }
    let question = format!("Remove every tag of {}?", people(source.count()));
    ask(&shown, &question)
}
