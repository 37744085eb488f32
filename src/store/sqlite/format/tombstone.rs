//! How the tombstones of a commit lie in a row of the table `removal`.

use super::tags::Removed;

/// That a resource, by the number of its row, has lost these tags, and no others. None: the row has been rewritten.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Note {
    pub number: i64,
    pub removed: Removed,
}

/// How many bytes a note takes in the table: both numbers, little-endian.
const NOTE_BYTES: usize = 12;
/// Notes as they stand in a row of the table.
pub fn encode(notes: &[Note], encoded: &mut Vec<u8>) {
    encoded.clear();
    for Note { number, removed } in notes {
        encoded.extend_from_slice(&number.to_le_bytes());
        encoded.extend_from_slice(&removed.to_le_bytes());
    }
}

pub fn decode(encoded: &[u8]) -> impl Iterator<Item = Note> {
    encoded
        .as_chunks::<NOTE_BYTES>()
        .0
        .iter()
        .filter_map(|note| {
            let (number, removed) = note.split_first_chunk()?;
            Some(Note {
                number: i64::from_le_bytes(*number),
                removed: Removed::from_le_bytes(*removed.first_chunk()?),
            })
        })
}
