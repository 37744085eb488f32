//! Users as they lie in the tables, with all that is kept of them: those that are there in `resource`, and deleted ones in
//! `deleted_user`. One that is deleted takes the number of its row along, and gets it back when it is restored.

use std::ops::ControlFlow;

use rusqlite::{Connection, OptionalExtension as _, Params, params};

use super::tags::{self, TagMask};
use crate::domain::{
    AccountId, Comments, DeletedUsers, DisplayName, PrincipalName, RESOURCE_TYPE_USER, Resource,
    ResourceId, Timestamp, User, UserContinuation, UserKey, UserListQuery,
};
use crate::store::sqlite::error::{ApplyError, CorruptTags};

macro_rules! select {
    ($delete_time:literal, $rest:literal) => {
        concat!(
            "SELECT number, account_id, resource_id, principal_name, tags, display_name, comments, ",
            "create_time, update_time, ",
            $delete_time,
            " FROM ",
            $rest
        )
    };
}

const BY_ID: &str = select!(
    "NULL",
    "resource WHERE account_id = ?1 AND resource_type = ?2 AND resource_id = ?3"
);
const BY_NAME: &str = select!(
    "NULL",
    "resource WHERE account_id = ?1 AND resource_type = ?2 AND principal_name = ?3"
);
const DELETED_BY_ID: &str = select!(
    "delete_time",
    "deleted_user WHERE account_id = ?1 AND resource_type = ?2 AND resource_id = ?3"
);
const LIST: &str = select!(
    "NULL",
    "resource WHERE account_id = ?1 AND resource_type = ?2 AND resource_id > ?3 \
     ORDER BY resource_id LIMIT ?4"
);
// With a plus, the index of times is not used: its rows would have to be sorted.
const LIST_WITH_DELETED: &str = concat!(
    select!(
        "NULL",
        "resource WHERE account_id = ?1 AND resource_type = ?2 AND resource_id > ?3"
    ),
    " UNION ALL ",
    select!(
        "delete_time",
        "deleted_user WHERE account_id = ?1 AND resource_type = ?2 AND resource_id > ?3 \
         AND +delete_time > ?5 ORDER BY resource_id LIMIT ?4"
    )
);
const INSERT: &str = "INSERT INTO resource (number, account_id, resource_type, resource_id, principal_name, tags, \
     display_name, comments, create_time, update_time) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10)";
const COPY_TO_DELETED: &str = "INSERT INTO deleted_user (number, account_id, resource_type, resource_id, principal_name, tags, \
     display_name, comments, create_time, update_time, delete_time) \
     SELECT number, account_id, resource_type, resource_id, principal_name, ?2, \
     display_name, comments, create_time, update_time, ?3 FROM resource WHERE number = ?1";
const UPDATE: &str = "UPDATE resource SET principal_name = ?2, display_name = ?3, comments = ?4, update_time = ?5 \
     WHERE number = ?1";

/// A user with the number of its row.
#[derive(Debug, Clone)]
pub struct StoredUser {
    pub number: i64,
    pub user: User,
    /// Its tags as they lie in the row, with those that it has lost.
    pub tags: Vec<u8>,
}

impl StoredUser {
    /// The user of a row. `removed` tells which tags the row of a number has lost, of one that is there.
    fn of(
        row: &rusqlite::Row<'_>,
        removed: impl FnOnce(i64) -> TagMask,
    ) -> Result<Self, ApplyError> {
        let number = row.get(0)?;
        let text = |column| Ok::<_, rusqlite::Error>(row.get_ref(column)?.as_str()?);
        let time = |column| {
            let millis: Option<i64> = row.get(column)?;
            Ok::<_, rusqlite::Error>(millis.map(Timestamp::from_millis))
        };
        let encoded: Vec<u8> = row.get(4)?;
        let delete_time = time(9)?;
        // A deleted user was written without the tags that it had lost.
        let removed = delete_time.map_or_else(|| removed(number), |_| 0);
        let tags = tags::decode(&encoded, removed)?;
        let resource = Resource::new(
            valid(AccountId::parse(text(1)?))?,
            valid(ResourceId::parse(text(2)?))?,
            valid(PrincipalName::parse(text(3)?))?,
            tags.into_iter().collect(),
        );
        let (display_name, comments): (Option<String>, Option<String>) = (row.get(5)?, row.get(6)?);
        let user = User {
            resource: valid(resource)?,
            display_name: valid(display_name.map(DisplayName::parse).transpose())?,
            comments: valid(comments.map(Comments::parse).transpose())?,
            create_time: time(7)?,
            update_time: time(8)?,
            delete_time,
        };
        Ok(Self {
            number,
            user,
            tags: encoded,
        })
    }
}

/// What a column holds, which was checked before it was written.
fn valid<T, E>(parsed: Result<T, E>) -> Result<T, CorruptTags> {
    parsed.map_err(|_| CorruptTags)
}

/// The tables of users, in the transaction that is open on a connection.
#[derive(Clone, Copy)]
pub struct UserTables<'connection>(pub &'connection Connection);

impl UserTables<'_> {
    /// The user that is there with this key. `removed` tells which tags the row of a number has lost.
    pub fn find(
        self,
        account: &AccountId,
        key: &UserKey,
        removed: impl FnOnce(i64) -> TagMask,
    ) -> Result<Option<StoredUser>, ApplyError> {
        let (select, name) = match key {
            UserKey::Id(id) => (BY_ID, id.as_str()),
            UserKey::Name(name) => (BY_NAME, name.as_str()),
        };
        let values = params![account.as_str(), RESOURCE_TYPE_USER, name];
        self.first(select, values, removed)
    }

    /// The number of the row of the user that is there with this name.
    pub fn holder(
        self,
        account: &AccountId,
        name: &PrincipalName,
    ) -> rusqlite::Result<Option<i64>> {
        let values = params![account.as_str(), RESOURCE_TYPE_USER, name.as_str()];
        let mut statement = self.0.prepare_cached(BY_NAME)?;
        statement.query_row(values, |row| row.get(0)).optional()
    }

    /// The id of the user that is there with this name.
    pub fn holder_id(
        self,
        account: &AccountId,
        name: &PrincipalName,
    ) -> Result<Option<ResourceId>, ApplyError> {
        let values = params![account.as_str(), RESOURCE_TYPE_USER, name.as_str()];
        let mut statement = self.0.prepare_cached(BY_NAME)?;
        let id = statement.query_row(values, |row| row.get::<_, String>(2));
        let id = id.optional()?.map(ResourceId::parse);
        Ok(valid(id.transpose())?)
    }

    /// The deleted user with this id, one that has expired too.
    pub fn find_deleted(
        self,
        account: &AccountId,
        id: &ResourceId,
    ) -> Result<Option<StoredUser>, ApplyError> {
        let values = params![account.as_str(), RESOURCE_TYPE_USER, id.as_str()];
        self.first(DELETED_BY_ID, values, |_| 0)
    }

    /// Calls `found` with the users of a query's account from where the page begins, in order of id and up to so many, until it has
    /// enough. Deleted ones are among them where the query says so. `removed` is as for `find`.
    pub fn each(
        self,
        query: &UserListQuery,
        most: usize,
        removed: impl Fn(i64) -> TagMask,
        mut found: impl FnMut(User) -> ControlFlow<()>,
    ) -> Result<(), ApplyError> {
        let account = query.account.as_str();
        let after = query.after.as_ref().and_then(UserContinuation::behind);
        let after = after.map_or("", ResourceId::as_str);
        let most = i64::try_from(most).unwrap_or(i64::MAX);
        let expired = query.time.newest_expired().millis();
        let mut statement;
        let mut rows = match query.deleted {
            DeletedUsers::Hide => {
                statement = self.0.prepare_cached(LIST)?;
                statement.query(params![account, RESOURCE_TYPE_USER, after, most])?
            }
            DeletedUsers::Show => {
                statement = self.0.prepare_cached(LIST_WITH_DELETED)?;
                statement.query(params![account, RESOURCE_TYPE_USER, after, most, expired])?
            }
        };
        while let Some(row) = rows.next()? {
            if found(StoredUser::of(row, &removed)?.user).is_break() {
                break;
            }
        }
        Ok(())
    }

    /// Adds a user that is there, with these tags encoded.
    pub fn insert(self, number: i64, user: &User, tags: &[u8]) -> rusqlite::Result<()> {
        let mut statement = self.0.prepare_cached(INSERT)?;
        let values = params![
            number,
            user.resource.account.as_str(),
            RESOURCE_TYPE_USER,
            user.resource.id.as_str(),
            user.resource.principal_name.as_str(),
            tags,
            user.display_name.as_ref().map(DisplayName::as_str),
            user.comments.as_ref().map(Comments::as_str),
            user.create_time.map(Timestamp::millis),
            user.update_time.map(Timestamp::millis),
        ];
        statement.execute(values).map(drop)
    }

    /// Writes what an update may change of a user that is there: all but its tags.
    pub fn update(self, number: i64, user: &User) -> rusqlite::Result<()> {
        let mut statement = self.0.prepare_cached(UPDATE)?;
        let values = params![
            number,
            user.resource.principal_name.as_str(),
            user.display_name.as_ref().map(DisplayName::as_str),
            user.comments.as_ref().map(Comments::as_str),
            user.update_time.map(Timestamp::millis),
        ];
        statement.execute(values).map(drop)
    }

    /// Writes the tags of a user that is there.
    pub fn set_tags(self, number: i64, tags: &[u8]) -> rusqlite::Result<()> {
        let update = "UPDATE resource SET tags = ?2 WHERE number = ?1";
        let mut statement = self.0.prepare_cached(update)?;
        statement.execute(params![number, tags]).map(drop)
    }

    /// Gives a row a name that no user can have, since it has a space, until it gets its own in the same transaction.
    pub fn give_up_name(self, number: i64) -> rusqlite::Result<()> {
        let update = "UPDATE resource SET principal_name = ?2 WHERE number = ?1";
        let mut statement = self.0.prepare_cached(update)?;
        statement
            .execute(params![number, format!("row {number}")])
            .map(drop)
    }

    /// Moves a user that is there to those that are deleted, without the tags that its row has lost.
    pub fn delete(self, number: i64, user: &User) -> rusqlite::Result<()> {
        let tags = tags::encode(user.resource.tags());
        let time = user.delete_time.map(Timestamp::millis);
        self.0
            .prepare_cached(COPY_TO_DELETED)?
            .execute(params![number, tags, time])?;
        self.0
            .prepare_cached("DELETE FROM resource WHERE number = ?1")?
            .execute([number])
            .map(drop)
    }

    /// Removes a deleted user for good.
    pub fn forget(self, number: i64) -> rusqlite::Result<()> {
        self.0
            .prepare_cached("DELETE FROM deleted_user WHERE number = ?1")?
            .execute([number])
            .map(drop)
    }

    /// Whether somebody was deleted until a moment.
    pub fn has_expired(self, deleted_until: Timestamp) -> rusqlite::Result<bool> {
        let select = "SELECT EXISTS (SELECT 1 FROM deleted_user WHERE delete_time <= ?1)";
        let mut statement = self.0.prepare_cached(select)?;
        statement.query_row([deleted_until.millis()], |row| row.get(0))
    }

    /// Removes up to so many users for good that were deleted until a moment. Returns how many there were.
    pub fn forget_expired(self, deleted_until: Timestamp, most: usize) -> rusqlite::Result<usize> {
        let delete = "DELETE FROM deleted_user WHERE number IN \
             (SELECT number FROM deleted_user WHERE delete_time <= ?1 ORDER BY delete_time LIMIT ?2)";
        let most = i64::try_from(most).unwrap_or(i64::MAX);
        let mut statement = self.0.prepare_cached(delete)?;
        statement.execute([deleted_until.millis(), most])
    }

    fn first(
        self,
        select: &str,
        values: impl Params,
        removed: impl FnOnce(i64) -> TagMask,
    ) -> Result<Option<StoredUser>, ApplyError> {
        let mut statement = self.0.prepare_cached(select)?;
        let mut rows = statement.query(values)?;
        let row = rows.next()?;
        row.map(|row| StoredUser::of(row, removed)).transpose()
    }
}
