//! The untags of a batch, looked up together in the order of their rows: neighbours share pages of the table and of its
//! tree, which are in no cache by the time that the next request asks for one of them.

use super::job::{Job, Work};
use super::plan::{Plan, Selected, SelectedTags, Untag};
use crate::domain::UntagCommand;
use crate::store::sqlite::error::{ApplyError, CorruptTags};
use crate::store::sqlite::format::tags;
use crate::store::sqlite::index::{Found, Key, Lookup, LookupResult};
use crate::store::sqlite::log::{Tombstones, Uncommitted};

/// A target of one of the commands.
struct Target<'command> {
    /// The number that its record may have.
    hint: Option<i64>,
    key: Key<'command>,
    command: &'command UntagCommand,
    /// The slot of its result among those of all commands.
    slot: usize,
}

/// Looks up the targets of these jobs, and returns what was found of them in their order. Those of an untag that expects values are
/// left out.
pub fn look_up(lookup: &mut Lookup<'_>, jobs: &[Job]) -> rusqlite::Result<Vec<LookupResult>> {
    let mut results = Vec::with_capacity(jobs.len());
    let mut targets = Vec::new();
    for job in jobs {
        let first = results.len();
        results.resize(first + job.targets(), LookupResult::Missing);
        if let Work::Untag(command, ..) = &job.work
            && !job.is_abandoned()
            && command.expected.is_none()
        {
            for position in 0..command.targets.count() {
                let key = Key::of(&command.account, &command.targets, position);
                let slot = first + position;
                let hint = match lookup.find_in_index(key, &command.selection) {
                    Found::Known {
                        number,
                        selected,
                        keys,
                    } => {
                        results[slot] = LookupResult::Record {
                            number,
                            selected,
                            keys: Some(keys),
                        };
                        continue;
                    }
                    Found::Maybe(number) => Some(number),
                    Found::Ask => None,
                };
                targets.push(Target {
                    hint,
                    key,
                    command,
                    slot,
                });
            }
        }
    }
    // Those without a hint are searched for in an index of the database, and come in its order.
    targets
        .sort_unstable_by_key(|target| (target.hint, target.hint.is_none().then_some(target.key)));
    for target in targets {
        results[target.slot] = look_up_one(lookup, target.hint, target.key, target.command)?;
    }
    Ok(results)
}

fn look_up_one(
    lookup: &mut Lookup<'_>,
    hint: Option<i64>,
    key: Key<'_>,
    command: &UntagCommand,
) -> rusqlite::Result<LookupResult> {
    let result = lookup.find_from(hint, key, |record| {
        match tags::selected(record.tags, 0, &command.selection) {
            Ok(selected) => LookupResult::Record {
                number: record.number,
                selected,
                keys: None,
            },
            Err(CorruptTags) => LookupResult::Corrupt,
        }
    })?;
    Ok(result.unwrap_or(LookupResult::Missing))
}

/// Plans an untag from what was found of its targets before the transaction changed anything. What it has changed since is looked up
/// again. Only an untag that expects values reads its rows: nothing was looked up for it.
pub fn plan(
    command: &UntagCommand,
    results: &[LookupResult],
    lookup: &mut Lookup<'_>,
    changes: &Uncommitted,
    in_force: &Tombstones,
) -> Result<Plan, ApplyError> {
    let mut plan = Untag::plan(command);
    if command.expected.is_some() {
        let missing = lookup.each(&command.account, &command.targets, |target, record| {
            let removed = changes.of(record.number, in_force);
            plan.add(Selected::of(command, target, record, removed)?);
            Ok::<_, ApplyError>(())
        })?;
        return Ok(plan.finish(missing));
    }
    let mut missing = Vec::new();
    for (position, &result) in results.iter().enumerate() {
        let number = match result {
            LookupResult::Record { number, .. } => Some(number),
            LookupResult::Missing | LookupResult::Corrupt => None,
        };
        let result = if changes.has_changed(number) {
            let key = Key::of(&command.account, &command.targets, position);
            look_up_one(lookup, number, key, command)?
        } else {
            result
        };
        match result {
            LookupResult::Missing => missing.push(position),
            LookupResult::Corrupt => return Err(CorruptTags.into()),
            LookupResult::Record {
                number,
                selected,
                keys,
            } => {
                let removed = changes.of(number, in_force);
                plan.add_selected(&SelectedTags {
                    target: position,
                    number,
                    removed,
                    selected: selected & !removed,
                    keys,
                });
            }
        }
    }
    Ok(plan.finish(missing))
}
