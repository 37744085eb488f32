//! Users: what is kept of one beside its id, name and tags.

use thiserror::Error;

use super::tag::is_longer_than;
use super::{Resource, Timestamp, limits};

/// Why a text is not a display name or not comments.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum InvalidUserText {
    /// No character.
    #[error("is empty; give at least 1 character, or leave it out")]
    Empty,
    /// Too many characters.
    #[error("has more than {0} characters")]
    TooLong(usize),
    /// U+0000, which PostgreSQL can't keep.
    #[error("contains U+0000")]
    Nul,
}

fn check_text(text: &str, longest: usize) -> Result<(), InvalidUserText> {
    if text.is_empty() {
        return Err(InvalidUserText::Empty);
    }
    if is_longer_than(text, longest) {
        return Err(InvalidUserText::TooLong(longest));
    }
    if text.contains('\0') {
        return Err(InvalidUserText::Nul);
    }
    Ok(())
}

/// The name of a user that is shown to people: 1 to 24 characters, as the cloud's `CreateUser` takes them.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct DisplayName(Box<str>);

/// Comments on a user: 1 to 128 characters, as the cloud's `CreateUser` takes them.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Comments(Box<str>);

impl DisplayName {
    /// Takes 1 to 24 characters.
    ///
    /// # Errors
    /// [`InvalidUserText`] for a text that is empty, too long or holds U+0000.
    pub fn parse(text: impl Into<Box<str>>) -> Result<Self, InvalidUserText> {
        let text = text.into();
        check_text(&text, limits::DISPLAY_NAME)?;
        Ok(Self(text))
    }

    /// The name.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl Comments {
    /// Takes 1 to 128 characters.
    ///
    /// # Errors
    /// [`InvalidUserText`] for a text that is empty, too long or holds U+0000.
    pub fn parse(text: impl Into<Box<str>>) -> Result<Self, InvalidUserText> {
        let text = text.into();
        check_text(&text, limits::COMMENTS)?;
        Ok(Self(text))
    }

    /// The comments.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

display_as_str!(DisplayName, Comments);

/// A user with all that is kept of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct User {
    /// Its account, id, principal name and tags. Those of a deleted user are the ones that it had.
    pub resource: Resource,
    /// The name that is shown to people.
    pub display_name: Option<DisplayName>,
    /// What somebody has written about it.
    pub comments: Option<Comments>,
    /// When it was created. `None` for one that was imported.
    pub create_time: Option<Timestamp>,
    /// When it was created, restored, or last changed by an update: tags do not count. `None` where nobody has since it was imported.
    pub update_time: Option<Timestamp>,
    /// When it was deleted. `None` for one that is there.
    pub delete_time: Option<Timestamp>,
}

impl User {
    /// Whether two users are the same to the letter: names that differ in case are equal, and not the same.
    #[must_use]
    pub fn is_same(&self, other: &Self) -> bool {
        let [one, two] = [self, other].map(|user| user.resource.principal_name.as_str());
        one == two && self == other
    }

    /// Whether two users have the same name to the letter, display name and comments, whatever their tags.
    #[must_use]
    pub fn is_described_as(&self, other: &Self) -> bool {
        let [one, two] = [self, other].map(|user| user.resource.principal_name.as_str());
        one == two && self.display_name == other.display_name && self.comments == other.comments
    }

    /// When a deleted user is gone for good: [`super::KEEP_DELETED`] after it was deleted.
    #[must_use]
    pub fn expire_time(&self) -> Option<Timestamp> {
        self.delete_time.map(Timestamp::expiry)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_count_characters() {
        for good in ["x", " ", &"名".repeat(24)] {
            assert_eq!(DisplayName::parse(good).unwrap().as_str(), good);
        }
        for good in ["x", "see https://x", &"名".repeat(128)] {
            assert_eq!(Comments::parse(good).unwrap().as_str(), good);
        }
        let too_long = InvalidUserText::TooLong;
        let refused = |text: &str| DisplayName::parse(text).unwrap_err();
        assert_eq!(refused(""), InvalidUserText::Empty);
        assert_eq!(refused(&"名".repeat(25)), too_long(24));
        assert_eq!(refused("a\0"), InvalidUserText::Nul);
        let refused = |text: &str| Comments::parse(text).unwrap_err();
        assert_eq!(refused(""), InvalidUserText::Empty);
        assert_eq!(refused(&"名".repeat(129)), too_long(128));
        assert_eq!(refused("\0"), InvalidUserText::Nul);
    }
}
