//! Who calls, and what they may do.

mod authenticator;
mod authority;

pub use authenticator::{Authenticator, Demand, Unauthenticated};
pub use authority::Authority;
