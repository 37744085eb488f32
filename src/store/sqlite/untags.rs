//! The untags of a batch, looked up together in the order of their rows: neighbours share pages of the table and of its
//! tree, which are in no cache by the time that the next request asks for one of them.

use super::apply::{Plan, Untag};
use super::folding::Uncommitted;
use super::key::Key;
use super::lookup::Lookup;
use super::removals::{Removals, Removed};
use super::tags::{self, CorruptTags};
use crate::domain::UntagCommand;

/// A target of one of the commands.
struct Target<'command> {
    /// The number that its record may have.
    guess: Option<i64>,
    key: Key<'command>,
    command: &'command UntagCommand,
    /// Its place among the targets of all commands.
    place: usize,
}

/// What there is of a target.
#[derive(Debug, Clone, Copy)]
pub enum Sighting {
    Missing,
    Corrupt,
    /// A record, which of its tags were removed when it was looked up, and which of the others are selected.
    Record {
        number: i64,
        removed: Removed,
        selected: Removed,
    },
}

/// Looks up the targets of these commands, and returns what there is of them in the order of the commands.
pub fn look_up<'command>(
    lookup: &mut Lookup<'_>,
    commands: impl Iterator<Item = &'command UntagCommand>,
    changes: &Uncommitted,
    removals: &Removals,
) -> rusqlite::Result<Vec<Sighting>> {
    let mut targets = Vec::new();
    for command in commands {
        for position in 0..command.targets.count() {
            let key = Key::of(&command.account, &command.targets, position);
            targets.push(Target {
                guess: lookup.guess(key),
                key,
                command,
                place: targets.len(),
            });
        }
    }
    // Those without a guess are searched for in an index, and come in its order.
    targets.sort_unstable_by_key(|target| {
        (target.guess, target.guess.is_none().then_some(target.key))
    });
    let mut sightings = vec![Sighting::Missing; targets.len()];
    for target in targets {
        let found = lookup.find(target.key, |record| {
            let removed = changes.of(record.number, removals);
            match tags::selected(record.tags, removed, &target.command.selection) {
                Ok(selected) => Sighting::Record {
                    number: record.number,
                    removed,
                    selected,
                },
                Err(CorruptTags) => Sighting::Corrupt,
            }
        })?;
        if let Some(sighting) = found {
            sightings[target.place] = sighting;
        }
    }
    Ok(sightings)
}

/// Works out an untag from what there is of its targets. Commands before it may have removed more of their tags meanwhile.
pub fn plan(
    command: &UntagCommand,
    sightings: &[Sighting],
    changes: &Uncommitted,
) -> Result<Plan, CorruptTags> {
    let mut plan = Untag::plan(command);
    let mut missing = Vec::new();
    for (position, &sighting) in sightings.iter().enumerate() {
        match sighting {
            Sighting::Missing => missing.push(position),
            Sighting::Corrupt => return Err(CorruptTags),
            Sighting::Record {
                number,
                removed,
                selected,
            } => {
                let removed = changes.changed(number).unwrap_or(removed);
                plan.add_selected(number, removed, selected & !removed);
            }
        }
    }
    Ok(plan.finish(missing))
}
