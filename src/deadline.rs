//! Until when the request that runs now has to be answered. What waits for something that may come later asks how much time
//! is left, so that it gives up with a reason and not with the deadline.

use std::time::{Duration, Instant};

tokio::task_local! {
    static DEADLINE: Instant;
}

/// Runs a request that has to be answered by then.
pub fn until<F: Future>(deadline: Instant, request: F) -> impl Future<Output = F::Output> {
    DEADLINE.scope(deadline, request)
}

/// How much time is left for the current request. Outside of one, there is no end to it.
#[must_use]
pub fn left() -> Duration {
    DEADLINE
        .try_with(|deadline| deadline.saturating_duration_since(Instant::now()))
        .unwrap_or(Duration::MAX)
}
