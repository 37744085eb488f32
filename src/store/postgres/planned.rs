//! Changes that are planned by what was read of their users, and made by one call of a function where that is still so.

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
    AccountId, Change as Entry, Effect, Origin, Present, PresentUsers, PrincipalName, RequestId,
    ResourceId, Revision, Timestamp,
};
use crate::store::StoreError;

/// How often a change is planned whose users are changed before it can be made.
pub const TRIES: usize = 10;

/// What was read of the users of a change, and the request of the last change of each.
pub struct Seen {
    pub present: PresentUsers,
    /// For each user what `untag_make_planned` compares.
    states: Vec<Value>,
    last_changes: BTreeMap<ResourceId, Option<String>>,
    holders: BTreeMap<String, Option<String>>,
}

/// A change that is to be made, and what is to be kept of its answer.
pub struct Planned<'change> {
    pub account: &'change AccountId,
    pub time: Timestamp,
    pub origin: &'change Origin,
    pub plan: Value,
    pub to_keep: Vec<u8>,
}

/// What became of a planned change.
pub enum Made {
    /// It was made, with this revision.
    New(Option<Revision>),
    /// Its answer was lost, and its entry was found.
    Found(Box<Entry>),
    /// It repeats another one.
    Repeated(Repeated),
    /// Its plan has refused it.
    Refused,
    /// Its users have been changed since it was planned.
    Stale,
}

/// What is known of an earlier request with the same token.
pub struct Repeated {
    pub request_id: Option<RequestId>,
    pub revision: Option<Revision>,
    pub changed: usize,
    pub tags: usize,
    pub kept: Vec<u8>,
}

impl PostgresStore {
    /// Reads what there is of these users, and who has these names.
    pub(super) async fn see(
        &self,
        (account, time): (&AccountId, Timestamp),
        ids: impl Iterator<Item = &ResourceId> + Clone + Send,
        names: impl Iterator<Item = &PrincipalName> + Send,
    ) -> Result<Seen, StoreError> {
        let names: Vec<String> = names.map(PrincipalName::folded).collect();
        let mut seen = Seen {
            present: PresentUsers::default(),
            states: Vec::new(),
            last_changes: BTreeMap::new(),
            holders: names.iter().map(|name| (name.clone(), None)).collect(),
        };
        let texts: Vec<String> = ids.clone().map(ToString::to_string).collect();
        let parameters: Parameters = vec![
            (Box::new(account.to_string()), Type::TEXT),
            (Box::new(texts), Type::TEXT_ARRAY),
            expired(time),
            (Box::new(names), Type::TEXT_ARRAY),
        ];
        for row in self.read(statements::PRESENT_USERS, parameters).await? {
            seen.add(account, &row)?;
        }
        for id in ids {
            if !seen.last_changes.contains_key(id) {
                let state = json!({"id": id.as_str(), "state": "absent"});
                seen.states.push(state);
            }
        }
        Ok(seen)
    }

    /// Makes a planned change, where nothing has changed since.
    pub(super) async fn make(&self, planned: &Planned<'_>) -> Result<Made, StoreError> {
        let kept = BASE64.encode(&planned.to_keep);
        let plan = planned.plan.to_string();
        let change = Change {
            sql: statements::MAKE_PLANNED,
            account: planned.account,
            request_id: planned.origin.request_id,
            parameters: |attempt| {
                let mut parameters: Parameters = vec![
                    (Box::new(planned.account.to_string()), Type::TEXT),
                    (Box::new(planned.time.millis()), Type::INT8),
                    expired(planned.time),
                    (Box::new(plan.clone()), Type::TEXT),
                    (Box::new(kept.clone()), Type::TEXT),
                    (Box::new(attempt), Type::INT4),
                ];
                parameters.extend(origin::of_one(planned.origin, &self.replica));
                parameters
            },
        };
        let place = Arc::new(self.place()?);
        let rows = match self.change(&change, Sent::No, place).await? {
            Outcome::Answered(rows) => rows,
            Outcome::Found(entry) => return Ok(Made::Found(entry)),
        };
        let row = rows.first().ok_or(Failure::NoAnswer)?;
        match row.get(0) {
            "made" => Ok(Made::New(revision(row.get(1)))),
            "repeat" => Ok(Made::Repeated(repeated(row)?)),
            "mismatch" => Err(StoreError::TokenMismatch),
            "refused" => Ok(Made::Refused),
            _ => Ok(Made::Stale),
        }
    }
}

impl Seen {
    fn add(&mut self, account: &AccountId, row: &Row) -> Result<(), StoreError> {
        let user = Box::new(user(account, row, 1)?);
        let id = user.resource.id.clone();
        let state: &str = row.get(0);
        if state == "holder" {
            let name = user.resource.principal_name.folded();
            self.holders.insert(name.clone(), Some(id.to_string()));
            self.present.holders.insert(name, id);
            return Ok(());
        }
        let last_change: Option<String> = row.get(9);
        let tags: Value = serde_json::from_str(row.get(3)).map_err(|_| Failure::CorruptUser)?;
        self.states.push(json!({
            "id": id.as_str(), "state": state, "tags": tags, "last_change": last_change,
        }));
        self.last_changes.insert(id.clone(), last_change);
        let user = match state {
            "there" => Present::There(user),
            _ => Present::Deleted(user),
        };
        self.present.users.insert(id, user);
        Ok(())
    }

    /// A plan with these effects, as `untag_make_planned` takes it. `tags` is how many tags they change.
    pub fn plan(&self, effects: &[Effect], tags: usize) -> Value {
        let changes = effects.iter().filter_map(Effect::user_change);
        let changes: Vec<Value> = changes
            .zip(0..)
            .map(|(change, number)| encode_change(&change, number))
            .collect();
        let effects = effects.iter().map(|effect| {
            let mut value = encode_effect(effect);
            value["prev"] = json!(self.last_changes.get(&effect.resource_id));
            value
        });
        let effects: Vec<Value> = effects.collect();
        json!({
            "seen": self.states, "holders": self.holders, "changes": changes, "effects": effects,
            "tags": tags, "is_refused": false,
        })
    }
}

/// The answer to an earlier request with the same token.
fn repeated(row: &Row) -> Result<Repeated, StoreError> {
    let count = |column| usize::try_from(row.get::<_, i64>(column)).unwrap_or_default();
    let kept: Option<&str> = row.get(5);
    let kept = BASE64.decode(kept.unwrap_or_default());
    Ok(Repeated {
        request_id: RequestId::parse(row.get(4)),
        revision: revision(row.get(1)),
        changed: count(2),
        tags: count(3),
        kept: kept.map_err(|_| Failure::CorruptEntry)?,
    })
}
