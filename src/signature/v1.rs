//! Signature V1: HMAC-SHA1 over all parameters, of which the signature is one.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use ring::hmac;

use super::{Pair, canonical_query, encode};

/// The parameter that carries the signature, and is not signed.
const SIGNATURE: &str = "Signature";

/// The string that is signed.
#[must_use]
pub fn string_to_sign(method: &str, parameters: &[Pair]) -> String {
    let signed = parameters.iter().filter(|(name, _)| name != SIGNATURE);
    format!("{method}&%2F&{}", encode(&canonical_query(signed)))
}

/// The signature, in base64.
#[must_use]
pub fn sign(method: &str, parameters: &[Pair], secret: &str) -> String {
    let text = string_to_sign(method, parameters);
    STANDARD.encode(hmac::sign(&key(secret), text.as_bytes()))
}

/// Whether a signature is that of these parameters by this secret; compared in constant time.
#[must_use]
pub fn is_signed(method: &str, parameters: &[Pair], signature: &str, secret: &str) -> bool {
    let Ok(signature) = STANDARD.decode(signature) else {
        return false;
    };
    let text = string_to_sign(method, parameters);
    hmac::verify(&key(secret), text.as_bytes(), &signature).is_ok()
}

fn key(secret: &str) -> hmac::Key {
    let secret = format!("{secret}&");
    hmac::Key::new(hmac::HMAC_SHA1_FOR_LEGACY_USE_ONLY, secret.as_bytes())
}
