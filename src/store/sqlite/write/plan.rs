//! What one command comes to: everything is looked up and checked before anything is written.

use crate::domain::{Changed, TagCommand, UntagCommand, limits};
use crate::store::StoreError;
use crate::store::sqlite::error::ApplyError;
use crate::store::sqlite::format::Rewrite;
use crate::store::sqlite::format::tags::{self, TagMask};
use crate::store::sqlite::format::tombstone::Tombstone;
use crate::store::sqlite::index::Lookup;

/// The plan of a command: its answer, its tombstones and the rows to write.
pub struct Plan {
    pub answer: Result<Changed, StoreError>,
    pub tombstones: Vec<Tombstone>,
    pub rewrites: Vec<Rewrite>,
}

impl Plan {
    fn refused(error: StoreError) -> Self {
        Self {
            answer: Err(error),
            tombstones: Vec::new(),
            rewrites: Vec::new(),
        }
    }
}

/// Plans an untag, record by record.
pub struct Untag<'command> {
    command: &'command UntagCommand,
    resources: usize,
    tags: usize,
    tombstones: Vec<Tombstone>,
}

impl<'command> Untag<'command> {
    pub fn plan(command: &'command UntagCommand) -> Self {
        Self {
            command,
            resources: 0,
            tags: 0,
            tombstones: Vec::new(),
        }
    }

    /// Takes the next record, which has lost these tags already, and of which these others are selected.
    pub fn add_selected(&mut self, number: i64, removed: TagMask, selected: TagMask) {
        self.resources += 1;
        if selected != 0 {
            self.tags += selected.count_ones() as usize;
            self.tombstones.push(Tombstone {
                number,
                removed: removed | selected,
            });
        }
    }

    /// The plan, where these targets do not exist.
    pub fn finish(self, missing: Vec<usize>) -> Plan {
        if !missing.is_empty() && !self.command.allow_missing {
            return Plan::refused(StoreError::Missing(missing));
        }
        Plan {
            answer: Ok(Changed::count(self.resources, self.tags)),
            tombstones: self.tombstones,
            rewrites: Vec::new(),
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
    let mut tombstones = Vec::new();
    let mut rewrites = Vec::new();
    let missing = lookup.each(&command.account, &command.targets, |position, record| {
        let (number, encoded) = (record.number, record.tags);
        let removed = removed(number);
        let (tags, count) = tags::with(encoded, removed, &command.tags)?;
        if count > limits::TAGS_OF_A_USER {
            over_limit.push(position);
        } else if tags != encoded || removed != 0 {
            if removed != 0 {
                tombstones.push(Tombstone { number, removed: 0 });
            }
            rewrites.push(record.rewrite(tags));
        }
        Ok::<_, ApplyError>(())
    })?;
    if !missing.is_empty() {
        return Ok(Plan::refused(StoreError::Missing(missing)));
    }
    if !over_limit.is_empty() {
        return Ok(Plan::refused(StoreError::TagLimit(over_limit)));
    }
    let resources = command.targets.count();
    Ok(Plan {
        answer: Ok(Changed::count(resources, resources * command.tags.len())),
        tombstones,
        rewrites,
    })
}
