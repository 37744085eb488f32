//! The form of a token: a JSON Web Signature in its compact serialization (RFC 7515).

use std::borrow::Cow;
use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::de::IgnoredAny;
use serde::{Deserialize, Deserializer};

use super::algorithm::Algorithm;
use super::error::{Quoted, TokenError};
use super::key_set::KeySet;
use crate::json_object::Object;

/// The most bytes of a token: as much as common servers take of headers in all.
pub const LARGEST_TOKEN: usize = 8 * 1024;

/// The parts of a token of which nobody knows yet who made it.
pub(super) struct Jws<'a> {
    algorithm: Algorithm,
    key_id: Option<String>,
    message: &'a str,
    payload: &'a str,
    signature: Vec<u8>,
}

/// The members of a header that are read. Everything else is ignored, above all `jwk`, `jku`, `x5u` and `x5c`: a key that
/// comes with a token proves nothing.
#[derive(Deserialize)]
struct Header<'a> {
    #[serde(borrow)]
    alg: Cow<'a, str>,
    #[serde(borrow)]
    kid: Option<Cow<'a, str>>,
    #[serde(borrow)]
    typ: Option<Cow<'a, str>>,
    #[serde(default)]
    crit: Present,
}

/// Whether a member is there, with any value, `null` too.
#[derive(Default)]
struct Present(bool);

impl<'de> Deserialize<'de> for Present {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        IgnoredAny::deserialize(deserializer).map(|_| Self(true))
    }
}

impl<'a> Jws<'a> {
    pub(super) fn parse(token: &'a str) -> Result<Self, TokenError> {
        check_length(token)?;
        let not_three = TokenError::Malformed("it has not three parts with a dot between each");
        let (message, signature) = token.rsplit_once('.').ok_or(not_three.clone())?;
        let (header, payload) = message.split_once('.').ok_or(not_three.clone())?;
        if payload.contains('.') {
            return Err(not_three);
        }
        let header = decode(header, "its header is not base64url")?;
        let header: Header = object(&header, "its header is no JSON object with alg")?;
        // `none` ends here too, before anything looks at the signature.
        let algorithm = Algorithm::from_name(&header.alg)
            .ok_or_else(|| TokenError::Algorithm(Quoted::new(&header.alg)))?;
        if header.crit.0 {
            return Err(TokenError::Critical);
        }
        if let Some(kind) = header.typ.as_deref().filter(|kind| !is_access_token(kind)) {
            return Err(TokenError::Type(Quoted::new(kind)));
        }
        Ok(Self {
            algorithm,
            key_id: header.kid.map(Cow::into_owned),
            message,
            payload,
            signature: decode(signature, "its signature is not base64url")?,
        })
    }

    /// The payload, if one of the keys signed it.
    pub(super) fn verify(&self, keys: &KeySet) -> Result<Vec<u8>, TokenError> {
        let candidates = keys.candidates(self.key_id.as_deref(), self.algorithm)?;
        let message = self.message.as_bytes();
        if candidates
            .iter()
            .any(|key| key.verifies(message, &self.signature))
        {
            decode(self.payload, "its payload is not base64url")
        } else {
            Err(TokenError::Signature)
        }
    }
}

/// Refuses a token that is too long to be looked into.
pub(super) fn check_length(token: &str) -> Result<(), TokenError> {
    let (length, limit) = (token.len(), LARGEST_TOKEN);
    if length > limit {
        return Err(TokenError::TooLarge { length, limit });
    }
    Ok(())
}

/// Whether a `typ` is that of an access token. One of another kind, such as `logout+jwt`, was not made to call a service
/// with (RFC 8725, 3.11). `JOSE` says no more than that this is a JWS in its compact serialization (RFC 7515, 4.1.9). Media
/// types have no case.
fn is_access_token(kind: &str) -> bool {
    let kind = kind.to_ascii_lowercase();
    let kind = kind.strip_prefix("application/").unwrap_or(&kind);
    matches!(kind, "jwt" | "at+jwt" | "jose")
}

/// Decodes strictly: no padding, no spare bits, no white space. So one token has one spelling.
fn decode(part: &str, problem: &'static str) -> Result<Vec<u8>, TokenError> {
    URL_SAFE_NO_PAD
        .decode(part)
        .map_err(|_| TokenError::Malformed(problem))
}

/// Reads a JSON object. `serde_json` would take other bytes than UTF-8 (RFC 7515, 5.2) in a member that nobody reads.
pub(super) fn object<'a, T: Deserialize<'a>>(
    json: &'a [u8],
    problem: &'static str,
) -> Result<T, TokenError> {
    let text = std::str::from_utf8(json).map_err(|_| TokenError::Malformed(problem))?;
    let Object(object) = serde_json::from_str(text).map_err(|_| TokenError::Malformed(problem))?;
    Ok(object)
}

impl fmt::Debug for Jws<'_> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "Jws({})", self.algorithm)
    }
}
