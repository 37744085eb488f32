//! The writer of the audit's lines, to a file or to stdout. A line that is lost is counted.

mod output;
mod rotation;
mod writer;

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use arc_swap::ArcSwapOption;
use tokio::sync::mpsc::{self, OwnedPermit, Sender};

use super::SECURITY;
use super::metrics::metrics;
pub use output::LineFile;
use output::Output;
use writer::Writer;
pub use writer::lost_marker;

/// How many lines may wait to be written, or be promised a slot: more than the requests in flight and those whose caller has
/// gone, unless the flags say otherwise.
const WAITING: usize = 32 * 1024;

/// The treatment of lines that can't be written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OnFailure {
    /// The lines are lost, and counted: the service goes on.
    Lose,
    /// The lines are kept until they can be written.
    Keep,
}

/// Where the lines of changes come from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LineSource {
    /// From the requests that make them.
    Requests,
    /// From the change log of the store, which keeps the changes until they have their lines.
    ChangeLog,
}

/// A sender of lines.
#[derive(Debug, Clone)]
pub struct LineSender {
    messages: Sender<Message>,
    state: Arc<State>,
}

/// A slot for one line, which is taken without waiting.
#[derive(Debug)]
pub struct LineSlot {
    slot: OwnedPermit<Message>,
    state: Arc<State>,
}

/// The thread that writes the lines. It ends, and has written all, when every sender is gone.
#[derive(Debug)]
pub struct LineWriter {
    thread: JoinHandle<()>,
    state: Arc<State>,
}

/// What became of lines that have to be written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Written {
    /// They are written, and on the disk where that was asked for.
    Yes,
    /// They are written, but these or some that were written before may not survive a crash: write them again.
    Doubtful,
}

/// Whether lines are waited for until they are on the disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Flush {
    /// They and all before them are.
    Now,
    /// They may be there later.
    Later,
}

/// Lines that are never lost: they are kept until they are written.
#[derive(Debug)]
struct KeptLines {
    /// The lines, each with its newline.
    text: Vec<u8>,
    flush: Flush,
    written: std::sync::mpsc::Sender<Written>,
}

#[derive(Debug)]
enum Message {
    Line(String),
    Kept(KeptLines),
    /// Look whether the path leads to another file by now.
    Reopen,
}

/// The state that the senders and the thread share.
#[derive(Debug)]
struct State {
    /// The name of the output, for messages.
    name: String,
    on_failure: OnFailure,
    source: LineSource,
    /// Why lines can't be written now.
    problem: ArcSwapOption<String>,
    /// How many lines were sent, and neither written nor lost.
    unwritten: AtomicU64,
}

impl LineSender {
    /// Waits for a slot. `None` when the thread has ended, which only a panic does before the last sender is gone.
    pub async fn slot(&self) -> Option<LineSlot> {
        let slot = self.messages.clone().reserve_owned().await;
        self.checked(slot.ok())
    }

    /// A slot, if one is free at once. Otherwise the line that it is for is lost, and counted.
    #[must_use]
    pub fn slot_now(&self) -> Option<LineSlot> {
        let slot = self.messages.clone().try_reserve_owned();
        self.checked(slot.ok())
    }

    fn checked(&self, slot: Option<OwnedPermit<Message>>) -> Option<LineSlot> {
        if slot.is_none() {
            self.state.lost_unsent();
        }
        Some(LineSlot {
            slot: slot?,
            state: Arc::clone(&self.state),
        })
    }

    /// Opens the file again where another one has its path.
    pub async fn reopen(&self) {
        // Fails where the thread has ended, and then there is nothing to open.
        let _ = self.messages.send(Message::Reopen).await;
    }

    /// Sends lines that have to be written, each with its newline. What becomes of them arrives once they are written; it never does
    /// where the thread has ended. Blocks while there is no slot.
    #[must_use]
    pub fn keep(&self, text: Vec<u8>, flush: Flush) -> std::sync::mpsc::Receiver<Written> {
        let (written, receiver) = std::sync::mpsc::channel();
        let kept = KeptLines {
            text,
            flush,
            written,
        };
        // Fails where the thread has ended, and the receiver hears of it.
        let _ = self.messages.blocking_send(Message::Kept(kept));
        receiver
    }

    /// Whether a line would have to wait for a slot.
    #[must_use]
    pub fn is_full(&self) -> bool {
        self.messages.capacity() == 0
    }

    /// Why lines can't be written now; nothing when they can.
    #[must_use]
    pub fn problem(&self) -> Option<Arc<String>> {
        self.state.problem()
    }
}

impl LineSlot {
    /// Sends a line, without its newline.
    pub fn send(self, line: String) {
        self.state.unwritten.fetch_add(1, Ordering::Relaxed);
        self.slot.send(Message::Line(line));
    }
}

impl LineWriter {
    /// Waits until everything is written, but for no longer than `patience`: a reader of stdout may have stalled, or a disk
    /// may be full.
    pub fn finish(self, patience: Duration) {
        wait_for(&self.thread, patience);
        let unwritten = self.state.unwritten.load(Ordering::Relaxed);
        if unwritten > 0 {
            self.state.lost(unwritten);
            tracing::error!(
                target: SECURITY,
                output = self.state.name,
                lines = unwritten,
                "audit lines are lost: the service ends before they could be written"
            );
        }
    }
}

impl State {
    fn problem(&self) -> Option<Arc<String>> {
        self.problem.load_full()
    }

    fn written(&self, lines: u64) {
        self.unwritten.fetch_sub(lines, Ordering::Relaxed);
    }

    fn lost(&self, lines: u64) {
        self.written(lines);
        metrics().server.audit_lines_lost.inc_by(lines);
    }

    /// Counts a line that was never sent.
    fn lost_unsent(&self) {
        metrics().server.audit_lines_lost.inc();
        tracing::error!(
            target: SECURITY,
            output = self.name,
            "an audit line is lost: too many are waiting to be written"
        );
    }

    fn failed(&self, error: &io::Error) {
        let problem = format!("the audit log {} can't be written: {error}", self.name);
        if self.problem.swap(Some(Arc::new(problem))).is_some() {
            return;
        }
        metrics().server.audit_failing.set(1);
        let (output, error) = (&self.name, tracing::field::display(error));
        match (self.on_failure, self.source) {
            (OnFailure::Lose, LineSource::Requests) => tracing::error!(
                target: SECURITY,
                output,
                error,
                "audit lines can't be written and are lost; changes go on unaudited"
            ),
            (OnFailure::Lose, LineSource::ChangeLog) => tracing::error!(
                target: SECURITY,
                output,
                error,
                "audit lines can't be written; those of changes are written later, others are lost"
            ),
            (OnFailure::Keep, LineSource::Requests) => tracing::error!(
                target: SECURITY,
                output,
                error,
                "audit lines can't be written and are kept; changes are refused"
            ),
            (OnFailure::Keep, LineSource::ChangeLog) => tracing::error!(
                target: SECURITY,
                output,
                error,
                "audit lines can't be written and are kept; changes are refused when too many have none"
            ),
        }
    }

    fn recovered(&self) {
        if self.problem.load().is_some() {
            self.problem.store(None);
            metrics().server.audit_failing.set(0);
            tracing::warn!(target: SECURITY, output = self.name, "audit lines are written again");
        }
    }

    fn not_rotated(&self, error: &str) {
        tracing::error!(
            target: SECURITY,
            output = self.name,
            error,
            "the audit log can't be rotated; it becomes longer"
        );
    }

    fn not_followed(&self, error: &str) {
        tracing::error!(
            target: SECURITY,
            output = self.name,
            error,
            "the audit log can't be opened again; lines go to the file that was opened before"
        );
    }
}

/// Waits until a thread has ended, but for no longer than `patience`.
pub fn wait_for(thread: &JoinHandle<()>, patience: Duration) {
    let deadline = Instant::now() + patience;
    while !thread.is_finished() && Instant::now() < deadline {
        thread::sleep(Duration::from_millis(2));
    }
}

/// Appends lines to a file, which is made where it is missing, or writes them to stdout.
///
/// # Errors
/// A file that can't be opened.
pub fn write_lines(
    file: &LineFile,
    on_failure: OnFailure,
    source: LineSource,
) -> io::Result<(LineSender, LineWriter)> {
    let output = Output::open(file)?;
    let (messages, received) = mpsc::channel(WAITING);
    let state = Arc::new(State {
        name: file.to_string(),
        on_failure,
        source,
        problem: ArcSwapOption::empty(),
        unwritten: AtomicU64::new(0),
    });
    let writer = Writer::new(output, Arc::clone(&state), received);
    let thread = thread::Builder::new()
        .name("audit".to_owned())
        .spawn(move || writer.run())?;
    let sender = LineSender {
        messages,
        state: Arc::clone(&state),
    };
    Ok((sender, LineWriter { thread, state }))
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[tokio::test]
    async fn a_sender_waits_for_a_slot_while_the_reader_stalls_and_nothing_is_lost_unseen() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("lines");
        let (messages, mut received) = mpsc::channel(1);
        let (sender, writer) = write_lines(
            &LineFile::Followed(path.clone()),
            OnFailure::Lose,
            LineSource::Requests,
        )
        .unwrap();
        let stalled = LineSender {
            messages,
            state: Arc::clone(&sender.state),
        };
        let lost = || metrics().server.audit_lines_lost.get();
        let before = lost();
        let slot = stalled.slot().await.unwrap();
        // No other slot is free, so that nobody can make a change whose line can't be written.
        assert!(
            tokio::time::timeout(Duration::from_millis(1), stalled.slot())
                .await
                .is_err()
        );
        assert_eq!(lost(), before);
        assert!(stalled.slot_now().is_none());
        assert_eq!(lost(), before + 1);
        slot.send("promised".to_owned());
        let received = received.recv().await.unwrap();
        assert!(matches!(received, Message::Line(line) if line == "promised"));
        sender.state.written(1);

        sender.slot().await.unwrap().send("written".to_owned());
        drop((sender, stalled));
        writer.finish(Duration::from_secs(30));
        assert_eq!(fs::read_to_string(&path).unwrap(), "written\n");
    }
}
