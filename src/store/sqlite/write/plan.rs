//! What one command comes to: everything is looked up and checked before anything is written.

use crate::domain::{
    Changed, Effect, EffectKind, Expected, Mismatch, ResourceId, TagCommand, UntagCommand, limits,
};
use crate::store::StoreError;
use crate::store::sqlite::error::{ApplyError, CorruptTags};
use crate::store::sqlite::format::tags::{self, TagMask};
use crate::store::sqlite::format::tombstone::Tombstone;
use crate::store::sqlite::format::{LoggedEffect, Record, Rewrite};
use crate::store::sqlite::index::{KnownKeys, Lookup};
use crate::store::sqlite::log::changes::{FreshEffect, RemovedTags};

/// The plan of a command: its answer, its tombstones, the rows to write with the removed tags that they lose for good, and what its entry
/// says of each user that it changes.
pub struct Plan {
    pub answer: Result<Changed, StoreError>,
    pub tombstones: Vec<Tombstone>,
    pub rewrites: Vec<Rewrite>,
    pub removed: Vec<RemovedTags>,
    pub effects: Vec<LoggedEffect>,
    /// The effects as the audit can be told of them, where no row has to be read for that.
    pub fresh: Option<Vec<FreshEffect>>,
}

impl Plan {
    fn refused(error: StoreError) -> Self {
        Self {
            answer: Err(error),
            tombstones: Vec::new(),
            rewrites: Vec::new(),
            removed: Vec::new(),
            effects: Vec::new(),
            fresh: None,
        }
    }
}

/// The tags of a record that an untag selects, and those that stay, since they have another value than expected.
pub struct Selected {
    tags: SelectedTags,
    mismatches: Vec<Mismatch>,
}

impl Selected {
    /// What an untag selects of the record of the target at this position, which has lost these tags already.
    pub fn of(
        command: &UntagCommand,
        target: usize,
        record: &Record<'_>,
        removed: TagMask,
    ) -> Result<Self, CorruptTags> {
        let mut goes = tags::selected(record.tags, removed, &command.selection)?;
        let mut mismatches = Vec::new();
        if let Some(Expected { values, .. }) = &command.expected {
            let (stay, keys) = tags::mismatched(record.tags, removed, values)?;
            goes &= !stay;
            mismatches.extend(keys.into_iter().map(|key| Mismatch { target, key }));
        }
        Ok(Self {
            tags: SelectedTags {
                target,
                number: record.number,
                removed,
                selected: goes,
                keys: None,
            },
            mismatches,
        })
    }
}

/// Plans an untag, record by record.
pub struct Untag<'command> {
    command: &'command UntagCommand,
    resources: usize,
    tags: usize,
    tombstones: Vec<Tombstone>,
    effects: Vec<LoggedEffect>,
    fresh: Option<Vec<FreshEffect>>,
    mismatches: Vec<Mismatch>,
}

/// The selected tags of a target's record.
pub struct SelectedTags {
    /// The position of the target.
    pub target: usize,
    /// The number of the record.
    pub number: i64,
    /// The tags that it has lost already, and the others that are selected.
    pub removed: TagMask,
    pub selected: TagMask,
    /// The keys of the record, where they are known.
    pub keys: Option<KnownKeys>,
}

impl<'command> Untag<'command> {
    pub fn plan(command: &'command UntagCommand) -> Self {
        Self {
            command,
            resources: 0,
            tags: 0,
            tombstones: Vec::new(),
            effects: Vec::new(),
            fresh: Some(Vec::new()),
            mismatches: Vec::new(),
        }
    }

    /// Takes what was found of the next record.
    pub fn add(&mut self, found: Selected) {
        self.add_selected(&found.tags);
        self.mismatches.extend(found.mismatches);
    }

    /// Takes the next record, of which these tags are selected.
    pub fn add_selected(&mut self, tags: &SelectedTags) {
        self.resources += 1;
        let &SelectedTags {
            number, selected, ..
        } = tags;
        if selected == 0 {
            return;
        }
        self.tags += selected.count_ones() as usize;
        self.tombstones.push(Tombstone {
            number,
            removed: tags.removed | selected,
        });
        self.effects.push(LoggedEffect::removed(number, selected));
        let known = self.fresh.take().zip(tags.keys);
        self.fresh = known.map(|(mut fresh, keys)| {
            fresh.push(FreshEffect {
                target: tags.target,
                removed: selected,
                keys,
            });
            fresh
        });
    }

    /// The plan, where these targets do not exist.
    pub fn finish(self, missing: Vec<usize>) -> Plan {
        if !missing.is_empty() && !self.command.allow_missing {
            return Plan::refused(StoreError::Missing(missing));
        }
        if self.command.is_refused_for(&self.mismatches) {
            return Plan::refused(StoreError::Mismatched(self.mismatches));
        }
        Plan {
            answer: Ok(Changed {
                changed_resources: Some(self.effects.len()),
                mismatches: self.mismatches,
                ..Changed::count(self.resources, self.tags)
            }),
            tombstones: self.tombstones,
            rewrites: Vec::new(),
            removed: Vec::new(),
            effects: self.effects,
            fresh: self.fresh,
        }
    }
}

/// Plans a tag. `removed` tells what a record, by its number, has lost already.
pub fn plan_tag(
    lookup: &mut Lookup<'_>,
    command: &TagCommand,
    removed: impl Fn(i64) -> TagMask,
) -> Result<Plan, ApplyError> {
    let mut over_limit = Vec::new();
    let mut changed_tags = 0;
    let mut plan = Plan {
        answer: Ok(Changed::default()),
        tombstones: Vec::new(),
        rewrites: Vec::new(),
        removed: Vec::new(),
        effects: Vec::new(),
        fresh: None,
    };
    let missing = lookup.each(&command.account, &command.targets, |position, record| {
        let (number, encoded) = (record.number, record.tags);
        let removed = removed(number);
        let (tags, count) = tags::with(encoded, removed, &command.tags)?;
        let set = tags::changed(encoded, removed, &command.tags)?;
        if count > limits::TAGS_OF_A_USER {
            over_limit.push(position);
        } else if !set.is_empty() {
            changed_tags += set.len();
            if removed != 0 {
                plan.tombstones.push(Tombstone { number, removed: 0 });
            }
            plan.removed
                .extend(RemovedTags::of(number, record.id, encoded, removed)?);
            plan.rewrites.push(record.rewrite(tags));
            let effect = Effect {
                resource_id: ResourceId::parse(record.id).map_err(|_| CorruptTags)?,
                kind: EffectKind::Tags {
                    removed: Vec::new(),
                    set,
                },
            };
            plan.effects.push(LoggedEffect::new(number, &effect));
        }
        Ok::<_, ApplyError>(())
    })?;
    if !missing.is_empty() {
        return Ok(Plan::refused(StoreError::Missing(missing)));
    }
    if !over_limit.is_empty() {
        return Ok(Plan::refused(StoreError::TagLimit(over_limit)));
    }
    plan.answer = Ok(Changed {
        changed_resources: Some(plan.effects.len()),
        ..Changed::count(command.targets.count(), changed_tags)
    });
    Ok(plan)
}
