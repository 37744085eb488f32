//! `untag migrate`.

use std::path::Path;
use std::process::ExitCode;

use super::args::MigrateArguments;
use super::fail;
use super::store::{self, Choice};
use crate::store::postgres::PostgresStore;
use crate::store::sqlite::{self, Existing};

pub fn run(arguments: &MigrateArguments) -> ExitCode {
    let connection = match arguments.store.choose() {
        Ok(Choice::Postgres(connection)) => connection,
        Ok(Choice::Sqlite(directory)) => return inspect(&directory),
        Err(error) => return fail(error),
    };
    match store::block_on(PostgresStore::migrate(&connection, arguments.dry_run)) {
        Ok(applied) if applied.migrations.is_empty() => println!("the schema is up to date"),
        Ok(applied) => {
            let done = if arguments.dry_run {
                "would apply"
            } else {
                "applied"
            };
            for migration in applied.migrations {
                println!("{done} migration {migration}");
            }
        }
        Err(error) => return fail(error),
    }
    ExitCode::SUCCESS
}

/// Says what `serve` would make of the embedded store in a directory. It has had one version of its schema so far.
fn inspect(directory: &Path) -> ExitCode {
    match sqlite::inspect(directory) {
        Ok(Existing::Database(version)) => println!(
            "the schema of the store in {} is up to date: version {version}",
            directory.display()
        ),
        Ok(Existing::Nothing(version)) => println!(
            "there is no store in {} yet; `untag serve` makes one with schema version {version}",
            directory.display()
        ),
        Err(error) => return fail(error),
    }
    ExitCode::SUCCESS
}
