//! Threads that read, each on a connection of its own: they see the last commit, and neither wait for the writer nor hold it
//! up. A thread that has done a read takes the next, so that under load none is woken for a read.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use rusqlite::Connection;
use tokio::sync::oneshot;

use crate::domain::Applied;
use crate::store::StoreError;
use crate::store::sqlite::error::ApplyError;
use crate::sync::crossbeam_channel::{self, Receiver, Sender};
use crate::sync::thread::{self, JoinHandle};

/// A read, which answers by itself.
type Read = Box<dyn FnOnce(&Connection) + Send>;

/// The queue of the threads. They end when the last of these is gone and what was queued is done.
#[derive(Debug, Clone)]
pub struct Readers {
    reads: Sender<Read>,
    /// How many reads may wait.
    most: usize,
}

impl Readers {
    /// Starts a thread on each of these connections, for about so many reads that may wait. The threads end when the last of
    /// the queues is gone.
    pub fn start(
        connections: Vec<Connection>,
        most: usize,
    ) -> std::io::Result<(Self, Vec<JoinHandle<()>>)> {
        // One with a bound of its own would take the memory for all of them at once.
        let (reads, queue) = crossbeam_channel::unbounded();
        let threads = connections
            .into_iter()
            .map(|connection| start(connection, queue.clone()))
            .collect::<Result<_, _>>()?;
        Ok((Self { reads, most }, threads))
    }

    /// Runs `read` on one of the threads.
    pub async fn run<T: Send + 'static>(
        &self,
        read: impl FnOnce(&Connection) -> Result<T, ApplyError> + Send + 'static,
    ) -> Result<T, StoreError> {
        let (reply, answer) = oneshot::channel();
        let read = move |connection: &Connection| {
            // A caller that is gone has passed its deadline.
            if !reply.is_closed() {
                let _ = reply.send(read(connection));
            }
        };
        if self.reads.len() >= self.most {
            return Err(StoreError::Busy);
        }
        let sent = self.reads.send(Box::new(read));
        sent.map_err(|_| StoreError::stopped(Applied::No))?;
        let panicked = |_| StoreError::Broken(Arc::from(Box::from("the read has panicked")));
        let result = answer.await.map_err(panicked)?;
        result.map_err(|error| error.to_store_error(Applied::No))
    }
}

/// Starts a thread that takes reads from a queue.
fn start(connection: Connection, queue: Receiver<Read>) -> std::io::Result<JoinHandle<()>> {
    let body = move || {
        for read in queue {
            // A panic has been printed, and is that request's alone: its reply is gone with it.
            let _ = catch_unwind(AssertUnwindSafe(|| read(&connection)));
        }
    };
    thread::Builder::new()
        .name("store-reader".to_owned())
        .spawn(body)
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicBool, Ordering};
    use std::sync::mpsc;

    use futures_util::FutureExt as _;

    use super::*;

    /// A queue with one thread.
    fn one_reader(most: usize) -> (Readers, JoinHandle<()>) {
        let connection = Connection::open_in_memory().unwrap();
        let (readers, mut threads) = Readers::start(vec![connection], most).unwrap();
        (readers, threads.remove(0))
    }

    fn answer(connection: &Connection) -> Result<i64, ApplyError> {
        Ok(connection.query_row("SELECT 42", [], |row| row.get(0))?)
    }

    #[tokio::test]
    async fn a_read_that_panics_fails_alone() {
        let (readers, _) = one_reader(10);
        let panic = readers.run::<i64>(|_| panic!("as the test wants it"));
        let (panicked, read) = tokio::join!(panic, readers.run(answer));
        assert!(
            matches!(panicked, Err(StoreError::Broken(_))),
            "{panicked:?}"
        );
        assert_eq!(read.unwrap(), 42);
    }

    #[tokio::test]
    async fn reads_wait_for_a_thread_where_there_is_room_and_while_their_caller_waits() {
        let (readers, thread) = one_reader(2);
        let (begun, has_begun) = mpsc::channel();
        let (go_on, may_go_on) = mpsc::channel::<()>();
        let mut slow = Box::pin(readers.run(move |connection| {
            begun.send(()).unwrap();
            may_go_on.recv().unwrap();
            answer(connection)
        }));
        assert!((&mut slow).now_or_never().is_none());
        has_begun.recv().unwrap();

        let was_read = Arc::new(AtomicBool::new(false));
        let mark = Arc::clone(&was_read);
        let mut left = Box::pin(readers.run(move |_| {
            mark.store(true, Ordering::Relaxed);
            Ok(())
        }));
        let mut waiting = Box::pin(readers.run(answer));
        assert!((&mut left).now_or_never().is_none());
        assert!((&mut waiting).now_or_never().is_none());
        let refused = readers.run(answer).await;
        assert!(matches!(refused, Err(StoreError::Busy)), "{refused:?}");

        drop(left);
        go_on.send(()).unwrap();
        assert_eq!(slow.await.unwrap(), 42);
        assert_eq!(waiting.await.unwrap(), 42);
        assert!(!was_read.load(Ordering::Relaxed), "nobody waited for it");
        drop(readers);
        thread.join().unwrap();
    }
}
