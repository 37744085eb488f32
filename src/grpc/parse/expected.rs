//! The values that the tags of an untag have to have.

use std::collections::HashMap;

use super::faults::{Faults, quoted};
use super::tags::{tag_key, tag_value};
use crate::domain::{Expected, FaultCode, OnMismatch, TagKey, TagValue, limits};

/// Parses expected values, whose keys have to be among those to remove. Without values nothing is expected.
pub fn expected(
    values: HashMap<String, String>,
    on_mismatch: OnMismatch,
    tag_keys: &[String],
    faults: &mut Faults,
) -> Option<Expected> {
    // Faults come in order of key, and those past the limit are not looked at.
    let mut values: Vec<_> = values.into_iter().collect();
    values.sort_unstable();
    let count = values.len();
    if count > limits::TAGS {
        let description = format!("{count} are too many; give at most 20 in one request");
        faults.add(
            FaultCode::InvalidExpectedValues,
            "expected_values",
            description,
        );
    }
    let values = values.into_iter().take(limits::TAGS);
    let values = values.filter_map(|(key, value)| one(&key, &value, tag_keys, faults));
    let values: Vec<_> = values.collect();
    (!values.is_empty()).then_some(Expected {
        values,
        on_mismatch,
    })
}

fn one(
    key: &str,
    value: &str,
    tag_keys: &[String],
    faults: &mut Faults,
) -> Option<(TagKey, TagValue)> {
    let field = format!("expected_values[{}]", quoted(key));
    if !tag_keys.iter().any(|wanted| wanted == key) {
        let description = "the key is not among tag_keys; give it there too";
        faults.add(
            FaultCode::InvalidExpectedValues,
            field.as_str(),
            description,
        );
        return None;
    }
    let value = tag_value(value, &field, faults);
    // A fault of the key is that of the same key in tag_keys.
    let key = tag_key(key, &field, &mut Faults::default());
    key.zip(value)
}
