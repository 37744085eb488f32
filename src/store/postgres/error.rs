//! Turns PostgreSQL's errors into the store's. PostgreSQL's own text goes to the log only.

use std::error::Error as StdError;
use std::sync::Arc;

use thiserror::Error;
use tokio_postgres::error::SqlState;

use crate::domain::Applied;
use crate::store::StoreError;

/// Why a statement has no answer.
#[derive(Debug, Error)]
pub enum Failure {
    /// It was not sent.
    #[error("cannot connect: {}", with_causes(.0.as_ref()))]
    NoConnection(Box<dyn StdError + Send + Sync>),
    /// The server does not answer.
    #[error("the database has not answered in time")]
    Frozen,
    /// The server, or the connection to it.
    #[error("{}", with_causes(.0))]
    Postgres(#[from] tokio_postgres::Error),
    /// What is stored.
    #[error("the tags of a resource are not an object of texts")]
    CorruptTags,
}

/// tokio-postgres says only "db error" or "error performing TLS handshake" by itself.
fn with_causes(error: &(dyn StdError + 'static)) -> String {
    let causes = std::iter::successors(Some(error), |error| (*error).source());
    let mut texts: Vec<String> = causes.map(ToString::to_string).collect();
    // Some errors repeat their cause.
    texts.dedup();
    texts.join(": ")
}

impl Failure {
    fn sql_state(&self) -> Option<&SqlState> {
        match self {
            Self::Postgres(error) => error.code(),
            _ => None,
        }
    }

    /// Whether the connection is not to be used again.
    pub fn is_of_the_connection(&self) -> bool {
        match self {
            Self::NoConnection(_) | Self::CorruptTags => false,
            Self::Frozen => true,
            Self::Postgres(error) => match error.code() {
                Some(code) => is_shutdown(code) || *code == SqlState::READ_ONLY_SQL_TRANSACTION,
                None => true,
            },
        }
    }

    /// Whether the same statement may succeed when it is sent again, and has certainly not been applied.
    pub fn may_be_repeated(&self) -> bool {
        self.sql_state().is_some_and(|code| {
            [
                SqlState::T_R_SERIALIZATION_FAILURE,
                SqlState::T_R_DEADLOCK_DETECTED,
                SqlState::READ_ONLY_SQL_TRANSACTION,
                SqlState::CANNOT_CONNECT_NOW,
            ]
            .contains(code)
        })
    }

    /// Says what the failure of a change or of a read means for the caller of the store.
    pub fn into_store_error(self, changes: bool) -> StoreError {
        let (reason, sent) = match &self {
            Self::NoConnection(_) => ("the database can't be reached", false),
            Self::Frozen => ("the database does not answer", true),
            Self::CorruptTags => return StoreError::Broken(Arc::new(self)),
            Self::Postgres(error) => match error.code() {
                None => ("the connection to the database was lost", true),
                Some(code) if is_shutdown(code) => ("the database is shutting down", true),
                Some(code) if self.may_be_repeated() || is_overload(code) => {
                    ("the database can't take the change now", false)
                }
                Some(_) => return StoreError::Broken(Arc::new(self)),
            },
        };
        // A change whose answer is lost may have been committed.
        let applied = if sent && changes {
            Applied::Maybe
        } else {
            Applied::No
        };
        StoreError::Unavailable {
            reason,
            applied,
            source: Some(Arc::new(self)),
        }
    }
}

fn is_shutdown(code: &SqlState) -> bool {
    [SqlState::ADMIN_SHUTDOWN, SqlState::CRASH_SHUTDOWN].contains(code)
}

/// Class 53 (insufficient resources) and a statement that the server's own timeout has ended.
fn is_overload(code: &SqlState) -> bool {
    code.code().starts_with("53") || *code == SqlState::QUERY_CANCELED
}
