//! Tags as users select by them.

use crate::domain::{TagFilter, TagKey, TagValue};

/// A key, or a key and a value, as `--tag` takes it.
///
/// # Errors
/// What is wrong, without the value.
pub fn tag_filter(text: &str) -> Result<TagFilter, String> {
    let (key, value) = match text.split_once('=') {
        Some((key, value)) => (key, Some(value)),
        None => (text, None),
    };
    Ok(TagFilter {
        key: TagKey::parse(key).map_err(|error| format!("--tag: the key {key:?} {error}"))?,
        value: value
            .map(TagValue::parse)
            .transpose()
            .map_err(|error| format!("--tag: the value of {key:?} {error}"))?,
    })
}
