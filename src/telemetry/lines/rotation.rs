//! The rotation of a file of lines.

use std::ffi::OsString;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use crate::directory;

/// The length at which a file gets a successor.
const MOST_BYTES: u64 = 64 << 20;
/// How many files there are at most, with the one that is written.
const FILES: usize = 8;

/// The bounds of a file that is rotated: it is renamed to `NAME.1`, what was that to `NAME.2`, and the oldest is gone.
#[derive(Debug)]
pub struct Rotation {
    most_bytes: u64,
    files: usize,
}

impl Default for Rotation {
    fn default() -> Self {
        Self {
            most_bytes: MOST_BYTES,
            files: FILES,
        }
    }
}

impl Rotation {
    /// Whether a file of this length would become too long by so many bytes. Lines that are more than a file may have are not cut.
    pub fn is_due(&self, length: u64, bytes: usize) -> bool {
        length > 0 && length.saturating_add(bytes as u64) > self.most_bytes
    }

    /// Renames the files, the oldest first. Where a crash has left a gap between them, those behind it stay: no line is lost that
    /// would not have been. Each name is on the disk before the next file takes the one that it had: a loss of power may keep a
    /// later rename without an earlier one.
    ///
    /// # Errors
    /// What the system says. Then the next rotation goes on.
    pub fn rotate(&self, path: &Path) -> io::Result<()> {
        if !path.exists() {
            return Ok(());
        }
        let older = |number: usize| -> PathBuf {
            let mut name = OsString::from(path);
            name.push(format!(".{number}"));
            name.into()
        };
        let oldest = self.files - 1;
        let free = (1..oldest).find(|number| !older(*number).exists());
        for number in (1..free.unwrap_or(oldest)).rev() {
            fs::rename(older(number), older(number + 1))?;
            directory::sync_of(path)?;
        }
        fs::rename(path, older(1))?;
        directory::sync_of(path)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn files(directory: &Path) -> Vec<(String, String)> {
        let mut files: Vec<_> = fs::read_dir(directory)
            .unwrap()
            .map(|entry| {
                let entry = entry.unwrap();
                let name = entry.file_name().into_string().unwrap();
                (name, fs::read_to_string(entry.path()).unwrap())
            })
            .collect();
        files.sort();
        files
    }

    fn named(files: &[(&str, &str)]) -> Vec<(String, String)> {
        let owned = |&(name, text): &(&str, &str)| (name.to_owned(), text.to_owned());
        files.iter().map(owned).collect()
    }

    #[test]
    fn the_oldest_file_goes_and_a_gap_that_a_crash_has_left_is_closed_without_loss() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("a");
        let rotation = Rotation {
            most_bytes: 10,
            files: 4,
        };
        for text in ["1", "2", "3", "4", "5"] {
            fs::write(&path, text).unwrap();
            rotation.rotate(&path).unwrap();
        }
        let all = [("a.1", "5"), ("a.2", "4"), ("a.3", "3")];
        assert_eq!(files(directory.path()), named(&all));
        // As a crash leaves them behind the first rename.
        fs::rename(path.with_extension("2"), path.with_extension("3")).unwrap();
        fs::write(&path, "6").unwrap();
        rotation.rotate(&path).unwrap();
        let all = [("a.1", "6"), ("a.2", "5"), ("a.3", "4")];
        assert_eq!(files(directory.path()), named(&all));
        // As it leaves them before the new file is made.
        rotation.rotate(&path).unwrap();
        assert_eq!(files(directory.path()), named(&all));
    }

    #[test]
    fn a_file_gets_a_successor_before_it_is_too_long() {
        let rotation = Rotation {
            most_bytes: 10,
            files: 4,
        };
        assert!(!rotation.is_due(5, 5));
        assert!(rotation.is_due(5, 6));
        assert!(!rotation.is_due(0, 11));
    }
}
