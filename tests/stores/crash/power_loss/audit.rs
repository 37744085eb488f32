//! The files of the audit on a disk.

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io::{Read as _, Write as _};
use std::path::{Path, PathBuf};

use serde_json::Value;

/// The length at which the service rotates its own file.
const ROTATED_AT: u64 = 64 << 20;
const PAGE: usize = 4096;

/// How the audit gets a new file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Audit {
    /// The service rotates it, in its data directory.
    Rotated,
    /// Somebody renames it.
    Followed,
}

impl Audit {
    /// The file that is written.
    pub fn file(self, disk: &Path) -> PathBuf {
        match self {
            Self::Rotated => disk.join("data/audit.jsonl"),
            Self::Followed => disk.join("log/audit.jsonl"),
        }
    }

    /// Makes the directory of the file, where the service does not.
    pub fn prepare(self, disk: &Path) {
        if self == Self::Followed {
            fs::create_dir(disk.join("log")).unwrap();
            File::open(disk).unwrap().sync_all().unwrap();
        }
    }

    /// Fills a file that the service rotates, so that it is due after a few lines.
    pub fn fill(self, disk: &Path) {
        if self == Self::Followed {
            return;
        }
        let file = File::options().append(true).open(self.file(disk));
        let mut file = file.unwrap();
        file.set_len(ROTATED_AT - 2000).unwrap();
        file.write_all(b"\n").unwrap();
        file.sync_all().unwrap();
    }

    /// Renames a file that the service follows, and syncs nothing.
    pub fn rename(self, disk: &Path, number: usize) {
        if self == Self::Followed {
            let old = disk.join(format!("log/audit.jsonl.{number}"));
            fs::rename(self.file(disk), old).unwrap();
        }
    }

    /// The revisions of the changes that were made and have lines.
    pub fn revisions(self, disk: &Path) -> BTreeSet<u64> {
        let directory = self.file(disk);
        let files = fs::read_dir(directory.parent().unwrap()).unwrap();
        let files = files.map(|file| file.unwrap().path()).filter(|path| {
            let name = path.file_name().and_then(|name| name.to_str());
            name.is_some_and(|name| name.starts_with("audit.jsonl"))
        });
        let mut revisions = BTreeSet::new();
        for file in files {
            // What was not on the disk yet may have left anything, and is written again.
            for line in text(&file).split(|byte| *byte == b'\n') {
                let line: Value = serde_json::from_slice(line).unwrap_or_default();
                // One of a request has a revision that others have made.
                if line["validate_only"].is_null() {
                    revisions.extend(line["revision"].as_u64());
                }
            }
        }
        revisions
    }
}

/// The content of a file without the pages that were never written.
fn text(path: &Path) -> Vec<u8> {
    let mut file = File::open(path).unwrap();
    let mut text = Vec::new();
    let mut pages = vec![0; 256 * PAGE];
    loop {
        let count = file.read(&mut pages).unwrap();
        if count == 0 {
            return text;
        }
        for page in pages[..count].chunks(PAGE) {
            if page != &[0; PAGE][..page.len()] {
                text.extend_from_slice(page);
            }
        }
    }
}
