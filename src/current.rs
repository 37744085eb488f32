//! The request that runs now. Lines of the log name it, and what waits for something that may come later asks how much time is
//! left, so that it gives up with a reason and not with the deadline.

use std::time::{Duration, Instant};

use crate::domain::RequestId;

#[derive(Clone, Copy)]
struct Current {
    id: RequestId,
    deadline: Instant,
}

tokio::task_local! {
    static CURRENT: Current;
}

/// Runs a request that has to be answered by then.
pub fn request<F: Future>(
    id: RequestId,
    deadline: Instant,
    request: F,
) -> impl Future<Output = F::Output> {
    CURRENT.scope(Current { id, deadline }, request)
}

/// The current request's work, to be run on a task of its own.
pub fn continued<F: Future>(work: F) -> impl Future<Output = F::Output> {
    let current = CURRENT.try_with(|current| *current);
    async move {
        match current {
            Ok(current) => CURRENT.scope(current, work).await,
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
