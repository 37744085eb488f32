//! How a job is applied: it is planned by the rows as the open transaction finds them, written, and recorded in the change log.

use std::sync::Arc;

use rusqlite::Connection;

use super::job::{Job, Work};
use super::plan::{Plan, plan_tag};
use super::{untags, users};
use crate::domain::{
    AccountId, Applied, Changed, Effect, EffectKind, Origin, ResourceId, Revision, UntagCommand,
    UserCommand, UsersChanged,
};
use crate::store::StoreError;
use crate::store::sqlite::error::{ApplyError, CorruptLog, CorruptTags};
use crate::store::sqlite::format::{self, LoggedEffect, Rewriter, RowReader, UserTables, tags};
use crate::store::sqlite::index::{Lookup, LookupResult};
use crate::store::sqlite::log::changes::{self, ChangeLog, FreshUntag, Known, RemovedTags};
use crate::store::sqlite::log::{Tombstones, Uncommitted};

/// What came of a job: its answer, and an error only where the transaction is lost.
pub type Answer<T> = Result<Result<T, StoreError>, ApplyError>;

/// The rows as a transaction finds them, and the log that it adds to.
pub struct Rows<'connection> {
    pub connection: &'connection Connection,
    pub lookup: Lookup<'connection>,
    pub rewriter: Rewriter<'connection>,
    pub in_force: &'connection Tombstones,
    pub log: &'connection mut ChangeLog,
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
        match &mut job.work {
            Work::Untag(command, origin, pending) => {
                let answer = self.once(&command.account, origin, changes, |rows, changes| {
                    let Rows {
                        lookup, in_force, ..
                    } = rows;
                    let plan = untags::plan(command, results, lookup, changes, in_force);
                    rows.untag(command, origin, plan, changes)
                });
                pending.set(answer?);
            }
            Work::Tag(command, origin, pending) => {
                let answer = self.once(&command.account, origin, changes, |rows, changes| {
                    let removed = |number| changes.of(number, rows.in_force);
                    let plan = plan_tag(&mut rows.lookup, command, removed);
                    rows.write(&command.account, origin, plan, changes)
                });
                pending.set(answer?);
            }
            Work::Users(command, origin, pending) => {
                let answer = self.once(command.account(), origin, changes, |rows, changes| {
                    rows.change_users(command, origin, changes)
                });
                pending.set(answer?);
            }
            Work::Import(command, origin, pending) => {
                let answer = self.once(command.account(), origin, changes, |rows, changes| {
                    rows.import(command, origin, changes)
                });
                pending.set(answer?);
            }
            Work::Revert(command, origin, pending) => {
                let answer = self.once(&command.account, origin, changes, |rows, changes| {
                    rows.revert(command, origin, changes)
                });
                pending.set(answer?);
            }
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

    /// Makes a change, unless it is the repetition of one: then its answer is the same again.
    fn once<T: changes::Answer>(
        &mut self,
        account: &AccountId,
        origin: &Origin,
        changes: &mut Uncommitted,
        make: impl FnOnce(&mut Self, &mut Uncommitted) -> Answer<T>,
    ) -> Answer<T> {
        let Some(repeat) = &origin.repeat else {
            return make(self, changes);
        };
        let (connection, now) = (self.connection, self.log.time());
        let tokens = &mut self.log.tokens;
        match tokens.look(connection, account, (origin, repeat), now)? {
            Known::Answered(answer) => return Ok(Ok(answer)),
            Known::Mismatch => return Ok(Err(StoreError::TokenMismatch)),
            Known::Full => return Ok(Err(StoreError::TokensFull)),
            Known::New => {}
        }
        let answer = make(self, changes)?;
        if let Ok(answer) = &answer {
            let tokens = &mut self.log.tokens;
            tokens.keep(connection, account, (origin, repeat), answer, now)?;
            changes.touched();
        }
        Ok(answer)
    }

    /// Writes the plan of an untag, and tells the audit of it where it can.
    fn untag(
        &mut self,
        command: &Arc<UntagCommand>,
        origin: &Arc<Origin>,
        mut plan: Result<Plan, ApplyError>,
        changes: &mut Uncommitted,
    ) -> Answer<Changed> {
        let fresh = plan.as_mut().ok().and_then(|plan| plan.fresh.take());
        let answer = self.write(&command.account, origin, plan, changes)?;
        if let Some(effects) = fresh.filter(|effects| !effects.is_empty())
            && let Ok(Changed {
                revision: Some(revision),
                ..
            }) = answer
        {
            self.log.tell(FreshUntag {
                command: Arc::clone(command),
                origin: Arc::clone(origin),
                revision,
                effects,
            });
        }
        Ok(answer)
    }

    /// Writes a plan, and adds its entry. Returns its answer.
    fn write(
        &mut self,
        account: &AccountId,
        origin: &Origin,
        plan: Result<Plan, ApplyError>,
        changes: &mut Uncommitted,
    ) -> Answer<Changed> {
        let plan = match refused(plan)? {
            Ok(plan) => plan,
            Err(error) => return Ok(Err(error)),
        };
        let Ok(answer) = plan.answer else {
            return Ok(plan.answer);
        };
        let revision = self.record(account, origin, plan.effects)?;
        self.keep(&plan.removed, changes)?;
        for rewrite in plan.rewrites {
            self.rewriter.write(&rewrite)?;
            changes.rewrote(rewrite);
        }
        for tombstone in plan.tombstones {
            changes.add(tombstone);
        }
        Ok(Ok(Changed { revision, ..answer }))
    }

    fn change_users(
        &mut self,
        command: &UserCommand,
        origin: &Origin,
        changes: &mut Uncommitted,
    ) -> Answer<UsersChanged> {
        let tables = UserTables(self.connection);
        let plan = users::plan(command, tables, |number| changes.of(number, self.in_force));
        let plan = match refused(plan)?.and_then(|plan| plan) {
            Ok(plan) => plan,
            Err(error) => return Ok(Err(error)),
        };
        let written = plan.write(tables, changes, self.in_force)?;
        let count = written.effects.len();
        let revision = self.record(command.account(), origin, written.effects)?;
        self.keep(&written.removed, changes)?;
        Ok(Ok(UsersChanged {
            users: written.users,
            changed: count,
            revision,
            ..UsersChanged::default()
        }))
    }

    /// Keeps the removed tags of rows that are rewritten, once the entry is added.
    pub(super) fn keep(
        &mut self,
        removed: &[RemovedTags],
        changes: &mut Uncommitted,
    ) -> Result<(), ApplyError> {
        for removed in removed {
            self.log.keep_removed(self.connection, removed)?;
            changes.kept(removed);
        }
        Ok(())
    }

    /// Adds the entry of a change that has these effects. Returns its revision, or the newest of the account where there are none.
    pub(super) fn record(
        &mut self,
        account: &AccountId,
        origin: &Origin,
        mut effects: Vec<LoggedEffect>,
    ) -> Result<Option<Revision>, ApplyError> {
        if effects.is_empty() {
            return self.log.newest(self.connection, account);
        }
        for effect in &mut effects {
            if effect.removed != 0 && self.log.has_kept(effect.number) {
                *effect = self.with_values(effect)?;
            }
        }
        let revision = self.log.add(self.connection, account, origin, effects)?;
        Ok(Some(revision))
    }

    /// The effect of an untag with the tags that it removes, which lie in their row.
    fn with_values(&self, effect: &LoggedEffect) -> Result<LoggedEffect, ApplyError> {
        let found = RowReader::new(self.connection)?.read(effect.number, |record| {
            let effect = Effect {
                resource_id: ResourceId::parse(record.id).map_err(|_| CorruptTags)?,
                kind: EffectKind::Tags {
                    removed: tags::decode(record.tags, !effect.removed)?,
                    set: Vec::new(),
                },
            };
            Ok::<_, CorruptTags>(effect)
        })?;
        let values = found.ok_or(CorruptLog)??;
        Ok(LoggedEffect::new(effect.number, &values))
    }
}

/// A row that can't be read refuses its own job alone.
pub fn refused<T>(plan: Result<T, ApplyError>) -> Result<Result<T, StoreError>, ApplyError> {
    match plan {
        Err(error @ ApplyError::Tags(_)) => Ok(Err(error.to_store_error(Applied::No))),
        plan => plan.map(Ok),
    }
}
