//! The use case of a watch: who may follow the changes of an account, and how a watch ends.

use std::time::{Duration, Instant, SystemTime};

use super::authorisation::{Values, authorise};
use super::changes::ChangeService;
use super::feed::{Event, FeedError, Hold, Watch};
use super::{RETRY_AFTER, explain};
use crate::auth::Authority;
use crate::domain::{AccountId, Action, Call, Error, HistoryPosition, WatchQuery, WatchStart};
use crate::store::{Store, StoreError};
use crate::telemetry::metrics::{Open, metrics};

/// After how long the policies are asked again whether a watch may go on: they may have changed, and so has the time. They are asked
/// before an event, which comes within 8 seconds: so it is 10 at most.
const ASK_AGAIN: Duration = Duration::from_secs(2);

/// A watch of a caller, which goes on as long as the policies let it.
pub struct CallerWatch<S> {
    watch: Watch<S>,
    permit: Permit,
    asked_at: Instant,
    values: Values,
    /// The position to go on from; `None` until a snapshot has ended.
    resume: Option<HistoryPosition>,
    /// Counts the watch as open.
    _open: Open,
}

/// What a caller may see of an account.
struct Permit {
    authority: Authority,
    call: Call,
    account: AccountId,
}

impl Permit {
    /// Asks whether the caller may watch, and see the values of tags.
    fn ask(&self) -> Result<Values, Error> {
        let (authority, call) = (&self.authority, &self.call);
        authorise(authority, call, Action::WatchChanges, &self.account)?;
        Ok(Values::of(authority, call, &self.account))
    }
}

impl<S: Store> ChangeService<S> {
    /// Begins to follow the changes of an account. What waits for the caller in memory is held by `hold`.
    ///
    /// # Errors
    /// [`Error::NoPermission`], [`Error::OtherHistory`], [`Error::Compacted`], [`Error::Unsupported`], or what the store says.
    pub async fn watch(
        &self,
        call: &Call,
        query: WatchQuery,
        hold: Hold,
    ) -> Result<CallerWatch<S>, Error> {
        let permit = Permit {
            authority: self.authority.clone(),
            call: call.clone(),
            account: query.account.clone(),
        };
        let values = permit.ask()?;
        let begun = self.feed.watch(query.account, query.start, hold).await;
        let watch = begun.map_err(|error| match error {
            FeedError::Store(error) => explain(error, |_| Vec::new()),
            error => ended(error, None),
        })?;
        let is_snapshot = query.start == WatchStart::Snapshot;
        Ok(CallerWatch {
            resume: (!is_snapshot).then(|| watch.position()),
            watch,
            permit,
            asked_at: Instant::now(),
            values,
            _open: metrics().server.open_watch(),
        })
    }
}

impl<S: Store> CallerWatch<S> {
    /// Waits for the next event, and says whether it shows the values of tags.
    ///
    /// # Errors
    /// The watch has ended: [`Error::WatchEnded`], or one of those of [`ChangeService::watch`].
    pub async fn next(&mut self) -> Result<(Event, Values), Error> {
        if self.asked_at.elapsed() >= ASK_AGAIN {
            self.permit.call.time = SystemTime::now();
            self.values = self.permit.ask()?;
            self.asked_at = Instant::now();
        }
        let event = self.watch.next().await;
        let event = event.map_err(|error| ended(error, self.resume))?;
        let is_whole = match &event {
            Event::Users(page) => page.end.is_some(),
            Event::Change(_) | Event::Checkpoint => true,
        };
        if is_whole {
            self.resume = Some(self.watch.position());
        }
        Ok((event, self.values))
    }

    /// The position to go on from behind what was told; `None` until a snapshot has ended.
    #[must_use]
    pub fn resume(&self) -> Option<HistoryPosition> {
        self.resume
    }
}

/// The error of a watch that has ended, for its caller, who may go on from a position.
fn ended(error: FeedError, position: Option<HistoryPosition>) -> Error {
    let reason = match error {
        FeedError::OtherHistory => return Error::OtherHistory,
        FeedError::NoMemory => "the connection holds as much memory as it may",
        FeedError::Stale => "the store could not be read for some time",
        FeedError::Store(StoreError::Busy) => "too many requests are waiting for the store",
        FeedError::Store(error) => match explain(error, |_| Vec::new()) {
            Error::Unavailable { reason, .. } => reason,
            error => return error,
        },
    };
    Error::WatchEnded {
        reason,
        position,
        retry_after: RETRY_AFTER,
    }
}
