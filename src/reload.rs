//! Values that come from files, and follow them when they change.

use std::fmt::Display;
use std::fs;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use thiserror::Error;

use crate::telemetry::metrics::{Reload, metrics};

/// Files that can't be used.
#[derive(Debug, Error)]
pub enum LoadError {
    /// A file that can't be read.
    #[error("cannot read the {what} {}: {source}", path.display())]
    Read {
        /// What it should hold.
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
        /// Their paths.
        files: String,
        /// What is wrong.
        reason: String,
    },
}

type Parse<T> = Box<dyn Fn(&[Vec<u8>]) -> Result<T, String> + Send>;

/// Follows files for a value. Files are read, and not watched: so a Kubernetes volume, whose links are swapped, and a
/// network file system are followed like any other.
pub struct Follower<T> {
    counted: Reload,
    what: &'static str,
    paths: Vec<PathBuf>,
    parse: Parse<T>,
    seen: Vec<Vec<u8>>,
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
        let parse = move |contents: &[Vec<u8>]| parse(contents).map_err(|error| error.to_string());
        let seen = read(what, &paths)?;
        let value = parse(&seen).map_err(|reason| content_error(what, &paths, reason))?;
        Ok(Self {
            counted,
            what,
            paths,
            parse: Box::new(parse),
            seen,
            value: Arc::new(ArcSwap::from_pointee(value)),
            complaint: String::new(),
        })
    }

    /// The value, which changes when the files do: they are looked at now and then, as long as the runtime lives.
    pub fn follow(self, interval: Duration) -> Arc<ArcSwap<T>> {
        let value = Arc::clone(&self.value);
        tokio::spawn(self.run(interval));
        value
    }

    async fn run(mut self, interval: Duration) {
        loop {
            tokio::time::sleep(interval).await;
            let looked = tokio::task::spawn_blocking(move || {
                self.look();
                self
            });
            match looked.await {
                Ok(follower) => self = follower,
                // Only when the runtime ends, or when a parser panics, which its tests rule out.
                Err(_) => return,
            }
        }
    }

    fn look(&mut self) {
        let result = read(self.what, &self.paths).and_then(|contents| {
            if contents == self.seen {
                return Ok(false);
            }
            let parsed = (self.parse)(&contents);
            let value = parsed.map_err(|reason| content_error(self.what, &self.paths, reason))?;
            self.value.store(Arc::new(value));
            self.seen = contents;
            Ok(true)
        });
        match result {
            Ok(changed) => {
                self.complaint.clear();
                if changed {
                    metrics().server.reloaded(self.counted, true);
                    tracing::info!(what = self.what, "reloaded");
                }
            }
            Err(error) => {
                // At each look, so that the rate of failures shows until it is mended.
                metrics().server.reloaded(self.counted, false);
                let complaint = error.to_string();
                if complaint != self.complaint {
                    tracing::error!(what = self.what, %error, "not reloaded; the old one stays in use");
                    self.complaint = complaint;
                }
            }
        }
    }
}

/// Reads files, each as a whole.
///
/// # Errors
/// [`LoadError::Read`] with the first that can't be read.
pub fn read(what: &'static str, paths: &[PathBuf]) -> Result<Vec<Vec<u8>>, LoadError> {
    let read = |path: &PathBuf| {
        fs::read(path).map_err(|source| LoadError::Read {
            what,
            path: path.clone(),
            source,
        })
    };
    paths.iter().map(read).collect()
}

fn content_error(what: &'static str, paths: &[PathBuf], reason: String) -> LoadError {
    let files: Vec<String> = paths
        .iter()
        .map(|path| path.display().to_string())
        .collect();
    LoadError::Content {
        what,
        files: files.join(", "),
        reason,
    }
}
