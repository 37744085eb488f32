//! How the tombstones of a commit lie in a row of the table `tombstone`.

use super::tags::TagMask;

/// A tombstone: the tags that a resource, by the number of its row, has lost, and no others. Without any, the row has been
/// rewritten.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Tombstone {
    pub number: i64,
    pub removed: TagMask,
}

impl Tombstone {
    /// Whether the tags that were lost before are lost still: until its row is rewritten, none comes back.
    pub fn keeps(self, before: TagMask) -> bool {
        self.removed == 0 || before & !self.removed == 0
    }
}

/// How many bytes a tombstone takes in the table: both numbers, little-endian.
const TOMBSTONE_BYTES: usize = 12;

/// Encodes tombstones as they lie in a row of the table.
pub fn encode(tombstones: &[Tombstone], encoded: &mut Vec<u8>) {
    encoded.clear();
    for Tombstone { number, removed } in tombstones {
        encoded.extend_from_slice(&number.to_le_bytes());
        encoded.extend_from_slice(&removed.to_le_bytes());
    }
}

/// Decodes the tombstones of a row of the table.
pub fn decode(encoded: &[u8]) -> impl Iterator<Item = Tombstone> {
    encoded
        .as_chunks::<TOMBSTONE_BYTES>()
        .0
        .iter()
        .filter_map(|tombstone| {
            let (number, removed) = tombstone.split_first_chunk()?;
            Some(Tombstone {
                number: i64::from_le_bytes(*number),
                removed: TagMask::from_le_bytes(*removed.first_chunk()?),
            })
        })
}
