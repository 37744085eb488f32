//! The question before every tag of users is removed.

use std::io::{self, BufRead as _, IsTerminal as _, Write as _};

use super::look::tags_of_each;
use super::source::{Source, people};
use crate::cli::client::{Failure, Table};
use crate::client::Connection;

/// Checks that somebody can be asked.
///
/// # Errors
/// What to do where there is no terminal.
pub fn check(source: &Source) -> Result<(), String> {
    if io::stdin().is_terminal() && io::stderr().is_terminal() && !source.is_stdin() {
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
    let mut terminal = io::stderr().lock();
    if let Source::Typed(users) = source {
        let mut table = Table::new(["USER", "KEY", "VALUE"]);
        for (user, tags) in tags_of_each(connection, users).await? {
            // One that does not exist is a matter for the call itself.
            let tags = tags.unwrap_or_default();
            let rows: Vec<_> = tags
                .into_iter()
                .map(|tag| [user.clone(), tag.key, tag.value])
                .collect();
            terminal.write_all(table.lines(&rows).as_bytes())?;
        }
        if table.is_empty() {
            writeln!(terminal, "no tags")?;
        }
    }
    write!(
        terminal,
        "Remove every tag of {}? [y/N] ",
        people(source.count())
    )?;
    terminal.flush()?;
    let mut answer = String::new();
    io::stdin().lock().read_line(&mut answer)?;
    match answer.trim().to_lowercase().as_str() {
        "y" | "yes" => Ok(()),
        _ => Err(Failure::Failed("nothing was changed".to_owned())),
    }
}
