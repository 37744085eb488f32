//! The keys that an issuer publishes, as a JSON Web Key Set (RFC 7517).

use std::fmt;

use serde::Deserialize;
use sha2::{Digest as _, Sha256};
use thiserror::Error;

use super::algorithm::Algorithm;
use super::error::{Quoted, TokenError};
use super::public_key::{Jwk, PublicKey, Reason};
use crate::bom::{OtherEncoding, without_bom};
use crate::json_object::Object;

/// The most bytes of a JWKS. Sets in the field have a few keys, of under 1 KiB each.
pub const LARGEST_JWKS: usize = 256 * 1024;

/// The most keys that one token is tried with, since each try costs a verification: the previous, the current and the
/// next one.
const MOST_TRIES: usize = 3;

/// The public keys that tokens are verified with, at least one.
#[derive(Debug)]
pub struct KeySet {
    keys: Vec<Key>,
    skipped: Vec<Skipped>,
    fingerprint: [u8; 32],
}

#[derive(Debug)]
struct Key {
    id: Option<String>,
    public: PublicKey,
}

/// Why a JWKS can't be used.
#[derive(Debug, Error)]
pub enum KeySetError {
    /// The JWKS has more bytes than [`LARGEST_JWKS`].
    #[error("the JWKS has {0} bytes, over {LARGEST_JWKS}; keep only the keys of the token issuer")]
    TooLarge(usize),
    /// The JWKS is in another encoding than UTF-8.
    #[error("this is no JWKS: {0}")]
    Encoding(#[from] OtherEncoding),
    /// The text is no JWKS.
    #[error("this is no JWKS: {0}; it has to be JSON such as {{\"keys\": [{{\"kty\": …}}]}}")]
    Unreadable(serde_json::Error),
    /// The JWKS has no key.
    #[error("the JWKS has no key; add the public keys of the token issuer")]
    Empty,
    /// The JWKS has only keys that no token can be verified with.
    #[error(
        "the JWKS has no usable key; publish one for RS256 (at least 2048 bits), ES256 or EdDSA: {}",
        listed(.0)
    )]
    NothingUsable(Vec<Skipped>),
}

#[derive(Deserialize)]
struct Jwks {
    keys: Vec<serde_json::Value>,
}

impl KeySet {
    /// Reads a JWKS. Entries that no token can be verified with are [skipped](Self::skipped).
    ///
    /// # Errors
    ///
    /// If this is no JWKS, or one without any usable key.
    pub fn parse(jwks: &[u8]) -> Result<Self, KeySetError> {
        if jwks.len() > LARGEST_JWKS {
            return Err(KeySetError::TooLarge(jwks.len()));
        }
        let text = without_bom(jwks)?;
        let Object::<Jwks>(entries) =
            serde_json::from_slice(text).map_err(KeySetError::Unreadable)?;
        let (mut keys, mut skipped) = (Vec::new(), Vec::new());
        for (index, entry) in entries.keys.iter().enumerate() {
            match read_key(entry) {
                Ok(key) => keys.push(key),
                Err(reason) => skipped.push(Skipped {
                    position: index + 1,
                    key_id: entry["kid"].as_str().map(Quoted::new),
                    reason,
                }),
            }
        }
        match (keys.is_empty(), skipped.is_empty()) {
            (true, true) => Err(KeySetError::Empty),
            (true, false) => Err(KeySetError::NothingUsable(skipped)),
            (false, _) => Ok(Self {
                keys,
                skipped,
                fingerprint: Sha256::digest(jwks).into(),
            }),
        }
    }

    /// How many keys can be used.
    #[must_use]
    pub fn usable(&self) -> usize {
        self.keys.len()
    }

    /// The entries that can't be used. Each deserves a warning in the log.
    #[must_use]
    pub fn skipped(&self) -> &[Skipped] {
        &self.skipped
    }

    /// The SHA-256 of the JWKS: sets with the same one have the same keys.
    pub(super) fn fingerprint(&self) -> &[u8; 32] {
        &self.fingerprint
    }

    /// The keys that may have signed a token with this header: of the algorithm, and with the key id if the token names one.
    pub(super) fn candidates(
        &self,
        key_id: Option<&str>,
        algorithm: Algorithm,
    ) -> Result<Vec<&PublicKey>, TokenError> {
        let named = |key: &&Key| key_id.is_none() || key.id.as_deref() == key_id;
        let keys: Vec<&PublicKey> = self
            .keys
            .iter()
            .filter(named)
            .map(|key| &key.public)
            .filter(|key| key.algorithm() == algorithm)
            .collect();
        match (keys.len(), key_id) {
            (1..=MOST_TRIES, _) => Ok(keys),
            (0, Some(key_id)) if !self.keys.iter().any(|key| named(&key)) => {
                Err(TokenError::UnknownKey(Quoted::new(key_id)))
            }
            (0, _) => Err(TokenError::KeyAlgorithm(algorithm)),
            _ => Err(TokenError::AmbiguousKey),
        }
    }
}

fn read_key(entry: &serde_json::Value) -> Result<Key, Reason> {
    let jwk = Jwk::deserialize(entry).map_err(|_| Reason::Unreadable)?;
    let public = PublicKey::try_from(&jwk)?;
    Ok(Key {
        id: jwk.kid,
        public,
    })
}

/// The first few of the skipped entries in words, since an error is one line.
fn listed(skipped: &[Skipped]) -> String {
    const SHOWN: usize = 5;
    let mut text: Vec<String> = skipped
        .iter()
        .take(SHOWN)
        .map(ToString::to_string)
        .collect();
    if skipped.len() > SHOWN {
        text.push(format!("and {} more", skipped.len() - SHOWN));
    }
    text.join("; ")
}

/// An entry of a JWKS that no token is verified with. It is worth a warning and no error: RFC 7517 (section 5) wants keys
/// of unknown kinds to be ignored, and an issuer may publish keys for other purposes beside.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Skipped {
    position: usize,
    key_id: Option<Quoted>,
    reason: Reason,
}

impl fmt::Display for Skipped {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "key {}", self.position)?;
        if let Some(key_id) = &self.key_id {
            write!(formatter, " (kid {key_id})")?;
        }
        write!(formatter, " {}", self.reason)
    }
}
