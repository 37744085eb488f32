//! The replacement of a file in one step: who opens it finds the old content or the whole new one, also after a power loss.

use std::fs::{self, File, Permissions};
use std::io;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, fchown};
use std::path::{Path, PathBuf};

use parking_lot::Mutex;
use tempfile::{Builder, NamedTempFile};

use crate::directory;

/// The temporary file of this process, while there is one.
static UNFINISHED: Mutex<Option<PathBuf>> = Mutex::new(None);

/// A new content for a file. Dropped without [`AtomicFile::replace`], it leaves the file as it was.
pub struct AtomicFile {
    temporary: NamedTempFile,
    target: PathBuf,
}

impl AtomicFile {
    /// Makes an empty temporary file beside the file that it is to replace, with the same mode and owner. A symbolic link is
    /// followed, and stays.
    ///
    /// # Errors
    /// What the system says.
    pub fn create(path: &Path) -> io::Result<Self> {
        let target = behind_links(path)?;
        let replaced = match fs::metadata(&target) {
            Ok(replaced) => Some(replaced),
            Err(error) if error.kind() == io::ErrorKind::NotFound => None,
            Err(error) => return Err(error),
        };
        // From the beginning nobody may read it who could not read the file before.
        let mode = replaced.as_ref().map_or(0o666, |file| file.mode() & 0o777);
        let temporary = Builder::new()
            .prefix("untag-export.")
            .suffix(".partial")
            .permissions(Permissions::from_mode(mode))
            .tempfile_in(directory::of(&target))?;
        *UNFINISHED.lock() = Some(temporary.path().to_owned());
        if let Some(replaced) = replaced {
            let created = temporary.as_file().metadata()?;
            if (created.uid(), created.gid()) != (replaced.uid(), replaced.gid()) {
                // Only root may give a file away. Whoever else may replace the file becomes its owner.
                let _ = fchown(
                    temporary.as_file(),
                    Some(replaced.uid()),
                    Some(replaced.gid()),
                );
            }
            temporary
                .as_file()
                .set_permissions(replaced.permissions())?;
        }
        Ok(Self { temporary, target })
    }

    /// The temporary file, to be written.
    pub fn content(&self) -> &File {
        self.temporary.as_file()
    }

    /// Replaces the file with the temporary one, on the disk.
    ///
    /// # Errors
    /// What the system says.
    pub fn replace(self) -> io::Result<()> {
        self.temporary.as_file().sync_all()?;
        self.temporary.persist(&self.target)?;
        *UNFINISHED.lock() = None;
        directory::sync_of(&self.target)
    }
}

/// Removes the temporary file of a process that ends without running destructors.
pub fn remove_unfinished() {
    if let Some(temporary) = UNFINISHED.lock().take() {
        // It may have been put in its place meanwhile.
        let _ = fs::remove_file(temporary);
    }
}

/// The file that a path leads to, which need not exist yet.
fn behind_links(path: &Path) -> io::Result<PathBuf> {
    match fs::canonicalize(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => match fs::read_link(path) {
            Ok(link) => behind_links(&directory::of(path).join(link)),
            Err(_) => Ok(path.to_owned()),
        },
        found => found,
    }
}
