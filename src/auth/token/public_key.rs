//! Public keys, made from the entries of a JWKS.

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use ring::signature::{
    ECDSA_P256_SHA256_FIXED, ED25519, RSA_PKCS1_2048_8192_SHA256, RsaPublicKeyComponents,
    UnparsedPublicKey,
};
use serde::Deserialize;
use thiserror::Error;

use super::algorithm::Algorithm;
use super::error::Quoted;

/// The sizes of RSA keys, in bits, that ring verifies with. Below 2,048 a key can be broken (RFC 8725, section 3.5).
const RSA_BITS: std::ops::RangeInclusive<usize> = 2_048..=8_192;

/// The exponents of RSA keys that ring verifies with; 1 would let anybody sign.
const RSA_EXPONENTS: std::ops::Range<u64> = 3..1 << 33;

/// The members of an entry of a JWKS that matter here. Everything is optional, so that an entry of another kind is skipped and
/// does not make the whole set unreadable.
#[derive(Deserialize)]
pub(super) struct Jwk {
    kty: Option<String>,
    crv: Option<String>,
    pub(super) kid: Option<String>,
    alg: Option<String>,
    #[serde(rename = "use")]
    purpose: Option<String>,
    key_ops: Option<Vec<String>>,
    n: Option<String>,
    e: Option<String>,
    x: Option<String>,
    y: Option<String>,
    d: Option<serde::de::IgnoredAny>,
}

/// A public key. Its kind decides the algorithm, never what a token says: a public RSA key cannot become the secret of an
/// HMAC, since there is no code that would use it so.
pub(super) enum PublicKey {
    /// An RSA key: modulus and exponent, without leading zeros.
    Rsa { modulus: Vec<u8>, exponent: Vec<u8> },
    /// A key on P-256: an uncompressed point (4, x, y).
    P256([u8; 65]),
    /// A key for Ed25519: an encoded point.
    Ed25519([u8; 32]),
}

impl PublicKey {
    pub(super) fn algorithm(&self) -> Algorithm {
        match self {
            Self::Rsa { .. } => Algorithm::Rs256,
            Self::P256(_) => Algorithm::Es256,
            Self::Ed25519(_) => Algorithm::EdDsa,
        }
    }

    /// Whether the holder of the private key signed this message.
    pub(super) fn verifies(&self, message: &[u8], signature: &[u8]) -> bool {
        let verified = match self {
            Self::Rsa { modulus, exponent } => {
                let (n, e) = (modulus, exponent);
                RsaPublicKeyComponents { n, e }.verify(
                    &RSA_PKCS1_2048_8192_SHA256,
                    message,
                    signature,
                )
            }
            Self::P256(point) => {
                UnparsedPublicKey::new(&ECDSA_P256_SHA256_FIXED, point).verify(message, signature)
            }
            Self::Ed25519(point) => {
                UnparsedPublicKey::new(&ED25519, point).verify(message, signature)
            }
        };
        verified.is_ok()
    }
}

/// Why an entry of a JWKS is no key that tokens are verified with.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub(super) enum Reason {
    #[error("is no object with members of the right types")]
    Unreadable,
    #[error("is of kind {}, not RSA, EC P-256 or OKP Ed25519", Quoted::new(.0))]
    Kind(String),
    #[error("holds a private key; withdraw it, and publish only the public part of a new one")]
    Private,
    #[error("is for use {}, not sig", Quoted::new(.0))]
    Use(String),
    #[error("has key_ops without verify")]
    Operations,
    #[error("is for algorithm {}, which is not RS256, ES256 or EdDSA, or does not fit its kind", Quoted::new(.0))]
    Algorithm(String),
    #[error("is an RSA key of {0} bits, not of 2048 to 8192")]
    RsaSize(usize),
    #[error(
        "is a point of small order, for which anybody can sign; have the issuer publish another key"
    )]
    SmallOrder,
    #[error("has no valid member {0}")]
    Member(&'static str),
}

impl Reason {
    /// The name of a key's kind as its entry says it, such as `EC P-521` or `oct`.
    pub(super) fn name_of_kind(kty: Option<&str>, crv: Option<&str>) -> String {
        let words: Vec<&str> = [kty, crv].into_iter().flatten().collect();
        words.join(" ")
    }
}

impl TryFrom<&Jwk> for PublicKey {
    type Error = Reason;

    fn try_from(jwk: &Jwk) -> Result<Self, Reason> {
        let key = match (jwk.kty.as_deref(), jwk.crv.as_deref()) {
            (Some("RSA"), _) => rsa(jwk)?,
            (Some("EC"), Some("P-256")) => p256(jwk)?,
            (Some("OKP"), Some("Ed25519")) => ed25519(jwk)?,
            (kty, crv) => return Err(Reason::Kind(Reason::name_of_kind(kty, crv))),
        };
        if jwk.d.is_some() {
            return Err(Reason::Private);
        }
        if let Some(purpose) = jwk.purpose.as_deref().filter(|purpose| *purpose != "sig") {
            return Err(Reason::Use(purpose.to_owned()));
        }
        if let Some(operations) = &jwk.key_ops
            && !operations.iter().any(|operation| operation == "verify")
        {
            return Err(Reason::Operations);
        }
        match jwk.alg.as_deref() {
            Some(name) if Algorithm::from_name(name) != Some(key.algorithm()) => {
                Err(Reason::Algorithm(name.to_owned()))
            }
            _ => Ok(key),
        }
    }
}

fn rsa(jwk: &Jwk) -> Result<PublicKey, Reason> {
    let modulus = number("n", jwk.n.as_deref())?;
    let exponent = number("e", jwk.e.as_deref())?;
    let leading_zero_bits = modulus.first().map_or(0, |byte| byte.leading_zeros());
    let bits = modulus.len() * 8 - leading_zero_bits as usize;
    if !RSA_BITS.contains(&bits) {
        return Err(Reason::RsaSize(bits));
    }
    let value = exponent.iter().try_fold(0_u64, |value, byte| {
        Some(value.checked_mul(256)? + u64::from(*byte))
    });
    match value {
        Some(value) if RSA_EXPONENTS.contains(&value) && value % 2 == 1 => {
            Ok(PublicKey::Rsa { modulus, exponent })
        }
        _ => Err(Reason::Member("e")),
    }
}

fn p256(jwk: &Jwk) -> Result<PublicKey, Reason> {
    let (x, y): ([u8; 32], [u8; 32]) = (
        member("x", jwk.x.as_deref())?,
        member("y", jwk.y.as_deref())?,
    );
    let mut point = [4; 65];
    point[1..33].copy_from_slice(&x);
    point[33..].copy_from_slice(&y);
    Ok(PublicKey::P256(point))
}

fn ed25519(jwk: &Jwk) -> Result<PublicKey, Reason> {
    let point = member("x", jwk.x.as_deref())?;
    if is_of_small_order(&point) {
        return Err(Reason::SmallOrder);
    }
    Ok(PublicKey::Ed25519(point))
}

/// The y coordinates of the points of order 8 on the curve of Ed25519, as keys have them.
const ORDER_8: [[u8; 32]; 2] = [
    [
        0x26, 0xe8, 0x95, 0x8f, 0xc2, 0xb2, 0x27, 0xb0, 0x45, 0xc3, 0xf4, 0x89, 0xf2, 0xef, 0x98,
        0xf0, 0xd5, 0xdf, 0xac, 0x05, 0xd3, 0xc6, 0x33, 0x39, 0xb1, 0x38, 0x02, 0x88, 0x6d, 0x53,
        0xfc, 0x05,
    ],
    [
        0xc7, 0x17, 0x6a, 0x70, 0x3d, 0x4d, 0xd8, 0x4f, 0xba, 0x3c, 0x0b, 0x76, 0x0d, 0x10, 0x67,
        0x0f, 0x2a, 0x20, 0x53, 0xfa, 0x2c, 0x39, 0xcc, 0xc6, 0x4e, 0xc7, 0xfd, 0x77, 0x92, 0xac,
        0x03, 0x7a,
    ],
];

/// Whether a key is a point of order 1, 2, 4 or 8. Signatures for such a key are made without a private one: one that holds
/// for every message, or for one message in eight.
fn is_of_small_order(point: &[u8; 32]) -> bool {
    let mut y = *point;
    // The sign of x.
    y[31] &= 0x7f;
    let [low, middle @ .., high] = &y;
    let middle_is = |byte: u8| middle.iter().all(|other| *other == byte);
    // y is 0, 1 or -1. The first two may also have the prime of the field added, 2^255 - 19.
    let is_0_or_1 = *low <= 1 && middle_is(0) && *high == 0;
    let is_around_prime = (0xec..=0xee).contains(low) && middle_is(0xff) && *high == 0x7f;
    is_0_or_1 || is_around_prime || ORDER_8.contains(&y)
}

/// Reads a member of exactly `LENGTH` bytes.
fn member<const LENGTH: usize>(
    name: &'static str,
    text: Option<&str>,
) -> Result<[u8; LENGTH], Reason> {
    bytes(name, text)?
        .try_into()
        .map_err(|_| Reason::Member(name))
}

/// Reads an unsigned big-endian number. Leading zeros, which are against RFC 7518 but common, are dropped: ring refuses them.
fn number(name: &'static str, text: Option<&str>) -> Result<Vec<u8>, Reason> {
    let mut bytes = bytes(name, text)?;
    let zeros = bytes.iter().take_while(|byte| **byte == 0).count();
    bytes.drain(..zeros);
    Ok(bytes)
}

fn bytes(name: &'static str, text: Option<&str>) -> Result<Vec<u8>, Reason> {
    let text = text.ok_or(Reason::Member(name))?;
    URL_SAFE_NO_PAD
        .decode(text)
        .map_err(|_| Reason::Member(name))
}

impl fmt::Debug for PublicKey {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "PublicKey({})", self.algorithm())
    }
}
