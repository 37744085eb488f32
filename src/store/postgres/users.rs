//! Users: changes of them are one call of a function in the database, and reads one statement.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use serde_json::{Value, json};
use tokio_postgres::Row;
use tokio_postgres::types::Type;

use super::changes::revision;
use super::error::Failure;
use super::list::{number, record};
use super::outcome::{Change, Outcome, Sent};
use super::session::Parameters;
use super::{PostgresStore, origin, statements};
use crate::domain::{
    AccountId, Change as Entry, Comments, DeletedUsers, DisplayName, Edit, EffectKind, NamePrefix,
    Origin, PrincipalName, RequestId, Resource, ResourceId, TagCondition, TagFilter, Timestamp,
    User, UserChange, UserCommand, UserKey, UserListQuery, UserPage, UserQuery, UsersChanged,
};
use crate::store::paging::{SCAN_LIMIT, UserPageBuilder};
use crate::store::{StoreError, user_position};

impl PostgresStore {
    /// Changes users.
    pub(super) async fn apply(
        &self,
        command: &UserCommand,
        origin: &Origin,
    ) -> Result<UsersChanged, StoreError> {
        let account = command.account();
        let changes = command.changes().iter().zip(0_i32..);
        let changes: Vec<Value> = changes.map(|(change, at)| encode(change, at)).collect();
        let changes =
            serde_json::to_string(&changes).map_err(|error| StoreError::Broken(Arc::new(error)))?;
        let (time, expired) = (command.time(), command.time().newest_expired());
        let change = Change {
            sql: statements::CHANGE_USERS,
            account,
            request_id: origin.request_id,
            parameters: |attempt| {
                let mut parameters: Parameters = vec![
                    (Box::new(account.to_string()), Type::TEXT),
                    (Box::new(time.millis()), Type::INT8),
                    (Box::new(expired.millis()), Type::INT8),
                    (Box::new(changes.clone()), Type::TEXT),
                    (Box::new(attempt), Type::INT4),
                ];
                parameters.extend(origin::of_one(origin, &self.replica));
                parameters
            },
        };
        let place = Arc::new(self.place()?);
        let rows = match self.change(&change, Sent::No, place).await? {
            Outcome::Answered(rows) => rows,
            Outcome::Found(entry) => return self.recorded(command, *entry).await,
        };
        let first = rows.first().ok_or(Failure::NoAnswer)?;
        if let Some(refusal) = refusal(first) {
            return Err(refusal(rows.iter().map(position).collect()));
        }
        let repeats: Option<&str> = first.get(12);
        Ok(UsersChanged {
            users: rows
                .iter()
                .map(|row| user(account, row, 2))
                .collect::<Result<_, _>>()?,
            changed: usize::try_from(first.get::<_, i64>(10)).unwrap_or_default(),
            revision: revision(first.get(11)),
            request_id: repeats.and_then(RequestId::parse),
            is_replay: repeats.is_some(),
        })
    }

    /// The users after a command whose entry was found. A change that left its user as it was has no effect there.
    async fn recorded(
        &self,
        command: &UserCommand,
        entry: Entry,
    ) -> Result<UsersChanged, StoreError> {
        let changed = entry.effects.len();
        let effects = entry.effects.into_iter();
        let mut effects: HashMap<ResourceId, EffectKind> = effects
            .map(|effect| (effect.resource_id, effect.kind))
            .collect();
        let mut users = Vec::with_capacity(command.changes().len());
        for change in command.changes() {
            users.push(match effects.remove(change.id()) {
                Some(EffectKind::Created(user) | EffectKind::Restored(user)) => *user,
                Some(EffectKind::Updated { after, .. }) => *after,
                Some(EffectKind::Deleted(user)) => User {
                    delete_time: Some(command.time()),
                    ..*user
                },
                Some(EffectKind::Tags { .. }) | None => {
                    let query = UserQuery {
                        account: command.account().clone(),
                        by: UserKey::Id(change.id().clone()),
                        time: command.time(),
                    };
                    self.find(&query).await?.ok_or(Failure::NoAnswer)?
                }
            });
        }
        Ok(UsersChanged {
            users,
            changed,
            revision: Some(entry.revision),
            ..UsersChanged::default()
        })
    }

    pub(super) async fn find(&self, query: &UserQuery) -> Result<Option<User>, StoreError> {
        let mut parameters: Parameters = vec![(Box::new(query.account.to_string()), Type::TEXT)];
        let sql = match &query.by {
            UserKey::Id(id) => {
                parameters.push((Box::new(id.to_string()), Type::TEXT));
                parameters.push(expired(query.time));
                statements::GET_USER_BY_ID
            }
            UserKey::Name(name) => {
                parameters.push((Box::new(name.folded()), Type::TEXT));
                statements::GET_USER_BY_NAME
            }
        };
        let rows = self.read(sql, parameters).await?;
        rows.first()
            .map(|row| user(&query.account, row, 0))
            .transpose()
    }

    pub(super) async fn users(&self, query: &UserListQuery) -> Result<UserPage, StoreError> {
        let mut parameters = scan(query)?;
        let sql = match query.deleted {
            DeletedUsers::Hide => statements::LIST_USERS,
            DeletedUsers::Show => {
                parameters.push(expired(query.time));
                statements::LIST_ALL_USERS
            }
        };
        let rows = self.read(sql, parameters).await?;
        let mut page = UserPageBuilder::new(query);
        for row in &rows {
            page.go_on_at(number(row, 8));
            if page.add(user(&query.account, row, 0)?).is_break() {
                break;
            }
        }
        Ok(page.finish())
    }
}

/// The parameters of `LIST_USERS`.
fn scan(query: &UserListQuery) -> Result<Parameters, StoreError> {
    let after = user_position(query)?.map_or("", ResourceId::as_str);
    let prefix = query.name_prefix.as_ref().map_or("", NamePrefix::as_str);
    let (mut keys, mut values) = (Vec::new(), BTreeMap::new());
    if let TagCondition::Carries(TagFilter { key, value }) = &query.tags {
        keys.push(key.to_string());
        values.extend(value.as_ref().map(|value| (key.as_str(), value.as_str())));
    }
    let values =
        serde_json::to_string(&values).map_err(|error| StoreError::Broken(Arc::new(error)))?;
    let count = |count: usize| i64::try_from(count).unwrap_or(i64::MAX);
    Ok(vec![
        (Box::new(query.account.to_string()), Type::TEXT),
        (Box::new(after.to_owned()), Type::TEXT),
        (Box::new(count(SCAN_LIMIT)), Type::INT8),
        // One more than fits tells that the list goes on.
        (Box::new(count(query.page_size.get() + 1)), Type::INT8),
        (Box::new(prefix.to_owned()), Type::TEXT),
        (Box::new(keys), Type::TEXT_ARRAY),
        (Box::new(values), Type::TEXT),
        (Box::new(query.tags == TagCondition::Untagged), Type::BOOL),
    ])
}

/// The newest time of a deletion that has expired at this time, as a parameter.
pub fn expired(time: Timestamp) -> (Box<dyn tokio_postgres::types::ToSql + Send + Sync>, Type) {
    (Box::new(time.newest_expired().millis()), Type::INT8)
}

/// A change as `untag_change_users` takes it.
pub fn encode(change: &UserChange, number: i32) -> Value {
    let id = change.id().as_str();
    match change {
        UserChange::Create(new) => {
            let tags = new.tags().iter();
            let tags: BTreeMap<_, _> = tags.map(|(k, v)| (k.as_str(), v.as_str())).collect();
            json!({
                "number": number, "kind": "create", "id": id, "name": new.principal_name.as_str(), "tags": tags,
                "display_name": new.display_name.as_ref().map(DisplayName::as_str),
                "comments": new.comments.as_ref().map(Comments::as_str),
            })
        }
        UserChange::Update(update) => {
            let (edit_display_name, display_name) = edit(&update.display_name, DisplayName::as_str);
            let (edit_comments, comments) = edit(&update.comments, Comments::as_str);
            let mut value = json!({
                "number": number, "kind": "update", "id": id,
                "name": update.principal_name.as_ref().map(PrincipalName::as_str),
                "edit_display_name": edit_display_name, "display_name": display_name,
                "edit_comments": edit_comments, "comments": comments,
            });
            if let Some(tags) = &update.tags {
                let tags = tags.iter();
                value["tags"] = tags.map(|(k, v)| (k.as_str(), v.as_str())).collect();
            }
            value
        }
        UserChange::Delete { .. } => json!({ "number": number, "kind": "delete", "id": id }),
        UserChange::Restore { new_name, .. } => json!({
            "number": number, "kind": "restore", "id": id,
            "name": new_name.as_ref().map(PrincipalName::as_str),
        }),
    }
}

/// Whether a value changes, and what it becomes.
fn edit<T>(edit: &Edit<T>, text: impl Fn(&T) -> &str) -> (bool, Option<&str>) {
    match edit {
        Edit::Keep => (false, None),
        Edit::Clear => (true, None),
        Edit::Set(value) => (true, Some(text(value))),
    }
}

/// What a refusal of `untag_change_users` is. A row of a user has none.
fn refusal(row: &Row) -> Option<fn(Vec<usize>) -> StoreError> {
    match row.get::<_, Option<&str>>(1)? {
        "missing" => Some(StoreError::Missing),
        "exists" => Some(StoreError::UserExists),
        "token" => Some(|_| StoreError::TokenMismatch),
        _ => Some(StoreError::NameTaken),
    }
}

fn position(row: &Row) -> usize {
    usize::try_from(row.get::<_, i32>(0)).unwrap_or_default()
}

/// The user in a row, whose id is the column `first`.
pub fn user(account: &AccountId, row: &Row, first: usize) -> Result<User, StoreError> {
    let (id, tags) = record(row.get(first), row.get(first + 2))?;
    let text = |column: usize| row.get::<_, Option<&str>>(first + column);
    let time = |column| row.get::<_, Option<i64>>(first + column);
    let parse = || {
        let name = PrincipalName::parse(row.get::<_, &str>(first + 1)).ok()?;
        let tags = tags.into_iter().collect();
        Some(User {
            resource: Resource::new(account.clone(), id, name, tags).ok()?,
            display_name: text(3).map(DisplayName::parse).transpose().ok()?,
            comments: text(4).map(Comments::parse).transpose().ok()?,
            create_time: time(5).map(Timestamp::from_millis),
            update_time: time(6).map(Timestamp::from_millis),
            delete_time: time(7).map(Timestamp::from_millis),
        })
    };
    parse().ok_or_else(|| Failure::CorruptUser.into())
}
