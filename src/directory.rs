//! The directory that has the name of a file.

use std::fs::File;
use std::io;
use std::path::Path;

/// The directory that the last part of a path is in.
pub fn of(path: &Path) -> &Path {
    let parent = path
        .parent()
        .filter(|parent| !parent.as_os_str().is_empty());
    parent.unwrap_or(Path::new("."))
}

/// Waits until the names in the directory of a path are on the disk: a new file's own sync does not save its name.
pub fn sync_of(path: &Path) -> io::Result<()> {
    File::open(of(path))?.sync_all()
}
