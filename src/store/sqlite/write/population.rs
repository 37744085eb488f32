//! Who has been there: the numbers of rows that are given, each once and for ever, and deleted users that are gone for good.

use rusqlite::{Connection, TransactionBehavior};

use crate::domain::Timestamp;
use crate::store::sqlite::format::{self, UserTables};

/// How many deleted users are removed in a transaction.
const FORGOTTEN_AT_ONCE: usize = 512;

/// The users that were ever there.
pub struct Population {
    /// The number of the next new row, once one was asked for. No row has had it, nor a larger one.
    pub next_number: Option<i64>,
    /// What tells which deleted users are gone for good.
    now: fn() -> Timestamp,
}

/// What became of deleted users that are gone for good.
#[derive(PartialEq, Eq)]
pub enum Forgotten {
    None,
    Some,
    /// Some, and there may be more.
    Many,
}

impl Population {
    pub fn new(now: fn() -> Timestamp) -> Self {
        Self {
            next_number: None,
            now,
        }
    }

    /// The present moment.
    pub fn now(&self) -> Timestamp {
        (self.now)()
    }

    /// Removes some of the deleted users that are gone for good. Nobody sees them any more.
    pub fn forget(&self, connection: &mut Connection) -> rusqlite::Result<Forgotten> {
        let until = self.now().newest_expired();
        if !UserTables(connection).has_expired(until)? {
            return Ok(Forgotten::None);
        }
        let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
        // The tables may not show any more that these numbers were given.
        let next_number = match self.next_number {
            Some(number) => number,
            None => format::next_number(&transaction)?,
        };
        format::keep_next_number(&transaction, next_number)?;
        let forgotten = UserTables(&transaction).forget_expired(until, FORGOTTEN_AT_ONCE)?;
        transaction.commit()?;
        Ok(if forgotten < FORGOTTEN_AT_ONCE {
            Forgotten::Some
        } else {
            Forgotten::Many
        })
    }
}
