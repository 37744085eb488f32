//! The entries of the roster, by the numbers of their rows: the first in memory, and the others in a file, whose pages the system
//! keeps as long as it has room for them.

use std::fmt;
use std::fs::{self, File};
use std::io::{self, ErrorKind};
use std::os::unix::fs::{FileExt as _, OpenOptionsExt as _};
use std::path::Path;

use super::dictionary::Keys;
use crate::store::sqlite::format::FILE_MODE;

/// What is known of a row.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Entry {
    /// The id, which is a number; 0 where nothing is known.
    pub id: u64,
    pub keys: Keys,
    pub account: u16,
    /// Counted from 1; 0 where the keys are not known.
    pub vocabulary: u16,
}

impl Entry {
    /// How many it takes, in memory and in the file.
    pub const BYTES: usize = size_of::<Self>();

    fn to_bytes(self) -> impl Iterator<Item = u8> {
        let id = self.id.to_le_bytes().into_iter();
        id.chain(self.keys.to_le_bytes())
            .chain(self.account.to_le_bytes())
            .chain(self.vocabulary.to_le_bytes())
    }

    fn from_bytes(bytes: &[u8; Self::BYTES]) -> Option<Self> {
        let (id, rest) = bytes.split_first_chunk()?;
        let (keys, rest) = rest.split_first_chunk()?;
        let (account, rest) = rest.split_first_chunk()?;
        Some(Self {
            id: u64::from_le_bytes(*id),
            keys: Keys::from_le_bytes(*keys),
            account: u16::from_le_bytes(*account),
            vocabulary: u16::from_le_bytes(*rest.first_chunk()?),
        })
    }
}

/// There is none until it is set.
#[derive(Default)]
pub struct Entries {
    memory: Vec<Entry>,
    /// How many may be in memory.
    in_memory: usize,
    file: Option<File>,
}

impl Entries {
    /// Those with numbers below `in_memory` are in memory. The others are in the file, if there is one.
    pub fn new(in_memory: usize, file: Option<File>) -> Self {
        Self {
            memory: Vec::with_capacity(in_memory),
            in_memory,
            file,
        }
    }

    /// Whether there is room for that of a row. A file may have been given up.
    pub fn has_room(&self, number: i64) -> bool {
        usize::try_from(number).is_ok_and(|place| place < self.in_memory || self.file.is_some())
    }

    /// That of a row, if it was set.
    pub fn get(&self, number: i64) -> io::Result<Option<Entry>> {
        let Ok(place) = usize::try_from(number) else {
            return Ok(None);
        };
        if place < self.in_memory {
            return Ok(self.memory.get(place).copied());
        }
        let Some(file) = &self.file else {
            return Ok(None);
        };
        let mut bytes = [0; Entry::BYTES];
        match file.read_exact_at(&mut bytes, offset(place)) {
            Ok(()) => Ok(Entry::from_bytes(&bytes)),
            Err(error) if error.kind() == ErrorKind::UnexpectedEof => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Sets those of the rows from a number on.
    pub fn set(&mut self, from: i64, entries: &[Entry]) {
        let Ok(from) = usize::try_from(from) else {
            return;
        };
        let in_memory = self.in_memory.saturating_sub(from).min(entries.len());
        let (memory, rest) = entries.split_at(in_memory);
        let until = from + in_memory;
        if !memory.is_empty() {
            if self.memory.len() < until {
                self.memory.resize(until, Entry::default());
            }
            self.memory[from..until].copy_from_slice(memory);
        }
        if let Some(file) = &self.file
            && !rest.is_empty()
        {
            let bytes: Vec<_> = rest.iter().flat_map(|entry| entry.to_bytes()).collect();
            if let Err(error) = file.write_all_at(&bytes, offset(until)) {
                self.give_up(&error);
            }
        }
    }

    /// Forgets the file, which no longer says what is true.
    pub fn give_up(&mut self, error: &io::Error) {
        tracing::warn!(%error, "cannot keep what is known of users in a file; their rows are read from now on");
        self.file = None;
    }
}

fn offset(place: usize) -> u64 {
    (place * Entry::BYTES) as u64
}

/// A file for what need not outlive the process: it has no name once it is open.
pub fn nameless(path: &Path) -> io::Result<File> {
    let file = File::options()
        .read(true)
        .write(true)
        .create(true)
        .truncate(true)
        .mode(FILE_MODE)
        .open(path)?;
    fs::remove_file(path)?;
    Ok(file)
}

impl fmt::Debug for Entries {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("Entries")
            .field("in_memory", &self.memory.len())
            .field("file", &self.file)
            .finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entries(ids: impl Iterator<Item = u64>) -> Vec<Entry> {
        let entry = |id| Entry {
            id,
            keys: 0xfedc_ba98,
            account: 0x7654,
            vocabulary: 0x3210,
        };
        ids.map(entry).collect()
    }

    fn ids(entries: &Entries) -> Vec<Option<u64>> {
        (0..8)
            .map(|number| entries.get(number).unwrap().map(|entry| entry.id))
            .collect()
    }

    #[test]
    fn the_first_are_in_memory_and_the_others_in_the_file() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("entries");
        for in_memory in [0, 3, 5, 9] {
            let file = nameless(&path).unwrap();
            assert!(!path.exists());
            let mut known = Entries::new(in_memory, Some(file));
            assert_eq!(ids(&known), [None; 8]);
            let all = entries(1..=6);
            known.set(1, &all[..4]);
            known.set(5, &all[4..]);
            known.set(2, &entries(20..=20));
            let expected = [0, 1, 20, 3, 4, 5, 6].map(Some);
            assert_eq!(ids(&known)[..7], expected, "{in_memory}");
            assert_eq!(ids(&known)[7], None);
            assert_eq!(known.get(4).unwrap(), Some(all[3]));
            assert_eq!(known.memory.len(), in_memory.min(7));
        }
    }

    #[test]
    fn without_a_file_the_others_are_not_known() {
        let mut known = Entries::new(3, None);
        known.set(1, &entries(1..=6));
        let known = ids(&known);
        assert_eq!(known[..3], [0, 1, 2].map(Some));
        assert_eq!(known[3..], [None; 5]);
    }

    #[test]
    fn a_file_that_cannot_be_written_is_not_read_any_more() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let mut known = Entries::new(3, Some(file.reopen().unwrap()));
        known.set(1, &entries(1..=6));
        known.file = Some(File::open(file.path()).unwrap());
        assert_eq!(ids(&known)[4], Some(4));
        assert!(known.has_room(4));
        known.set(4, &entries(40..=40));
        assert!(known.has_room(2) && !known.has_room(4));
        assert_eq!(ids(&known)[..5], [Some(0), Some(1), Some(2), None, None]);
    }
}
