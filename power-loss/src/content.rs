//! The content of a file.

use std::collections::BTreeMap;
use std::sync::Arc;

const PAGE_BYTES: usize = 4096;
const PAGE: u64 = PAGE_BYTES as u64;

/// The content of a file, whose pages are shared with its clones until they are written. A page that is missing has zeros.
#[derive(Debug, Clone, Default)]
pub struct Content {
    pages: BTreeMap<u64, Arc<[u8; PAGE_BYTES]>>,
    length: u64,
}

impl Content {
    pub fn length(&self) -> u64 {
        self.length
    }

    /// Writes bytes, and makes the file longer where they end behind it.
    pub fn write(&mut self, offset: u64, bytes: &[u8]) {
        let mut at = offset;
        let mut rest = bytes;
        while !rest.is_empty() {
            let start = index(at % PAGE);
            let count = rest.len().min(PAGE_BYTES - start);
            let empty = || Arc::new([0; PAGE_BYTES]);
            let page = self.pages.entry(at / PAGE).or_insert_with(empty);
            Arc::make_mut(page)[start..start + count].copy_from_slice(&rest[..count]);
            at += count as u64;
            rest = &rest[count..];
        }
        self.length = self.length.max(at);
    }

    /// Gives the file this length. What is added are zeros.
    pub fn truncate(&mut self, length: u64) {
        if length < self.length {
            self.pages.split_off(&length.div_ceil(PAGE));
            if let Some(last) = self.pages.get_mut(&(length / PAGE)) {
                Arc::make_mut(last)[index(length % PAGE)..].fill(0);
            }
        }
        self.length = length;
    }

    /// The bytes there are from an offset on, so many at most.
    pub fn read(&self, offset: u64, most: usize) -> Vec<u8> {
        let end = self.length.min(offset.saturating_add(most as u64));
        let mut bytes = vec![0; index(end.saturating_sub(offset))];
        let Some(last) = end.checked_sub(1).filter(|last| *last >= offset) else {
            return bytes;
        };
        for (&number, page) in self.pages.range(offset / PAGE..=last / PAGE) {
            let page_start = number * PAGE;
            let from = offset.max(page_start);
            let until = end.min(page_start + PAGE);
            bytes[index(from - offset)..index(until - offset)]
                .copy_from_slice(&page[index(from - page_start)..index(until - page_start)]);
        }
        bytes
    }

    /// The pages that were written, each with its offset and as far as the file goes.
    pub fn pages(&self) -> impl Iterator<Item = (u64, &[u8])> {
        self.pages.iter().map(|(number, page)| {
            let offset = number * PAGE;
            let count = PAGE.min(self.length.saturating_sub(offset));
            (offset, &page[..index(count)])
        })
    }
}

/// A number of bytes that are in memory.
fn index(bytes: u64) -> usize {
    usize::try_from(bytes).expect("a file of a test fits into memory")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read_and_what_is_cut_off_is_gone() {
        let mut content = Content::default();
        content.write(4000, &[1; 200]);
        assert_eq!(content.length(), 4200);
        assert_eq!(content.read(3999, 3), [0, 1, 1]);
        assert_eq!(content.read(4095, 3), [1; 3]);
        assert_eq!(content.read(4199, 10), [1]);
        assert_eq!(content.read(5000, 10), []);
        let before = content.clone();
        content.truncate(4098);
        content.truncate(4100);
        assert_eq!(content.read(4096, 10), [1, 1, 0, 0]);
        assert_eq!(before.read(4096, 4), [1; 4], "a clone is its own");
        content.truncate(0);
        content.write(8192, &[2]);
        assert_eq!(content.read(0, 3), [0; 3]);
        assert_eq!(content.pages().collect::<Vec<_>>(), [(8192, &[2][..])]);
    }
}
