//! The slots of the row summaries, by the numbers of their rows: the first in memory, and the others in a file, whose pages the
//! system caches as long as it has memory for them.

use std::fmt;
use std::fs::{self, File};
use std::io::{self, ErrorKind};
use std::os::unix::fs::{FileExt as _, OpenOptionsExt as _};
use std::path::Path;

use super::dictionary::KeyMask;
use crate::store::sqlite::format::FILE_MODE;

/// The summary of a row.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct RowSummary {
    /// The id, which is a number; 0 where there is no summary.
    pub id: u64,
    pub keys: KeyMask,
    pub account: u16,
    /// The dictionary of the keys, counted from 1; 0 where the keys are not known.
    pub dictionary: u16,
}

impl RowSummary {
    /// How many bytes it takes, in memory and in the file.
    pub const BYTES: usize = size_of::<Self>();

    fn to_bytes(self) -> impl Iterator<Item = u8> {
        let id = self.id.to_le_bytes().into_iter();
        id.chain(self.keys.to_le_bytes())
            .chain(self.account.to_le_bytes())
            .chain(self.dictionary.to_le_bytes())
    }

    fn from_bytes(bytes: &[u8; Self::BYTES]) -> Option<Self> {
        let (id, rest) = bytes.split_first_chunk()?;
        let (keys, rest) = rest.split_first_chunk()?;
        let (account, rest) = rest.split_first_chunk()?;
        Some(Self {
            id: u64::from_le_bytes(*id),
            keys: KeyMask::from_le_bytes(*keys),
            account: u16::from_le_bytes(*account),
            dictionary: u16::from_le_bytes(*rest.first_chunk()?),
        })
    }
}

/// The summaries of the rows of a store. There is none until it is set.
#[derive(Default)]
pub struct Slots {
    memory: Vec<RowSummary>,
    /// How many summaries may be in memory.
    in_memory: usize,
    file: Option<File>,
}

impl Slots {
    /// No summaries yet. Those of rows with numbers below `in_memory` will be in memory, and the others in the file, if there is one.
    pub fn new(in_memory: usize, file: Option<File>) -> Self {
        Self {
            memory: Vec::with_capacity(in_memory),
            in_memory,
            file,
        }
    }

    /// Whether there is a slot for the summary of a row. A file may have been given up.
    pub fn has_slot(&self, number: i64) -> bool {
        usize::try_from(number).is_ok_and(|place| place < self.in_memory || self.file.is_some())
    }

    /// The summary of the row with this number, if it has one.
    pub fn get(&self, number: i64) -> io::Result<Option<RowSummary>> {
        let Ok(place) = usize::try_from(number) else {
            return Ok(None);
        };
        if place < self.in_memory {
            return Ok(self.memory.get(place).copied());
        }
        let Some(file) = &self.file else {
            return Ok(None);
        };
        let mut bytes = [0; RowSummary::BYTES];
        match file.read_exact_at(&mut bytes, offset(place)) {
            Ok(()) => Ok(RowSummary::from_bytes(&bytes)),
            Err(error) if error.kind() == ErrorKind::UnexpectedEof => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Sets the summaries of the rows from a number on.
    pub fn set(&mut self, from: i64, slots: &[RowSummary]) {
        let Ok(from) = usize::try_from(from) else {
            return;
        };
        let in_memory = self.in_memory.saturating_sub(from).min(slots.len());
        let (memory, rest) = slots.split_at(in_memory);
        let until = from + in_memory;
        if !memory.is_empty() {
            if self.memory.len() < until {
                self.memory.resize(until, RowSummary::default());
            }
            self.memory[from..until].copy_from_slice(memory);
        }
        if let Some(file) = &self.file
            && !rest.is_empty()
        {
            let bytes: Vec<_> = rest.iter().flat_map(|summary| summary.to_bytes()).collect();
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
    (place * RowSummary::BYTES) as u64
}

/// A file for what need not outlive the process: it has no name once it is open.
pub fn unlinked_file(path: &Path) -> io::Result<File> {
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

impl fmt::Debug for Slots {
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

    fn slots(ids: impl Iterator<Item = u64>) -> Vec<RowSummary> {
        let summary = |id| RowSummary {
            id,
            keys: 0xfedc_ba98,
            account: 0x7654,
            dictionary: 0x3210,
        };
        ids.map(summary).collect()
    }

    fn ids(slots: &Slots) -> Vec<Option<u64>> {
        (0..8)
            .map(|number| slots.get(number).unwrap().map(|summary| summary.id))
            .collect()
    }

    #[test]
    fn the_first_are_in_memory_and_the_others_in_the_file() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("entries");
        for in_memory in [0, 3, 5, 9] {
            let file = unlinked_file(&path).unwrap();
            assert!(!path.exists());
            let mut index = Slots::new(in_memory, Some(file));
            assert_eq!(ids(&index), [None; 8]);
            let all = slots(1..=6);
            index.set(1, &all[..4]);
            index.set(5, &all[4..]);
            index.set(2, &slots(20..=20));
            let expected = [0, 1, 20, 3, 4, 5, 6].map(Some);
            assert_eq!(ids(&index)[..7], expected, "{in_memory}");
            assert_eq!(ids(&index)[7], None);
            assert_eq!(index.get(4).unwrap(), Some(all[3]));
            assert_eq!(index.memory.len(), in_memory.min(7));
        }
    }

    #[test]
    fn without_a_file_the_others_are_not_known() {
        let mut index = Slots::new(3, None);
        index.set(1, &slots(1..=6));
        let index = ids(&index);
        assert_eq!(index[..3], [0, 1, 2].map(Some));
        assert_eq!(index[3..], [None; 5]);
    }

    #[test]
    fn a_file_that_cannot_be_written_is_not_read_any_more() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let mut index = Slots::new(3, Some(file.reopen().unwrap()));
        index.set(1, &slots(1..=6));
        index.file = Some(File::open(file.path()).unwrap());
        assert_eq!(ids(&index)[4], Some(4));
        assert!(index.has_slot(4));
        index.set(4, &slots(40..=40));
        assert!(index.has_slot(2) && !index.has_slot(4));
        assert_eq!(ids(&index)[..5], [Some(0), Some(1), Some(2), None, None]);
    }
}
