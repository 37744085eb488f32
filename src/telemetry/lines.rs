//! Lines that must not be lost while the service runs, to a file or to stdout.

use std::fs::OpenOptions;
use std::io::{self, BufWriter, Write};
use std::path::Path;
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use tokio::sync::mpsc::{self, Receiver, Sender};

use super::metrics::metrics;

/// How many lines may wait. Who writes then waits too: a service that can't be audited does not run ahead.
const WAITING: usize = 8192;

/// Where lines are sent.
#[derive(Debug, Clone)]
pub struct LineSender(Sender<String>);

/// The thread that writes them. Ends, and has written all, when every sender is gone.
#[derive(Debug)]
pub struct LineWriter(JoinHandle<()>);

impl LineSender {
    /// Sends a line, without its newline. Waits for room.
    pub async fn send(&self, line: String) {
        // The thread ends after every sender only.
        let _ = self.0.send(line).await;
    }

    /// Sends a line where waiting is not possible; without room it is lost, and the log says so.
    pub fn send_now(&self, line: String) {
        if self.0.try_send(line).is_err() {
            metrics().server.audit_lines_lost.inc();
            tracing::error!("an audit line is lost: too many are waiting to be written");
        }
    }
}

impl LineWriter {
    /// Waits until everything is written, or for so long: a reader of stdout may have stalled.
    pub fn finish(self, patience: Duration) {
        wait_for(&self.0, patience);
    }
}

/// Waits until a thread has ended, or for so long.
pub(super) fn wait_for(thread: &JoinHandle<()>, patience: Duration) {
    let deadline = Instant::now() + patience;
    while !thread.is_finished() && Instant::now() < deadline {
        thread::sleep(Duration::from_millis(2));
    }
}

/// Appends lines to a file, which is made where it is missing, or writes them to stdout for `-`.
///
/// # Errors
/// A file that can't be opened.
pub fn write_lines(path: &Path) -> io::Result<(LineSender, LineWriter)> {
    let output: Box<dyn Write + Send> = if path == Path::new("-") {
        Box::new(io::stdout())
    } else {
        // Appending lets several processes and a log rotation that truncates share the file.
        Box::new(OpenOptions::new().append(true).create(true).open(path)?)
    };
    let (sender, lines) = mpsc::channel(WAITING);
    let thread = thread::Builder::new()
        .name("audit".to_owned())
        .spawn(move || run(lines, &mut BufWriter::new(output)))?;
    Ok((LineSender(sender), LineWriter(thread)))
}

fn run(mut lines: Receiver<String>, output: &mut impl Write) {
    let mut failing = false;
    while let Some(line) = lines.blocking_recv() {
        let mut result = writeln!(output, "{line}");
        // A line is on its way to the reader as soon as none follows at once.
        if result.is_ok() && lines.is_empty() {
            result = output.flush();
        }
        if let Err(error) = &result {
            metrics().server.audit_lines_lost.inc();
            if !failing {
                tracing::error!(%error, "audit lines can't be written and are lost");
            }
        }
        failing = result.is_err();
    }
    let _ = output.flush();
}
