//! Changes of tags: each is a call of a function in the database, which untags share.

use std::collections::BTreeMap;
use std::sync::Arc;

use tokio_postgres::Row;
use tokio_postgres::types::Type;

use super::changes::revision;
use super::error::Failure;
use super::list::record;
use super::outcome::{Change, Outcome, Sent};
use super::session::Parameters;
use super::targets::{By, Names};
use super::{PostgresStore, expected, origin, statements};
use crate::domain::{
    Change as Entry, Changed, Effect, EffectKind, Expected, Origin, RequestId, TagCommand, TagKey,
    TagSelection, UntagCommand, limits,
};
use crate::store::StoreError;

/// How untags are called.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Call {
    /// With others: none waits for rows that are locked, and those that would have to are not applied.
    Shared,
    /// By itself.
    Alone {
        /// Whether users that do not exist are passed over.
        skips_missing: bool,
    },
}

/// What came of a change of tags, by the columns of `untag_answer`.
pub struct Answer {
    found: Vec<String>,
    too_many: Vec<String>,
    matched: Option<i64>,
    changed: i64,
    tags: i64,
    revision: Option<i64>,
    repeats: Option<String>,
    mismatch: bool,
    others: Vec<i32>,
}

impl Answer {
    pub fn of(row: &Row) -> Self {
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

    /// The answer to a command that was applied, and had as many targets.
    pub fn changed(self, targets: usize) -> Changed {
        Changed {
            resources: self.matched.map_or(targets, count),
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
    let tags = entry
        .effects
        .iter()
        .map(|effect: &Effect| match &effect.kind {
            EffectKind::Tags { removed, set } => removed.len() + set.len(),
            _ => 0,
        });
    Changed {
        changed_resources: Some(entry.effects.len()),
        revision: Some(entry.revision),
        ..Changed::count(targets, tags.sum())
    }
}

/// A command in a call of `untag_remove_tags`.
pub struct Removal<'command> {
    /// What its targets are looked for by.
    pub names: Vec<String>,
    pub selection: &'command TagSelection,
    pub expected: Option<&'command Expected>,
    pub origin: &'command Origin,
}

/// The parameters of `untag_remove_tags`. What differs from command to command travels in arrays.
pub fn removal(
    account: &str,
    by: By,
    call: Call,
    attempt: i32,
    removals: Vec<Removal<'_>>,
) -> Parameters {
    let waits = call != Call::Shared;
    let skips_missing = matches!(
        call,
        Call::Alone {
            skips_missing: true
        }
    );
    let (mut targets, mut commands, mut keys) = (Vec::new(), Vec::new(), Vec::new());
    // A command that expects values goes by itself.
    let expected = removals.first().and_then(|removal| removal.expected);
    let (expected_keys, expected_values, skips_others) = expected::parameters(expected);
    let origins: Vec<&Origin> = removals.iter().map(|removal| removal.origin).collect();
    for (mut removal, number) in removals.into_iter().zip(1_i64..) {
        targets.append(&mut removal.names);
        commands.resize(targets.len(), number);
        keys.push(match removal.selection {
            TagSelection::All => None,
            TagSelection::Keys(keys) => Some(array_of(keys)),
        });
    }
    let mut parameters: Parameters = vec![
        (Box::new(account.to_owned()), Type::TEXT),
        (Box::new(by == By::Id), Type::BOOL),
        (Box::new(waits), Type::BOOL),
        (Box::new(skips_missing), Type::BOOL),
        (Box::new(targets), Type::TEXT_ARRAY),
        (Box::new(commands), Type::INT8_ARRAY),
        (Box::new(keys), Type::TEXT_ARRAY),
        (Box::new(expected_keys), Type::TEXT_ARRAY),
        (Box::new(expected_values), Type::TEXT_ARRAY),
        (Box::new(skips_others), Type::BOOL),
        (Box::new(attempt), Type::INT4),
    ];
    parameters.extend(origin::of_all(&origins));
    parameters
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
        let call = Call::Alone {
            skips_missing: command.allow_missing,
        };
        let change = Change {
            sql: statements::REMOVE_TAGS,
            account: &command.account,
            request_id: origin.request_id,
            parameters: |attempt| {
                let account = command.account.as_str();
                let own = Removal {
                    names: names.names.clone(),
                    selection: &command.selection,
                    expected: command.expected.as_ref(),
                    origin,
                };
                removal(account, names.by, call, attempt, vec![own])
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
        expected::checked(command, answer.changed(targets))
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
                parameters.extend(origin::of_one(origin));
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
                Ok(answer.changed(targets))
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
