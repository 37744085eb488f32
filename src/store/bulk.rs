//! What the imports of all stores have in common.
//!
//! What counts in an import is the state after its last resource: of several with one id the last is taken, and a name may pass
//! from one user to another, whatever their order.

use thiserror::Error;

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
