//! What the imports of all stores have in common.
//!
//! What counts in an import is the state after its last resource: of several with one id the last is taken, and a name may pass
//! from one user to another, whatever their order.

use thiserror::Error;

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
