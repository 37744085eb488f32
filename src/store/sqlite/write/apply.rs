//! Applies jobs to the rows of the open transaction.

use rusqlite::Connection;

use super::job::{Job, Work};
use super::plan::{Plan, plan_tag};
use super::{untags, users};
use crate::domain::{Applied, Changed, User, UserCommand};
use crate::store::StoreError;
use crate::store::sqlite::error::ApplyError;
use crate::store::sqlite::format::{self, Rewriter, UserTables};
use crate::store::sqlite::index::{Lookup, LookupResult};
use crate::store::sqlite::log::{Tombstones, Uncommitted};

/// The rows as a transaction finds them.
pub struct Rows<'connection> {
    pub connection: &'connection Connection,
    pub lookup: Lookup<'connection>,
    pub rewriter: Rewriter<'connection>,
    pub in_force: &'connection Tombstones,
    /// Whether a check has to write.
    pub touch: bool,
}

impl Rows<'_> {
    /// Applies a job, and sets its answer. An untag comes with what was found of its targets.
    pub fn apply(
        &mut self,
        job: &mut Job,
        results: &[LookupResult],
        changes: &mut Uncommitted,
    ) -> Result<(), ApplyError> {
        // Nobody is told that it was made.
        if job.is_abandoned() {
            job.refuse(StoreError::stopped(Applied::No));
            return Ok(());
        }
        let Self {
            lookup, in_force, ..
        } = self;
        match &mut job.work {
            Work::Untag(command, pending) => {
                let plan = untags::plan(command, results, lookup, changes, in_force);
                pending.set(self.write(plan, changes)?);
            }
            Work::Tag(command, pending) => {
                let plan = plan_tag(lookup, command, |number| changes.of(number, in_force));
                pending.set(self.write(plan, changes)?);
            }
            Work::Users(command, pending) => pending.set(self.change_users(command, changes)?),
            Work::Check(pending) => {
                if self.touch {
                    format::touch(self.connection)?;
                    changes.touched();
                }
                pending.set(Ok(()));
            }
        }
        Ok(())
    }

    /// Writes a plan. Returns its answer.
    fn write(
        &mut self,
        plan: Result<Plan, ApplyError>,
        changes: &mut Uncommitted,
    ) -> Result<Result<Changed, StoreError>, ApplyError> {
        let plan = match refused(plan)? {
            Ok(plan) => plan,
            Err(error) => return Ok(Err(error)),
        };
        for rewrite in plan.rewrites {
            self.rewriter.write(&rewrite)?;
            changes.rewrote(rewrite);
        }
        for tombstone in plan.tombstones {
            changes.add(tombstone);
        }
        Ok(plan.answer)
    }

    fn change_users(
        &self,
        command: &UserCommand,
        changes: &mut Uncommitted,
    ) -> Result<Result<Vec<User>, StoreError>, ApplyError> {
        let tables = UserTables(self.connection);
        let plan = users::plan(command, tables, |number| changes.of(number, self.in_force));
        match refused(plan)?.and_then(|plan| plan) {
            Ok(plan) => Ok(Ok(plan.write(tables, changes, self.in_force)?)),
            Err(error) => Ok(Err(error)),
        }
    }
}

/// A row that can't be read refuses its own job alone.
fn refused<T>(plan: Result<T, ApplyError>) -> Result<Result<T, StoreError>, ApplyError> {
    match plan {
        Err(error @ ApplyError::Tags(_)) => Ok(Err(error.to_store_error(Applied::No))),
        plan => plan.map(Ok),
    }
}
