//! Authentication and authorisation: who calls, and what callers may do.
//!
//! This layer knows the domain alone: no request, no connection, no store and no clock. Whoever asks brings the time. The one
//! thing that it does by itself is to fetch the keys of tokens.

mod authenticator;
mod authority;
mod certificate;
mod failures;
mod policy;
pub mod token;

pub use authenticator::{Authenticator, Credentials, Demand, Keys, Tokens, Unauthenticated};
pub use authority::Authority;
pub use certificate::{CertificateError, caller_of, check_spiffe_id, expiry_of};
pub use failures::FailureLimit;
pub use policy::{
    Attempt, Decision, Denial, Explanation, IneffectiveDeny, InvalidTime, PolicyError, PolicySet,
    Warning, parse_time,
};
