//! The audit: who changed what, or tried to, a line for each change.

mod detached;
mod line;

use std::sync::Arc;

use tokio_util::task::TaskTracker;
use tracing::Instrument as _;

use super::RETRY_AFTER;
use crate::domain::{Applied, Call, Changed, Error, TagCommand, UntagCommand};
use crate::telemetry::{LineSender, LineSlot, OnFailure, trace};
use detached::Detachable;
use line::Line;

/// The audit; the default is none.
#[derive(Debug, Clone, Default)]
pub struct Audit(Option<Arc<Trail>>);

#[derive(Debug)]
struct Trail {
    lines: LineSender,
    on_failure: OnFailure,
    /// The changes whose callers have gone.
    detached: TaskTracker,
}

/// The line of one change, and its slot. Dropped before the change has come to something, it says that nobody knows. Boxed,
/// since it is large and many services have no audit.
pub struct Entry(Option<Box<Pending>>);

struct Pending {
    trail: Arc<Trail>,
    line: Line,
    slot: Option<LineSlot>,
}

impl Audit {
    /// An audit whose lines go to this sender, with what becomes of them where they can't be written.
    #[must_use]
    pub fn to(lines: LineSender, on_failure: OnFailure) -> Self {
        Self(Some(Arc::new(Trail {
            lines,
            on_failure,
            detached: TaskTracker::new(),
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

    /// Why changes are refused; nothing when they are not.
    #[must_use]
    pub fn obstacle(&self) -> Option<String> {
        let problem = self.problem(OnFailure::Keep)?;
        Some(format!("{problem}; changes are refused (--audit-required)"))
    }

    /// Why changes go on unaudited; nothing when they are audited.
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
    async fn begin(self: &Arc<Self>, line: Line) -> Result<Entry, Error> {
        if self.on_failure == OnFailure::Keep && self.lines.problem().is_some() {
            return Err(Error::Unavailable {
                reason: "the audit log can't be written, and no change is made without its line",
                applied: Applied::No,
                retry_after: RETRY_AFTER,
            });
        }
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
