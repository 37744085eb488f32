//! What the imports of all stores have in common.
//!
//! What counts in an import is the state after its last line: each does to its user what the mode says, one after the other, and a name
//! may pass from one user to another, whatever their order.

use thiserror::Error;

use crate::domain::{ImportMode, Resource};

/// How users are imported.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BulkSettings {
    /// What becomes of users that are there already.
    pub mode: ImportMode,
    /// Whether everything is checked, and nothing changed.
    pub dry_run: bool,
}

impl BulkSettings {
    /// Users who become what is given, as those of a backup do.
    pub const REPLACE: Self = Self {
        mode: ImportMode::ReplaceTags,
        dry_run: false,
    };
}

/// A user to be imported.
#[derive(Debug, Clone)]
pub struct BulkLine {
    /// The number of its line, for errors.
    pub number: u64,
    /// The user.
    pub user: Resource,
}

/// How many users an import has had.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct BulkCounts {
    /// Those that were created.
    pub created: u64,
    /// Those that were there and were changed.
    pub updated: u64,
    /// Those that were there as they are given.
    pub unchanged: u64,
}

impl BulkCounts {
    /// All of them.
    #[must_use]
    pub fn users(self) -> u64 {
        self.created + self.updated + self.unchanged
    }
}

/// A line that the mode does not allow.
#[derive(Debug, PartialEq, Eq, Error)]
pub enum RefusedLine {
    /// Only new users are wanted.
    #[error(
        "line {number}: the user {id} of account {account} is there already, and the mode is create-only"
    )]
    Exists {
        /// The number of the line.
        number: u64,
        /// The account.
        account: String,
        /// The id.
        id: String,
    },
    /// The user would carry more than 20 tags.
    #[error(
        "line {number}: the user {id} of account {account} would carry more than 20 tags with those that it has; remove some \
         first, or replace them all (--mode replace-tags)"
    )]
    TagLimit {
        /// The number of the line.
        number: u64,
        /// The account.
        account: String,
        /// The id.
        id: String,
    },
}

/// A user to be imported whose id is that of a deleted user.
#[derive(Debug, PartialEq, Eq, Error)]
#[error(
    "the user {id} of account {account} was deleted less than 30 days ago, and its id is kept for it; restore it first, or \
     leave it out"
)]
pub struct StillDeleted {
    /// The account.
    pub account: String,
    /// The id.
    pub id: String,
}

/// Two users of one account who would have the same principal name after an import.
#[derive(Debug, PartialEq, Eq, Error)]
#[error(
    "the users {first} and {second} of account {account} would both have the principal name {name}; give each its own"
)]
pub struct NameTaken {
    /// The account.
    pub account: String,
    /// The name, as one of them has it.
    pub name: String,
    /// The id of one.
    pub first: String,
    /// The id of the other.
    pub second: String,
}
