//! Imports of users, planned in full before anything of them is written.

use std::collections::HashMap;

use super::apply::{Answer, Rows, refused};
use super::users::{Before, UserPlan};
use super::written::Written;
use crate::domain::{
    Effect, EffectKind, ImportCommand, ImportPlan, Imported, Origin, Present, PresentUsers,
    ResourceId, UserChange, new_name,
};
use crate::store::sqlite::error::{ApplyError, CorruptLog};
use crate::store::sqlite::format::UserTables;
use crate::store::sqlite::format::tags::TagMask;
use crate::store::sqlite::log::{Tombstones, Uncommitted};

/// An import that can be carried out, with what there is of its users, by id.
pub struct PlannedImport {
    plan: ImportPlan,
    before: HashMap<ResourceId, Before>,
    /// The rows of users whose names other users of the import get.
    give_up_names: Vec<i64>,
}

/// Plans an import. `removed` tells which tags the row of a number has lost.
pub fn plan(
    command: &ImportCommand,
    tables: UserTables<'_>,
    removed: impl Fn(i64) -> TagMask,
) -> Result<PlannedImport, ApplyError> {
    let account = command.account();
    let mut present = PresentUsers::default();
    let mut before = HashMap::with_capacity(command.users().len());
    for user in command.users() {
        let found = Before::read(tables, (account, command.time()), &user.id, &removed)?;
        let now = match &found {
            Before::There(stored) => Present::There(Box::new(stored.user.clone())),
            Before::Deleted(stored) => Present::Deleted(Box::new(stored.user.clone())),
            Before::Absent | Before::Expired(_) => Present::Absent,
        };
        if !matches!(now, Present::Absent) {
            present.users.insert(user.id.clone(), now);
        }
        before.insert(user.id.clone(), found);
    }
    for name in command.names() {
        if let Some(id) = tables.holder_id(account, name)? {
            present.holders.insert(name.folded(), id);
        }
    }
    let plan = ImportPlan::of(command, &present);
    let row = |effect: &Effect| {
        let holder = present.holders.get(&new_name(effect)?.folded())?;
        match before.get(holder) {
            Some(Before::There(stored)) if *holder != effect.resource_id => Some(stored.number),
            _ => None,
        }
    };
    let give_up_names = plan.effects.iter().filter_map(row).collect();
    Ok(PlannedImport {
        plan,
        before,
        give_up_names,
    })
}

impl PlannedImport {
    /// What the import comes to, before it has a revision.
    pub fn answer(&self) -> Imported {
        self.plan.answer()
    }

    /// Writes what the import does to users in the open transaction, and plans what it does to tags of others.
    fn write(
        mut self,
        command: &ImportCommand,
        tables: UserTables<'_>,
        changes: &mut Uncommitted,
        in_force: &Tombstones,
    ) -> Result<Written, ApplyError> {
        let of_users = self.plan.effects.iter().filter_map(Effect::user_change);
        let of_users: Vec<UserChange> = of_users.collect();
        let before = of_users.iter().map(|change| {
            let before = self.before.remove(change.id());
            (change, before.unwrap_or(Before::Absent))
        });
        let place = (command.account(), command.time());
        let plan = UserPlan::settled(place, before, self.give_up_names).ok_or(CorruptLog)?;
        let mut written = Written::of_users(plan, tables, changes, in_force)?;
        for effect in &self.plan.effects {
            if let EffectKind::Tags { .. } = &effect.kind
                && let Some(Before::There(row)) = self.before.get(&effect.resource_id)
            {
                let lost = changes.of(row.number, in_force);
                written.change_tags(effect, row, lost)?;
            }
        }
        Ok(written)
    }
}

impl Rows<'_> {
    /// Makes an import.
    pub fn import(
        &mut self,
        command: &ImportCommand,
        origin: &Origin,
        changes: &mut Uncommitted,
    ) -> Answer<Imported> {
        let tables = UserTables(self.connection);
        let removed = |number| changes.of(number, self.in_force);
        let plan = match refused(plan(command, tables, removed))? {
            Ok(plan) => plan,
            Err(error) => return Ok(Err(error)),
        };
        let answer = plan.answer();
        let written = plan.write(command, tables, changes, self.in_force)?;
        let revision = self.finish(command.account(), origin, written, changes)?;
        Ok(Ok(Imported { revision, ..answer }))
    }
}
