//! A user with its tags, as it is stored, imported and exported.

use std::collections::BTreeMap;

use thiserror::Error;

use super::{AccountId, PrincipalName, ResourceId, TagKey, TagValue, limits};

/// The error for more tags than a user may carry.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error("a user may carry at most 20 tags, and this one has {0}")]
pub struct TooManyTags(usize);

impl TooManyTags {
    /// Refuses more than 20 tags.
    pub(super) fn check(tags: &BTreeMap<TagKey, TagValue>) -> Result<(), Self> {
        if tags.len() > limits::TAGS_OF_A_USER {
            return Err(Self(tags.len()));
        }
        Ok(())
    }
}

/// A RAM user of an account.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Resource {
    /// The account that it belongs to.
    pub account: AccountId,
    /// The id of the user, unique in the account.
    pub id: ResourceId,
    /// The login name of the user, unique in the account without regard to case.
    pub principal_name: PrincipalName,
    tags: BTreeMap<TagKey, TagValue>,
}

impl Resource {
    /// Puts a user together.
    ///
    /// # Errors
    /// [`TooManyTags`] for more than 20.
    pub fn new(
        account: AccountId,
        id: ResourceId,
        principal_name: PrincipalName,
        tags: BTreeMap<TagKey, TagValue>,
    ) -> Result<Self, TooManyTags> {
        TooManyTags::check(&tags)?;
        Ok(Self::of_checked(account, id, principal_name, tags))
    }

    /// A user whose tags were counted, as `new` does.
    pub(super) fn of_checked(
        account: AccountId,
        id: ResourceId,
        principal_name: PrincipalName,
        tags: BTreeMap<TagKey, TagValue>,
    ) -> Self {
        Self {
            account,
            id,
            principal_name,
            tags,
        }
    }

    /// The user with another name and other tags.
    ///
    /// # Errors
    /// [`TooManyTags`] for more than 20.
    pub fn with(
        &self,
        principal_name: PrincipalName,
        tags: BTreeMap<TagKey, TagValue>,
    ) -> Result<Self, TooManyTags> {
        let (account, id) = (self.account.clone(), self.id.clone());
        Self::new(account, id, principal_name, tags)
    }

    /// The tags of the user by key; at most 20.
    #[must_use]
    pub fn tags(&self) -> &BTreeMap<TagKey, TagValue> {
        &self.tags
    }
}
