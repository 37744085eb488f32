//! A token is a password. Nothing that may reach a log repeats it.

use serde_json::json;

use super::signer::{Signer, good_claims, key_set, now, verifier};

#[test]
fn no_error_repeats_a_token_or_its_claims() {
    let (signer, other) = (Signer::ed(), Signer::ed());
    let (keys, verifier) = (key_set(&[signer.jwk("k")]), verifier());
    let claims = |changes: serde_json::Value| {
        let mut claims = good_claims();
        claims["private"] = "do-not-show".into();
        for (name, value) in changes.as_object().unwrap() {
            claims[name] = value.clone();
        }
        claims
    };
    let payload = claims(json!({})).to_string();
    let good = signer.token("k", &claims(json!({})));
    let tokens = [
        other.token("k", &claims(json!({}))),
        signer.token("unknown", &claims(json!({}))),
        signer.token("k", &claims(json!({"sub": "do not show"}))),
        signer.token("k", &claims(json!({"sub": 1_234_567}))),
        signer.token("k", &claims(json!({"iss": "do-not-show"}))),
        signer.token("k", &claims(json!({"aud": ["do-not-show"]}))),
        signer.token("k", &claims(json!({"exp": "do-not-show"}))),
        signer.token("k", &claims(json!({"exp": 1}))),
        signer.token("k", &claims(json!({"nbf": 1_900_000_000}))),
        signer.sign(&json!({"alg": "none", "kid": "k"}), &payload),
        signer.sign(
            &json!({"alg": "EdDSA", "kid": "k", "crit": ["do-not-show"]}),
            &payload,
        ),
        signer.sign(&json!({"alg": "ES256", "kid": "k"}), &payload),
        signer.sign(&json!({"alg": "EdDSA", "kid": "k"}), "\"do-not-show\""),
        good.clone() + "x",
        good.clone() + "=",
        good.replacen('.', "", 1),
        format!("{good}{}", "x".repeat(9_000)),
    ];
    for token in tokens {
        let error = verifier.verify(&token, &keys, now()).unwrap_err();
        let shown = format!("{error} {error:?}");
        for secret in token.split('.').filter(|part| part.len() > 8) {
            assert!(!shown.contains(&secret[..secret.len().min(20)]), "{shown}");
        }
        for secret in ["do-not-show", "do not show", "1234567", "cleaner"] {
            assert!(!shown.contains(secret), "{shown}");
        }
    }
}

#[test]
fn no_type_shows_a_token() {
    let signer = Signer::rsa();
    let (keys, verifier) = (key_set(&[signer.jwk("k")]), verifier());
    let token = signer.token("k", &good_claims());
    let holder = verifier.verify(&token, &keys, now()).unwrap();
    let parsed = crate::auth::token::jws::Jws::parse(&token).unwrap();
    let shown = format!("{verifier:?} {keys:?} {holder:?} {parsed:?}");
    for part in token.split('.') {
        assert!(!shown.contains(&part[..20]), "{shown}");
    }
}
