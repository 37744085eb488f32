//! The change log: reading entries.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::{Value, json};
use tokio_postgres::Row;
use tokio_postgres::types::Type;

use super::error::Failure;
use super::session::Parameters;
use super::{PostgresStore, statements};
use crate::domain::{
    AccountId, Action, Caller, Change, ChangeKey, ChangesQuery, ClientToken, Comments, Direction,
    DisplayName, Effect, EffectKind, History, HistoryId, PrincipalName, RequestId, Resource,
    ResourceId, Revision, SetTag, TagKey, TagValue, Timestamp, User,
};
use crate::store::StoreError;

impl PostgresStore {
    pub(super) async fn find_change(
        &self,
        account: &AccountId,
        key: ChangeKey,
    ) -> Result<Option<Change>, StoreError> {
        let (sql, by) = match key {
            ChangeKey::RequestId(id) => (
                statements::CHANGE_BY_REQUEST_ID,
                (Box::new(id.to_string()) as _, Type::TEXT),
            ),
            ChangeKey::Revision(revision) => (
                statements::CHANGE_BY_REVISION,
                (Box::new(number(revision.get())) as _, Type::INT8),
            ),
        };
        let parameters = vec![(Box::new(account.to_string()) as _, Type::TEXT), by];
        let rows = self.read(sql, parameters).await?;
        if let (None, ChangeKey::Revision(revision)) = (rows.first(), key) {
            self.refuse_compacted(account, revision).await?;
        }
        let entry = rows.first().map(|row| parse(account, row));
        entry.transpose()
    }

    pub(super) async fn find_changes(
        &self,
        query: &ChangesQuery,
    ) -> Result<Vec<Change>, StoreError> {
        let account = &query.account;
        let count = |count: usize| i64::try_from(count).unwrap_or(i64::MAX);
        let mut parameters: Parameters = vec![
            (Box::new(account.to_string()), Type::TEXT),
            (Box::new(number(query.from.get())), Type::INT8),
            (
                Box::new(query.direction == Direction::Backwards),
                Type::BOOL,
            ),
            (Box::new(count(query.most)), Type::INT8),
            (Box::new(count(query.most_effects)), Type::INT8),
        ];
        let sql = match &query.user {
            None => statements::CHANGES,
            Some(user) => {
                parameters.push((Box::new(user.to_string()), Type::TEXT));
                statements::CHANGES_OF_USER
            }
        };
        let rows = self.read(sql, parameters).await?;
        let changes = rows.iter().map(|row| parse(account, row));
        let changes: Vec<Change> = changes.collect::<Result<_, _>>()?;
        // Revisions have no gap, so that one which is found in its place has none before it that is gone.
        let is_whole = changes
            .first()
            .is_some_and(|first| first.revision == query.from);
        if query.user.is_some() || !is_whole {
            self.refuse_compacted(account, query.from).await?;
        }
        Ok(changes)
    }

    /// Refuses a revision that is gone.
    async fn refuse_compacted(
        &self,
        account: &AccountId,
        revision: Revision,
    ) -> Result<(), StoreError> {
        let oldest = self.extent(account).await?.oldest;
        if oldest.is_some_and(|oldest| revision < oldest) {
            return Err(StoreError::Compacted { oldest });
        }
        Ok(())
    }

    pub(super) async fn extent(&self, account: &AccountId) -> Result<History, StoreError> {
        let parameters = vec![(Box::new(account.to_string()) as _, Type::TEXT)];
        let rows = self.read(statements::HISTORY, parameters).await?;
        let history = |row: &Row| {
            let id = RequestId::parse(row.get(0))?;
            Some(History {
                id: HistoryId::from_random_bytes(id.to_bytes()),
                newest: revision(row.get(1)),
                oldest: row.get::<_, Option<i64>>(2).and_then(revision),
            })
        };
        rows.first()
            .and_then(history)
            .ok_or_else(|| Failure::CorruptEntry.into())
    }
}

/// The revision with a number of the database, where 0 is none.
pub fn revision(number: i64) -> Option<Revision> {
    u64::try_from(number).ok().and_then(Revision::new)
}

fn number(revision: u64) -> i64 {
    i64::try_from(revision).unwrap_or(i64::MAX)
}

/// A user as an effect has it.
#[derive(Deserialize)]
struct StoredUser {
    name: String,
    display_name: Option<String>,
    comments: Option<String>,
    create_time: Option<i64>,
    update_time: Option<i64>,
    tags: BTreeMap<String, String>,
}

/// An effect as it is written.
#[derive(Deserialize)]
struct StoredEffect {
    id: String,
    removed: Option<BTreeMap<String, String>>,
    /// The value before, if there was one, and the one after.
    set: Option<BTreeMap<String, (Option<String>, String)>>,
    created: Option<StoredUser>,
    restored: Option<StoredUser>,
    deleted: Option<StoredUser>,
    before: Option<StoredUser>,
    after: Option<StoredUser>,
}

impl StoredUser {
    fn user(self, account: &AccountId, id: &ResourceId) -> Option<Box<User>> {
        let tags = self.tags.into_iter();
        let tags =
            tags.map(|(key, value)| Some((TagKey::parse(key).ok()?, TagValue::parse(value).ok()?)));
        let name = PrincipalName::parse(self.name).ok()?;
        let resource = Resource::new(
            account.clone(),
            id.clone(),
            name,
            tags.collect::<Option<_>>()?,
        );
        Some(Box::new(User {
            resource: resource.ok()?,
            display_name: self.display_name.map(DisplayName::parse).transpose().ok()?,
            comments: self.comments.map(Comments::parse).transpose().ok()?,
            create_time: self.create_time.map(Timestamp::from_millis),
            update_time: self.update_time.map(Timestamp::from_millis),
            delete_time: None,
        }))
    }
}

impl StoredEffect {
    fn effect(self, account: &AccountId) -> Option<Effect> {
        let id = ResourceId::parse(self.id).ok()?;
        let user = |stored: StoredUser| stored.user(account, &id);
        let kind = if let Some(created) = self.created {
            EffectKind::Created(user(created)?)
        } else if let Some(restored) = self.restored {
            EffectKind::Restored(user(restored)?)
        } else if let Some(deleted) = self.deleted {
            EffectKind::Deleted(user(deleted)?)
        } else if let (Some(before), Some(after)) = (self.before, self.after) {
            EffectKind::Updated {
                before: user(before)?,
                after: user(after)?,
            }
        } else {
            let removed = self.removed.unwrap_or_default().into_iter();
            let removed = removed
                .map(|(key, value)| Some((TagKey::parse(key).ok()?, TagValue::parse(value).ok()?)));
            let set = self.set.unwrap_or_default().into_iter();
            let set = set.map(|(key, (old, new))| {
                Some(SetTag {
                    key: TagKey::parse(key).ok()?,
                    old: old.map(TagValue::parse).transpose().ok()?,
                    new: TagValue::parse(new).ok()?,
                })
            });
            EffectKind::Tags {
                removed: removed.collect::<Option<_>>()?,
                set: set.collect::<Option<_>>()?,
            }
        };
        Some(Effect {
            resource_id: id,
            kind,
        })
    }
}

/// An effect as it is written, without the request of the change before it.
pub fn encode(effect: &Effect) -> Value {
    fn tags<'tag>(tags: impl Iterator<Item = (&'tag TagKey, &'tag TagValue)>) -> Value {
        tags.map(|(key, value)| (key.as_str(), value.as_str()))
            .collect()
    }
    let user = |user: &User| {
        json!({
            "name": user.resource.principal_name.as_str(),
            "display_name": user.display_name.as_ref().map(DisplayName::as_str),
            "comments": user.comments.as_ref().map(Comments::as_str),
            "create_time": user.create_time.map(Timestamp::millis),
            "update_time": user.update_time.map(Timestamp::millis),
            "tags": tags(user.resource.tags().iter()),
        })
    };
    let mut value = match &effect.kind {
        EffectKind::Tags { removed, set } => {
            let mut value = json!({});
            if !removed.is_empty() {
                value["removed"] = tags(removed.iter().map(|(key, value)| (key, value)));
            }
            if !set.is_empty() {
                let set = set.iter().map(|SetTag { key, old, new }| {
                    let values = [old.as_ref(), Some(new)];
                    (
                        key.as_str(),
                        json!(values.map(|value| value.map(TagValue::as_str))),
                    )
                });
                value["set"] = set.collect();
            }
            value
        }
        EffectKind::Created(created) => json!({"created": user(created)}),
        EffectKind::Restored(restored) => json!({"restored": user(restored)}),
        EffectKind::Deleted(deleted) => json!({"deleted": user(deleted)}),
        EffectKind::Updated { before, after } => {
            json!({"before": user(before), "after": user(after)})
        }
    };
    value["id"] = effect.resource_id.as_str().into();
    value
}

/// The entry in a row of `change`.
pub fn parse(account: &AccountId, row: &Row) -> Result<Change, StoreError> {
    let parse = || {
        let effects: Vec<StoredEffect> = serde_json::from_str(row.get(7)).ok()?;
        let effects = effects.into_iter().map(|effect| effect.effect(account));
        Some(Change {
            revision: revision(row.get(0))?,
            request_id: RequestId::parse(row.get(1))?,
            time: Timestamp::from_millis(row.get(2)),
            caller: Caller::recorded(row.get(3)),
            source_ip: row.get::<_, &str>(4).parse().ok()?,
            action: Action::parse(row.get(5))?,
            client_token: match row.get::<_, Option<&str>>(6) {
                Some(token) => Some(ClientToken::parse(token)?),
                None => None,
            },
            effects: effects.collect::<Option<_>>()?,
        })
    };
    parse().ok_or_else(|| Failure::CorruptEntry.into())
}
