//! The audit: who changed what, or tried to, a line for each change.

mod detached;
mod line;
mod quota;

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Instant;

use tokio_util::task::TaskTracker;
use tracing::Instrument as _;

use super::RETRY_AFTER;
use crate::domain::{Applied, Call, Changed, Error, TagCommand, UntagCommand};
use crate::telemetry::metrics::metrics;
use crate::telemetry::{LineSender, LineSlot, OnFailure, trace};
use detached::Detachable;
pub use line::Refused;
use line::{Line, LogLevelLine};
use quota::Quota;

/// The audit; by default there is none.
#[derive(Debug, Clone, Default)]
pub struct Audit(Option<Arc<Trail>>);

#[derive(Debug)]
struct Trail {
    lines: LineSender,
    on_failure: OnFailure,
    /// The changes whose callers have gone.
    detached: TaskTracker,
    /// The bound on the lines of refused requests.
    quota: Quota,
}

/// The line of one change, and its slot. Dropped before the result of the change is known, it says so. Boxed,
/// since it is large and many services have no audit.
pub struct Entry(Option<Box<Pending>>);

struct Pending {
    trail: Arc<Trail>,
    line: Line,
    slot: Option<LineSlot>,
}

impl Audit {
    /// An audit whose lines go to this sender. `on_failure` says what becomes of lines that can't be written.
    #[must_use]
    pub fn to(lines: LineSender, on_failure: OnFailure) -> Self {
        Self(Some(Arc::new(Trail {
            lines,
            on_failure,
            detached: TaskTracker::new(),
            quota: Quota::default(),
        })))
    }

    /// Begins the line of an untag: waits for a slot, so that what is changed then can't lose its line.
    ///
    /// # Errors
    /// [`Error::Unavailable`] where lines have to be written and can't.
    pub async fn untag(&self, call: &Call, command: &UntagCommand) -> Result<Entry, Error> {
        match &self.0 {
            None => Ok(Entry(None)),
            Some(trail) => trail.begin(Line::untag(call, command)).await,
        }
    }

    /// Begins the line of tags that are set, as [`Audit::untag`] does.
    ///
    /// # Errors
    /// [`Error::Unavailable`] where lines have to be written and can't.
    pub async fn tag(&self, call: &Call, command: &TagCommand) -> Result<Entry, Error> {
        match &self.0 {
            None => Ok(Entry(None)),
            Some(trail) => trail.begin(Line::tag(call, command)).await,
        }
    }

    /// Whether there is an audit.
    #[must_use]
    pub fn is_kept(&self) -> bool {
        self.0.is_some()
    }

    /// Writes the line of a refused request, unless its source has had too many this second: the rest is counted. Waits for
    /// nothing, and so such a line can be lost.
    pub fn refused(&self, request: &Refused<'_>) {
        let Some(trail) = &self.0 else { return };
        // While lines are kept for later, there are no slots for these.
        let is_open = trail.on_failure == OnFailure::Lose || trail.lines.problem().is_none();
        let line = is_open.then(|| trail.quota.take(request.source_ip, Instant::now()));
        let Some(left_out) = line.flatten() else {
            metrics().server.audit_refusals_left_out.inc();
            return;
        };
        if let Some(slot) = trail.lines.slot_now() {
            slot.send(request.text(left_out));
        }
    }

    /// Changes the log level, once there is a slot for the line about it.
    ///
    /// # Errors
    /// [`Error::Unavailable`] where lines have to be written and can't.
    pub async fn log_level<E>(
        &self,
        source: IpAddr,
        (from, to): (&str, &str),
        change: impl FnOnce() -> Result<(), E>,
    ) -> Result<Result<(), E>, Error> {
        let Some(trail) = &self.0 else {
            return Ok(change());
        };
        trail.check()?;
        let slot = trail.lines.slot().await;
        let result = change();
        let outcome = if result.is_ok() { "OK" } else { "Invalid" };
        if let Some(slot) = slot {
            slot.send(LogLevelLine::new(source, from, to, outcome).text());
        }
        Ok(result)
    }

    /// Why changes are refused; `None` when they are not.
    #[must_use]
    pub fn obstacle(&self) -> Option<String> {
        let problem = self.problem(OnFailure::Keep)?;
        Some(format!("{problem}; changes are refused (--audit-required)"))
    }

    /// Why changes go on unaudited; `None` when they are audited.
    #[must_use]
    pub fn warning(&self) -> Option<String> {
        let problem = self.problem(OnFailure::Lose)?;
        Some(format!("{problem}; changes go on unaudited"))
    }

    fn problem(&self, on_failure: OnFailure) -> Option<Arc<String>> {
        let trail = self.0.as_ref()?;
        let problem = trail.lines.problem()?;
        (trail.on_failure == on_failure).then_some(problem)
    }

    /// Opens the file again where another one has its path by now.
    pub async fn reopen(&self) {
        if let Some(trail) = &self.0 {
            trail.lines.reopen().await;
        }
    }

    /// Waits until the changes whose callers have gone have their lines.
    pub async fn settled(&self) {
        if let Some(trail) = &self.0 {
            trail.detached.close();
            trail.detached.wait().await;
        }
    }
}

impl Trail {
    /// Refuses a change that has to have a line while none can be written.
    fn check(&self) -> Result<(), Error> {
        if self.on_failure == OnFailure::Lose || self.lines.problem().is_none() {
            return Ok(());
        }
        Err(Error::Unavailable {
            reason: "the audit log can't be written, and no change is made without its line",
            applied: Applied::No,
            retry_after: RETRY_AFTER,
        })
    }

    async fn begin(self: &Arc<Self>, line: Line) -> Result<Entry, Error> {
        self.check()?;
        let mut pending = Box::new(Pending {
            trail: Arc::clone(self),
            line,
            slot: None,
        });
        let slot = Box::pin(self.lines.slot().instrument(trace::audit())).await;
        // Until here a caller that goes has changed nothing; from here on nobody knows, until the store has answered.
        pending.line.begin();
        pending.slot = slot;
        Ok(Entry(Some(pending)))
    }
}

impl Entry {
    /// Carries out the change, and writes what came of it. Where the caller goes meanwhile, that is done by a task.
    pub async fn of<F>(self, change: F) -> Result<Changed, Error>
    where
        F: Future<Output = Result<Changed, Error>> + Send + 'static,
    {
        let Some(pending) = &self.0 else {
            return change.await;
        };
        let tasks = pending.trail.detached.clone();
        let work = async move {
            let result = change.await;
            self.finish(&result);
            result
        };
        Detachable::new(work, tasks).await
    }

    fn finish(mut self, result: &Result<Changed, Error>) {
        if let Some(pending) = &mut self.0 {
            pending.line.finish(result);
        }
    }
}

impl Drop for Pending {
    fn drop(&mut self) {
        let slot = self.slot.take().or_else(|| self.trail.lines.slot_now());
        if let Some(slot) = slot {
            slot.send(self.line.text());
        }
    }
}
