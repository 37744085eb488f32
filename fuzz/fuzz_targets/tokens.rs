//! Any bytes as a bearer token, as its header and claims, and as a JWKS. Nothing is taken that was not signed as it is; of what is
//! signed, what keeps the rules as they are written a second time here. The first byte says what the bytes are.

#![no_main]

use std::sync::LazyLock;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use libfuzzer_sys::fuzz_target;
use ring::signature::{Ed25519KeyPair, KeyPair as _};
use serde_json::{Value, json};
use untag::auth::token::{KeySet, TokenRules, Verified, Verifier};

const ISSUER: &str = "https://issuer.example.org";
const AUDIENCE: &str = "untag";
/// The time of each check, in seconds since 1970.
const NOW: u64 = 1_800_000_000;

/// A key that every run has, so that the seeds are signed with it.
static PAIR: LazyLock<Ed25519KeyPair> =
    LazyLock::new(|| Ed25519KeyPair::from_seed_unchecked(&[7; 32]).expect("any seed is a key"));
static KEYS: LazyLock<KeySet> = LazyLock::new(|| {
    let x = URL_SAFE_NO_PAD.encode(PAIR.public_key());
    let jwks = json!({"keys": [{"kty": "OKP", "crv": "Ed25519", "kid": "k", "x": x}]});
    KeySet::parse(jwks.to_string().as_bytes()).expect("the key is right")
});

fuzz_target!(|bytes: &[u8]| {
    match bytes.split_first() {
        Some((b't', rest)) => token(rest),
        Some((b'c', rest)) => claims(rest),
        Some((b'h', rest)) => header(rest),
        Some((b'k', rest)) => key_set(rest),
        _ => {}
    }
});

/// Of a verifier that remembers nothing.
fn verify(token: &str) -> Option<Verified> {
    let rules = TokenRules::new(ISSUER, AUDIENCE).expect("the rules are right");
    let now = UNIX_EPOCH + Duration::from_secs(NOW);
    Verifier::new(rules).verify(token, &KEYS, now).ok()
}

fn signed(header: &[u8], payload: &[u8]) -> String {
    let [header, payload] = [header, payload].map(|part| URL_SAFE_NO_PAD.encode(part));
    let message = format!("{header}.{payload}");
    let signature = PAIR.sign(message.as_bytes());
    format!("{message}.{}", URL_SAFE_NO_PAD.encode(signature))
}

/// A token is taken in one spelling: that which its parts are signed in.
fn token(bytes: &[u8]) {
    if let Ok(text) = std::str::from_utf8(bytes)
        && verify(text).is_some()
    {
        let mut parts = text.split('.').map(|part| URL_SAFE_NO_PAD.decode(part));
        let mut part = || parts.next().expect("three parts").expect("base64url");
        let (header, payload) = (part(), part());
        assert_eq!(text, signed(&header, &payload));
    }
}

/// The claims decide by the rules, once they are signed.
fn claims(payload: &[u8]) {
    let token = signed(br#"{"alg":"EdDSA","kid":"k"}"#, payload);
    let taken = verify(&token);
    let Ok(Value::Object(claims)) = serde_json::from_slice::<Value>(payload) else {
        assert_eq!(taken, None);
        return;
    };
    let is_of_us = claims.get("iss") == Some(&json!(ISSUER))
        && match claims.get("aud") {
            Some(Value::String(one)) => one == AUDIENCE,
            Some(Value::Array(all)) => all.contains(&json!(AUDIENCE)),
            _ => false,
        };
    let seconds = |name: &str| claims.get(name).and_then(Value::as_f64);
    let now = NOW as f64;
    let is_valid = seconds("exp").is_some_and(|end| now < end + 30.0)
        && (seconds("nbf").is_some_and(|begin| begin <= now + 30.0)
            || matches!(claims.get("nbf"), None | Some(Value::Null)));
    let subject = claims
        .get("sub")
        .and_then(Value::as_str)
        .unwrap_or_default();
    let is_subject =
        (1..=512).contains(&subject.len()) && subject.bytes().all(|byte| byte.is_ascii_graphic());
    if let Some(verified) = taken {
        assert!(is_of_us && is_valid && is_subject, "{claims:?}");
        assert!(verified.caller.as_str().ends_with(subject));
        assert!(verified.expires > SystemTime::UNIX_EPOCH);
    }
}

/// No header makes a token without a signature good, and none brings a key along.
fn header(header: &[u8]) {
    let payload = json!({"iss": ISSUER, "aud": AUDIENCE, "sub": "cleaner", "exp": NOW + 600});
    let payload = payload.to_string();
    let good = signed(header, payload.as_bytes());
    if verify(&good).is_some() {
        let header: Value = serde_json::from_slice(header).expect("a header is JSON");
        assert_eq!(header["alg"], "EdDSA");
        assert!(header.get("crit").is_none());
    }
    let (message, signature) = good.rsplit_once('.').expect("three parts");
    assert_eq!(verify(&format!("{message}.")), None);
    let mut other = URL_SAFE_NO_PAD.decode(signature).expect("it is base64url");
    other[0] ^= 1;
    let other = URL_SAFE_NO_PAD.encode(other);
    assert_eq!(verify(&format!("{message}.{other}")), None);
}

/// A JWKS has a usable key, each entry is used or skipped, and a skipped one says why in one line.
fn key_set(jwks: &[u8]) {
    match KeySet::parse(jwks) {
        Ok(keys) => {
            let jwks = jwks.strip_prefix(b"\xef\xbb\xbf").unwrap_or(jwks);
            // Members that nobody reads may have any bytes.
            let Ok(value) = serde_json::from_slice::<Value>(jwks) else {
                return;
            };
            let entries = value["keys"].as_array().map_or(0, Vec::len);
            assert!(keys.usable() > 0);
            assert_eq!(keys.usable() + keys.skipped().len(), entries);
            for skipped in keys.skipped() {
                assert!(!skipped.to_string().contains('\n'));
            }
            // A key that nobody here holds takes no token of ours, and ours does.
            let rules = TokenRules::new(ISSUER, AUDIENCE).expect("the rules are right");
            let now = UNIX_EPOCH + Duration::from_secs(NOW);
            let payload = json!({"iss": ISSUER, "aud": AUDIENCE, "sub": "c", "exp": NOW + 600});
            let token = signed(br#"{"alg":"EdDSA"}"#, payload.to_string().as_bytes());
            let x = URL_SAFE_NO_PAD.encode(PAIR.public_key());
            let has_ours = value.to_string().contains(&x);
            let taken = Verifier::new(rules).verify(&token, &keys, now).is_ok();
            assert!(!taken || has_ours);
        }
        Err(error) => assert!(!error.to_string().is_empty()),
    }
}
