//! Counts of the tags of an account: which keys its users carry, and which values a key has.

use super::{AccountId, ResourceId, TagKey, TagValue};

/// A query for the keys of the tags that users carry.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TagKeysQuery {
    /// The account that the users belong to.
    pub account: AccountId,
    /// The `next` of the page before this one.
    pub after: Option<ResourceId>,
}

/// A query for the values that the tags with a key have.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TagValuesQuery {
    /// The account that the users belong to.
    pub account: AccountId,
    /// The key.
    pub key: TagKey,
    /// The `next` of the page before this one.
    pub after: Option<ResourceId>,
}

/// A page of counts, made of the tags of some users: those behind the ones of the page before, in order of id. What is on this page can
/// be on another one too, where it has other users.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CountPage<T> {
    /// What was found, in order, each with how many of these users carry it.
    pub counts: Vec<(T, usize)>,
    /// The last of these users, behind whom the list goes on; `None` at the end.
    pub next: Option<ResourceId>,
}

/// A page of keys.
pub type TagKeyPage = CountPage<TagKey>;
/// A page of values of one key.
pub type TagValuePage = CountPage<TagValue>;
