//! Values from files, which are followed when they change.

use std::fmt::Display;
use std::fs::OpenOptions;
use std::future::pending;
use std::io::{self, Read as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use thiserror::Error;
use tokio::signal::unix::{Signal, SignalKind, signal};

use crate::telemetry::SECURITY;
use crate::telemetry::metrics::{Reload, metrics};

/// The largest file that is read, in bytes.
const LARGEST_FILE: u64 = 16 * 1024 * 1024;

const PANICKED: &str = "the parser has panicked, which is a fault of untag's: please report it";

/// Files that can't be used.
#[derive(Debug, Error)]
pub enum LoadError {
    /// A file that can't be read.
    #[error("cannot read the {what} {}: {source}", path.display())]
    Read {
        /// What the file should hold.
        what: &'static str,
        /// The file.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// Contents that are not what they should be.
    #[error("cannot use the {what} {files}: {reason}")]
    Content {
        /// What the files should hold.
        what: &'static str,
        /// The paths of the files.
        files: String,
        /// What is wrong.
        reason: String,
    },
}

/// The signal that asks for everything to be read again at once.
#[derive(Debug)]
pub struct Hangup(Option<Signal>);

impl Hangup {
    /// Listens to SIGHUP from here on, beside whoever else does. Has to be called within a runtime.
    #[must_use]
    pub fn listen() -> Self {
        let listening = signal(SignalKind::hangup());
        if let Err(error) = &listening {
            tracing::error!(%error, "cannot listen for SIGHUP");
        }
        Self(listening.ok())
    }

    /// Waits for the next signal.
    pub async fn received(&mut self) {
        let received = match &mut self.0 {
            Some(signal) => signal.recv().await,
            None => None,
        };
        // None comes when there will be no more.
        if received.is_none() {
            pending::<()>().await;
        }
    }
}

/// A file and what it holds.
pub type Content = (PathBuf, Vec<u8>);

type Parse<T> = Box<dyn Fn(&[Content]) -> Result<T, String> + Send>;
type Read = Box<dyn Fn() -> Result<Vec<Content>, LoadError> + Send>;

/// A follower of the files that a value comes from. Files are read, and not watched: so a Kubernetes volume, whose links
/// are swapped, and a network file system are followed like any other. SIGHUP has them read at once.
pub struct Follower<T> {
    counted: Reload,
    what: &'static str,
    read: Read,
    parse: Parse<T>,
    seen: Vec<Content>,
    value: Arc<ArcSwap<T>>,
    /// The last complaint, so that it is logged once and not at every look.
    complaint: String,
}

impl<T: Send + Sync + 'static> Follower<T> {
    /// Reads the files for the first time. `parse` gets their contents in the order of the paths.
    ///
    /// # Errors
    /// [`LoadError`]: there is no value to go on with.
    pub fn load<E: Display>(
        counted: Reload,
        what: &'static str,
        paths: Vec<PathBuf>,
        parse: impl Fn(&[Vec<u8>]) -> Result<T, E> + Send + 'static,
    ) -> Result<Self, LoadError> {
        let parse = move |files: &[Content]| {
            let contents: Vec<_> = files.iter().map(|(_, content)| content.clone()).collect();
            parse(&contents)
        };
        Self::load_by(counted, what, move || read(what, &paths), parse)
    }

    /// As `load`, of files that `read` finds, such as those that another file names.
    ///
    /// # Errors
    /// [`LoadError`]: there is no value to go on with.
    pub fn load_by<E: Display>(
        counted: Reload,
        what: &'static str,
        read: impl Fn() -> Result<Vec<Content>, LoadError> + Send + 'static,
        parse: impl Fn(&[Content]) -> Result<T, E> + Send + 'static,
    ) -> Result<Self, LoadError> {
        let parse = move |files: &[Content]| {
            let parsed = catch_unwind(AssertUnwindSafe(|| parse(files)));
            let parsed = parsed.map_err(|_| PANICKED.to_owned())?;
            parsed.map_err(|error| error.to_string())
        };
        let seen = read()?;
        let value = parse(&seen).map_err(|reason| content_error(what, &seen, reason))?;
        Ok(Self {
            counted,
            what,
            read: Box::new(read),
            parse: Box::new(parse),
            seen,
            value: Arc::new(ArcSwap::from_pointee(value)),
            complaint: String::new(),
        })
    }

    /// The value, which changes when the files do: they are looked at now and then, as long as the runtime lives.
    pub fn follow(self, interval: Duration) -> Arc<ArcSwap<T>> {
        let value = Arc::clone(&self.value);
        tokio::spawn(self.run(interval, Hangup::listen()));
        value
    }

    async fn run(mut self, interval: Duration, mut hangup: Hangup) {
        loop {
            tokio::select! {
                () = tokio::time::sleep(interval) => {}
                // Who asks is told again what is wrong.
                () = hangup.received() => self.complaint.clear(),
            }
            let looked = tokio::task::spawn_blocking(move || {
                self.look();
                self
            });
            match looked.await {
                Ok(follower) => self = follower,
                // Only when the runtime ends.
                Err(_) => return,
            }
        }
    }

    fn look(&mut self) {
        let result = (self.read)().and_then(|files| {
            if files == self.seen {
                return Ok(false);
            }
            let parsed = (self.parse)(&files);
            let value = parsed.map_err(|reason| content_error(self.what, &files, reason))?;
            self.value.store(Arc::new(value));
            self.seen = files;
            Ok(true)
        });
        match result {
            Ok(changed) => {
                self.complaint.clear();
                if changed {
                    metrics().server.reloaded(self.counted, true);
                    tracing::info!(target: SECURITY, what = self.what, "reloaded");
                }
            }
            Err(error) => {
                // At each look, so that the rate of failures shows until it is mended.
                metrics().server.reloaded(self.counted, false);
                let complaint = error.to_string();
                if complaint != self.complaint {
                    tracing::error!(target: SECURITY, what = self.what, %error, "not reloaded; the old one stays in use");
                    self.complaint = complaint;
                }
            }
        }
    }
}

/// Reads a regular file, and nothing that could hold the reader up or fill the memory.
///
/// # Errors
/// What the system says, or what is there instead of a file.
pub fn read_file(path: &Path) -> io::Result<Vec<u8>> {
    // Otherwise a FIFO is opened only once somebody writes to it.
    let mut options = OpenOptions::new();
    let file = options
        .read(true)
        .custom_flags(libc::O_NONBLOCK)
        .open(path)?;
    if !file.metadata()?.is_file() {
        return Err(io::Error::other("it is no regular file"));
    }
    let mut contents = Vec::new();
    file.take(LARGEST_FILE + 1).read_to_end(&mut contents)?;
    if contents.len() as u64 > LARGEST_FILE {
        let problem = format!("it is larger than {LARGEST_FILE} bytes");
        return Err(io::Error::new(io::ErrorKind::FileTooLarge, problem));
    }
    Ok(contents)
}

/// Reads files, each as a whole.
///
/// # Errors
/// [`LoadError::Read`] with the first that can't be read.
pub fn read(what: &'static str, paths: &[PathBuf]) -> Result<Vec<Content>, LoadError> {
    let read = |path: &PathBuf| match read_file(path) {
        Ok(content) => Ok((path.clone(), content)),
        Err(source) => Err(LoadError::Read {
            what,
            path: path.clone(),
            source,
        }),
    };
    paths.iter().map(read).collect()
}

fn content_error(what: &'static str, files: &[Content], reason: String) -> LoadError {
    let files: Vec<String> = files
        .iter()
        .map(|(path, _)| path.display().to_string())
        .collect();
    LoadError::Content {
        what,
        files: files.join(", "),
        reason,
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::time::Instant;

    use super::*;

    fn number(contents: &[Vec<u8>]) -> Result<u64, String> {
        let text = String::from_utf8_lossy(&contents[0]);
        assert_ne!(text, "panic", "as a parser with a fault does");
        text.parse().map_err(|_| "no number".to_owned())
    }

    #[tokio::test]
    async fn a_parser_that_panics_is_a_failure_and_following_goes_on() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("number");
        // Replaced as a whole, as whoever writes a file that is followed should do.
        let write = |text: &str| {
            fs::write(directory.path().join("new"), text).unwrap();
            fs::rename(directory.path().join("new"), &path).unwrap();
        };
        write("1");
        let follower = Follower::load(
            Reload::CloudCredentials,
            "number",
            vec![path.clone()],
            number,
        );
        let value = follower.unwrap().follow(Duration::from_millis(1));
        let failed = || metrics().server.reloads_failed(Reload::CloudCredentials);
        let before = failed();
        write("panic");
        let deadline = Instant::now() + Duration::from_secs(30);
        while failed() < before + 2 {
            assert!(Instant::now() < deadline, "not counted");
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        assert_eq!(**value.load(), 1);
        write("2");
        while **value.load() != 2 {
            assert!(Instant::now() < deadline, "not followed");
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    }

    #[test]
    fn what_is_no_file_or_too_large_is_not_read() {
        let directory = tempfile::tempdir().unwrap();
        assert!(read_file(directory.path()).is_err());
        let path = directory.path().join("large");
        let file = fs::File::create(&path).unwrap();
        file.set_len(LARGEST_FILE).unwrap();
        assert_eq!(read_file(&path).unwrap().len() as u64, LARGEST_FILE);
        file.set_len(LARGEST_FILE + 1).unwrap();
        let error = read_file(&path).unwrap_err().to_string();
        assert!(error.contains("larger than 16777216 bytes"), "{error}");
    }
}
