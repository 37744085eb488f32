//! The directory of a file of lines.

use std::fs::File;
use std::io;
use std::path::Path;

/// Waits until the names in the directory of a file are on the disk.
pub fn sync_directory_of(file: &Path) -> io::Result<()> {
    let directory = file.parent().filter(|parent| *parent != Path::new(""));
    File::open(directory.unwrap_or(Path::new(".")))?.sync_all()
}
