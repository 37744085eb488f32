//! Retention: a task in each replica deletes what is old of the change log, one replica at a time.

use std::sync::{Arc, Weak};
use std::time::{Duration, SystemTime};

use tokio_postgres::types::Type;

use super::error::Failure;
use super::pool::{Locks, Pool};
use super::session::Parameters;
use super::statements::COMPACT;
use crate::domain::Timestamp;
use crate::store::Retention;

/// How long the task waits at first, and how long all replicas leave the log alone when nothing was left to do.
const PAUSE: Duration = Duration::from_secs(5);
/// How many entries a statement deletes at most: about 20 ms of work, beside which changes go on.
const MOST: i64 = 2_000;
/// How many answers to requests with client tokens are remembered.
const MOST_TOKENS: i64 = 1_000_000;

/// Keeps the change log within its bounds, as long as the store is open.
pub async fn keep(pool: Weak<Pool>, retention: Retention) {
    let mut pause = PAUSE;
    loop {
        tokio::time::sleep(pause).await;
        let Some(open) = pool.upgrade() else {
            return;
        };
        pause = match compact(&open, retention).await {
            Ok(true) => Duration::ZERO,
            Ok(false) => PAUSE,
            Err(failure) => {
                tracing::debug!(%failure, "cannot compact the change log now");
                PAUSE
            }
        };
    }
}

/// Deletes some of what is to go. Returns whether there may be more. Others send nothing behind it that can go elsewhere: it takes
/// its time, and waits for rows that are locked.
async fn compact(pool: &Arc<Pool>, retention: Retention) -> Result<bool, Failure> {
    let parameters = parameters(Timestamp::from(SystemTime::now()), retention);
    let rows = pool.run(Locks::Block, move |session| async move {
        session.query(COMPACT, &parameters).await
    });
    Ok(rows.await?.first().is_some_and(|row| row.get(0)))
}

fn parameters(now: Timestamp, retention: Retention) -> Parameters {
    let age = i64::try_from(retention.age.as_millis()).unwrap_or(i64::MAX);
    let bytes = i64::try_from(retention.bytes).unwrap_or(i64::MAX);
    let pause = i64::try_from(PAUSE.as_millis()).unwrap_or(i64::MAX);
    [now.millis(), age, bytes, MOST, MOST_TOKENS, pause]
        .map(|number| (Box::new(number) as _, Type::INT8))
        .into()
}
