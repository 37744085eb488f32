//! How the answers to requests with client tokens lie in their table.

use rusqlite::Row;

use crate::domain::{AccountId, Changed, Imported, RequestId, Reverted, Revision, UsersChanged};
use crate::store::sqlite::error::CorruptLog;
use crate::store::sqlite::format::{decode_users, encode_users};
use crate::store::{conflicts, import_answers, mismatches};

/// The columns of an answer.
#[derive(Debug, Default)]
pub struct AnswerColumns {
    pub revision: Option<i64>,
    pub resources: i64,
    pub changed: i64,
    pub tags: i64,
    pub mismatches: Option<Vec<u8>>,
    /// The users of a change of users, the conflicts of a revert, or the answer of an import.
    pub users: Option<Vec<u8>>,
}

impl AnswerColumns {
    /// Reads the columns of a row, which stand there in this order from the column `first` on.
    pub fn read(row: &Row<'_>, first: usize) -> rusqlite::Result<Self> {
        Ok(Self {
            revision: row.get(first)?,
            resources: row.get(first + 1)?,
            changed: row.get(first + 2)?,
            tags: row.get(first + 3)?,
            mismatches: row.get(first + 4)?,
            users: row.get(first + 5)?,
        })
    }

    fn revision(&self) -> Option<Revision> {
        let revision = self.revision?;
        Revision::new(revision.unsigned_abs())
    }
}

/// An answer that can be remembered.
pub trait Answer: Sized {
    /// The columns that the answer lies in.
    fn columns(&self) -> AnswerColumns;

    /// The answer that lies in these columns, to a repetition of the request with this RequestId.
    fn replayed(
        columns: AnswerColumns,
        account: &AccountId,
        request_id: RequestId,
    ) -> Result<Self, CorruptLog>;
}

impl Answer for Changed {
    fn columns(&self) -> AnswerColumns {
        let mismatches = mismatches::encode(&self.mismatches);
        AnswerColumns {
            revision: stored(self.revision),
            resources: count(self.resources),
            changed: count(self.changed_resources.unwrap_or_default()),
            tags: count(self.tags.unwrap_or_default()),
            mismatches: Some(mismatches).filter(|all| !all.is_empty()),
            users: None,
        }
    }

    fn replayed(
        columns: AnswerColumns,
        _account: &AccountId,
        request_id: RequestId,
    ) -> Result<Self, CorruptLog> {
        let mismatches = columns.mismatches.as_deref().unwrap_or_default();
        Ok(Self {
            resources: counted(columns.resources)?,
            changed_resources: Some(counted(columns.changed)?),
            tags: Some(counted(columns.tags)?),
            revision: columns.revision(),
            request_id: Some(request_id),
            is_replay: true,
            mismatches: mismatches::decode(mismatches).ok_or(CorruptLog)?,
        })
    }
}

impl Answer for UsersChanged {
    fn columns(&self) -> AnswerColumns {
        AnswerColumns {
            revision: stored(self.revision),
            resources: count(self.users.len()),
            changed: count(self.changed),
            users: Some(encode_users(&self.users)),
            ..AnswerColumns::default()
        }
    }

    fn replayed(
        columns: AnswerColumns,
        account: &AccountId,
        request_id: RequestId,
    ) -> Result<Self, CorruptLog> {
        let users = columns.users.as_deref().ok_or(CorruptLog)?;
        Ok(Self {
            users: decode_users(users, account)?,
            changed: counted(columns.changed)?,
            revision: columns.revision(),
            request_id: Some(request_id),
            is_replay: true,
        })
    }
}

impl Answer for Reverted {
    fn columns(&self) -> AnswerColumns {
        AnswerColumns {
            revision: stored(self.revision),
            resources: count(self.changed_resources),
            changed: count(self.changed_resources),
            tags: count(self.changed_tags),
            users: Some(conflicts::encode(&self.conflicts)),
            ..AnswerColumns::default()
        }
    }

    fn replayed(
        columns: AnswerColumns,
        _account: &AccountId,
        request_id: RequestId,
    ) -> Result<Self, CorruptLog> {
        let conflicts = columns.users.as_deref().unwrap_or_default();
        Ok(Self {
            changed_resources: counted(columns.changed)?,
            changed_tags: counted(columns.tags)?,
            effects: Vec::new(),
            conflicts: conflicts::decode(conflicts).ok_or(CorruptLog)?,
            revision: columns.revision(),
            request_id: Some(request_id),
            is_replay: true,
        })
    }
}

impl Answer for Imported {
    fn columns(&self) -> AnswerColumns {
        AnswerColumns {
            revision: stored(self.revision),
            resources: count(self.created + self.updated),
            changed: count(self.created + self.updated),
            tags: count(self.changed_tags),
            users: Some(import_answers::encode(self)),
            ..AnswerColumns::default()
        }
    }

    fn replayed(
        columns: AnswerColumns,
        _account: &AccountId,
        request_id: RequestId,
    ) -> Result<Self, CorruptLog> {
        let answer = columns.users.as_deref().and_then(import_answers::decode);
        Ok(Self {
            revision: columns.revision(),
            request_id: Some(request_id),
            is_replay: true,
            ..answer.ok_or(CorruptLog)?
        })
    }
}

fn stored(revision: Option<Revision>) -> Option<i64> {
    revision.map(|revision| revision.get().cast_signed())
}

fn count(count: usize) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}

fn counted(count: i64) -> Result<usize, CorruptLog> {
    usize::try_from(count).map_err(|_| CorruptLog)
}
