//! Changes of tags: each is a call of a function in the database, which untags share.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use tokio_postgres::Row;
use tokio_postgres::types::Type;

use super::changes::revision;
use super::error::Failure;
use super::list::record;
use super::outcome::{Change, Outcome, Sent};
use super::replica::Replica;
use super::session::Parameters;
use super::targets::{By, Names};
use super::{PostgresStore, expected, origin, statements};
use crate::domain::{
    Change as Entry, Changed, Effect, Origin, RequestId, TagCommand, TagKey, TagSelection,
    UntagCommand, limits,
};
use crate::store::StoreError;

/// What came of a change of tags, by the columns of `untag_answer`.
struct Answer {
    found: Vec<String>,
    too_many: Vec<String>,
    matched: i64,
    changed: i64,
    tags: i64,
    revision: Option<i64>,
    repeats: Option<String>,
    mismatch: bool,
    others: Vec<i32>,
}

impl Answer {
    fn of(row: &Row) -> Self {
        Self {
            found: row.get::<_, Option<_>>(1).unwrap_or_default(),
            too_many: row.get(2),
            matched: row.get(3),
            changed: row.get(4),
            tags: row.get(5),
            revision: row.get(6),
            repeats: row.get(7),
            mismatch: row.get(8),
            others: row.get(9),
        }
    }

    /// The answer to a command that was carried out.
    fn changed(self) -> Changed {
        Changed {
            resources: count(self.matched),
            tags: Some(count(self.tags)),
            changed_resources: Some(count(self.changed)),
            revision: self.revision.and_then(revision),
            request_id: self.repeats.as_deref().and_then(RequestId::parse),
            is_replay: self.repeats.is_some(),
            mismatches: expected::mismatches(self.others),
        }
    }
}

fn count(number: i64) -> usize {
    usize::try_from(number).unwrap_or_default()
}

/// The answer to a command whose entry was found, and that had as many targets.
pub fn recorded(entry: &Entry, targets: usize) -> Changed {
    let tags = entry.effects.iter().map(Effect::changed_tags);
    Changed {
        changed_resources: Some(entry.effects.len()),
        revision: Some(entry.revision),
        ..Changed::count(targets, tags.sum())
    }
}

/// A command in a shared call.
pub struct Removal<'command> {
    /// What its targets are looked for by.
    pub names: Vec<String>,
    pub selection: &'command TagSelection,
    pub origin: &'command Origin,
    /// When it is carried out among those of its call: in one round no user is named twice.
    pub round: i32,
}

/// The parameters of `untag_remove_shared`. What differs from command to command travels in arrays.
pub fn shared(account: &str, by: By, removals: Vec<Removal<'_>>, replica: &Replica) -> Parameters {
    let (mut targets, mut commands, mut keys) = (Vec::new(), Vec::new(), Vec::new());
    let origins: Vec<&Origin> = removals.iter().map(|removal| removal.origin).collect();
    let rounds: Vec<i32> = removals.iter().map(|removal| removal.round).collect();
    for (mut removal, number) in removals.into_iter().zip(1_i64..) {
        targets.append(&mut removal.names);
        commands.resize(targets.len(), number);
        keys.push(selected(removal.selection));
    }
    let mut parameters: Parameters = vec![
        (Box::new(account.to_owned()), Type::TEXT),
        (Box::new(by == By::Id), Type::BOOL),
        (Box::new(targets), Type::TEXT_ARRAY),
        (Box::new(commands), Type::INT8_ARRAY),
        (Box::new(keys), Type::TEXT_ARRAY),
        (Box::new(rounds), Type::INT4_ARRAY),
    ];
    parameters.extend(origin::of_all(&origins, replica));
    parameters
}

/// The answers to the commands of a shared call, by its row; `None` for one that was not carried out. `targets` has how many each has.
pub fn answers(row: &Row, targets: &[usize]) -> Vec<Option<Changed>> {
    let numbers = |column: usize| -> Vec<i64> { row.get(column) };
    let (left_out, changed, tags) = (numbers(0), numbers(2), numbers(3));
    let counts = changed.into_iter().zip(tags);
    let done: HashMap<i64, (i64, i64)> = numbers(1).into_iter().zip(counts).collect();
    let mut newest: i64 = row.get(4);
    let answer = |(number, targets): (i64, &usize)| {
        if left_out.contains(&number) {
            return None;
        }
        let (changed, tags) = done.get(&number).copied().unwrap_or_default();
        newest += i64::from(changed > 0);
        Some(Changed {
            changed_resources: Some(count(changed)),
            revision: revision(newest),
            ..Changed::count(*targets, count(tags))
        })
    };
    (1..).zip(targets).map(answer).collect()
}

/// The keys of the tags that go as an array in text; `None` where that are all.
fn selected(selection: &TagSelection) -> Option<String> {
    match selection {
        TagSelection::All => None,
        TagSelection::Keys(keys) => Some(array_of(keys)),
    }
}

/// Keys as PostgreSQL writes an array of texts: an array of arrays has to have as many in each.
fn array_of(keys: &[TagKey]) -> String {
    let mut array = String::from("{");
    for key in keys {
        if array.len() > 1 {
            array.push(',');
        }
        array.push('"');
        for character in key.as_str().chars() {
            if matches!(character, '"' | '\\') {
                array.push('\\');
            }
            array.push(character);
        }
        array.push('"');
    }
    array.push('}');
    array
}

impl PostgresStore {
    /// An untag that only validates: nothing is locked.
    pub(super) async fn validate(&self, command: &UntagCommand) -> Result<Changed, StoreError> {
        let names = Names::of(&command.targets);
        let parameters = names.parameters(command.account.as_str());
        let rows = self.read(names.by.find(), parameters).await?;
        let found: Vec<String> = rows.iter().map(|row| row.get(0)).collect();
        if !command.allow_missing {
            names.all_among(&found)?;
        }
        let tags = |row: &Row| Ok((row.get(0), record(row.get(1), row.get(2))?.1));
        let found = rows
            .iter()
            .map(tags)
            .collect::<Result<Vec<_>, StoreError>>()?;
        expected::validated(command, &names, &found)
    }

    /// An untag with a call of its own, which waits for locks and tells whom it has not found.
    pub(super) async fn untag_alone(
        &self,
        command: &UntagCommand,
        origin: &Origin,
        sent: Sent,
        holds: Arc<impl Send + Sync + 'static>,
    ) -> Result<Changed, StoreError> {
        let names = Names::of(&command.targets);
        let change = Change {
            sql: statements::REMOVE_ALONE,
            account: &command.account,
            request_id: origin.request_id,
            parameters: |attempt| {
                let expected = expected::parameters(command.expected.as_ref());
                let (expected_keys, expected_values, skips_others) = expected;
                let mut parameters: Parameters = vec![
                    (Box::new(command.account.to_string()), Type::TEXT),
                    (Box::new(names.by == By::Id), Type::BOOL),
                    (Box::new(command.allow_missing), Type::BOOL),
                    (Box::new(names.names.clone()), Type::TEXT_ARRAY),
                    (Box::new(selected(&command.selection)), Type::TEXT),
                    (Box::new(expected_keys), Type::TEXT_ARRAY),
                    (Box::new(expected_values), Type::TEXT_ARRAY),
                    (Box::new(skips_others), Type::BOOL),
                    (Box::new(attempt), Type::INT4),
                ];
                parameters.extend(origin::of_one(origin, &self.replica));
                parameters
            },
        };
        let targets = names.names.len();
        let rows = match self.change(&change, sent, holds).await? {
            Outcome::Answered(rows) => rows,
            Outcome::Found(entry) => {
                // Its entry does not have what has stayed. That is there still, or has another value by now.
                let there = match &command.expected {
                    None => Changed::default(),
                    Some(_) => self.validate(command).await.unwrap_or_default(),
                };
                return Ok(Changed {
                    mismatches: there.mismatches,
                    ..recorded(&entry, targets)
                });
            }
        };
        let answer = answer(&rows)?;
        if answer.repeats.is_none() && !command.allow_missing {
            names.all_among(&answer.found)?;
        }
        expected::checked(command, answer.changed())
    }

    pub(super) async fn set_tags(
        &self,
        command: &TagCommand,
        origin: &Origin,
    ) -> Result<Changed, StoreError> {
        let names = Names::of(&command.targets);
        let tags = command.tags.iter();
        let tags: BTreeMap<&str, &str> = tags.map(|(k, v)| (k.as_str(), v.as_str())).collect();
        let tags =
            serde_json::to_string(&tags).map_err(|error| StoreError::Broken(Arc::new(error)))?;
        let most = i64::try_from(limits::TAGS_OF_A_USER).unwrap_or(i64::MAX);
        let change = Change {
            sql: statements::SET_TAGS,
            account: &command.account,
            request_id: origin.request_id,
            parameters: |attempt| {
                let mut parameters: Parameters = vec![
                    (Box::new(command.account.to_string()), Type::TEXT),
                    (Box::new(names.by == By::Id), Type::BOOL),
                    (Box::new(names.names.clone()), Type::TEXT_ARRAY),
                    (Box::new(tags.clone()), Type::TEXT),
                    (Box::new(most), Type::INT8),
                    (Box::new(attempt), Type::INT4),
                ];
                parameters.extend(origin::of_one(origin, &self.replica));
                parameters
            },
        };
        let targets = names.names.len();
        let place = Arc::new(self.place()?);
        match self.change(&change, Sent::No, place).await? {
            Outcome::Found(entry) => Ok(recorded(&entry, targets)),
            Outcome::Answered(rows) => {
                let answer = answer(&rows)?;
                if answer.repeats.is_none() {
                    names.all_among(&answer.found)?;
                    if !answer.too_many.is_empty() {
                        return Err(StoreError::TagLimit(names.positions(&answer.too_many)));
                    }
                }
                Ok(answer.changed())
            }
        }
    }
}

/// The answer to a command by itself.
fn answer(rows: &[Row]) -> Result<Answer, StoreError> {
    let row = rows.first().map(Answer::of);
    let answer = row.ok_or(Failure::NoAnswer)?;
    if answer.mismatch {
        return Err(StoreError::TokenMismatch);
    }
    Ok(answer)
}
