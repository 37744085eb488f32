//! Tag keys and values.

use std::fmt;

use thiserror::Error;

use super::limits;

/// Why a text can't be a tag key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum InvalidTagKey {
    /// The text is empty.
    #[error("is empty; give 1 to 128 characters")]
    Empty,
    /// Too many characters.
    #[error("has more than 128 characters")]
    TooLong,
    /// The text begins with a word that the cloud keeps for itself.
    #[error("starts with \"aliyun\" or \"acs:\", which are reserved")]
    Reserved,
    /// A text that no tag may have.
    #[error(transparent)]
    Forbidden(#[from] ForbiddenText),
}

/// Why a text can't be a tag value.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum InvalidTagValue {
    /// Too many characters.
    #[error("has more than 128 characters")]
    TooLong,
    /// A text that no tag may have.
    #[error(transparent)]
    Forbidden(#[from] ForbiddenText),
}

/// A text that no tag may have.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error("contains \"http://\", \"https://\" or U+0000")]
pub struct ForbiddenText;

/// Refuses web addresses, and U+0000, which PostgreSQL can't keep.
fn check_text(text: &str) -> Result<(), ForbiddenText> {
    // Looking for a character costs little, and hardly any text has the one that a web address needs.
    let is_address = text.contains(':') && (text.contains("http://") || text.contains("https://"));
    if is_address || text.contains('\0') {
        Err(ForbiddenText)
    } else {
        Ok(())
    }
}

/// Whether a text has more characters than this. They are counted only where the number of bytes does not decide.
pub(super) fn is_longer_than(text: &str, characters: usize) -> bool {
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
        if text.is_empty() {
            return Err(InvalidTagKey::Empty);
        }
        if is_longer_than(&text, limits::TAG_KEY) {
            return Err(InvalidTagKey::TooLong);
        }
        if text.starts_with("aliyun") || text.starts_with("acs:") {
            return Err(InvalidTagKey::Reserved);
        }
        check_text(&text)?;
        Ok(Self(text))
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
        if is_longer_than(&text, limits::TAG_VALUE) {
            return Err(InvalidTagValue::TooLong);
        }
        check_text(&text)?;
        Ok(Self(text))
    }

    /// The value.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

display_as_str!(TagKey);

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
            assert!(TagKey::parse(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn what_is_wrong_with_a_key_is_said() {
        assert_eq!(TagKey::parse(""), Err(InvalidTagKey::Empty));
        assert_eq!(TagKey::parse("k".repeat(129)), Err(InvalidTagKey::TooLong));
        assert_eq!(TagKey::parse("acs:"), Err(InvalidTagKey::Reserved));
        assert_eq!(
            TagKey::parse("https://"),
            Err(InvalidTagKey::Forbidden(ForbiddenText))
        );
    }

    #[test]
    fn values_may_be_empty_and_are_not_shown_by_debug() {
        for good in ["", "acs:", "aliyun", &"值".repeat(128)] {
            assert_eq!(TagValue::parse(good).unwrap().as_str(), good);
        }
        for bad in ["http://x", "see https://x", "\0", &"值".repeat(129)] {
            assert!(TagValue::parse(bad).is_err(), "{bad}");
        }
        assert_eq!(
            format!("{:?}", TagValue::parse("secret").unwrap()),
            "TagValue(…)"
        );
    }
}
