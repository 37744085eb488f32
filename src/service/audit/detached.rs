//! Futures of changes that go on when their callers stop waiting.

use std::pin::Pin;
use std::task::{Context, Poll};

use futures_util::future::BoxFuture;
use tokio::runtime::Handle;
use tokio_util::task::TaskTracker;

use crate::current::{self, Abandoned};

/// A future that is carried out by whoever waits for it, and by a task from when it is dropped. What the store has not begun
/// by then it leaves undone, and says so.
pub struct Detachable<T: Send + 'static> {
    work: Option<BoxFuture<'static, T>>,
    abandoned: Abandoned,
    tasks: TaskTracker,
}

impl<T: Send + 'static> Detachable<T> {
    pub fn new(work: impl Future<Output = T> + Send + 'static, tasks: TaskTracker) -> Self {
        let abandoned = Abandoned::default();
        Self {
            work: Some(Box::pin(abandoned.clone().watched_by(work))),
            abandoned,
            tasks,
        }
    }
}

impl<T: Send + 'static> Future for Detachable<T> {
    type Output = T;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<T> {
        // Taken out meanwhile: work that has panicked does not go on.
        let Some(mut work) = self.work.take() else {
            return Poll::Pending;
        };
        let polled = work.as_mut().poll(context);
        if polled.is_pending() {
            self.work = Some(work);
        }
        polled
    }
}

impl<T: Send + 'static> Drop for Detachable<T> {
    fn drop(&mut self) {
        // There is no runtime any more where the service ends.
        if let Some(work) = self.work.take()
            && let Ok(runtime) = Handle::try_current()
        {
            self.abandoned.set();
            self.tasks.spawn_on(current::continued(work), &runtime);
        }
    }
}
