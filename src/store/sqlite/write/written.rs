//! What is written of effects on users and on their tags, for a change that was planned by what was read of them.

use super::users::UserPlan;
use crate::domain::{Effect, EffectKind};
use crate::store::sqlite::error::{ApplyError, CorruptTags};
use crate::store::sqlite::format::tags::{self, TagMask};
use crate::store::sqlite::format::tombstone::Tombstone;
use crate::store::sqlite::format::{LoggedEffect, Rewrite, Rewriter, StoredUser, UserTables};
use crate::store::sqlite::log::changes::RemovedTags;
use crate::store::sqlite::log::{Tombstones, Uncommitted};

/// What a planned change has written, and what is to be written once its entry is added.
#[derive(Default)]
pub struct Written {
    pub effects: Vec<LoggedEffect>,
    /// The removed tags that rows lose for good.
    pub removed: Vec<RemovedTags>,
    rewrites: Vec<Rewrite>,
    tombstones: Vec<Tombstone>,
}

impl Written {
    /// Writes the changes of users of a plan in the open transaction.
    pub fn of_users(
        plan: UserPlan<'_>,
        tables: UserTables<'_>,
        changes: &mut Uncommitted,
        in_force: &Tombstones,
    ) -> Result<Self, ApplyError> {
        let users = plan.write(tables, changes, in_force)?;
        Ok(Self {
            effects: users.effects,
            removed: users.removed,
            ..Self::default()
        })
    }

    /// Adds an effect on the tags of the user of a row, which has lost these already. It is no other effect.
    pub fn change_tags(
        &mut self,
        effect: &Effect,
        row: &StoredUser,
        lost: TagMask,
    ) -> Result<(), CorruptTags> {
        debug_assert!(matches!(effect.kind, EffectKind::Tags { .. }));
        let resource = &row.user.resource;
        let tags = effect.tags_after(resource.tags());
        let (number, id) = (row.number, resource.id.as_str());
        self.effects.push(LoggedEffect::new(number, effect));
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

    /// Writes the tags, once the entry is added and what rows lose is kept.
    pub fn rewrite(
        self,
        rewriter: &mut Rewriter<'_>,
        changes: &mut Uncommitted,
    ) -> Result<(), ApplyError> {
        for rewrite in self.rewrites {
            rewriter.write(&rewrite)?;
            changes.rewrote(rewrite);
        }
        for tombstone in self.tombstones {
            changes.add(tombstone);
        }
        Ok(())
    }
}
