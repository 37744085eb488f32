//! The requests of a connection, carried out by the task that serves the connection.
//!
//! With a task for each, every answer would wake the connection, which would send it at once: a system call for nearly
//! each. Here all answers that are ready are sent together.

use std::panic::AssertUnwindSafe;
use std::pin::Pin;
use std::task::{Context, Poll};

use futures_util::future::BoxFuture;
use futures_util::stream::FuturesUnordered;
use futures_util::{FutureExt as _, StreamExt as _};
use hyper::rt::Executor;
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};

use super::bytes_read::ReadMeter;

/// A request that is carried out, and answered.
type Stream = BoxFuture<'static, ()>;

/// Makes the two ends of one connection's queue of requests: its [`Executor`], and what [`WithStreams`] takes them from.
pub fn streams() -> (StreamExecutor, NewStreams) {
    let (executor, new) = unbounded_channel();
    (StreamExecutor(executor), NewStreams(new))
}

/// The executor that hyper hands the requests of a connection to. hyper bounds how many there are.
#[derive(Clone)]
pub struct StreamExecutor(UnboundedSender<Stream>);

/// The requests that were handed over and are not yet begun.
pub struct NewStreams(UnboundedReceiver<Stream>);

impl<F> Executor<F> for StreamExecutor
where
    F: Future<Output = ()> + Send + 'static,
{
    fn execute(&self, stream: F) {
        // A panic costs its own request, which hyper resets, and not the connection.
        let stream = AssertUnwindSafe(stream).catch_unwind().map(drop);
        // Without a connection there is nobody to answer.
        let _ = self.0.send(Box::pin(stream));
    }
}

/// A connection with its requests. Those that are open when it ends are dropped.
pub struct WithStreams<C> {
    pub connection: C,
    meter: ReadMeter,
    new: NewStreams,
    begun: FuturesUnordered<Stream>,
}

impl<C> WithStreams<C> {
    /// A connection that hands its requests over to the other end of `new`, and reads as `meter` lets it.
    pub fn new(connection: C, new: NewStreams, meter: ReadMeter) -> Self {
        Self {
            connection,
            meter,
            new,
            begun: FuturesUnordered::new(),
        }
    }

    fn poll_streams(&mut self, context: &mut Context<'_>) {
        while let Poll::Ready(Some(())) = self.begun.poll_next_unpin(context) {}
    }
}

impl<C: Future + Unpin> Future for WithStreams<C> {
    type Output = C::Output;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<C::Output> {
        self.meter.begin_poll();
        // What these answer, the connection sends, and then it takes new requests. An answer to one of those wakes it.
        self.poll_streams(context);
        let ended = self.connection.poll_unpin(context);
        if ended.is_pending() {
            while let Ok(stream) = self.new.0.try_recv() {
                self.begun.push(stream);
            }
            self.poll_streams(context);
        }
        ended
    }
}

#[cfg(test)]
mod tests {
    use std::future::{pending, poll_fn, ready};
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};

    use tokio::sync::oneshot;

    use super::*;

    #[tokio::test]
    async fn all_answers_that_are_ready_are_sent_together() {
        let (executor, new) = streams();
        let (answers, requests): (Vec<_>, Vec<_>) =
            (0..5).map(|_| oneshot::channel::<()>()).unzip();
        let answered = Arc::new(AtomicUsize::new(0));
        let mut requests = Some(requests);
        let mut sent = Vec::new();
        let connection = poll_fn(|_| {
            for request in requests.take().into_iter().flatten() {
                let answered = Arc::clone(&answered);
                executor.execute(async move {
                    let _ = request.await;
                    answered.fetch_add(1, Ordering::Relaxed);
                });
            }
            sent.push(answered.load(Ordering::Relaxed));
            Poll::<()>::Pending
        });
        let mut served = WithStreams::new(connection, new, ReadMeter::default());
        assert!(served.poll_unpin(&mut noop()).is_pending());
        answers.into_iter().for_each(drop);
        assert!(served.poll_unpin(&mut noop()).is_pending());
        drop(served);
        assert_eq!(sent, [0, 5]);
    }

    #[tokio::test]
    async fn a_panic_costs_its_own_request() {
        let (executor, new) = streams();
        let (told, answered) = oneshot::channel();
        executor.execute(async { panic!("one request") });
        executor.execute(ready(told).map(|told| told.send(()).unwrap()));
        let mut served = WithStreams::new(pending::<()>(), new, ReadMeter::default());
        tokio::select! {
            answered = answered => answered.unwrap(),
            () = &mut served => unreachable!("it never ends"),
        }
        assert!(served.begun.is_empty());
    }

    #[tokio::test]
    async fn requests_end_with_their_connection() {
        let (executor, new) = streams();
        let open = Arc::new(());
        let request = |executor: &StreamExecutor| {
            // As hyper's, it holds the executor.
            let held = (Arc::clone(&open), executor.clone());
            executor.execute(async move {
                let _held = held;
                pending::<()>().await;
            });
        };
        request(&executor);
        let mut polls = 0;
        let connection = poll_fn(|context| {
            polls += 1;
            if polls == 1 {
                context.waker().wake_by_ref();
                return Poll::Pending;
            }
            request(&executor);
            Poll::Ready(())
        });
        WithStreams::new(connection, new, ReadMeter::default()).await;
        assert_eq!(Arc::strong_count(&open), 1);
    }

    fn noop() -> Context<'static> {
        Context::from_waker(std::task::Waker::noop())
    }
}
