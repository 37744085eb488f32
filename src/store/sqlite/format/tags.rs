//! How the tags of a record lie in its `tags` column.
//!
//! For each tag, in order of key: the key's length and the value's length in bytes as little-endian `u16`, the key, the
//! value. Some of them may be removed already, see `tombstone.rs`: whoever reads the column is told which. An untag only
//! walks over the keys.

use crate::domain::{SetTag, TagKey, TagSelection, TagValue};
use crate::store::sqlite::error::CorruptTags;

/// Tags of a record by their positions in it, such as those that are removed: the lowest bit is the first. A record has at most 20.
pub type TagMask = u32;

/// Walks over the tags as they lie: key, value, and both with their lengths. Only who wants them as text looks whether they
/// are.
struct Raw<'bytes>(&'bytes [u8]);

type RawTag<'bytes> = (&'bytes [u8], &'bytes [u8], &'bytes [u8]);

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
        Some((key, value, whole))
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

/// The tags of a record that are there, each with the bit of its position.
fn left(
    encoded: &[u8],
    removed: TagMask,
) -> impl Iterator<Item = Result<(TagMask, RawTag<'_>), CorruptTags>> {
    let mut next: TagMask = 1;
    Raw(encoded)
        .map(move |tag| {
            let place = next;
            next <<= 1;
            // A position that a tombstone can't name does not exist: a record has at most 20 tags.
            if place == 0 {
                return Err(CorruptTags);
            }
            Ok((place, tag?))
        })
        .filter(move |tag| !matches!(tag, Ok((place, _)) if removed & place != 0))
}

/// The keys of all tags, in order.
pub fn keys(encoded: &[u8]) -> Result<Vec<&[u8]>, CorruptTags> {
    let keys = Raw(encoded).map(|tag| tag.map(|(key, ..)| key));
    let keys = keys.collect::<Result<Vec<_>, _>>()?;
    if keys.is_sorted_by(|one, next| one < next) {
        Ok(keys)
    } else {
        Err(CorruptTags)
    }
}

/// Decodes the tags that are there.
pub fn decode(encoded: &[u8], removed: TagMask) -> Result<Vec<(TagKey, TagValue)>, CorruptTags> {
    left(encoded, removed)
        .map(|tag| {
            let (_, (key, value, _)) = tag?;
            Ok((
                TagKey::parse(text(key)?).map_err(|_| CorruptTags)?,
                TagValue::parse(text(value)?).map_err(|_| CorruptTags)?,
            ))
        })
        .collect()
}

/// Calls `found` with the key and the value of each tag that is there, in order of key.
pub fn each<'bytes>(
    encoded: &'bytes [u8],
    removed: TagMask,
    mut found: impl FnMut(&'bytes str, &'bytes str),
) -> Result<(), CorruptTags> {
    for tag in left(encoded, removed) {
        let (_, (key, value, _)) = tag?;
        found(text(key)?, text(value)?);
    }
    Ok(())
}

fn text(bytes: &[u8]) -> Result<&str, CorruptTags> {
    std::str::from_utf8(bytes).map_err(|_| CorruptTags)
}

/// The positions of those tags that are there and selected.
pub fn selected(
    encoded: &[u8],
    removed: TagMask,
    selection: &TagSelection,
) -> Result<TagMask, CorruptTags> {
    let mut selected = 0;
    for tag in left(encoded, removed) {
        let (place, (key, ..)) = tag?;
        if selection.contains(key) {
            selected |= place;
        }
    }
    Ok(selected)
}

/// The positions of those tags that are there and have another value than expected, and for each that of its key among the
/// expected values, which come in order of key.
pub fn mismatched(
    encoded: &[u8],
    removed: TagMask,
    expected: &[(TagKey, TagValue)],
) -> Result<(TagMask, Vec<usize>), CorruptTags> {
    let (mut mismatched, mut keys) = (0, Vec::new());
    for tag in left(encoded, removed) {
        let (place, (key, value, _)) = tag?;
        let found = expected.binary_search_by(|(wanted, _)| wanted.as_str().as_bytes().cmp(key));
        if let Ok(at) = found
            && expected[at].1.as_str().as_bytes() != value
        {
            mismatched |= place;
            keys.push(at);
        }
    }
    Ok((mismatched, keys))
}

/// The tags that are there, encoded.
pub fn without(encoded: &[u8], removed: TagMask) -> Result<Vec<u8>, CorruptTags> {
    let mut kept = Vec::with_capacity(encoded.len());
    for tag in left(encoded, removed) {
        let (_, (.., whole)) = tag?;
        kept.extend_from_slice(whole);
    }
    Ok(kept)
}

/// The tags at these positions, encoded.
pub fn at(encoded: &[u8], positions: TagMask) -> Result<Vec<u8>, CorruptTags> {
    without(encoded, !positions)
}

/// What of these tags, set, is new: those that have another value or are not there.
pub fn changed(
    encoded: &[u8],
    removed: TagMask,
    set: &[(TagKey, TagValue)],
) -> Result<Vec<SetTag>, CorruptTags> {
    let there = left(encoded, removed)
        .map(|tag| tag.map(|(_, (key, value, _))| (key, value)))
        .collect::<Result<Vec<_>, _>>()?;
    let mut changed = Vec::new();
    for (key, new) in set {
        let old = there
            .iter()
            .find(|(there, _)| *there == key.as_str().as_bytes());
        if old.is_some_and(|(_, old)| *old == new.as_str().as_bytes()) {
            continue;
        }
        let parse =
            |(_, old): &(&[u8], &[u8])| TagValue::parse(text(old)?).map_err(|_| CorruptTags);
        changed.push(SetTag {
            key: key.clone(),
            old: old.map(parse).transpose()?,
            new: new.clone(),
        });
    }
    Ok(changed)
}

/// The tags that are there, encoded with these set, which come in order of key, and how many there are then.
pub fn with(
    encoded: &[u8],
    removed: TagMask,
    set: &[(TagKey, TagValue)],
) -> Result<(Vec<u8>, usize), CorruptTags> {
    let mut merged = Vec::with_capacity(encoded.len());
    let mut count = 0;
    let mut set = set.iter().peekable();
    for tag in left(encoded, removed) {
        let (_, (key, _, whole)) = tag?;
        while let Some((new_key, new_value)) = set.next_if(|(new, _)| new.as_str().as_bytes() < key)
        {
            push(&mut merged, new_key, new_value);
            count += 1;
        }
        match set.next_if(|(new, _)| new.as_str().as_bytes() == key) {
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
            prop_assert_eq!(decode(&encoded, 0).unwrap(), list);

            let keys: Vec<_> = gone.iter().map(|key| TagKey::parse(key.as_str()).unwrap()).collect();
            let mut left = tags.clone();
            left.retain(|key, _| !keys.contains(key));
            let removed = selected(&encoded, 0, &TagSelection::Keys(keys.clone())).unwrap();
            prop_assert_eq!(removed.count_ones() as usize, tags.len() - left.len());
            prop_assert_eq!(selected(&encoded, removed, &TagSelection::Keys(keys)).unwrap(), 0);
            let rest = selected(&encoded, removed, &TagSelection::All).unwrap();
            prop_assert_eq!(rest.count_ones() as usize, left.len());
            prop_assert_eq!(rest & removed, 0);
            prop_assert_eq!(without(&encoded, removed).unwrap(), encode(&left));
            let mut gone = tags.clone();
            gone.retain(|key, _| !left.contains_key(key));
            prop_assert_eq!(at(&encoded, removed).unwrap(), encode(&gone));
            prop_assert_eq!(decode(&encoded, removed).unwrap(), left.clone().into_iter().collect::<Vec<_>>());

            let set_list: Vec<_> = set.clone().into_iter().collect();
            let news = set_list.iter().filter(|(key, value)| left.get(key) != Some(value));
            let news: Vec<_> = news.map(|(key, new)| SetTag {
                key: key.clone(), old: left.get(key).cloned(), new: new.clone(),
            }).collect();
            prop_assert_eq!(changed(&encoded, removed, &set_list).unwrap(), news);
            let others = set_list.iter().enumerate().filter(|(_, (key, value))| left.get(key).is_some_and(|there| there != value));
            let others: Vec<_> = others.map(|(at, _)| at).collect();
            let (mask, found) = mismatched(&encoded, removed, &set_list).unwrap();
            prop_assert_eq!(mask.count_ones() as usize, others.len());
            prop_assert_eq!(mask & removed, 0);
            prop_assert_eq!(found, others);
            let mut expected = left;
            expected.extend(set);
            prop_assert_eq!(with(&encoded, removed, &set_list).unwrap(), (encode(&expected), expected.len()));
        }

        #[test]
        fn any_bytes_are_tags_or_corrupt(bytes in proptest::collection::vec(any::<u8>(), 0..64)) {
            let _ = decode(&bytes, 1);
            let _ = selected(&bytes, 1, &TagSelection::All);
            let _ = without(&bytes, 1);
            let _ = with(&bytes, 1, &[]);
            let set = (TagKey::parse("a").unwrap(), TagValue::parse("x").unwrap());
            let _ = mismatched(&bytes, 1, std::slice::from_ref(&set));
            let _ = changed(&bytes, 1, &[set]);
        }
    }
}
