//! Who reads a store: the processes that hold a lock of a reader on the file that SQLite's connections share.

use std::collections::BTreeSet;
use std::fs;
use std::ops::RangeInclusive;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;

/// The bytes of the shared file that readers lock, one for each state that can be read at a time (`WAL_READ_LOCK`).
const READ_LOCKS: RangeInclusive<u64> = 123..=127;

/// The processes that read now, by what the system lists of locks.
pub fn readers(shared_memory: &Path) -> String {
    let inode = fs::metadata(shared_memory).map(|file| file.ino());
    let locks = fs::read_to_string("/proc/locks");
    let (Ok(inode), Ok(locks)) = (inode, locks) else {
        return "a process that cannot be told here".to_owned();
    };
    let mut processes = processes(&locks, inode);
    // A read of this process does not take long.
    if processes.len() > 1 {
        processes.remove(&std::process::id());
    }
    let names: Vec<_> = processes.into_iter().map(describe).collect();
    if names.is_empty() {
        "a process that has ended meanwhile".to_owned()
    } else {
        names.join(", ")
    }
}

/// The processes with a lock of a reader on the file with this inode. A line is
/// `5: POSIX  ADVISORY  READ 9676 fe:00:10010989 124 124`.
fn processes(locks: &str, inode: u64) -> BTreeSet<u32> {
    let process = |line: &str| {
        let mut fields = line.split_whitespace().skip(4);
        let process = fields.next()?.parse().ok()?;
        let locked: u64 = fields.next()?.rsplit(':').next()?.parse().ok()?;
        let (first, last): (u64, u64) =
            (fields.next()?.parse().ok()?, fields.next()?.parse().ok()?);
        let is_reader = first <= *READ_LOCKS.end() && *READ_LOCKS.start() <= last;
        (locked == inode && is_reader).then_some(process)
    };
    locks.lines().filter_map(process).collect()
}

/// A process as the log names it.
fn describe(process: u32) -> String {
    if process == std::process::id() {
        return "a read of this process".to_owned();
    }
    let name = fs::read_to_string(format!("/proc/{process}/comm"));
    let name = name.unwrap_or_else(|_| "unknown".to_owned());
    format!("process {process} ({})", name.trim_end())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn locks_of_readers_on_the_file_count() {
        let locks = "\
1: FLOCK  ADVISORY  WRITE 9384 fe:00:7 0 EOF
2: POSIX  ADVISORY  READ 10 fe:00:7 124 124
3: POSIX  ADVISORY  READ 11 fe:00:7 128 128
4: POSIX  ADVISORY  READ 12 fe:00:8 124 124
5: POSIX  ADVISORY  READ 13 fe:00:7 120 128
6: -> POSIX  ADVISORY  READ 14 fe:00:7 124 124
7: OFDLCK ADVISORY  READ -1 fe:00:7 124 124
8: POSIX  ADVISORY  WRITE 15 fe:00:7 123 123
";
        assert_eq!(processes(locks, 7), [10, 13, 15].into());
        assert_eq!(processes("", 7), [].into());
    }
}
