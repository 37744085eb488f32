//! What becomes of a change: a statement whose answer is lost is looked for in the change log.
//!
//! Looking for it also makes sure that it will not be made later: the statement may still be on its way to the server, or wait
//! there for a lock. `untag_find_out` holds the lock that each change takes before it writes its entry. Where there is no
//! entry, it writes down there that the tries so far must not be made any more, and each change looks for that behind the
//! same lock. So a change that is sent again is made once; a try that changes nothing has no entry, and does no harm.

use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use tokio_postgres::Row;
use tokio_postgres::types::Type;

use super::changes::parse;
use super::error::Failure;
use super::session::{Access, Parameters};
use super::{FIRST_PAUSE, LAST_PAUSE, PostgresStore, statements};
use crate::current;
use crate::domain::{AccountId, Applied, Change as Entry, RequestId, Timestamp};
use crate::store::StoreError;

/// How often a change is sent whose answer is lost each time.
const TRIES: i32 = 5;
/// How long the database is asked what became of a change, where no request has a deadline.
const LONGEST: Duration = Duration::from_secs(10);

/// A change as it is sent. `parameters` are those of a try, by its number.
pub struct Change<'change, P> {
    pub sql: &'static str,
    pub account: &'change AccountId,
    pub request_id: RequestId,
    pub parameters: P,
}

/// Whether a change was sent before, as the first try.
pub enum Sent {
    No,
    /// It was, and this is why it has no answer.
    Unanswered(Arc<Failure>),
}

/// What became of a change.
pub enum Outcome {
    /// The database has answered.
    Answered(Vec<Row>),
    /// The answer was lost, and this was found.
    Found(Box<Entry>),
}

impl PostgresStore {
    /// Sends a change, and finds out what became of it where its answer is lost. What it `holds` is let go when the database and
    /// the caller are done with it.
    pub(super) async fn change<P: Fn(i32) -> Parameters>(
        &self,
        change: &Change<'_, P>,
        sent: Sent,
        holds: Arc<impl Send + Sync + 'static>,
    ) -> Result<Outcome, StoreError> {
        let mut attempt = 1;
        let mut lost = match sent {
            Sent::No => None,
            Sent::Unanswered(failure) => Some(failure),
        };
        loop {
            if let Some(failure) = lost.take() {
                tracing::debug!(%failure, attempt, "the answer to a change was lost; looking for its entry");
                if let Some(entry) = self.find_out(change, attempt, &failure, &holds).await? {
                    return Ok(Outcome::Found(Box::new(entry)));
                }
                // It was not made, and will not be. Whoever has asked for it may be gone.
                if attempt == TRIES || current::left().is_zero() {
                    return Err(failure.to_store_error(Applied::No));
                }
                attempt += 1;
            }
            let parameters = (change.parameters)(attempt);
            let holds = Arc::clone(&holds);
            match self
                .send(change.sql, parameters, Access::Change, holds)
                .await
            {
                Ok(rows) => return Ok(Outcome::Answered(rows)),
                Err(failure) if failure.may_have_been_applied() => lost = Some(failure),
                Err(failure) => return Err(failure.to_store_error(Applied::No)),
            }
        }
    }

    /// Finds out what became of the tries of a change up to this one, as long as its request has time.
    async fn find_out<P>(
        &self,
        change: &Change<'_, P>,
        attempt: i32,
        failure: &Arc<Failure>,
        holds: &Arc<impl Send + Sync + 'static>,
    ) -> Result<Option<Entry>, StoreError> {
        let (start, time) = (Instant::now(), current::left().min(LONGEST));
        let mut pause = FIRST_PAUSE;
        loop {
            let now = Timestamp::from(SystemTime::now());
            let parameters: Parameters = vec![
                (Box::new(change.account.to_string()), Type::TEXT),
                (Box::new(change.request_id.to_string()), Type::TEXT),
                (Box::new(attempt), Type::INT4),
                (Box::new(now.millis()), Type::INT8),
            ];
            let holds = Arc::clone(holds);
            let asked = self.send(statements::FIND_OUT, parameters, Access::FindOut, holds);
            match asked.await {
                Ok(rows) => {
                    return rows
                        .first()
                        .map(|row| parse(change.account, row))
                        .transpose();
                }
                Err(error) => {
                    tracing::debug!(%error, "cannot find out what became of a change yet");
                    if start.elapsed() + pause >= time {
                        return Err(failure.to_store_error(Applied::Maybe));
                    }
                }
            }
            tokio::time::sleep(pause).await;
            pause = LAST_PAUSE.min(pause * 2);
        }
    }
}
