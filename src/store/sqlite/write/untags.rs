//! The untags of a batch, looked up together in the order of their rows: neighbours share pages of the table and of its
//! tree, which are in no cache by the time that the next request asks for one of them.

use super::job::{Job, Work};
use super::plan::{Plan, Untag};
use crate::domain::UntagCommand;
use crate::store::sqlite::error::{ApplyError, CorruptTags};
use crate::store::sqlite::format::tags;
use crate::store::sqlite::index::{Key, Lookup, Sighting};
use crate::store::sqlite::log::{Removals, Uncommitted};

/// A target of one of the commands.
struct Target<'command> {
    /// The number that its record may have.
    guess: Option<i64>,
    key: Key<'command>,
    command: &'command UntagCommand,
    /// Its place among the targets of all commands.
    place: usize,
}

/// What was seen of the targets of an untag.
pub struct Seen<'batch> {
    pub sightings: &'batch [Sighting],
    /// How many turns were over then, at least.
    pub over: u64,
}

/// Looks up the targets of these jobs, and returns what there is of them in their order.
pub fn look_up(lookup: &mut Lookup<'_>, jobs: &[Job]) -> rusqlite::Result<Vec<Sighting>> {
    let mut sightings = Vec::with_capacity(jobs.len());
    let mut targets = Vec::new();
    for job in jobs {
        let first = sightings.len();
        sightings.resize(first + job.targets(), Sighting::Missing);
        if let Work::Untag(command) = &job.work
            && !job.is_abandoned()
        {
            for position in 0..command.targets.count() {
                let key = Key::of(&command.account, &command.targets, position);
                let place = first + position;
                let mut numbers = lookup.numbers(key);
                let known = lookup.known(numbers.clone(), key, &command.selection);
                if let Some((number, selected)) = known {
                    sightings[place] = Sighting::Record { number, selected };
                    continue;
                }
                targets.push(Target {
                    guess: numbers.next(),
                    key,
                    command,
                    place,
                });
            }
        }
    }
    // Those without a guess are searched for in an index, and come in its order.
    targets.sort_unstable_by_key(|target| {
        (target.guess, target.guess.is_none().then_some(target.key))
    });
    for target in targets {
        sightings[target.place] = see(lookup, target.key, target.command)?;
    }
    Ok(sightings)
}

fn see(
    lookup: &mut Lookup<'_>,
    key: Key<'_>,
    command: &UntagCommand,
) -> rusqlite::Result<Sighting> {
    let sighting = lookup.find(key, |record| {
        match tags::selected(record.tags, 0, &command.selection) {
            Ok(selected) => Sighting::Record {
                number: record.number,
                selected,
            },
            Err(CorruptTags) => Sighting::Corrupt,
        }
    })?;
    Ok(sighting.unwrap_or(Sighting::Missing))
}

/// Works out an untag from what was seen of its targets. Rows that may have been written since are looked up again.
pub fn plan(
    command: &UntagCommand,
    seen: &Seen<'_>,
    lookup: &mut Lookup<'_>,
    changes: &Uncommitted,
    removals: &Removals,
) -> Result<Plan, ApplyError> {
    let mut plan = Untag::plan(command);
    let mut missing = Vec::new();
    for (position, &sighting) in seen.sightings.iter().enumerate() {
        let sighting = match sighting {
            Sighting::Record { number, .. } if changes.rewrites.since(seen.over, number) => {
                let key = Key::of(&command.account, &command.targets, position);
                see(lookup, key, command)?
            }
            sighting => sighting,
        };
        match sighting {
            Sighting::Missing => missing.push(position),
            Sighting::Corrupt => return Err(CorruptTags.into()),
            Sighting::Record { number, selected } => {
                let removed = changes.of(number, removals);
                plan.add_selected(number, removed, selected & !removed);
            }
        }
    }
    Ok(plan.finish(missing))
}
