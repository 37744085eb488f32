//! How the conflicts of a revert are kept with its answer, for who sends it again: as a message of protobuf, up to 64 KiB.

use prost::Message;

use crate::domain::{ConflictReason, ResourceId, RevertConflict, TagKey};

/// How many bytes are kept: at least 96 conflicts, and more than 1,000 usual ones. An answer that is repeated has no others.
const MOST_BYTES: usize = 64 * 1024;

#[derive(Clone, PartialEq, Message)]
struct Kept {
    #[prost(message, repeated, tag = "1")]
    conflicts: Vec<KeptConflict>,
}

#[derive(Clone, PartialEq, Message)]
struct KeptConflict {
    #[prost(string, tag = "1")]
    user: String,
    #[prost(string, optional, tag = "2")]
    tag_key: Option<String>,
    /// The position of the reason among all.
    #[prost(uint32, tag = "3")]
    reason: u32,
}

/// Encodes conflicts, the first of them where they are too many.
pub fn encode(conflicts: &[RevertConflict]) -> Vec<u8> {
    let mut left = MOST_BYTES;
    let kept = conflicts.iter().map(KeptConflict::of).take_while(|kept| {
        // A tag and a length of up to three bytes before each.
        let bytes = kept.encoded_len() + 4;
        let fits = bytes <= left;
        left = left.saturating_sub(bytes);
        fits
    });
    let conflicts = kept.collect();
    Kept { conflicts }.encode_to_vec()
}

/// Decodes conflicts; `None` where the bytes are none.
pub fn decode(bytes: &[u8]) -> Option<Vec<RevertConflict>> {
    let kept = Kept::decode(bytes).ok()?;
    kept.conflicts.iter().map(KeptConflict::conflict).collect()
}

impl KeptConflict {
    fn of(conflict: &RevertConflict) -> Self {
        let mut reasons = ConflictReason::ALL.iter();
        let reason = reasons.position(|reason| *reason == conflict.reason);
        Self {
            user: conflict.user.as_str().to_owned(),
            tag_key: conflict.tag_key.as_ref().map(ToString::to_string),
            reason: reason
                .and_then(|at| u32::try_from(at).ok())
                .unwrap_or(u32::MAX),
        }
    }

    fn conflict(&self) -> Option<RevertConflict> {
        let tag_key = self.tag_key.as_deref().map(TagKey::parse);
        Some(RevertConflict {
            user: ResourceId::parse(self.user.as_str()).ok()?,
            tag_key: tag_key.transpose().ok()?,
            reason: *ConflictReason::ALL.get(usize::try_from(self.reason).ok()?)?,
        })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn conflict() -> impl Strategy<Value = RevertConflict> {
        let key = proptest::option::of("[a-z键]{1,128}");
        ("[0-9]{1,32}", key, 0..ConflictReason::ALL.len()).prop_map(|(user, key, reason)| {
            RevertConflict {
                user: ResourceId::parse(user).unwrap(),
                tag_key: key.map(|key| TagKey::parse(key).unwrap()),
                reason: ConflictReason::ALL[reason],
            }
        })
    }

    proptest! {
        #[test]
        fn conflicts_come_back_in_order(all in proptest::collection::vec(conflict(), 0..60)) {
            prop_assert_eq!(decode(&encode(&all)), Some(all));
        }

        #[test]
        fn any_bytes_are_conflicts_or_none(bytes in proptest::collection::vec(any::<u8>(), 0..64)) {
            let _ = decode(&bytes);
        }
    }

    #[test]
    fn the_first_conflicts_are_kept_of_too_many() {
        let conflict = |user: usize| RevertConflict {
            user: ResourceId::parse(user.to_string()).unwrap(),
            tag_key: Some(TagKey::parse("键".repeat(128)).unwrap()),
            reason: ConflictReason::TagChanged,
        };
        let all: Vec<_> = (0..1_000).map(conflict).collect();
        let bytes = encode(&all);
        assert!(bytes.len() <= MOST_BYTES, "{}", bytes.len());
        let kept = decode(&bytes).unwrap();
        assert!(kept.len() > 96 && all.starts_with(&kept), "{}", kept.len());
    }
}
