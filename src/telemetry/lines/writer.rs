//! The thread that writes lines.

use std::sync::Arc;
use std::thread;
use std::time::Duration;

use serde_json::json;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;
use tokio::sync::mpsc::Receiver;
use tokio::sync::mpsc::error::TryRecvError;

use super::output::{Output, WriteFailure};
use super::{Flush, KeptLines, Message, OnFailure, State, Written};

/// How many bytes are gathered before they are written.
const BATCH_BYTES: usize = 64 * 1024;
/// The pause between two tries while lines can't be written.
const RETRY_PAUSE: Duration = Duration::from_millis(100);

/// A writer of lines.
pub struct Writer {
    output: Output,
    state: Arc<State>,
    messages: Receiver<Message>,
    /// The lines that are to be written next, each with its newline.
    batch: Vec<u8>,
    /// The lines that come behind them, and are never lost.
    kept: Option<KeptLines>,
    /// How many lines were lost since the last one that was written.
    lost: u64,
    /// Why the file could not be opened again or rotated, so that it is logged once.
    follow_problem: String,
    rotation_problem: String,
}

impl Writer {
    pub fn new(output: Output, state: Arc<State>, messages: Receiver<Message>) -> Self {
        Self {
            output,
            state,
            messages,
            batch: Vec::with_capacity(BATCH_BYTES),
            kept: None,
            lost: 0,
            follow_problem: String::new(),
            rotation_problem: String::new(),
        }
    }

    /// Writes until every sender is gone and no line is left.
    pub fn run(mut self) {
        loop {
            let is_open = self.gather();
            self.write_batch();
            if self.batch.is_empty() {
                self.write_kept();
            }
            // What is kept comes again from where it has come from.
            if !is_open && self.batch.is_empty() {
                return;
            }
        }
    }

    /// Fills the batch with the lines that are there, and waits where none is. Returns whether more may come.
    fn gather(&mut self) -> bool {
        let first = if self.state.problem().is_some() {
            thread::sleep(RETRY_PAUSE);
            None
        } else {
            match self.messages.blocking_recv() {
                None => return false,
                first => first,
            }
        };
        let mut next = first.map_or_else(|| self.messages.try_recv(), Ok);
        loop {
            match next {
                Ok(Message::Line(line)) => {
                    self.batch.extend_from_slice(line.as_bytes());
                    self.batch.push(b'\n');
                }
                Ok(Message::Kept(lines)) => {
                    self.kept = Some(lines);
                    return true;
                }
                // The file is looked at before each batch, also before an empty one.
                Ok(Message::Reopen) | Err(TryRecvError::Empty) => return true,
                Err(TryRecvError::Disconnected) => return false,
            }
            // One sender has lines that are kept, and waits for them.
            if self.batch.len() >= BATCH_BYTES || self.kept.is_some() {
                return true;
            }
            next = self.messages.try_recv();
        }
    }

    fn write_batch(&mut self) {
        self.follow();
        self.make_room(self.batch.len());
        let mut result = self.try_write();
        // Removed after it was looked at: the lines go to the file that takes its place.
        if result.as_ref().is_err_and(WriteFailure::is_removed) && self.follow() {
            result = self.try_write();
        }
        match result {
            Ok(()) => {
                self.state.written(count(&self.batch));
                self.batch.clear();
                // Nothing is known yet where only those that are kept wait.
                if self.kept.is_none() {
                    self.state.recovered();
                }
            }
            Err(failure) => self.failed(&failure),
        }
    }

    /// Writes the lines that are never lost, or keeps what is left of them for the next try.
    fn write_kept(&mut self) {
        let Some(mut kept) = self.kept.take() else {
            return;
        };
        self.make_room(kept.text.len());
        let mut result = self.output.write(&kept.text);
        if result.as_ref().is_err_and(WriteFailure::is_removed) && self.follow() {
            result = self.output.write(&kept.text);
        }
        if let Err(failure) = result {
            self.state.failed(&failure.error);
            kept.text.drain(..whole_lines(&kept.text, failure.written));
            self.kept = Some(kept);
            return;
        }
        let synced = match kept.flush {
            Flush::Now => self.output.sync(),
            Flush::Later => Ok(()),
        };
        let written = match synced {
            Ok(()) => {
                self.state.recovered();
                Written::Yes
            }
            Err(error) => {
                self.state.failed(&error);
                Written::Doubtful
            }
        };
        // Whoever has sent them may have gone.
        let _ = kept.written.send(written);
    }

    fn try_write(&mut self) -> Result<(), WriteFailure> {
        if self.lost > 0 {
            let written = self.output.write(lost_marker(self.lost).as_bytes());
            written.map_err(|failure| WriteFailure {
                written: 0,
                ..failure
            })?;
            self.lost = 0;
        }
        self.output.write(&self.batch)
    }

    fn failed(&mut self, failure: &WriteFailure) {
        self.state.failed(&failure.error);
        let whole_lines = whole_lines(&self.batch, failure.written);
        self.state.written(count(&self.batch[..whole_lines]));
        self.batch.drain(..whole_lines);
        if self.state.on_failure == OnFailure::Lose {
            let lost = count(&self.batch);
            self.state.lost(lost);
            self.lost += lost;
            self.batch.clear();
        }
    }

    /// Sees to it that a file that is rotated here has room for so many bytes.
    fn make_room(&mut self, bytes: usize) {
        match self.output.make_room(bytes) {
            Ok(()) => self.rotation_problem.clear(),
            Err(error) => {
                let problem = error.to_string();
                if problem != self.rotation_problem {
                    self.state.not_rotated(&problem);
                    self.rotation_problem = problem;
                }
            }
        }
    }

    /// Sees to it that the lines go to the file that has the path now.
    fn follow(&mut self) -> bool {
        match self.output.follow() {
            Ok(()) => {
                self.follow_problem.clear();
                true
            }
            Err(error) => {
                let problem = error.to_string();
                if problem != self.follow_problem {
                    self.state.not_followed(&problem);
                    self.follow_problem = problem;
                }
                false
            }
        }
    }
}

/// The line, with its newline, that stands for lines that were lost before it.
#[must_use]
pub fn lost_marker(lost: u64) -> String {
    let time = OffsetDateTime::now_utc().format(&Rfc3339);
    let line = json!({
        "time": time.unwrap_or_default(),
        "target": "audit",
        "event": "lines_lost",
        "lines": lost,
    });
    format!("{line}\n")
}

/// How many bytes the whole lines have that were written of a text.
fn whole_lines(text: &[u8], written: usize) -> usize {
    let newline = text[..written].iter().rposition(|byte| *byte == b'\n');
    newline.map_or(0, |newline| newline + 1)
}

fn count(lines: &[u8]) -> u64 {
    lines.iter().map(|byte| u64::from(*byte == b'\n')).sum()
}
