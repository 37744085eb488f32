//! Reverts: the inverse of a change's effects, planned in full before anything of it is written.

use std::collections::HashMap;

use super::apply::{Answer, Rows, refused};
use super::users::{self, Before};
use crate::domain::{
    Effect, EffectKind, OnConflict, Origin, Present, PresentUsers, ResourceId, Revert,
    RevertCommand, Reverted, SetTag, TagKey, TagValue, UserCommand, UserKey, names_of,
};
use crate::store::StoreError;
use crate::store::sqlite::error::{ApplyError, CorruptLog, CorruptTags};
use crate::store::sqlite::format::tags::{self, TagMask};
use crate::store::sqlite::format::tombstone::Tombstone;
use crate::store::sqlite::format::{LoggedEffect, Rewrite, StoredUser, UserTables};
use crate::store::sqlite::log::changes::{RemovedTags, extremes};
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
            let users = plan.write(tables, changes, in_force)?;
            (written.effects, written.removed) = (users.effects, users.removed);
        }
        for effect in &self.revert.effects {
            if let EffectKind::Tags { removed, set } = &effect.kind {
                let row = self.rows.get(&effect.resource_id).ok_or(CorruptLog)?;
                let lost = changes.of(row.number, in_force);
                written.effects.push(LoggedEffect::new(row.number, effect));
                written.change_tags(row, lost, (removed, set))?;
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
        let revision = self.record(account, origin, written.effects)?;
        self.keep(&written.removed, changes)?;
        for rewrite in written.rewrites {
            self.rewriter.write(&rewrite)?;
            changes.rewrote(rewrite);
        }
        for tombstone in written.tombstones {
            changes.add(tombstone);
        }
        Ok(Ok(Reverted { revision, ..answer }))
    }
}

/// What a revert has written, and what is to be written once its entry is added.
#[derive(Default)]
pub struct Written {
    pub effects: Vec<LoggedEffect>,
    /// The removed tags that rows lose for good.
    pub removed: Vec<RemovedTags>,
    pub rewrites: Vec<Rewrite>,
    pub tombstones: Vec<Tombstone>,
}

impl Written {
    /// Adds the row of a user with other tags, which has lost some already.
    fn change_tags(
        &mut self,
        row: &StoredUser,
        lost: TagMask,
        (gone, set): (&[(TagKey, TagValue)], &[SetTag]),
    ) -> Result<(), CorruptTags> {
        let resource = &row.user.resource;
        let mut tags = resource.tags().clone();
        for (key, _) in gone {
            tags.remove(key);
        }
        tags.extend(set.iter().map(|tag| (tag.key.clone(), tag.new.clone())));
        let (number, id) = (row.number, resource.id.as_str());
        if lost != 0 {
            self.tombstones.push(Tombstone { number, removed: 0 });
        }
        let kept = RemovedTags::of(number, id, &row.tags, lost)?;
        self.removed.extend(kept);
        self.rewrites.push(Rewrite {
            number,
            account: resource.account.as_str().into(),
            id: id.into(),
            name: resource.principal_name.as_str().into(),
            tags: tags::encode(&tags),
        });
        Ok(())
    }
}
