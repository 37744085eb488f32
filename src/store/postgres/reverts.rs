//! Reverts of changes: planned by what was read of their users, and made by one call of a function where that is still so.

use std::collections::BTreeMap;
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use serde_json::{Value, json};
use tokio_postgres::Row;
use tokio_postgres::types::Type;

use super::changes::{encode as encode_effect, revision};
use super::error::Failure;
use super::outcome::{Change, Outcome, Sent};
use super::session::Parameters;
use super::users::{encode as encode_change, expired, user};
use super::{PostgresStore, origin, statements};
use crate::domain::{
    Change as Entry, Effect, OnConflict, Origin, Present, PresentUsers, PrincipalName, RequestId,
    ResourceId, Revert, RevertCommand, Reverted, names_of,
};
use crate::store::{StoreError, conflicts};

/// How often a revert is planned whose users are changed before it can be made.
const TRIES: usize = 10;

/// What was read of the users of a change, and the request of the last change of each.
struct Seen {
    present: PresentUsers,
    /// For each user what `untag_revert` compares.
    states: Vec<Value>,
    last_changes: BTreeMap<ResourceId, Option<String>>,
    holders: BTreeMap<String, Option<String>>,
}

impl PostgresStore {
    pub(super) async fn make_revert(
        &self,
        command: &RevertCommand,
        origin: &Origin,
    ) -> Result<Reverted, StoreError> {
        let Some(effects) = &command.effects else {
            return self.repeat_revert(command, origin).await;
        };
        for _ in 0..TRIES {
            let seen = self.see(command, effects).await?;
            let revert = Revert::of(effects, &seen.present, command.time);
            if command.validate_only {
                return Ok(revert.into());
            }
            let is_refused =
                command.on_conflict == OnConflict::Fail && !revert.conflicts.is_empty();
            let plan = plan(&seen, &revert, is_refused);
            let made = self.call_revert(command, origin, &plan, &revert);
            match made.await? {
                Made::Answered(reverted) => return Ok(reverted),
                Made::Refused => return Err(StoreError::Conflicts(revert.conflicts)),
                Made::Stale => {}
            }
        }
        Err(StoreError::Busy)
    }

    /// The answer to an earlier request with the same token, where the change itself is gone from the log.
    async fn repeat_revert(
        &self,
        command: &RevertCommand,
        origin: &Origin,
    ) -> Result<Reverted, StoreError> {
        if origin.repeat.is_some() {
            let plan = json!({"seen": [], "holders": {}, "is_refused": true});
            let nothing = Revert::default();
            let made = self.call_revert(command, origin, &plan, &nothing);
            if let Made::Answered(reverted) = made.await? {
                return Ok(reverted);
            }
        }
        let oldest = self.extent(&command.account).await?.oldest;
        Err(StoreError::Compacted { oldest })
    }

    /// Reads what there is of the users of a change.
    async fn see(&self, command: &RevertCommand, effects: &[Effect]) -> Result<Seen, StoreError> {
        let account = &command.account;
        let ids = effects.iter().map(|effect| effect.resource_id.to_string());
        let names: Vec<String> = names_of(effects).map(PrincipalName::folded).collect();
        let mut seen = Seen {
            present: PresentUsers::default(),
            states: Vec::with_capacity(effects.len()),
            last_changes: BTreeMap::new(),
            holders: names.iter().map(|name| (name.clone(), None)).collect(),
        };
        let parameters: Parameters = vec![
            (Box::new(account.to_string()), Type::TEXT),
            (Box::new(ids.collect::<Vec<_>>()), Type::TEXT_ARRAY),
            expired(command.time),
            (Box::new(names), Type::TEXT_ARRAY),
        ];
        for row in self.read(statements::PRESENT_USERS, parameters).await? {
            let user = Box::new(user(account, &row, 1)?);
            let id = user.resource.id.clone();
            let state: &str = row.get(0);
            if state == "holder" {
                let name = user.resource.principal_name.folded();
                seen.holders.insert(name.clone(), Some(id.to_string()));
                seen.present.holders.insert(name, id);
                continue;
            }
            let last_change: Option<String> = row.get(9);
            let tags: Value = serde_json::from_str(row.get(3)).map_err(|_| Failure::CorruptUser)?;
            seen.states.push(json!({
                "id": id.as_str(), "state": state, "tags": tags, "last_change": last_change,
            }));
            seen.last_changes.insert(id.clone(), last_change);
            let user = match state {
                "there" => Present::There(user),
                _ => Present::Deleted(user),
            };
            seen.present.users.insert(id, user);
        }
        for Effect { resource_id, .. } in effects {
            if !seen.last_changes.contains_key(resource_id) {
                let state = json!({"id": resource_id.as_str(), "state": "absent"});
                seen.states.push(state);
            }
        }
        Ok(seen)
    }

    /// Makes a revert by this plan, where nothing has changed since.
    async fn call_revert(
        &self,
        command: &RevertCommand,
        origin: &Origin,
        plan: &Value,
        revert: &Revert,
    ) -> Result<Made, StoreError> {
        let (account, time) = (&command.account, command.time);
        let kept = BASE64.encode(conflicts::encode(&revert.conflicts));
        let change = Change {
            sql: statements::REVERT,
            account,
            request_id: origin.request_id,
            parameters: |attempt| {
                let mut parameters: Parameters = vec![
                    (Box::new(account.to_string()), Type::TEXT),
                    (Box::new(time.millis()), Type::INT8),
                    expired(time),
                    (Box::new(plan.to_string()), Type::TEXT),
                    (Box::new(kept.clone()), Type::TEXT),
                    (Box::new(attempt), Type::INT4),
                ];
                parameters.extend(origin::of_one(origin));
                parameters
            },
        };
        let place = Arc::new(self.place()?);
        let rows = match self.change(&change, Sent::No, place).await? {
            Outcome::Answered(rows) => rows,
            Outcome::Found(entry) => return Ok(Made::Answered(recorded(*entry, revert))),
        };
        let row = rows.first().ok_or(Failure::NoAnswer)?;
        match row.get(0) {
            "made" => Ok(Made::Answered(Reverted {
                revision: revision(row.get(1)),
                ..revert.clone().into()
            })),
            "repeat" => Ok(Made::Answered(repeated(row)?)),
            "mismatch" => Err(StoreError::TokenMismatch),
            "refused" => Ok(Made::Refused),
            _ => Ok(Made::Stale),
        }
    }
}

/// What became of a revert.
enum Made {
    Answered(Reverted),
    Refused,
    /// Its users have been changed since it was planned.
    Stale,
}

/// The plan of a revert, as `untag_revert` takes it.
fn plan(seen: &Seen, revert: &Revert, is_refused: bool) -> Value {
    let effects = revert.effects.iter().map(|effect| {
        let mut value = encode_effect(effect);
        value["prev"] = json!(seen.last_changes.get(&effect.resource_id));
        value
    });
    let effects: Vec<Value> = effects.collect();
    let changes = revert.effects.iter().filter_map(Effect::user_change);
    let changes: Vec<Value> = changes
        .zip(0..)
        .map(|(change, number)| encode_change(&change, number))
        .collect();
    json!({
        "seen": seen.states, "holders": seen.holders, "changes": changes, "effects": effects,
        "tags": revert.changed_tags(), "is_refused": is_refused,
    })
}

/// The answer to an earlier request with the same token.
fn repeated(row: &Row) -> Result<Reverted, StoreError> {
    let count = |column| usize::try_from(row.get::<_, i64>(column)).unwrap_or_default();
    let kept: Option<&str> = row.get(5);
    let kept = BASE64.decode(kept.unwrap_or_default());
    let conflicts = kept.ok().and_then(|kept| conflicts::decode(&kept));
    Ok(Reverted {
        changed_resources: count(2),
        changed_tags: count(3),
        conflicts: conflicts.ok_or(Failure::CorruptEntry)?,
        revision: revision(row.get(1)),
        request_id: RequestId::parse(row.get(4)),
        is_replay: true,
        ..Reverted::default()
    })
}

/// The result of a revert whose entry was found. Its conflicts are those that it was planned with.
fn recorded(entry: Entry, revert: &Revert) -> Reverted {
    let made = Revert {
        effects: entry.effects,
        conflicts: revert.conflicts.clone(),
    };
    Reverted {
        revision: Some(entry.revision),
        ..made.into()
    }
}
