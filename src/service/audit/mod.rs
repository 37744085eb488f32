//! The audit: who changed what, or tried to, a line for each change.

mod backlog;
mod detached;
mod follower;
mod line;
mod made;
mod quota;
mod requested;

use std::io;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Instant;

use tokio_util::task::TaskTracker;
use tracing::Instrument as _;

use super::RETRY_AFTER;
use crate::domain::{Applied, Call, Error};
use crate::store::CommittedChanges;
use crate::telemetry::metrics::metrics;
use crate::telemetry::{LineSender, LineSlot, LineSource, OnFailure, trace};
use backlog::Backlog;
use detached::Detachable;
pub use follower::Follower;
pub use line::Refused;
use line::{Audited, Line, LogLevelLine};
use quota::Quota;
pub use requested::Requested;

/// The audit; by default there is none.
#[derive(Debug, Clone, Default)]
pub struct Audit(Option<Arc<Trail>>);

#[derive(Debug)]
struct Trail {
    lines: LineSender,
    on_failure: OnFailure,
    /// How much the lines are behind the change log, where those of changes that were made come from there.
    backlog: Option<Backlog>,
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
    call: Call,
    /// The change, until its line is written or left to the change log.
    requested: Option<Requested>,
    slot: Option<LineSlot>,
    progress: Progress,
}

/// How far a change is that has no result yet.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Progress {
    /// Its line waits for a slot, and nothing was changed.
    Waiting,
    /// The store may be making it.
    Begun,
}

impl Audit {
    /// An audit whose lines go to this sender. `on_failure` says what becomes of lines that can't be written, and `source` where those
    /// of changes come from that were made.
    #[must_use]
    pub fn to(lines: LineSender, on_failure: OnFailure, source: LineSource) -> Self {
        Self(Some(Arc::new(Trail {
            lines,
            on_failure,
            backlog: (source == LineSource::ChangeLog).then(Backlog::default),
            detached: TaskTracker::new(),
            quota: Quota::default(),
        })))
    }

    /// Begins to write the lines of these changes, where that is the audit's source.
    ///
    /// # Errors
    /// What the system says.
    pub fn follow(&self, changes: impl CommittedChanges) -> io::Result<Option<Follower>> {
        let Some(trail) = &self.0 else {
            return Ok(None);
        };
        let Some(backlog) = trail.backlog.clone() else {
            return Ok(None);
        };
        Follower::start(changes, trail.lines.clone(), backlog).map(Some)
    }

    /// Begins the line of a change: waits for a slot, so that what is changed then can't lose its line.
    ///
    /// # Errors
    /// [`Error::Unavailable`] where lines have to be written and can't.
    pub async fn begin(&self, call: &Call, requested: Requested) -> Result<Entry, Error> {
        match &self.0 {
            None => Ok(Entry(None)),
            Some(trail) => trail.begin(call, requested).await,
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
        Trail::refuse(trail.problem_of_other_lines().as_ref())?;
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
        let trail = self.0.as_ref()?;
        let problem = trail.problem_of_changes()?;
        Some(format!("{problem}; changes are refused (--audit-required)"))
    }

    /// Why changes have no lines for now, or never get some; `None` when they are audited.
    #[must_use]
    pub fn warning(&self) -> Option<String> {
        let trail = self.0.as_ref()?;
        let problem = trail.lines.problem()?;
        Some(match trail.backlog {
            None => format!("{problem}; changes go on unaudited"),
            Some(_) => format!("{problem}; the lines of changes are written later"),
        })
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
    /// Why changes that have to have a line are refused; `None` where they are not. A change that the log keeps has its line for
    /// sure, until there are too many.
    fn problem_of_changes(&self) -> Option<Arc<String>> {
        if self.on_failure == OnFailure::Lose {
            return None;
        }
        let problem = self.lines.problem()?;
        let is_kept = |backlog: &Backlog| !backlog.is_long() && !self.lines.is_full();
        let refuses = !self.backlog.as_ref().is_some_and(is_kept);
        refuses.then_some(problem)
    }

    /// Why what has no entry in the change log is refused; `None` where it is not.
    fn problem_of_other_lines(&self) -> Option<Arc<String>> {
        let problem = self.lines.problem()?;
        (self.on_failure == OnFailure::Keep).then_some(problem)
    }

    fn refuse(problem: Option<&Arc<String>>) -> Result<(), Error> {
        if problem.is_none() {
            return Ok(());
        }
        Err(Error::Unavailable {
            reason: "the audit log can't be written, and no change is made without its line",
            applied: Applied::No,
            retry_after: RETRY_AFTER,
        })
    }

    /// Refuses a change that has to have a line while none can be written. Where lines are written too slowly, it waits.
    async fn admit(&self) -> Result<(), Error> {
        Self::refuse(self.problem_of_changes().as_ref())?;
        let Some(backlog) = &self.backlog else {
            return Ok(());
        };
        while backlog.is_long() && self.lines.problem().is_none() {
            backlog.told().await;
            Self::refuse(self.problem_of_changes().as_ref())?;
        }
        Ok(())
    }

    async fn begin(self: &Arc<Self>, call: &Call, requested: Requested) -> Result<Entry, Error> {
        self.admit().await?;
        let mut pending = Box::new(Pending {
            trail: Arc::clone(self),
            call: call.clone(),
            requested: Some(requested),
            slot: None,
            progress: Progress::Waiting,
        });
        let slot = Box::pin(self.lines.slot().instrument(trace::audit())).await;
        // Until here a caller that goes has changed nothing; from here on nobody knows, until the store has answered.
        pending.progress = Progress::Begun;
        pending.slot = slot;
        Ok(Entry(Some(pending)))
    }
}

impl Entry {
    /// Carries out the change, and writes what came of it. Where the caller goes meanwhile, that is done by a task.
    pub async fn of<T, F>(self, change: F) -> Result<T, Error>
    where
        T: Audited + Send + 'static,
        F: Future<Output = Result<T, Error>> + Send + 'static,
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

    fn finish(mut self, result: &Result<impl Audited, Error>) {
        let Some(pending) = &mut self.0 else { return };
        let is_logged = pending.trail.backlog.is_some();
        if is_logged && result.as_ref().is_ok_and(Audited::has_entry) {
            pending.requested = None;
        } else if let Some(mut line) = pending.take_line() {
            line.finish(result);
            pending.write(&line);
        }
    }
}

impl Pending {
    /// The line of the change without its result, once.
    fn take_line(&mut self) -> Option<Line> {
        let mut line = self.requested.take()?.line(&self.call);
        if self.progress == Progress::Begun {
            line.begin();
        }
        Some(line)
    }

    fn write(&mut self, line: &Line) {
        let slot = self.slot.take().or_else(|| self.trail.lines.slot_now());
        if let Some(slot) = slot {
            slot.send(line.text());
        }
    }
}

impl Drop for Pending {
    fn drop(&mut self) {
        if let Some(line) = self.take_line() {
            self.write(&line);
        }
    }
}
