//! The file that lines are appended to, followed through rotations.

use std::fs::{self, File, OpenOptions};
use std::io::{self, ErrorKind, Write as _};
use std::os::fd::AsFd as _;
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::thread;
use std::time::Duration;

/// The pause before the next try where an output that does not block is full.
const FULL_PAUSE: Duration = Duration::from_millis(1);

/// An output of lines.
#[derive(Debug)]
pub struct Output {
    file: File,
    /// The path that the file was opened by; none for stdout.
    path: Option<PathBuf>,
    /// Whether the last byte that was written ended no line.
    is_cut: bool,
}

/// A write that failed.
#[derive(Debug)]
pub struct WriteFailure {
    /// How many bytes of the lines were written before.
    pub written: usize,
    /// What the system says.
    pub error: io::Error,
}

impl WriteFailure {
    /// Whether the lines went to a file that has no name any more.
    pub fn is_removed(&self) -> bool {
        self.error.kind() == ErrorKind::NotFound
    }
}

impl Output {
    /// Opens a file for appending, which is made where it is missing and then is its owner's alone. `-` is stdout.
    ///
    /// # Errors
    /// What the system says.
    pub fn open(path: &Path) -> io::Result<Self> {
        let (file, path) = if path == Path::new("-") {
            // Without the buffer of the standard library, which would not tell what was written of a line.
            (io::stdout().as_fd().try_clone_to_owned()?.into(), None)
        } else {
            (append_to(path)?, Some(path.to_path_buf()))
        };
        Ok(Self {
            file,
            path,
            is_cut: false,
        })
    }

    /// Opens the file again where another one has its path by now, or none. Where that fails, the old one stays.
    ///
    /// # Errors
    /// What the system says.
    pub fn follow(&mut self) -> io::Result<()> {
        let Some(path) = &self.path else {
            return Ok(());
        };
        let open = self.file.metadata()?;
        match fs::metadata(path) {
            Ok(found) if (found.dev(), found.ino()) == (open.dev(), open.ino()) => return Ok(()),
            Ok(_) => {}
            Err(error) if error.kind() == ErrorKind::NotFound => {}
            Err(error) => return Err(error),
        }
        self.file = append_to(path)?;
        self.is_cut = false;
        Ok(())
    }

    /// Writes whole lines. Where the last write has cut a line, they begin on a new one.
    ///
    /// # Errors
    /// [`WriteFailure`], also where the file was removed meanwhile, and nobody would read the lines.
    pub fn write(&mut self, lines: &[u8]) -> Result<(), WriteFailure> {
        let failure = |written, error| WriteFailure { written, error };
        if self.is_cut {
            self.write_some(b"\n").map_err(|error| failure(0, error))?;
            self.is_cut = false;
        }
        let mut written = 0;
        while written < lines.len() {
            match self.write_some(&lines[written..]) {
                Ok(count) => {
                    written += count;
                    self.is_cut = lines.get(written - 1) != Some(&b'\n');
                }
                Err(error) => return Err(failure(written, error)),
            }
        }
        let removed =
            self.path.is_some() && self.file.metadata().is_ok_and(|data| data.nlink() == 0);
        if removed {
            let error = io::Error::new(ErrorKind::NotFound, "the file was removed");
            return Err(failure(0, error));
        }
        Ok(())
    }

    fn write_some(&mut self, bytes: &[u8]) -> io::Result<usize> {
        loop {
            match self.file.write(bytes) {
                Ok(0) => return Err(ErrorKind::WriteZero.into()),
                Ok(count) => return Ok(count),
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                // Stdout may be shared with a program that has made it so.
                Err(error) if error.kind() == ErrorKind::WouldBlock => thread::sleep(FULL_PAUSE),
                Err(error) => return Err(error),
            }
        }
    }
}

/// Opens a file for appending, which several processes and a rotation that truncates can share.
fn append_to(path: &Path) -> io::Result<File> {
    OpenOptions::new()
        .append(true)
        .create(true)
        .mode(0o600)
        .open(path)
}
