//! One command against the tables: first everything is looked up and checked, then what changes is noted or written.

use crate::domain::{Changed, TagCommand, UntagCommand, limits};
use crate::store::StoreError;
use crate::store::sqlite::error::{ApplyError, CorruptTags};
use crate::store::sqlite::format::tags::{self, Removed};
use crate::store::sqlite::format::tombstone::Note;
use crate::store::sqlite::format::{Record, Rewrite};
use crate::store::sqlite::index::Lookup;

/// What a command comes to: its answer, the removals to note for it and the rows to write.
pub struct Plan {
    pub answer: Result<Changed, StoreError>,
    pub notes: Vec<Note>,
    pub rewrites: Vec<Rewrite>,
}

impl Plan {
    fn refused(error: StoreError) -> Self {
        Self {
            answer: Err(error),
            notes: Vec::new(),
            rewrites: Vec::new(),
        }
    }
}

/// Works out an untag, record by record.
pub struct Untag<'command> {
    command: &'command UntagCommand,
    resources: usize,
    tags: usize,
    notes: Vec<Note>,
}

impl<'command> Untag<'command> {
    pub fn plan(command: &'command UntagCommand) -> Self {
        Self {
            command,
            resources: 0,
            tags: 0,
            notes: Vec::new(),
        }
    }

    /// Takes the next record, which has lost these tags already.
    pub fn add(&mut self, record: &Record<'_>, removed: Removed) -> Result<(), CorruptTags> {
        let selected = tags::selected(record.tags, removed, &self.command.selection)?;
        self.add_selected(record.number, removed, selected);
        Ok(())
    }

    /// As `add`, of a record some of whose tags are selected and not removed.
    pub fn add_selected(&mut self, number: i64, removed: Removed, selected: Removed) {
        self.resources += 1;
        if selected != 0 {
            self.tags += selected.count_ones() as usize;
            self.notes.push(Note {
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
            notes: self.notes,
            rewrites: Vec::new(),
        }
    }
}

/// Works out a tag. `removed` tells what a record, by its number, has lost already.
pub fn plan_tag(
    lookup: &mut Lookup<'_>,
    command: &TagCommand,
    removed: impl Fn(i64) -> Removed,
) -> Result<Plan, ApplyError> {
    let mut over_limit = Vec::new();
    let mut notes = Vec::new();
    let mut rewrites = Vec::new();
    let missing = lookup.each(
        &command.account,
        &command.targets,
        |position,
         &Record {
             number,
             tags: encoded,
             ..
         }| {
            let removed = removed(number);
            let (tags, count) = tags::with(encoded, removed, &command.tags)?;
            if count > limits::TAGS_OF_A_USER {
                over_limit.push(position);
            } else if tags != encoded || removed != 0 {
                if removed != 0 {
                    notes.push(Note { number, removed: 0 });
                }
                rewrites.push(Rewrite { number, tags });
            }
            Ok::<_, ApplyError>(())
        },
    )?;
    if !missing.is_empty() {
        return Ok(Plan::refused(StoreError::Missing(missing)));
    }
    if !over_limit.is_empty() {
        return Ok(Plan::refused(StoreError::TagLimit(over_limit)));
    }
    let resources = command.targets.count();
    Ok(Plan {
        answer: Ok(Changed::count(resources, resources * command.tags.len())),
        notes,
        rewrites,
    })
}
