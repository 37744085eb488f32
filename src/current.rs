//! The request that runs now. Lines of the log name it, and what waits for something that may come later asks how much time is
//! left, so that it gives up with a reason and not with the deadline.

use std::time::{Duration, Instant};

use crate::domain::RequestId;

/// A request that has to be answered by its deadline.
#[derive(Debug, Clone, Copy)]
pub struct Current {
    id: RequestId,
    deadline: Instant,
}

tokio::task_local! {
    static CURRENT: Current;
}

impl Current {
    /// That of a request with this RequestId.
    #[must_use]
    pub fn new(id: RequestId, deadline: Instant) -> Self {
        Self { id, deadline }
    }

    /// Carries out what a request does before it waits.
    pub fn begin<T>(self, work: impl FnOnce() -> T) -> T {
        CURRENT.sync_scope(self, work)
    }

    /// Carries out a request, or what is left of it.
    pub fn run<F: Future>(self, work: F) -> impl Future<Output = F::Output> {
        CURRENT.scope(self, work)
    }
}

/// The current request's work, to be run on a task of its own.
pub fn continued<F: Future>(work: F) -> impl Future<Output = F::Output> {
    let current = CURRENT.try_with(|current| *current);
    async move {
        match current {
            Ok(current) => current.run(work).await,
            Err(_) => work.await,
        }
    }
}

/// How much time is left for the current request. Outside of one, there is no end to it.
#[must_use]
pub fn left() -> Duration {
    CURRENT
        .try_with(|current| current.deadline.saturating_duration_since(Instant::now()))
        .unwrap_or(Duration::MAX)
}

/// The RequestId of the current request.
#[must_use]
pub fn request_id() -> Option<RequestId> {
    CURRENT.try_with(|current| current.id).ok()
}
