//! Reverts that only validate.

use rusqlite::Connection;

use crate::domain::{RevertCommand, Reverted};
use crate::store::StoreError;
use crate::store::sqlite::error::ApplyError;
use crate::store::sqlite::format::UserTables;
use crate::store::sqlite::log::changes::extremes;
use crate::store::sqlite::log::{Published, Tombstones};
use crate::store::sqlite::write::plan_revert;

/// Checks a revert, and changes nothing.
pub fn check_revert(
    connection: &Connection,
    published: &Published,
    command: &RevertCommand,
) -> Result<Result<Reverted, StoreError>, ApplyError> {
    let (snapshot, in_force) = published.snapshot(connection, Tombstones::clone)?;
    let Some(effects) = &command.effects else {
        let oldest = extremes(&snapshot, &command.account)?.oldest;
        return Ok(Err(StoreError::Compacted { oldest }));
    };
    let removed = |number| in_force.of(number);
    let plan = plan_revert(command, effects, UserTables(&snapshot), removed)?;
    Ok(plan.answer(command))
}
