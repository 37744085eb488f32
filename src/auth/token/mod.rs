//! Bearer tokens: signed JWTs (RFC 7519), verified with the keys that their issuer publishes.
//!
//! A [`Verifier`] holds the rules, a [`KeySet`] the keys. The signature comes first, and no claim is looked at before it
//! holds. ring does the cryptography. What decides over safety is short and stands here, by the advice of RFC 8725: a key's
//! own kind decides its algorithm, a header brings no key, `iss`, `aud`, `exp` and `sub` have to be there, and the time
//! comes from the caller.

mod algorithm;
mod claims;
mod error;
mod fetch;
mod jws;
mod key_set;
mod public_key;
mod remote;
mod source;
#[cfg(test)]
mod tests;
mod verifier;

pub use algorithm::Algorithm;
pub use claims::{LEEWAY, RulesError, TokenRules, Verified};
pub use error::{Quoted, TOO_MANY_FAILURES, TokenError};
pub use fetch::RemoteKeysError;
pub use jws::LARGEST_TOKEN;
pub use key_set::{KeySet, KeySetError, LARGEST_JWKS, Skipped};
pub use remote::{KeysPresence, RemoteKeys};
pub use source::{JwksUrl, KeySource, KeySourceError};
pub use verifier::Verifier;
