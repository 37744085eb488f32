//! The subcommand `untag import`.

use std::fs::{File, Metadata};
use std::io::{self, BufReader, Read};
use std::path::Path;
use std::process::ExitCode;

use indicatif::{ProgressBar, ProgressStyle};

use super::args::ImportArguments;
use super::store::{self, Choice};
use super::{fail, json_lines};
use crate::store::{postgres, sqlite};

pub fn run(arguments: &ImportArguments) -> ExitCode {
    let choice = match arguments.store.choose() {
        Ok(choice) => choice,
        Err(error) => return fail(error),
    };
    let (input, bytes): (Box<dyn Read>, Option<u64>) = if arguments.file == Path::new("-") {
        (Box::new(io::stdin()), None)
    } else {
        match File::open(&arguments.file) {
            Ok(file) => {
                let bytes = file
                    .metadata()
                    .ok()
                    .filter(Metadata::is_file)
                    .map(|data| data.len());
                (Box::new(file), bytes)
            }
            Err(error) => {
                return fail(format_args!(
                    "cannot read {}: {error}",
                    arguments.file.display()
                ));
            }
        }
    };
    // Shown on a terminal only.
    let progress = progress(bytes);
    let lines = json_lines::read(BufReader::with_capacity(1 << 20, progress.wrap_read(input)));
    let imported = match &choice {
        Choice::Sqlite(directory) => {
            let imported = sqlite::import(directory, lines).map_err(|error| error.to_string());
            imported.map(|imported| {
                if let Some(left) = imported.left {
                    eprintln!("untag: {left}");
                }
                imported.count
            })
        }
        Choice::Postgres(connection) => store::block_on(postgres::import(connection, lines)),
    };
    progress.finish_and_clear();
    match imported {
        Ok(count) => {
            println!("imported {count} users into {choice}");
            ExitCode::SUCCESS
        }
        Err(error) => fail(format_args!("{error}; nothing was imported")),
    }
}

fn progress(bytes: Option<u64>) -> ProgressBar {
    let Some(bytes) = bytes else {
        return ProgressBar::new_spinner();
    };
    let style =
        ProgressStyle::with_template("importing [{bar:40}] {bytes} of {total_bytes}, {eta} left");
    // The template is a constant; a broken one would only look plainer.
    ProgressBar::new(bytes).with_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()))
}
