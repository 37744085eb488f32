//! Turns PostgreSQL's errors into the store's. PostgreSQL's own text goes to the log only.

use std::error::Error as StdError;
use std::sync::Arc;

use thiserror::Error;
use tokio::task::JoinError;
use tokio_postgres::error::{DbError, Severity, SqlState};

use super::session::Access;
use crate::domain::Applied;
use crate::store::StoreError;

/// Why a statement has no answer.
#[derive(Debug, Error)]
pub enum Failure {
    /// It was not sent.
    #[error("cannot connect: {}", with_causes(.0.as_ref()))]
    NoConnection(Box<dyn StdError + Send + Sync>),
    /// The task that sent it has ended before the answer.
    #[error("a statement was cut off: {0}")]
    Stopped(#[from] JoinError),
    /// The server does not answer.
    #[error("the database has not answered in time")]
    Frozen,
    /// The server, or the connection to it.
    #[error("{}", with_causes(.0))]
    Postgres(#[from] tokio_postgres::Error),
    /// What is stored.
    #[error("the tags of a resource are not an object of texts")]
    CorruptTags,
    /// What is stored.
    #[error("a row of a user is not one that this program can have written")]
    CorruptUser,
    /// What is stored.
    #[error("an entry of the change log is not one that this program can have written")]
    CorruptEntry,
    /// What a function of the schema has returned.
    #[error("a change has no answer")]
    NoAnswer,
}

/// tokio-postgres says only "db error" or "error performing TLS handshake" by itself.
fn with_causes(error: &(dyn StdError + 'static)) -> String {
    let causes = std::iter::successors(Some(error), |error| (*error).source());
    let mut texts: Vec<String> = causes.map(ToString::to_string).collect();
    // Some errors repeat their cause.
    texts.dedup();
    let mut text = texts.join(": ");
    if text.contains("UnsupportedCertVersion") {
        text.push_str(VERSION_1);
    }
    text
}

/// What is said where a connection to a node can't be opened, and not where one is lost.
const NOT_REACHED: [&str; 4] = [
    "Is the server running on that host and accepting TCP/IP connections?",
    "could not translate host name",
    "FATAL:  the database system is ",
    "could not establish any connections to the node",
];

/// What webpki does not say of a certificate that it can't read.
const VERSION_1: &str = "; the server's certificate is of X.509 version 1, which names no host, so that it can't be verified: \
    make one of version 3, as by openssl x509 -req with -extfile and a file that says subjectAltName=DNS:<host>";

impl Failure {
    fn db_error(&self) -> Option<&DbError> {
        match self {
            Self::Postgres(error) => error.as_db_error(),
            _ => None,
        }
    }

    fn sql_state(&self) -> Option<&SqlState> {
        self.db_error().map(DbError::code)
    }

    /// Whether the connection is not to be used again.
    pub fn is_of_the_connection(&self) -> bool {
        let is_unfit = self.sql_state().is_some_and(|code| {
            // A standby, and a session that is not the one in which the statement was prepared.
            [
                SqlState::READ_ONLY_SQL_TRANSACTION,
                SqlState::INVALID_SQL_STATEMENT_NAME,
            ]
            .contains(code)
        });
        let has_ended = self.has_lost_connection() && !self.is_of_a_session_that_goes_on();
        matches!(self, Self::Frozen) || has_ended || is_unfit
    }

    /// Whether the server has told of a lost connection that was not this one, but its own to another node: it ends a session with
    /// FATAL.
    fn is_of_a_session_that_goes_on(&self) -> bool {
        let error = self.db_error();
        error.is_some_and(|error| error.parsed_severity() == Some(Severity::Error))
    }

    /// Whether a node of the server's was not reached, so that nothing was sent to it: libpq, by which Citus connects, says so, and
    /// Citus itself where it takes too long.
    pub fn is_of_a_node_not_reached(&self) -> bool {
        let says_so = |error: &DbError| {
            NOT_REACHED
                .iter()
                .any(|text| error.message().contains(text))
        };
        self.is_of_a_session_that_goes_on()
            && self.sql_state() == Some(&SqlState::CONNECTION_FAILURE)
            && self.db_error().is_some_and(says_so)
    }

    /// Whether the same statement may succeed when it is sent again, and can't be applied twice: because the server has
    /// refused it, or because its connection was lost and twice is as good as once.
    pub fn may_be_repeated(&self, access: Access) -> bool {
        self.was_refused() || (access != Access::Change && self.has_lost_connection())
    }

    /// Whether a change may have been made: it was sent, and its answer is lost.
    pub fn may_have_been_applied(&self) -> bool {
        matches!(self, Self::Stopped(_) | Self::Frozen)
            || (self.has_lost_connection() && !self.is_of_a_node_not_reached())
    }

    fn has_lost_connection(&self) -> bool {
        matches!(self, Self::Postgres(error) if error.code().is_none_or(is_lost))
    }

    fn was_refused(&self) -> bool {
        self.sql_state().is_some_and(|code| {
            [
                SqlState::T_R_SERIALIZATION_FAILURE,
                SqlState::T_R_DEADLOCK_DETECTED,
                SqlState::READ_ONLY_SQL_TRANSACTION,
                SqlState::CANNOT_CONNECT_NOW,
                SqlState::INVALID_SQL_STATEMENT_NAME,
            ]
            .contains(code)
        })
    }

    /// Whether a statement that several commands shared was not applied, and the commands may fare better one by one:
    /// the server has refused it, and neither for the want of something nor for the time it took.
    pub fn may_be_of_one_command(&self) -> bool {
        self.sql_state()
            .is_some_and(|code| !is_lost(code) && !is_refusal(code))
    }

    /// Says what the failure means for the caller of the store, who knows whether the change may have been made. A read has made
    /// none.
    pub fn to_store_error(self: &Arc<Self>, applied: Applied) -> StoreError {
        let broken = || StoreError::Broken(Arc::clone(self) as Arc<_>);
        let reason = match &**self {
            Self::NoConnection(_) => "the database can't be reached",
            Self::Stopped(_) => "the statement was cut off",
            Self::Frozen => "the database does not answer",
            Self::CorruptTags | Self::CorruptUser | Self::CorruptEntry | Self::NoAnswer => {
                return broken();
            }
            Self::Postgres(error) => match error.code() {
                None => "the connection to the database was lost",
                Some(code) if is_lost(code) && self.is_of_a_session_that_goes_on() => {
                    "a node of the database can't be reached"
                }
                Some(code) if is_lost(code) => "the database has closed the connection",
                Some(code) if self.was_refused() || is_refusal(code) => {
                    "the database can't take the change now"
                }
                Some(code) if code.code() == TOKENS_FULL => return StoreError::TokensFull,
                Some(_) => return broken(),
            },
        };
        StoreError::Unavailable {
            reason,
            applied,
            source: Some(Arc::clone(self) as Arc<_>),
        }
    }
}

impl From<Failure> for StoreError {
    /// The failure of a read.
    fn from(failure: Failure) -> Self {
        Arc::new(failure).to_store_error(Applied::No)
    }
}

/// What `untag_find_answer` fails with where there are too many client tokens.
const TOKENS_FULL: &str = "UT001";

/// Codes that end the connection: class 08, with which PgBouncer tells of its server, most of class 57P (the server shuts
/// down, has crashed, or drops the database), and the one that says that not even the server knows the outcome.
fn is_lost(code: &SqlState) -> bool {
    let is_ending = code.code().starts_with("57P") && *code != SqlState::CANNOT_CONNECT_NOW;
    let is_unknown = *code == SqlState::T_R_STATEMENT_COMPLETION_UNKNOWN;
    code.code().starts_with("08") || is_ending || is_unknown
}

/// Codes that say that the statement was rolled back for a reason that may pass: class 53 (insufficient resources), class
/// 58 (the server's own system calls), a lock or a statement that has taken longer than the server's settings allow.
fn is_refusal(code: &SqlState) -> bool {
    ["53", "58"]
        .iter()
        .any(|class| code.code().starts_with(class))
        || [SqlState::QUERY_CANCELED, SqlState::LOCK_NOT_AVAILABLE].contains(code)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_are_told_apart_by_what_became_of_the_statement() {
        let all = |codes: &[&str], kind: fn(&SqlState) -> bool| {
            codes.iter().all(|code| kind(&SqlState::from_code(code)))
        };
        let lost = ["08P01", "08006", "57P01", "57P02", "57P04", "40003"];
        let refused = ["53100", "53300", "58030", "57014", "55P03"];
        // To be repeated, or a fault of ours.
        let neither = ["57P03", "40001", "40P01", "25006", "42P01", "23505"];
        assert!(
            all(&lost, is_lost)
                && !lost
                    .iter()
                    .any(|code| is_refusal(&SqlState::from_code(code)))
        );
        assert!(
            all(&refused, is_refusal)
                && !refused
                    .iter()
                    .any(|code| is_lost(&SqlState::from_code(code)))
        );
        assert!(all(&neither, |code| !is_lost(code) && !is_refusal(code)));
    }

    #[tokio::test]
    async fn a_change_whose_task_has_panicked_may_have_been_made() {
        let task = tokio::spawn(async { panic!("of a statement") });
        let failure = Failure::from(task.await.unwrap_err());
        assert!(failure.may_have_been_applied());
        assert!(!failure.may_be_repeated(Access::Change) && !failure.may_be_of_one_command());
    }
}
