//! The values that an untag expects, and what the database says of tags that have others.

use std::collections::HashMap;

use super::targets::Names;
use crate::domain::{
    Changed, Expected, Mismatch, OnMismatch, TagKey, TagValue, UntagCommand, limits,
};
use crate::store::StoreError;

/// The places of one user's mismatches in a number of the database, of which there is one for each expected value.
const PLACES: usize = 32;
const _: () = assert!(
    limits::TAGS <= PLACES,
    "`untag_remove_alone` has the same number"
);

/// The expected values as `untag_remove_alone` takes them: keys, values, and whether tags with others stay.
pub fn parameters(expected: Option<&Expected>) -> (Vec<String>, Vec<String>, bool) {
    let Some(expected) = expected else {
        return (Vec::new(), Vec::new(), false);
    };
    let values = expected.values.iter();
    let text = |(key, value): &(TagKey, TagValue)| (key.to_string(), value.as_str().to_owned());
    let (keys, values) = values.map(text).unzip();
    (keys, values, expected.on_mismatch == OnMismatch::Skip)
}

/// The mismatches in an answer of the database.
pub fn mismatches(others: Vec<i32>) -> Vec<Mismatch> {
    let others = others
        .into_iter()
        .filter_map(|other| usize::try_from(other).ok());
    others
        .map(|other| Mismatch {
            target: other / PLACES,
            key: other % PLACES,
        })
        .collect()
}

/// The answer to an untag, or its refusal for what has another value than expected.
pub fn checked(command: &UntagCommand, changed: Changed) -> Result<Changed, StoreError> {
    if command.is_refused_for(&changed.mismatches) {
        return Err(StoreError::Mismatched(changed.mismatches));
    }
    Ok(changed)
}

/// What an untag comes to that only validates, by the tags of each target that exists.
pub fn validated(
    command: &UntagCommand,
    names: &Names,
    found: &[(String, Vec<(TagKey, TagValue)>)],
) -> Result<Changed, StoreError> {
    let targets: HashMap<_, _> = names.names.iter().zip(0..).collect();
    let (mut users, mut count, mut mismatches) = (0, 0, Vec::new());
    for (name, tags) in found {
        let before = count;
        let selected = |(key, _): &&(TagKey, TagValue)| command.selection.contains(key.as_str());
        for (key, value) in tags.iter().filter(selected) {
            let values = command.expected.iter().flat_map(|one| &one.values);
            let mut values = values.enumerate();
            match values.find(|(_, (wanted, other))| wanted == key && other != value) {
                None => count += 1,
                Some((key, _)) => {
                    let target = targets.get(name);
                    mismatches.extend(target.map(|&target| Mismatch { target, key }));
                }
            }
        }
        users += usize::from(count > before);
    }
    mismatches.sort_unstable();
    let changed = Changed {
        changed_resources: Some(users),
        mismatches,
        ..Changed::count(found.len(), count)
    };
    checked(command, changed)
}
