//! Tag keys and values.

use std::fmt;

use thiserror::Error;

use super::limits;

/// Why a text is not a tag key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error(
    "must be 1 to 128 characters, must not start with \"aliyun\" or \"acs:\", and must not contain \"http://\", \
     \"https://\" or U+0000"
)]
pub struct InvalidTagKey;

/// Why a text is not a tag value.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error("must be 0 to 128 characters, and must not contain \"http://\", \"https://\" or U+0000")]
pub struct InvalidTagValue;

/// U+0000 is refused as well as web addresses, since PostgreSQL can't keep it.
fn has_forbidden_text(text: &str) -> bool {
    text.contains('\0') || text.contains("http://") || text.contains("https://")
}

/// Counts characters only where the bytes do not decide.
fn is_longer_than(text: &str, characters: usize) -> bool {
    text.len() > characters && text.chars().count() > characters
}

/// The key of a tag: 1 to 128 characters, case-sensitive.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TagKey(Box<str>);

/// The value of a tag: 0 to 128 characters. Its `Debug` does not show it, so that no log does.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TagValue(Box<str>);

impl TagKey {
    /// Takes 1 to 128 characters.
    ///
    /// # Errors
    /// [`InvalidTagKey`] for a text that is empty, too long, reserved or holds a web address.
    pub fn parse(text: impl Into<Box<str>>) -> Result<Self, InvalidTagKey> {
        let text = text.into();
        let invalid = text.is_empty()
            || is_longer_than(&text, limits::TAG_KEY)
            || text.starts_with("aliyun")
            || text.starts_with("acs:")
            || has_forbidden_text(&text);
        if invalid {
            Err(InvalidTagKey)
        } else {
            Ok(Self(text))
        }
    }

    /// The key.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl TagValue {
    /// Takes 0 to 128 characters.
    ///
    /// # Errors
    /// [`InvalidTagValue`] for a text that is too long or holds a web address.
    pub fn parse(text: impl Into<Box<str>>) -> Result<Self, InvalidTagValue> {
        let text = text.into();
        if is_longer_than(&text, limits::TAG_VALUE) || has_forbidden_text(&text) {
            Err(InvalidTagValue)
        } else {
            Ok(Self(text))
        }
    }

    /// The value.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for TagKey {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

impl fmt::Debug for TagValue {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("TagValue(…)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_count_characters_and_refuse_reserved_words() {
        for good in [
            "k",
            "Aliyun",
            "my-aliyun",
            "acs",
            "http:/",
            &"键".repeat(128),
        ] {
            assert_eq!(TagKey::parse(good).unwrap().as_str(), good);
        }
        for bad in [
            "",
            "aliyun",
            "aliyunx",
            "acs:x",
            "xhttp://",
            "xhttps://y",
            "a\0",
            &"键".repeat(129),
        ] {
            assert_eq!(TagKey::parse(bad), Err(InvalidTagKey), "{bad}");
        }
    }

    #[test]
    fn values_may_be_empty_and_are_not_shown_by_debug() {
        for good in ["", "acs:", "aliyun", &"值".repeat(128)] {
            assert_eq!(TagValue::parse(good).unwrap().as_str(), good);
        }
        for bad in ["http://x", "see https://x", "\0", &"值".repeat(129)] {
            assert_eq!(TagValue::parse(bad), Err(InvalidTagValue), "{bad}");
        }
        assert_eq!(
            format!("{:?}", TagValue::parse("secret").unwrap()),
            "TagValue(…)"
        );
    }
}
