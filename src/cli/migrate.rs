//! The subcommand `untag migrate`.

use std::fmt::Display;
use std::path::Path;
use std::process::ExitCode;

use super::args::MigrateArguments;
use super::fail;
use super::store::{self, Choice};
use crate::store::postgres::{self, ConnectionString, PostgresStore};
use crate::store::sqlite::{self, Existing, OpenError};

pub fn run(arguments: &MigrateArguments) -> ExitCode {
    let dry_run = arguments.dry_run;
    let done = match arguments.store.choose() {
        Ok(Choice::Postgres(connection)) => {
            store::block_on(migrate_postgres(arguments, &connection))
        }
        Ok(Choice::Sqlite(_)) if arguments.distribute => Err(
            "--distribute is for --store postgres://…: the embedded store is on one machine"
                .to_owned(),
        ),
        Ok(Choice::Sqlite(directory)) => {
            migrate(&directory, dry_run).map_err(|error| error.to_string())
        }
        Err(error) => Err(error),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => fail(error),
    }
}

/// Brings the schema of a shared store up to date, and distributes it where that is asked for.
async fn migrate_postgres(
    arguments: &MigrateArguments,
    connection: &ConnectionString,
) -> Result<(), postgres::OpenError> {
    let dry_run = arguments.dry_run;
    let applied = PostgresStore::migrate(connection, dry_run).await?;
    match applied.migrations.as_slice() {
        [] => println!("the schema is up to date"),
        migrations => say(migrations, dry_run),
    }
    if arguments.distribute {
        let distributed = PostgresStore::distribute(connection, dry_run).await?;
        if distributed.is_empty() {
            println!("the schema is distributed");
        }
        let done = if dry_run {
            "would distribute"
        } else {
            "distributed"
        };
        for what in distributed {
            println!("{done} {what}");
        }
    }
    Ok(())
}

/// Brings the embedded store of a directory up to date, and says what `serve` would make of it.
fn migrate(directory: &Path, dry_run: bool) -> Result<(), OpenError> {
    match sqlite::inspect(directory)? {
        Existing::Database(version) => println!(
            "the schema of the store in {} is up to date: version {version}",
            directory.display()
        ),
        Existing::Nothing(version) => println!(
            "there is no store in {} yet; `untag serve` makes one with schema version {version}",
            directory.display()
        ),
        Existing::Older(migrations) => {
            if !dry_run && let Some(left) = sqlite::migrate(directory)? {
                eprintln!("untag: {left}");
            }
            let name =
                |migration: &sqlite::Migration| format!("{} {}", migration.version, migration.name);
            say(migrations.iter().map(name), dry_run);
        }
    }
    Ok(())
}

fn say(migrations: impl IntoIterator<Item = impl Display>, dry_run: bool) {
    let done = if dry_run { "would apply" } else { "applied" };
    for migration in migrations {
        println!("{done} migration {migration}");
    }
}
