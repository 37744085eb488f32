//! How the mismatches of an answer are kept: five bytes for each user that has any, its position and a bit for each key.

use crate::domain::Mismatch;

/// Encodes mismatches, which come in order. A command has at most 50 users and 20 keys.
pub fn encode(mismatches: &[Mismatch]) -> Vec<u8> {
    let mut bytes = Vec::new();
    for of_user in mismatches.chunk_by(|one, next| one.target == next.target) {
        let keys = of_user.iter().fold(0_u32, |keys, one| keys | 1 << one.key);
        bytes.push(u8::try_from(of_user[0].target).unwrap_or(u8::MAX));
        bytes.extend_from_slice(&keys.to_be_bytes());
    }
    bytes
}

/// Decodes mismatches; `None` where the bytes are none.
pub fn decode(bytes: &[u8]) -> Option<Vec<Mismatch>> {
    let (users, rest) = bytes.as_chunks::<5>();
    let mut mismatches = Vec::new();
    for [target, keys @ ..] in users {
        let (target, keys) = (usize::from(*target), u32::from_be_bytes(*keys));
        let keys = (0..32).filter(|key| keys >> key & 1 == 1);
        mismatches.extend(keys.map(|key| Mismatch { target, key }));
    }
    rest.is_empty().then_some(mismatches)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn mismatches_come_back_in_order(
            all in proptest::collection::btree_set((0_usize..50, 0_usize..20), 0..60)
        ) {
            let all: Vec<_> = all.into_iter().map(|(target, key)| Mismatch { target, key }).collect();
            let bytes = encode(&all);
            prop_assert!(bytes.len() <= 5 * 50);
            prop_assert_eq!(decode(&bytes), Some(all));
        }

        #[test]
        fn any_bytes_are_mismatches_or_none(bytes in proptest::collection::vec(any::<u8>(), 0..32)) {
            prop_assert_eq!(decode(&bytes).is_some(), bytes.len() % 5 == 0);
        }
    }
}
