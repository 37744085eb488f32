//! Why a token is refused.

use std::fmt;
use std::time::Duration;

use thiserror::Error;

use super::algorithm::Algorithm;

/// The message for an address that has failed too often.
pub const TOO_MANY_FAILURES: &str =
    "this address has shown more tokens that prove nothing than the server allows in a second";

/// Why a token proves nothing. No message repeats the token or a claim of it; what is shown of its header is cut and
/// quoted.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum TokenError {
    /// The token is longer than any should be. It was not looked into.
    #[error("the token has {length} bytes, over {limit}; ask the issuer for one with fewer claims")]
    TooLarge {
        /// The length of the token, in bytes.
        length: usize,
        /// The largest length, in bytes.
        limit: usize,
    },
    /// The token is no signed JWT.
    #[error("the token is no signed JWT: {0}; send the issuer's token unchanged")]
    Malformed(&'static str),
    /// The token is signed with an algorithm that is not allowed, `none` and HMAC among them.
    #[error("the token names the algorithm {0}; have it signed with RS256, ES256 or EdDSA")]
    Algorithm(Quoted),
    /// The header names an algorithm that no key of this id (or no key at all) is for.
    #[error("the token names the algorithm {0}, and the issuer's key is not for that one")]
    KeyAlgorithm(Algorithm),
    /// The header has extensions that have to be understood (`crit`). None is.
    #[error("the token has a crit header, and its extensions are not supported here")]
    Critical,
    /// The token is for another purpose, by its `typ`.
    #[error("the token is of type {0}; send an access token, with typ JWT, at+jwt, JOSE or none")]
    Type(Quoted),
    /// The token is signed with a key that the issuer does not publish, or did not when the keys were read.
    #[error(
        "the issuer publishes no key {0}; get a new token, or wait for the keys to be read again"
    )]
    UnknownKey(Quoted),
    /// The token has no key id, and there are too many keys to try.
    #[error(
        "the token names no key (kid) and too many keys could be meant; let the issuer add kid"
    )]
    AmbiguousKey,
    /// There are no keys yet: a failure of this service or of the issuer, and none of the caller.
    #[error("the issuer's keys have not been read yet; try again later")]
    NoKeys,
    /// The token was not looked into, since its address has shown too many that prove nothing.
    #[error("{TOO_MANY_FAILURES}; try again later")]
    TooManyFailures {
        /// How long the address has to wait until another token is looked into.
        retry_after: Duration,
    },
    /// The token was not signed by the issuer, or was changed since.
    #[error("the token's signature is not the issuer's")]
    Signature,
    /// A claim that has to be there is missing.
    #[error("the token has no claim {0}; let the issuer add it")]
    MissingClaim(&'static str),
    /// A claim has a value that it can't have.
    #[error("the token's claim {claim} is not {wanted}")]
    InvalidClaim {
        /// The name of the claim.
        claim: &'static str,
        /// The value that it must have.
        wanted: &'static str,
    },
    /// The token is from another issuer.
    #[error("the token is from another issuer than the one that is trusted here")]
    Issuer,
    /// The token is for another audience.
    #[error("the token is for another audience than this service")]
    Audience,
    /// The token has expired.
    #[error("the token expired {0} s ago; get a new one")]
    Expired(u64),
    /// The token is not valid yet.
    #[error("the token is valid only in {0} s; check the clocks of this host and of the issuer")]
    NotYetValid(u64),
}

/// The most characters of a text that are shown.
const SHOWN: usize = 64;

/// Text from a token, a JWKS or a certificate, in quotation marks, with escapes for what is not printable, and cut after 64
/// characters. So it can neither forge a line in a log nor fill it.
#[derive(Clone, PartialEq, Eq)]
pub struct Quoted(Box<str>);

impl Quoted {
    pub(in crate::auth) fn new(text: &str) -> Self {
        let shown: String = text.chars().take(SHOWN).collect();
        let more = if shown.len() < text.len() { "…" } else { "" };
        Self(format!("{shown:?}{more}").into())
    }
}

impl fmt::Display for Quoted {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

impl fmt::Debug for Quoted {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::Quoted;

    #[test]
    fn text_of_strangers_is_escaped_and_cut() {
        assert_eq!(Quoted::new("key-1").to_string(), r#""key-1""#);
        assert_eq!(
            Quoted::new("a\nb\u{202e}\"").to_string(),
            r#""a\nb\u{202e}\"""#
        );
        let long = Quoted::new(&"ä".repeat(65)).to_string();
        assert_eq!(long, format!("\"{}\"…", "ä".repeat(64)));
    }
}
