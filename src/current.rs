//! The request that is carried out by the current task. Lines of the log name it, and what waits for something that may
//! come later asks how much time is left, so that it gives up with a reason and not with the deadline.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use tokio::sync::oneshot;

use crate::domain::RequestId;

/// A request that has to be answered by its deadline.
#[derive(Debug, Clone, Copy)]
pub struct Current {
    id: RequestId,
    deadline: Instant,
}

/// The sign that the caller of the current request has gone, where its work goes on nevertheless.
#[derive(Debug, Clone, Default)]
pub struct Abandoned(Arc<AtomicBool>);

/// A way to answer work that was queued by the current request.
#[derive(Debug)]
pub struct Reply<T> {
    sender: oneshot::Sender<T>,
    abandoned: Option<Abandoned>,
}

tokio::task_local! {
    static CURRENT: Current;
    static ABANDONED: Abandoned;
}

impl Current {
    /// A request with this RequestId and this deadline.
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

impl Abandoned {
    /// Carries out work that looks for this sign.
    pub fn watched_by<F: Future>(self, work: F) -> impl Future<Output = F::Output> {
        ABANDONED.scope(self, work)
    }

    /// Gives the sign that the caller has gone.
    pub fn set(&self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// A reply for work that the current request queues, and where it arrives.
#[must_use]
pub fn reply<T>() -> (Reply<T>, oneshot::Receiver<T>) {
    let (sender, receiver) = oneshot::channel();
    let abandoned = ABANDONED.try_with(Clone::clone).ok();
    (Reply { sender, abandoned }, receiver)
}

impl<T> Reply<T> {
    /// Whether the caller has gone: nobody is told that the work was done, and so it is better left undone.
    pub fn is_abandoned(&self) -> bool {
        let is_set = |sign: &Abandoned| sign.0.load(Ordering::Relaxed);
        self.sender.is_closed() || self.abandoned.as_ref().is_some_and(is_set)
    }

    /// Answers whoever is there still.
    pub fn send(self, answer: T) {
        // Whoever has gone needs no answer.
        let _ = self.sender.send(answer);
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

/// How much time is left for the current request: `Duration::MAX` outside of one.
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
