//! How the answer to an import is kept, for who sends it again: as a message of protobuf.

use prost::Message;

use crate::domain::{ImportRefusal, Imported, RefusedUser, ResourceId};

#[derive(Clone, PartialEq, Message)]
struct Kept {
    #[prost(uint64, tag = "1")]
    created: u64,
    #[prost(uint64, tag = "2")]
    updated: u64,
    #[prost(uint64, tag = "3")]
    unchanged: u64,
    #[prost(uint64, tag = "4")]
    changed_tags: u64,
    #[prost(message, repeated, tag = "5")]
    refused: Vec<KeptRefusal>,
}

#[derive(Clone, PartialEq, Message)]
struct KeptRefusal {
    #[prost(uint64, tag = "1")]
    position: u64,
    #[prost(enumeration = "Why", tag = "2")]
    why: i32,
    /// Who has the name.
    #[prost(string, tag = "3")]
    holder: String,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, prost::Enumeration)]
enum Why {
    Exists = 0,
    Deleted = 1,
    TagLimit = 2,
    NameTaken = 3,
}

/// Encodes an answer, without its revision.
pub fn encode(imported: &Imported) -> Vec<u8> {
    let kept = Kept {
        created: imported.created as u64,
        updated: imported.updated as u64,
        unchanged: imported.unchanged as u64,
        changed_tags: imported.changed_tags as u64,
        refused: imported.refused.iter().map(KeptRefusal::of).collect(),
    };
    kept.encode_to_vec()
}

/// Decodes an answer; `None` where the bytes are none.
pub fn decode(bytes: &[u8]) -> Option<Imported> {
    let kept = Kept::decode(bytes).ok()?;
    let count = |count: u64| usize::try_from(count).ok();
    let refused = kept.refused.into_iter().map(KeptRefusal::refusal);
    Some(Imported {
        created: count(kept.created)?,
        updated: count(kept.updated)?,
        unchanged: count(kept.unchanged)?,
        changed_tags: count(kept.changed_tags)?,
        refused: refused.collect::<Option<_>>()?,
        ..Imported::default()
    })
}

impl KeptRefusal {
    fn of(refused: &RefusedUser) -> Self {
        let (why, holder) = match &refused.why {
            ImportRefusal::Exists => (Why::Exists, None),
            ImportRefusal::Deleted => (Why::Deleted, None),
            ImportRefusal::TagLimit => (Why::TagLimit, None),
            ImportRefusal::NameTaken(holder) => (Why::NameTaken, Some(holder)),
        };
        Self {
            position: refused.position as u64,
            why: why.into(),
            holder: holder.map_or_else(String::new, ToString::to_string),
        }
    }

    fn refusal(self) -> Option<RefusedUser> {
        let why = match Why::try_from(self.why).ok()? {
            Why::Exists => ImportRefusal::Exists,
            Why::Deleted => ImportRefusal::Deleted,
            Why::TagLimit => ImportRefusal::TagLimit,
            Why::NameTaken => ImportRefusal::NameTaken(ResourceId::parse(self.holder).ok()?),
        };
        Some(RefusedUser {
            position: usize::try_from(self.position).ok()?,
            why,
        })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn refused() -> impl Strategy<Value = RefusedUser> {
        let why = prop_oneof![
            Just(ImportRefusal::Exists),
            Just(ImportRefusal::Deleted),
            Just(ImportRefusal::TagLimit),
            "[0-9]{1,32}".prop_map(|id| ImportRefusal::NameTaken(ResourceId::parse(id).unwrap())),
        ];
        (0..1_000_usize, why).prop_map(|(position, why)| RefusedUser { position, why })
    }

    proptest! {
        #[test]
        fn answers_come_back(
            counts in proptest::array::uniform4(0..1_000_usize),
            refused in proptest::collection::vec(refused(), 0..30),
        ) {
            let [created, updated, unchanged, changed_tags] = counts;
            let imported = Imported { created, updated, unchanged, changed_tags, refused, ..Imported::default() };
            prop_assert_eq!(decode(&encode(&imported)), Some(imported));
        }

        #[test]
        fn any_bytes_are_an_answer_or_none(bytes in proptest::collection::vec(any::<u8>(), 0..64)) {
            let _ = decode(&bytes);
        }
    }
}
