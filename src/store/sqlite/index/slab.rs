//! The summaries of users as they lie in memory: a slab of slots that are used again.

use super::accounts::{AccountNumber, RowKeys};
use super::budget::MemoryBudget;
use super::dictionary::KeyMask;

/// How many slots are allocated at once.
const CHUNK: u32 = 64;
/// What a chunk takes, in bytes: its slots, and its pointer in a vector that doubles as it grows, and has four at least.
const CHUNK_BYTES: usize = CHUNK as usize * size_of::<Summary>() + 4 * size_of::<Chunk>();

type Chunk = Box<[Summary]>;

/// The summary of a user: who it is, where its row lies, and which keys its tags have. It is packed, so that it takes 28 bytes.
#[derive(Debug, Clone, Copy, Default)]
#[repr(C, packed(4))]
pub struct Summary {
    /// The id, which is no 0.
    pub id: u64,
    /// The hash of the name.
    pub name: u64,
    mask: KeyMask,
    number: u32,
    number_high: u8,
    dictionary: u8,
    pub account: AccountNumber,
}

impl Summary {
    /// A summary, if the row's number has no more than 40 bits.
    pub fn new(
        number: i64,
        account: AccountNumber,
        id: u64,
        name: u64,
        keys: RowKeys,
    ) -> Option<Self> {
        let [low @ .., high, 0, 0, 0] = number.to_le_bytes() else {
            return None;
        };
        Some(Self {
            id,
            name,
            mask: keys.mask,
            number: u32::from_le_bytes(low),
            number_high: high,
            dictionary: keys.dictionary,
            account,
        })
    }

    /// The number of the row.
    pub fn number(&self) -> i64 {
        i64::from(self.number_high) << u32::BITS | i64::from(self.number)
    }

    pub fn keys(&self) -> RowKeys {
        RowKeys {
            dictionary: self.dictionary,
            mask: self.mask,
        }
    }
}

/// A growing number of slots. Those that are free have the next free one in place of a summary.
#[derive(Debug, Default)]
pub struct Slab {
    chunks: Vec<Chunk>,
    /// The first free slot, counted from 1, or 0.
    free: u32,
}

impl Slab {
    pub fn get(&self, slot: u32) -> Summary {
        let (chunk, place) = locate(slot);
        self.chunks[chunk][place]
    }

    pub fn set(&mut self, slot: u32, summary: Summary) {
        let (chunk, place) = locate(slot);
        self.chunks[chunk][place] = summary;
    }

    /// Puts a summary into a free slot. `None` where there is no memory, and where the slot would be past `most`.
    pub fn add(&mut self, summary: Summary, most: u32, budget: &mut MemoryBudget) -> Option<u32> {
        if self.free == 0 {
            self.add_chunk(most, budget)?;
        }
        let slot = self.free - 1;
        self.free = self.get(slot).number;
        self.set(slot, summary);
        Some(slot)
    }

    #[cfg(test)]
    pub fn bytes(&self) -> usize {
        self.chunks.len() * CHUNK as usize * size_of::<Summary>()
            + self.chunks.capacity() * size_of::<Chunk>()
    }

    /// Makes a slot free.
    pub fn remove(&mut self, slot: u32) {
        let free = Summary {
            number: self.free,
            ..Summary::default()
        };
        self.set(slot, free);
        self.free = slot + 1;
    }

    fn add_chunk(&mut self, most: u32, budget: &mut MemoryBudget) -> Option<()> {
        let first = CHUNK.checked_mul(u32::try_from(self.chunks.len()).ok()?)?;
        if first >= most || !budget.take(CHUNK_BYTES) {
            return None;
        }
        let chunk = vec![Summary::default(); CHUNK as usize];
        self.chunks.push(chunk.into_boxed_slice());
        for slot in (first..first + CHUNK).rev() {
            self.remove(slot);
        }
        Some(())
    }
}

fn locate(slot: u32) -> (usize, usize) {
    ((slot / CHUNK) as usize, (slot % CHUNK) as usize)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slots_are_used_again() {
        let mut slab = Slab::default();
        let mut budget = MemoryBudget::new(2 * CHUNK_BYTES);
        let summary = |id| Summary::new(7, 0, id, 0, RowKeys::default()).unwrap();
        for slot in 0..128 {
            let added = slab.add(summary(u64::from(slot)), 128, &mut budget);
            assert_eq!(added, Some(slot));
        }
        assert!(!budget.take(1));
        assert_eq!(slab.add(summary(1), u32::MAX, &mut budget), None);
        let mut more = MemoryBudget::new(CHUNK_BYTES);
        assert_eq!(slab.add(summary(1), 128, &mut more), None);
        for slot in [3, 127, 64] {
            slab.remove(slot);
        }
        for slot in [64, 127, 3] {
            assert_eq!(slab.add(summary(1), 128, &mut budget), Some(slot));
        }
        assert_eq!({ slab.get(126).id }, 126);
    }

    #[test]
    fn a_number_of_40_bits_comes_back() {
        assert_eq!(size_of::<Summary>(), 28);
        for number in [1, u32::MAX.into(), 1 << 32, (1 << 40) - 1] {
            let summary = Summary::new(number, 0, 1, 2, RowKeys::default()).unwrap();
            assert_eq!(summary.number(), number);
        }
        for number in [-1, 1 << 40, i64::MAX, i64::MIN] {
            assert!(Summary::new(number, 0, 1, 2, RowKeys::default()).is_none());
        }
    }
}
