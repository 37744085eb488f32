//! Channels of crossbeam, whose threads wait for each other by a lock of shuttle: what is sent lies in crossbeam's own queue.

use std::fmt;
use std::time::Duration;

pub use crossbeam_channel::{RecvError, RecvTimeoutError, SendError, TrySendError};
use crossbeam_channel::{TryRecvError, bounded as real_bounded, unbounded as real_unbounded};
use shuttle::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};

/// What tells those who wait that the queue is not as it was.
#[derive(Debug, Default)]
struct Changes {
    lock: Mutex<()>,
    changed: Condvar,
}

impl Changes {
    fn look(&self) -> MutexGuard<'_, ()> {
        self.lock.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn make<T>(&self, change: impl FnOnce() -> T) -> T {
        let _alone = self.look();
        let result = change();
        self.changed.notify_all();
        result
    }
}

/// A channel without a bound.
pub fn unbounded<T>() -> (Sender<T>, Receiver<T>) {
    pair(real_unbounded())
}

/// A channel that holds so much at most.
pub fn bounded<T>(most: usize) -> (Sender<T>, Receiver<T>) {
    pair(real_bounded(most))
}

fn pair<T>(
    (queue, receiver): (crossbeam_channel::Sender<T>, crossbeam_channel::Receiver<T>),
) -> (Sender<T>, Receiver<T>) {
    let changes = Arc::new(Changes::default());
    let sender = Sender {
        queue: Some(queue),
        changes: Arc::clone(&changes),
    };
    let queue = receiver;
    (sender, Receiver { queue, changes })
}

/// The end of a channel that sends.
pub struct Sender<T> {
    /// Nothing is there any more while it is dropped.
    queue: Option<crossbeam_channel::Sender<T>>,
    changes: Arc<Changes>,
}

impl<T> Clone for Sender<T> {
    fn clone(&self) -> Self {
        Self {
            queue: self.queue.clone(),
            changes: Arc::clone(&self.changes),
        }
    }
}

impl<T> fmt::Debug for Sender<T> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.queue.fmt(formatter)
    }
}

impl<T> Sender<T> {
    fn queue(&self) -> &crossbeam_channel::Sender<T> {
        self.queue.as_ref().expect("it is not dropped yet")
    }

    /// Sends by a channel without a bound.
    pub fn send(&self, value: T) -> Result<(), SendError<T>> {
        self.changes.make(|| self.queue().send(value))
    }

    pub fn try_send(&self, value: T) -> Result<(), TrySendError<T>> {
        self.changes.make(|| self.queue().try_send(value))
    }

    pub fn len(&self) -> usize {
        let _alone = self.changes.look();
        self.queue().len()
    }

    pub fn is_full(&self) -> bool {
        let _alone = self.changes.look();
        self.queue().is_full()
    }
}

impl<T> Drop for Sender<T> {
    fn drop(&mut self) {
        let queue = self.queue.take();
        // Once a thread has panicked the schedule is at its end, and nobody waits any more.
        if !std::thread::panicking() {
            self.changes.make(|| drop(queue));
        }
    }
}

/// The end of a channel that receives.
pub struct Receiver<T> {
    queue: crossbeam_channel::Receiver<T>,
    changes: Arc<Changes>,
}

impl<T> Clone for Receiver<T> {
    fn clone(&self) -> Self {
        Self {
            queue: self.queue.clone(),
            changes: Arc::clone(&self.changes),
        }
    }
}

impl<T> fmt::Debug for Receiver<T> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.queue.fmt(formatter)
    }
}

impl<T> Receiver<T> {
    pub fn recv(&self) -> Result<T, RecvError> {
        let mut alone = self.changes.look();
        loop {
            match self.queue.try_recv() {
                Ok(value) => return Ok(value),
                Err(TryRecvError::Disconnected) => return Err(RecvError),
                Err(TryRecvError::Empty) => {
                    let waited = self.changes.changed.wait(alone);
                    alone = waited.unwrap_or_else(PoisonError::into_inner);
                }
            }
        }
    }

    /// The time may have passed at once.
    pub fn recv_timeout(&self, _patience: Duration) -> Result<T, RecvTimeoutError> {
        let _alone = self.changes.look();
        self.queue.try_recv().map_err(|error| match error {
            TryRecvError::Empty => RecvTimeoutError::Timeout,
            TryRecvError::Disconnected => RecvTimeoutError::Disconnected,
        })
    }

    pub fn try_iter(&self) -> impl Iterator<Item = T> {
        std::iter::from_fn(|| {
            let _alone = self.changes.look();
            self.queue.try_recv().ok()
        })
    }
}

impl<T> IntoIterator for Receiver<T> {
    type Item = T;
    type IntoIter = Iter<T>;

    fn into_iter(self) -> Iter<T> {
        Iter(self)
    }
}

/// What is received until the last sender is gone and nothing is left.
pub struct Iter<T>(Receiver<T>);

impl<T> Iterator for Iter<T> {
    type Item = T;

    fn next(&mut self) -> Option<T> {
        self.0.recv().ok()
    }
}
