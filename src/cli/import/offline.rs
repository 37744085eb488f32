//! An import into a store that nobody serves.

use std::process::ExitCode;

use super::arguments::ImportArguments;
use super::input;
use super::report::Totals;
use crate::cli::store::{self, Choice};
use crate::cli::{fail, json_lines, process};
use crate::store::{BulkSettings, postgres, sqlite};

pub fn run(arguments: &ImportArguments) -> ExitCode {
    if let Err(error) = process::end_on_signals() {
        return fail(error);
    }
    match import(arguments) {
        Ok(sentence) => {
            println!("{sentence}");
            ExitCode::SUCCESS
        }
        Err(error) => fail(error),
    }
}

/// Imports the file, and says what was imported.
fn import(arguments: &ImportArguments) -> Result<String, String> {
    let choice = arguments.store.choose()?;
    let input = input::open(&arguments.file)?;
    let settings = BulkSettings {
        mode: arguments.mode.into(),
        dry_run: arguments.dry_run,
    };
    let lines = json_lines::read(input.lines);
    let imported = match &choice {
        Choice::Sqlite(directory) => {
            let imported = sqlite::import(directory, settings, lines);
            imported.map_err(|error| error.to_string()).map(|imported| {
                if let Some(left) = imported.left {
                    eprintln!("untag: {left}");
                }
                imported.counts
            })
        }
        Choice::Postgres(connection) => {
            store::block_on(postgres::import(connection, settings, lines))
        }
    };
    input.bar.finish_and_clear();
    let counts = imported.map_err(|error| format!("{error}; nothing was imported"))?;
    let totals = Totals {
        created: counts.created,
        updated: counts.updated,
        unchanged: counts.unchanged,
        refused: 0,
    };
    Ok(totals.sentence(arguments.dry_run, &format!("into {choice}")))
}
