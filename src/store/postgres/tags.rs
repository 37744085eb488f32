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
use super::{PostgresStore, origin, statements};
use crate::domain::{
    Change as Entry, Changed, Effect, EffectKind, Origin, RequestId, TagCommand, TagKey,
    TagSelection, TagValue, UntagCommand, limits,
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
        }
    }

    /// The answer to a command that was applied, and had as many targets.
    pub fn changed(&self, targets: usize) -> Changed {
        Changed {
            resources: self.matched.map_or(targets, count),
            tags: Some(count(self.tags)),
            changed_resources: Some(count(self.changed)),
            revision: self.revision.and_then(revision),
            request_id: self.repeats.as_deref().and_then(RequestId::parse),
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
    pub names: &'command Names,
    pub selection: &'command TagSelection,
    pub origin: &'command Origin,
}

/// The parameters of `untag_remove_tags`. What differs from command to command travels in arrays.
pub fn removal(account: &str, call: Call, attempt: i32, removals: &[Removal<'_>]) -> Parameters {
    let waits = call != Call::Shared;
    let skips_missing = matches!(
        call,
        Call::Alone {
            skips_missing: true
        }
    );
    let by = removals.first().map_or(By::Id, |removal| removal.names.by);
    let (mut targets, mut commands, mut keys) = (Vec::new(), Vec::new(), Vec::new());
    for (removal, number) in removals.iter().zip(1_i64..) {
        targets.extend_from_slice(&removal.names.names);
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
        (Box::new(attempt), Type::INT4),
    ];
    let origins: Vec<&Origin> = removals.iter().map(|removal| removal.origin).collect();
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
        let missing = names.missing(&found);
        if !missing.is_empty() && !command.allow_missing {
            return Err(StoreError::Missing(missing));
        }
        let (mut tags, mut resources) = (0, 0);
        for row in &rows {
            let (_, record) = record(row.get(1), row.get(2))?;
            let selected =
                |(key, _): &&(TagKey, TagValue)| command.selection.contains(key.as_str());
            let of_user = record.iter().filter(selected).count();
            tags += of_user;
            resources += usize::from(of_user > 0);
        }
        Ok(Changed {
            changed_resources: Some(resources),
            ..Changed::count(rows.len(), tags)
        })
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
        let own = Removal {
            names: &names,
            selection: &command.selection,
            origin,
        };
        let call = Call::Alone {
            skips_missing: command.allow_missing,
        };
        let change = Change {
            sql: statements::REMOVE_TAGS,
            account: &command.account,
            request_id: origin.request_id,
            parameters: |attempt| {
                let account = command.account.as_str();
                let removals = std::slice::from_ref(&own);
                removal(account, call, attempt, removals)
            },
        };
        let targets = names.names.len();
        let rows = match self.change(&change, sent, holds).await? {
            Outcome::Answered(rows) => rows,
            Outcome::Found(entry) => return Ok(recorded(&entry, targets)),
        };
        let answer = answer(&rows)?;
        if answer.repeats.is_none() && !command.allow_missing {
            let missing = names.missing(&answer.found);
            if !missing.is_empty() {
                return Err(StoreError::Missing(missing));
            }
        }
        Ok(answer.changed(targets))
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
        let mut changed = match self.change(&change, Sent::No, place).await? {
            Outcome::Found(entry) => recorded(&entry, targets),
            Outcome::Answered(rows) => {
                let answer = answer(&rows)?;
                if answer.repeats.is_none() {
                    let missing = names.missing(&answer.found);
                    if !missing.is_empty() {
                        return Err(StoreError::Missing(missing));
                    }
                    if !answer.too_many.is_empty() {
                        return Err(StoreError::TagLimit(names.positions(&answer.too_many)));
                    }
                }
                answer.changed(targets)
            }
        };
        changed.tags = Some(targets * command.tags.len());
        Ok(changed)
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
