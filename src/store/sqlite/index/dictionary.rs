//! Keys of tags as bits: a number tells which keys a record has, and where each of them lies in it.

use super::budget::MemoryBudget;
use crate::domain::TagSelection;
use crate::store::sqlite::format::tags::TagMask;

/// A set of keys of a dictionary, by their bits.
pub type KeyMask = u32;

/// How many keys a dictionary may have.
const MOST: usize = KeyMask::BITS as usize;
/// What a key takes beside its text, about, in bytes.
const BYTES_OF_A_TERM: usize = 48;

/// A dictionary of up to 32 keys. Each keeps its bit for ever.
#[derive(Debug, Default)]
pub struct KeyDictionary {
    /// The keys in order, as the tags of a record are.
    terms: Vec<Term>,
}

#[derive(Debug)]
struct Term {
    key: Box<[u8]>,
    bit: KeyMask,
    /// The bits of all keys before this one.
    before: KeyMask,
}

impl KeyDictionary {
    /// The mask of these keys, which come in order, if all of them are in the dictionary.
    pub fn find(&self, keys: &[&[u8]]) -> Option<KeyMask> {
        let mut found = 0;
        let mut terms = self.terms.iter();
        for key in keys {
            found |= terms
                .find(|term| *term.key >= **key)
                .filter(|term| &*term.key == *key)?
                .bit;
        }
        Some(found)
    }

    /// The mask of these keys, which come in order. Adds what is missing, if they fit into the dictionary, and there is memory
    /// for it.
    pub fn learn(&mut self, keys: &[&[u8]], budget: &mut MemoryBudget) -> Option<KeyMask> {
        let is_new = |key: &&&[u8]| self.search(key).is_err();
        let new: Vec<_> = keys.iter().filter(is_new).copied().collect();
        let bytes: usize = new.iter().map(|key| BYTES_OF_A_TERM + key.len()).sum();
        if self.terms.len() + new.len() > MOST || !budget.take_for_texts(bytes) {
            return None;
        }
        for key in new {
            if let Err(at) = self.search(key) {
                let bit = 1 << self.terms.len();
                let before = self.terms[..at]
                    .iter()
                    .fold(0, |bits, term| bits | term.bit);
                self.terms[at..]
                    .iter_mut()
                    .for_each(|term| term.before |= bit);
                let key = key.into();
                self.terms.insert(at, Term { key, bit, before });
            }
        }
        self.find(keys)
    }

    /// The position of a key among the terms, or the one that it would have.
    fn search(&self, key: &[u8]) -> Result<usize, usize> {
        self.terms.binary_search_by(|term| (*term.key).cmp(key))
    }

    /// The positions of the selected tags in a record that has these keys.
    pub fn places(&self, keys: KeyMask, selection: &TagSelection) -> TagMask {
        let selected = match selection {
            TagSelection::All => return lowest(keys.count_ones()),
            TagSelection::Keys(selected) => selected,
        };
        let terms = selected.iter().filter_map(|key| {
            let at = self.search(key.as_str().as_bytes());
            self.terms.get(at.ok()?).filter(|term| keys & term.bit != 0)
        });
        terms.fold(0, |places, term| {
            places | 1 << (keys & term.before).count_ones()
        })
    }

    /// The keys at these positions of a record that has these keys.
    pub fn keys_at(&self, keys: KeyMask, places: TagMask) -> impl Iterator<Item = &[u8]> {
        let is_there = move |term: &&Term| keys & term.bit != 0;
        let terms = self.terms.iter().filter(is_there).enumerate();
        terms
            .filter(move |(place, _)| places & (1 << place) != 0)
            .map(|(_, term)| &*term.key)
    }
}

/// The first positions of a record.
fn lowest(count: u32) -> TagMask {
    TagMask::MAX
        .checked_shr(TagMask::BITS - count)
        .unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;
    use crate::domain::{TagKey, TagValue};
    use crate::store::sqlite::format::tags;

    fn keys(least: usize, most: usize) -> impl Strategy<Value = BTreeSet<String>> {
        proptest::collection::btree_set("[a-f]{1,2}", least..most)
    }

    fn bytes(keys: &BTreeSet<String>) -> Vec<&[u8]> {
        keys.iter().map(String::as_bytes).collect()
    }

    proptest! {
        #[test]
        fn places_are_those_of_the_record(
            records in proptest::collection::vec(keys(0, 20), 1..6), selected in keys(1, 8)
        ) {
            let mut dictionary = KeyDictionary::default();
            let mut budget = MemoryBudget::new(usize::MAX);
            let learnt: Vec<_> = records
                .iter()
                .map(|record| dictionary.learn(&bytes(record), &mut budget))
                .collect();
            let key = |key: &String| TagKey::parse(key.as_str()).unwrap();
            let selection = TagSelection::Keys(selected.iter().map(key).collect());
            for (record, keys) in records.iter().zip(learnt) {
                prop_assert_eq!(dictionary.find(&bytes(record)), keys);
                let Some(keys) = keys else {
                    continue;
                };
                let value = TagValue::parse("x").unwrap();
                let tags: Vec<_> = record.iter().map(|name| (key(name), value.clone())).collect();
                let encoded = tags::encode(tags.iter().map(|(key, value)| (key, value)));
                for selection in [&selection, &TagSelection::All] {
                    let places = dictionary.places(keys, selection);
                    prop_assert_eq!(Ok(places), tags::selected(&encoded, 0, selection));
                    let at_places: Vec<_> = dictionary.keys_at(keys, places).collect();
                    let is_selected = |(key, _): &&(TagKey, _)| selection.contains(key.as_str());
                    let named: Vec<_> = tags
                        .iter()
                        .filter(is_selected)
                        .map(|(key, _)| key.as_str().as_bytes())
                        .collect();
                    prop_assert_eq!(at_places, named);
                }
            }
        }
    }

    #[test]
    fn what_does_not_fit_is_not_learnt() {
        let names: Vec<_> = (0..=MOST).map(|number| format!("{number:02}")).collect();
        let all: Vec<_> = names.iter().map(String::as_bytes).collect();
        let mut dictionary = KeyDictionary::default();
        let mut budget = MemoryBudget::new(usize::MAX);
        assert_eq!(dictionary.learn(&all, &mut budget), None);
        assert_eq!(dictionary.learn(&all[1..], &mut budget), Some(KeyMask::MAX));
        assert_eq!(
            dictionary.places(KeyMask::MAX, &TagSelection::All),
            TagMask::MAX
        );
        assert_eq!(dictionary.learn(&all[..1], &mut budget), None);
        assert_eq!(dictionary.find(&all[1..3]), Some(0b11));

        let mut budget = MemoryBudget::new(BYTES_OF_A_TERM + 2);
        let mut dictionary = KeyDictionary::default();
        assert_eq!(dictionary.learn(&all[..2], &mut budget), None);
        assert_eq!(dictionary.learn(&all[..1], &mut budget), Some(1));
        assert!(!budget.take(1));
        assert_eq!(dictionary.learn(&all[..1], &mut budget), Some(1));
    }
}
