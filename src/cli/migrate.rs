//! `untag migrate`.

use std::process::ExitCode;

use super::args::MigrateArguments;
use super::fail;
use super::store::{self, Choice};
use crate::store::postgres::PostgresStore;

pub fn run(arguments: &MigrateArguments) -> ExitCode {
    let connection = match arguments.store.choose() {
        Ok(Choice::Postgres(connection)) => connection,
        Ok(Choice::Sqlite(_)) => {
            println!("the embedded store brings its schema up to date by itself when it is opened");
            return ExitCode::SUCCESS;
        }
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
