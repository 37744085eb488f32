//! What the thread that writes has to do.

use std::sync::Arc;

use crate::current::{self, Reply};
use crate::domain::{Changed, TagCommand, UntagCommand};
use crate::store::StoreError;
use crate::telemetry::trace::Change;

/// A job: something to do, and where the answer goes.
pub struct Job {
    pub work: Work,
    pub reply: Reply<Outcome>,
    /// Where the job stands, for whoever traces it. A check has none.
    pub trace: Option<Change>,
}

/// The outcome of a job.
pub type Outcome = Result<Changed, StoreError>;

/// The work of a job.
pub enum Work {
    Untag(Arc<UntagCommand>),
    Tag(Arc<TagCommand>),
    /// Finds out whether commits get through.
    Check,
}

impl Job {
    /// A job that nobody waits for: it ends the wait of the thread, where that has nothing to do.
    pub fn wake() -> Self {
        let (reply, _) = current::reply();
        Self {
            work: Work::Check,
            reply,
            trace: None,
        }
    }

    pub fn is_change(&self) -> bool {
        !matches!(self.work, Work::Check)
    }

    /// Whether the caller is gone: it has passed its deadline, and is told that nothing is known of its change.
    pub fn is_abandoned(&self) -> bool {
        self.reply.is_abandoned()
    }

    /// How many targets an untag has.
    pub fn targets(&self) -> usize {
        match &self.work {
            Work::Untag(command) => command.targets.count(),
            Work::Tag(_) | Work::Check => 0,
        }
    }

    /// How many rows it names.
    pub fn rows(&self) -> usize {
        match &self.work {
            Work::Untag(_) | Work::Check => self.targets(),
            Work::Tag(command) => command.targets.count(),
        }
    }
}
