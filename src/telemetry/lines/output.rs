//! The file that lines are appended to, followed through rotations.

use std::fmt;
use std::fs::{self, File, OpenOptions};
use std::io::{self, ErrorKind, Write as _};
use std::os::fd::AsFd as _;
use std::os::unix::fs::{FileExt as _, MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::thread;
use std::time::Duration;

use super::rotation::Rotation;
use crate::directory;

/// The pause before the next try where an output that does not block is full.
const FULL_PAUSE: Duration = Duration::from_millis(1);

/// The file that lines are appended to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum LineFile {
    /// The standard output.
    Stdout,
    /// A file that others rotate: another one that has its path is followed.
    Followed(PathBuf),
    /// A file that is rotated here: those before it have a number behind their name.
    Rotated(PathBuf),
}

impl fmt::Display for LineFile {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Stdout => formatter.write_str("stdout"),
            Self::Followed(path) | Self::Rotated(path) => path.display().fmt(formatter),
        }
    }
}

/// An output of lines.
#[derive(Debug)]
pub struct Output {
    file: File,
    /// The path that the file was opened by; none for stdout.
    path: Option<PathBuf>,
    rotation: Option<Rotation>,
    durability: Durability,
    /// Whether the last byte that was written ended no line.
    is_cut: bool,
}

/// How sure it is that lines survive a loss of power.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Durability {
    /// All that was written is on the disk.
    OnDisk,
    /// Some of it may not be there yet.
    Written,
    /// Some of it may be lost: the system has said so.
    Doubtful,
    /// It is no file: nothing can be said.
    Unknown,
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
    /// Opens a file for appending, which is made where it is missing and then is its owner's alone.
    ///
    /// # Errors
    /// What the system says.
    pub fn open(to: &LineFile) -> io::Result<Self> {
        let (file, path) = match to {
            // Without the buffer of the standard library, which would not tell what was written of a line.
            LineFile::Stdout => (io::stdout().as_fd().try_clone_to_owned()?.into(), None),
            LineFile::Followed(path) | LineFile::Rotated(path) => {
                (append_to(path)?, Some(path.clone()))
            }
        };
        let mut output = Self {
            rotation: matches!(to, LineFile::Rotated(_)).then(Rotation::default),
            path,
            is_cut: false,
            durability: Durability::Unknown,
            file,
        };
        output.begin_file()?;
        Ok(output)
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
        self.replace()
    }

    /// Begins a new file where this one is rotated here and would become too long by so many bytes. Where that fails, the old one
    /// stays.
    ///
    /// # Errors
    /// What the system says.
    pub fn make_room(&mut self, bytes: usize) -> io::Result<()> {
        let (Some(rotation), Some(path)) = (&self.rotation, &self.path) else {
            return Ok(());
        };
        if !rotation.is_due(self.file.metadata()?.len(), bytes) {
            return Ok(());
        }
        rotation.rotate(path)?;
        self.replace()
    }

    fn replace(&mut self) -> io::Result<()> {
        let Some(path) = &self.path else {
            return Ok(());
        };
        let file = append_to(path)?;
        // What it has is needed, also where the new one is on the disk first.
        if self.durability == Durability::Written && self.file.sync_data().is_err() {
            self.durability = Durability::Doubtful;
        }
        self.file = file;
        self.begin_file()
    }

    /// Finds out what a file is that was opened, and whether its last line is cut.
    fn begin_file(&mut self) -> io::Result<()> {
        let data = self.file.metadata()?;
        self.is_cut = false;
        if !data.is_file() {
            self.durability = Durability::Unknown;
            return Ok(());
        }
        if self.durability != Durability::Doubtful {
            // Its name may not be on the disk yet.
            self.durability = Durability::Written;
        }
        if let Some(path) = &self.path {
            self.is_cut = data.len() > 0 && !ends_a_line(path, data.len());
        }
        Ok(())
    }

    /// Waits until all that was written is on the disk, as far as that can be known.
    ///
    /// # Errors
    /// What the system says: some of it may be lost then.
    pub fn sync(&mut self) -> io::Result<()> {
        match self.durability {
            Durability::OnDisk | Durability::Unknown => return Ok(()),
            Durability::Doubtful => {
                self.durability = Durability::Written;
                return Err(io::Error::other("lines of the file before may be lost"));
            }
            Durability::Written => {}
        }
        self.file.sync_data()?;
        if let Some(path) = &self.path {
            // The name of a new file.
            directory::sync_of(path)?;
        }
        self.durability = Durability::OnDisk;
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
        if self.durability == Durability::OnDisk {
            self.durability = Durability::Written;
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

/// Whether a file of this length ends with the end of a line. What can't be read is taken for one.
fn ends_a_line(path: &Path, length: u64) -> bool {
    let mut last = [b'\n'];
    let read = File::open(path).and_then(|file| file.read_exact_at(&mut last, length - 1));
    read.is_err() || last == [b'\n']
}

/// Opens a file for appending, which several processes and a rotation that truncates can share.
fn append_to(path: &Path) -> io::Result<File> {
    if !path.exists() {
        // Who had the name may have another one, which a loss of power must not take back when the new file has this one.
        directory::sync_of(path)?;
    }
    OpenOptions::new()
        .append(true)
        .create(true)
        .mode(0o600)
        .open(path)
}
