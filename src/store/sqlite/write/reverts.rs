//! Reverts: the inverse of a change's effects, planned in full before anything of it is written.

use std::collections::HashMap;
use std::mem::take;

use super::apply::{Answer, Rows, refused};
use super::users::{self, Before};
use super::written::Written;
use crate::domain::{
    AccountId, Effect, EffectKind, OnConflict, Origin, Present, PresentUsers, ResourceId, Revert,
    RevertCommand, Reverted, Revision, UserCommand, UserKey, names_of,
};
use crate::store::StoreError;
use crate::store::sqlite::error::{ApplyError, CorruptLog};
use crate::store::sqlite::format::tags::TagMask;
use crate::store::sqlite::format::{StoredUser, UserTables};
use crate::store::sqlite::log::changes::extremes;
use crate::store::sqlite::log::{Tombstones, Uncommitted};

/// A revert that can be carried out, with the rows of the users whose tags it changes.
pub struct RevertPlan {
    revert: Revert,
    rows: HashMap<ResourceId, StoredUser>,
}

/// Plans a revert of these effects. `removed` tells which tags the row of a number has lost.
pub fn plan(
    command: &RevertCommand,
    effects: &[Effect],
    tables: UserTables<'_>,
    removed: impl Fn(i64) -> TagMask,
) -> Result<RevertPlan, ApplyError> {
    let account = &command.account;
    let mut present = PresentUsers::default();
    let mut rows = HashMap::new();
    for Effect { resource_id, .. } in effects {
        let before = Before::read(tables, (account, command.time), resource_id, &removed)?;
        let user = match before {
            Before::There(stored) => {
                let user = Present::There(Box::new(stored.user.clone()));
                rows.insert(resource_id.clone(), stored);
                user
            }
            Before::Deleted(stored) => Present::Deleted(Box::new(stored.user)),
            Before::Absent | Before::Expired(_) => Present::Absent,
        };
        present.users.insert(resource_id.clone(), user);
    }
    for name in names_of(effects) {
        let holder = tables.find(account, &UserKey::Name(name.clone()), &removed)?;
        if let Some(holder) = holder {
            let id = holder.user.resource.id;
            present.holders.insert(name.folded(), id);
        }
    }
    Ok(RevertPlan {
        revert: Revert::of(effects, &present, command.time),
        rows,
    })
}

impl RevertPlan {
    /// What the revert comes to, before it has a revision.
    ///
    /// # Errors
    /// [`StoreError::Conflicts`] where it is refused for them. A command that only validates is not.
    pub fn answer(&self, command: &RevertCommand) -> Result<Reverted, StoreError> {
        let conflicts = &self.revert.conflicts;
        let is_refused = command.on_conflict == OnConflict::Fail && !command.validate_only;
        if is_refused && !conflicts.is_empty() {
            return Err(StoreError::Conflicts(conflicts.clone()));
        }
        Ok(self.revert.clone().into())
    }

    /// Writes what the revert does to users in the open transaction, and plans what it does to their tags.
    pub fn write(
        self,
        command: &RevertCommand,
        tables: UserTables<'_>,
        changes: &mut Uncommitted,
        in_force: &Tombstones,
    ) -> Result<Result<Written, StoreError>, ApplyError> {
        let mut written = Written::default();
        let of_users: Vec<_> = self
            .revert
            .effects
            .iter()
            .filter_map(Effect::user_change)
            .collect();
        if !of_users.is_empty() {
            let users = UserCommand::new(command.account.clone(), command.time, of_users);
            // Effects are of different users, and no entry has more of them than a command may have.
            let users = users.map_err(|_| CorruptLog)?;
            let plan = users::plan(&users, tables, |number| changes.of(number, in_force))?;
            let plan = match plan {
                Ok(plan) => plan,
                Err(error) => return Ok(Err(error)),
            };
            written = Written::of_users(plan, tables, changes, in_force)?;
        }
        for effect in &self.revert.effects {
            if let EffectKind::Tags { .. } = &effect.kind {
                let row = self.rows.get(&effect.resource_id).ok_or(CorruptLog)?;
                let lost = changes.of(row.number, in_force);
                written.change_tags(effect, row, lost)?;
            }
        }
        Ok(Ok(written))
    }
}

impl Rows<'_> {
    /// Makes a revert.
    pub fn revert(
        &mut self,
        command: &RevertCommand,
        origin: &Origin,
        changes: &mut Uncommitted,
    ) -> Answer<Reverted> {
        let account = &command.account;
        let Some(effects) = &command.effects else {
            let oldest = extremes(self.connection, account)?.oldest;
            return Ok(Err(StoreError::Compacted { oldest }));
        };
        let tables = UserTables(self.connection);
        let removed = |number| changes.of(number, self.in_force);
        let plan = match refused(plan(command, effects, tables, removed))? {
            Ok(plan) => plan,
            Err(error) => return Ok(Err(error)),
        };
        let answer = match plan.answer(command) {
            Ok(answer) => answer,
            Err(error) => return Ok(Err(error)),
        };
        let written = match plan.write(command, tables, changes, self.in_force)? {
            Ok(written) => written,
            Err(error) => return Ok(Err(error)),
        };
        let revision = self.finish(account, origin, written, changes)?;
        Ok(Ok(Reverted { revision, ..answer }))
    }

    /// Adds the entry of a planned change, and writes the tags that it changes. Returns its revision, or the newest of the account
    /// where nothing was changed.
    pub fn finish(
        &mut self,
        account: &AccountId,
        origin: &Origin,
        mut written: Written,
        changes: &mut Uncommitted,
    ) -> Result<Option<Revision>, ApplyError> {
        let revision = self.record(account, origin, take(&mut written.effects))?;
        self.keep(&written.removed, changes)?;
        written.rewrite(&mut self.rewriter, changes)?;
        Ok(revision)
    }
}
