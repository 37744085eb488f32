//! The tag keys, tags and filters that a request gives.

use std::collections::HashSet;

use super::faults::{Faults, quoted};
use crate::domain::{FaultCode, TagKey, TagSelection, TagValue, limits};
use crate::grpc::proto;

pub fn selection(keys: Vec<String>, all: bool, faults: &mut Faults) -> Option<TagSelection> {
    match (keys.is_empty(), all) {
        (true, true) => Some(TagSelection::All),
        (true, false) => {
            let description = "give 1 to 20 tag_keys, or set all";
            faults.add(
                FaultCode::MissingTagKeysOrDeleteAll,
                "tag_keys",
                description,
            );
            None
        }
        (false, _) => {
            let count = keys.len();
            if count > limits::TAGS {
                let description = format!("{count} are too many; give at most 20 in one request");
                faults.add(FaultCode::TooManyTagKeys, "tag_keys", description);
            }
            let mut parsed: Vec<TagKey> = Vec::with_capacity(count.min(limits::TAGS));
            for (index, key) in keys.into_iter().take(limits::TAGS).enumerate() {
                let field = || format!("tag_keys[{index}]");
                if parsed.iter().any(|earlier| earlier.as_str() == key) {
                    duplicate_key(&key, field(), faults);
                } else if let Some(key) = tag_key(&key, &field(), faults) {
                    parsed.push(key);
                }
            }
            (parsed.len() == count).then_some(TagSelection::Keys(parsed))
        }
    }
}

/// An entry of a list of tags or filters.
pub trait Keyed {
    fn key(&self) -> &str;
}

impl Keyed for proto::Tag {
    fn key(&self) -> &str {
        &self.key
    }
}

impl Keyed for proto::TagFilter {
    fn key(&self) -> &str {
        &self.key
    }
}

/// Parses the entries of a list of tags or filters, whose keys must differ; those past the limit are not looked at.
pub fn each_tag<I: Keyed, T>(
    entries: Vec<I>,
    faults: &mut Faults,
    mut parse: impl FnMut(I, &str, &mut Faults) -> Option<T>,
) -> Vec<T> {
    let count = entries.len();
    if count > limits::TAGS {
        let description = format!("{count} are too many; give at most 20 in one request");
        faults.add(FaultCode::TooManyTags, "tags", description);
    }
    let mut keys = HashSet::with_capacity(count.min(limits::TAGS));
    let mut parsed = Vec::with_capacity(count.min(limits::TAGS));
    for (index, entry) in entries.into_iter().take(limits::TAGS).enumerate() {
        let field = format!("tags[{index}]");
        if !keys.insert(entry.key().to_owned()) {
            duplicate_key(entry.key(), format!("{field}.key"), faults);
        }
        parsed.extend(parse(entry, &field, faults));
    }
    parsed
}

fn duplicate_key(key: &str, field: String, faults: &mut Faults) {
    let description = format!("the key {} is given more than once", quoted(key));
    faults.add(FaultCode::DuplicateTagKey, field, description);
}

pub fn tag_key(key: &str, field: &str, faults: &mut Faults) -> Option<TagKey> {
    faults.parsed(TagKey::parse(key), key, FaultCode::InvalidTagKey, field)
}

/// Parses a tag value. Faults never repeat it, since messages are logged and values may be private.
pub fn tag_value(value: &str, field: &str, faults: &mut Faults) -> Option<TagValue> {
    let parsed = TagValue::parse(value);
    if let Err(error) = parsed {
        faults.add(
            FaultCode::InvalidTagValue,
            field,
            format!("the value {error}"),
        );
    }
    parsed.ok()
}
