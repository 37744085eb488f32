//! Lists of users: what is asked for, and a page of what was found.

use thiserror::Error;

use super::{AccountId, PageSize, ResourceId, TagFilter, Timestamp, User, limits};

/// Why a text is not the beginning of a principal name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error("must be 1 to 128 letters, digits, '.', '-', '_' and '@', as principal names begin")]
pub struct InvalidNamePrefix;

/// The beginning of principal names, compared without regard to case.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NamePrefix(Box<str>);

impl NamePrefix {
    /// Takes 1 to 128 of the characters that principal names have.
    ///
    /// # Errors
    /// [`InvalidNamePrefix`] for anything else.
    pub fn parse(text: &str) -> Result<Self, InvalidNamePrefix> {
        let allowed =
            |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-' | b'_' | b'@');
        let is_short = (1..=limits::PRINCIPAL_NAME).contains(&text.len());
        if is_short && text.bytes().all(allowed) {
            Ok(Self(text.to_ascii_lowercase().into()))
        } else {
            Err(InvalidNamePrefix)
        }
    }

    /// The beginning, in lower case.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    fn begins(&self, name: &str) -> bool {
        let beginning = name.get(..self.0.len());
        beginning.is_some_and(|beginning| beginning.eq_ignore_ascii_case(&self.0))
    }
}

/// Which users a list has, by the tags that they carry.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TagCondition {
    /// Users with whatever tags.
    Any,
    /// Users who carry a tag that the filter selects.
    Carries(TagFilter),
    /// Users without any tag.
    Untagged,
}

/// Whether a list has deleted users in it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DeletedUsers {
    /// Only users that are there.
    Hide,
    /// Users that are there, and deleted ones that have not expired.
    Show,
}

/// The point at which a list of users goes on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum UserContinuation {
    /// Behind a user, in a store that keeps its list in order.
    Behind(ResourceId),
    /// Where the cloud says, in a form that only its store can read.
    Token(String),
}

impl UserContinuation {
    /// The user behind whom the list goes on, if it is kept in order.
    #[must_use]
    pub fn behind(&self) -> Option<&ResourceId> {
        match self {
            Self::Behind(id) => Some(id),
            Self::Token(_) => None,
        }
    }
}

impl From<ResourceId> for UserContinuation {
    fn from(id: ResourceId) -> Self {
        Self::Behind(id)
    }
}

/// A query that lists users. A list has the users whom each part of it lets through.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UserListQuery {
    /// The account that the users belong to.
    pub account: AccountId,
    /// The beginning of their principal names; any when `None`.
    pub name_prefix: Option<NamePrefix>,
    /// The tags that they carry. Those of a deleted user are the ones that it had.
    pub tags: TagCondition,
    /// Whether deleted users are listed too.
    pub deleted: DeletedUsers,
    /// The most users of the page.
    pub page_size: PageSize,
    /// The `next` of the page before this one.
    pub after: Option<UserContinuation>,
    /// The present moment, which says which deleted users are gone for good.
    pub time: Timestamp,
}

impl UserListQuery {
    /// The query for all users who are there at this moment, in full pages from the start.
    #[must_use]
    pub fn all(account: AccountId, time: Timestamp) -> Self {
        Self {
            account,
            name_prefix: None,
            tags: TagCondition::Any,
            deleted: DeletedUsers::Hide,
            page_size: PageSize::default(),
            after: None,
            time,
        }
    }

    /// Whether a user has the beginning of the name and the tags that are asked for.
    #[must_use]
    pub fn matches(&self, user: &User) -> bool {
        let name = user.resource.principal_name.as_str();
        let prefix = self.name_prefix.as_ref();
        let tags = user.resource.tags();
        let are_tags = match &self.tags {
            TagCondition::Any => true,
            TagCondition::Carries(TagFilter { key, value }) => tags
                .get(key)
                .is_some_and(|found| value.as_ref().is_none_or(|value| value == found)),
            TagCondition::Untagged => tags.is_empty(),
        };
        are_tags && prefix.is_none_or(|prefix| prefix.begins(name))
    }
}

/// A page of a list of users, in order of id as text, or in the cloud's.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct UserPage {
    /// The users. They may be fewer than the page size, and none, while the list goes on.
    pub users: Vec<User>,
    /// Where the list goes on; `None` at the end.
    pub next: Option<UserContinuation>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_prefix_has_the_characters_of_a_name_and_no_case() {
        let longest = "x".repeat(128);
        for good in ["a", "@", "Alice.B_c-d@Ex", &longest] {
            let prefix = NamePrefix::parse(good).unwrap();
            assert_eq!(prefix.as_str(), good.to_lowercase());
        }
        for bad in ["", " ", "a%", "é", "a\0", &"x".repeat(129)] {
            assert_eq!(NamePrefix::parse(bad), Err(InvalidNamePrefix), "{bad:?}");
        }
        let prefix = NamePrefix::parse("aL.").unwrap();
        for (name, begins) in [
            ("Al.ice@x", true),
            ("al.", true),
            ("al", false),
            ("alx", false),
        ] {
            assert_eq!(prefix.begins(name), begins, "{name}");
        }
    }
}
