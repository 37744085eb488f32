//! The buffer of the application log: whoever logs adds a line and goes on, and a thread writes what has gathered there.

use std::io::{self, Write};
use std::mem;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use super::lines::wait_for;

/// The most bytes that may wait to be written: a third of a second's worth of the most that the service logs.
const MOST_WAITING: usize = 4 * 1024 * 1024;
/// The capacity that a buffer keeps after it was written, in bytes.
const KEPT: usize = 64 * 1024;
/// How long lines gather before they are written: to wake the thread for each costs more than the line itself.
const GATHER: Duration = Duration::from_millis(1);
/// How long the end of the program waits for a reader that has stalled.
const PATIENCE: Duration = Duration::from_secs(1);

/// The lines that wait to be written. Lines that do not fit are lost, and later the log says how many.
#[derive(Debug)]
pub struct Buffer {
    waiting: Mutex<Waiting>,
    changed: Condvar,
}

#[derive(Debug)]
struct Waiting {
    lines: Vec<u8>,
    lost: u64,
    is_open: bool,
}

/// A guard whose drop waits until what was logged is written.
#[derive(Debug)]
pub struct LogGuard {
    buffer: Arc<Buffer>,
    thread: JoinHandle<()>,
}

/// Starts the thread that writes to `output`.
///
/// # Errors
/// A thread that can't be started.
pub fn start(output: impl Write + Send + 'static) -> io::Result<(Arc<Buffer>, LogGuard)> {
    let buffer = Arc::new(Buffer {
        waiting: Mutex::new(Waiting {
            lines: Vec::new(),
            lost: 0,
            is_open: true,
        }),
        changed: Condvar::new(),
    });
    let of_thread = Arc::clone(&buffer);
    let thread = thread::Builder::new()
        .name("log".to_owned())
        .spawn(move || of_thread.write_to(output))?;
    let guard = LogGuard {
        buffer: Arc::clone(&buffer),
        thread,
    };
    Ok((buffer, guard))
}

impl Buffer {
    fn waiting(&self) -> MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn write_to(&self, mut output: impl Write) {
        let mut lines = Vec::new();
        loop {
            let (is_open, lost) = self.take(&mut lines);
            // There is nowhere to say that it has failed.
            let _ = output.write_all(&lines).and_then(|()| output.flush());
            lines.clear();
            lines.shrink_to(KEPT);
            if !is_open {
                return;
            }
            if lost > 0 {
                tracing::warn!(lost, "lines of the log are lost: their reader is too slow");
            }
        }
    }

    /// Waits for lines, and takes them. Returns whether more may come, and how many were lost.
    fn take(&self, lines: &mut Vec<u8>) -> (bool, u64) {
        let is_idle = |waiting: &mut Waiting| waiting.is_open && waiting.lines.is_empty();
        let waiting = self.changed.wait_while(self.waiting(), is_idle);
        if waiting.unwrap_or_else(PoisonError::into_inner).is_open {
            thread::sleep(GATHER);
        }
        let mut waiting = self.waiting();
        mem::swap(&mut waiting.lines, lines);
        (waiting.is_open, mem::take(&mut waiting.lost))
    }
}

/// A writer that takes each line as a whole.
impl Write for &Buffer {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        let mut waiting = self.waiting();
        let is_first = waiting.lines.is_empty();
        if waiting.lines.len() + line.len() > MOST_WAITING {
            waiting.lost += 1;
        } else {
            waiting.lines.extend_from_slice(line);
        }
        drop(waiting);
        if is_first {
            self.changed.notify_one();
        }
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Drop for LogGuard {
    fn drop(&mut self) {
        self.buffer.waiting().is_open = false;
        self.buffer.changed.notify_one();
        wait_for(&self.thread, PATIENCE);
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;

    use super::*;

    /// Passes on what is written, and waits for whoever takes it.
    struct Reader(mpsc::SyncSender<Vec<u8>>);

    impl Write for Reader {
        fn write(&mut self, lines: &[u8]) -> io::Result<usize> {
            self.0.send(lines.to_vec()).map_err(io::Error::other)?;
            Ok(lines.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn every_line_is_written_before_the_guard_is_gone() {
        let (sender, written) = mpsc::sync_channel(10_000);
        let (buffer, guard) = start(Reader(sender)).unwrap();
        thread::scope(|scope| {
            for writer in 0..4 {
                let buffer = &*buffer;
                scope.spawn(move || {
                    for line in 0..500 {
                        { buffer }
                            .write_all(format!("{writer} {line}\n").as_bytes())
                            .unwrap();
                    }
                });
            }
        });
        drop(guard);
        let text = String::from_utf8(written.try_iter().flatten().collect()).unwrap();
        for writer in 0..4 {
            let own = text.lines().filter_map(|line| {
                let (of, number) = line.split_once(' ')?;
                (of == writer.to_string()).then(|| number.parse::<u32>().unwrap())
            });
            assert!(own.eq(0..500), "{writer}");
        }
    }

    #[test]
    fn a_reader_that_stalls_costs_lines_and_holds_nobody_up() {
        let (sender, written) = mpsc::sync_channel(0);
        let (buffer, guard) = start(Reader(sender)).unwrap();
        let line = [b'x'; 1024];
        let most = MOST_WAITING / line.len();
        (&*buffer).write_all(&line).unwrap();
        while !buffer.waiting().lines.is_empty() {
            thread::yield_now();
        }
        // The thread waits for the reader with the first line, and takes no more.
        for _ in 0..3 * most {
            (&*buffer).write_all(&line).unwrap();
        }
        let lost = buffer.waiting().lost;
        assert_eq!(lost, u64::try_from(2 * most).unwrap());
        let reading = thread::spawn(move || written.iter().flatten().count());
        drop(guard);
        drop(buffer);
        let read = u64::try_from(reading.join().unwrap() / line.len()).unwrap();
        assert_eq!(read + lost, u64::try_from(3 * most + 1).unwrap());
    }
}
