//! How the tags of a record lie in its `tags` column.
//!
//! For each tag, in order of key: the key's length and the value's length in bytes as little-endian `u16`, the key, the
//! value. An untag copies the tags that stay and never parses or allocates one of them.

use thiserror::Error;

use crate::domain::{TagKey, TagSelection, TagValue};

/// The column holds something else.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error("the tags column of a record is not in the format of this schema version")]
pub struct CorruptTags;

/// Walks over the tags as they lie: key, value, and both with their lengths. Only who wants a value looks whether it is
/// text.
struct Raw<'bytes>(&'bytes [u8]);

type RawTag<'bytes> = (&'bytes str, &'bytes [u8], &'bytes [u8]);

impl<'bytes> Iterator for Raw<'bytes> {
    type Item = Result<RawTag<'bytes>, CorruptTags>;

    fn next(&mut self) -> Option<Self::Item> {
        (!self.0.is_empty()).then(|| self.take().ok_or(CorruptTags))
    }
}

impl<'bytes> Raw<'bytes> {
    fn take(&mut self) -> Option<RawTag<'bytes>> {
        let (lengths, rest) = self.0.split_first_chunk::<4>()?;
        let key_length = usize::from(u16::from_le_bytes([lengths[0], lengths[1]]));
        let value_length = usize::from(u16::from_le_bytes([lengths[2], lengths[3]]));
        let (key, rest) = rest.split_at_checked(key_length)?;
        let (value, rest) = rest.split_at_checked(value_length)?;
        let whole = self.0.get(..4 + key_length + value_length)?;
        self.0 = rest;
        Some((std::str::from_utf8(key).ok()?, value, whole))
    }
}

fn push(encoded: &mut Vec<u8>, key: &TagKey, value: &TagValue) {
    let (key, value) = (key.as_str().as_bytes(), value.as_str().as_bytes());
    // A key and a value have at most 128 characters of 4 bytes.
    for length in [key.len(), value.len()] {
        encoded.extend_from_slice(&u16::try_from(length).unwrap_or(u16::MAX).to_le_bytes());
    }
    encoded.extend_from_slice(key);
    encoded.extend_from_slice(value);
}

/// Encodes tags that come in order of key.
pub fn encode<'tag>(tags: impl IntoIterator<Item = (&'tag TagKey, &'tag TagValue)>) -> Vec<u8> {
    let mut encoded = Vec::new();
    for (key, value) in tags {
        push(&mut encoded, key, value);
    }
    encoded
}

/// Decodes all tags.
pub fn decode(encoded: &[u8]) -> Result<Vec<(TagKey, TagValue)>, CorruptTags> {
    Raw(encoded)
        .map(|tag| {
            let (key, value, _) = tag?;
            let value = std::str::from_utf8(value).map_err(|_| CorruptTags)?;
            Ok((
                TagKey::parse(key).map_err(|_| CorruptTags)?,
                TagValue::parse(value).map_err(|_| CorruptTags)?,
            ))
        })
        .collect()
}

/// The tags without those that are selected, and how many went.
pub fn without(encoded: &[u8], selection: &TagSelection) -> Result<(Vec<u8>, usize), CorruptTags> {
    let mut kept = Vec::with_capacity(encoded.len());
    let mut removed = 0;
    for tag in Raw(encoded) {
        let (key, _, whole) = tag?;
        if selection.contains(key) {
            removed += 1;
        } else {
            kept.extend_from_slice(whole);
        }
    }
    Ok((kept, removed))
}

/// The tags with these set, which come in order of key, and how many there are then.
pub fn with(encoded: &[u8], set: &[(TagKey, TagValue)]) -> Result<(Vec<u8>, usize), CorruptTags> {
    let mut merged = Vec::with_capacity(encoded.len());
    let mut count = 0;
    let mut set = set.iter().peekable();
    for tag in Raw(encoded) {
        let (key, _, whole) = tag?;
        while let Some((new_key, new_value)) = set.next_if(|(new, _)| new.as_str() < key) {
            push(&mut merged, new_key, new_value);
            count += 1;
        }
        match set.next_if(|(new, _)| new.as_str() == key) {
            Some((new_key, new_value)) => push(&mut merged, new_key, new_value),
            None => merged.extend_from_slice(whole),
        }
        count += 1;
    }
    for (new_key, new_value) in set {
        push(&mut merged, new_key, new_value);
        count += 1;
    }
    Ok((merged, count))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;

    fn tag_map() -> impl Strategy<Value = BTreeMap<TagKey, TagValue>> {
        proptest::collection::btree_map("[a-d键]{1,3}", "[x-z]{0,2}", 0..20).prop_map(|map| {
            map.into_iter()
                .map(|(key, value)| (TagKey::parse(key).unwrap(), TagValue::parse(value).unwrap()))
                .collect()
        })
    }

    proptest! {
        #[test]
        fn encoded_tags_behave_as_a_map(
            tags in tag_map(), set in tag_map(), gone in proptest::collection::btree_set("[a-d键]{1,3}", 1..8)
        ) {
            let encoded = encode(&tags);
            let list: Vec<_> = tags.clone().into_iter().collect();
            prop_assert_eq!(decode(&encoded).unwrap(), list);

            let set_list: Vec<_> = set.clone().into_iter().collect();
            let mut expected = tags.clone();
            expected.extend(set);
            prop_assert_eq!(with(&encoded, &set_list).unwrap(), (encode(&expected), expected.len()));

            let keys: Vec<_> = gone.iter().map(|key| TagKey::parse(key.as_str()).unwrap()).collect();
            let mut expected = tags.clone();
            expected.retain(|key, _| !keys.contains(key));
            let (kept, removed) = without(&encoded, &TagSelection::Keys(keys)).unwrap();
            prop_assert_eq!(kept, encode(&expected));
            prop_assert_eq!(removed, tags.len() - expected.len());
            prop_assert_eq!(without(&encoded, &TagSelection::All).unwrap(), (Vec::new(), tags.len()));
        }

        #[test]
        fn any_bytes_are_tags_or_corrupt(bytes in proptest::collection::vec(any::<u8>(), 0..64)) {
            let _ = decode(&bytes);
            let _ = without(&bytes, &TagSelection::All);
            let _ = with(&bytes, &[]);
        }
    }
}
