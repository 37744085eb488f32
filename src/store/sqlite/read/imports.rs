//! Imports that only validate.

use rusqlite::Connection;

use crate::domain::{ImportCommand, Imported};
use crate::store::sqlite::error::ApplyError;
use crate::store::sqlite::format::UserTables;
use crate::store::sqlite::log::{Published, Tombstones};
use crate::store::sqlite::write::plan_import;

/// Checks an import, and changes nothing.
pub fn check_import(
    connection: &Connection,
    published: &Published,
    command: &ImportCommand,
) -> Result<Imported, ApplyError> {
    let (snapshot, in_force) = published.snapshot(connection, Tombstones::clone)?;
    let removed = |number| in_force.of(number);
    Ok(plan_import(command, UserTables(&snapshot), removed)?.answer())
}
