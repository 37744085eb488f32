use serde_json::{Value, json};

use super::signer::{Signer, encode, good_claims, key_set, verify};
use crate::auth::token::{KeySet, KeySetError, LARGEST_JWKS, TokenError};

/// Why a set of this key alone is refused.
fn refusal(jwk: &Value) -> String {
    let jwks = json!({"keys": [jwk]}).to_string();
    let error = KeySet::parse(jwks.as_bytes()).unwrap_err();
    assert!(matches!(error, KeySetError::NothingUsable(_)), "{error}");
    error.to_string()
}

fn with(signer: &Signer, name: &str, value: Value) -> Value {
    let mut jwk = signer.jwk("k");
    jwk[name] = value;
    jwk
}

#[test]
fn keys_of_other_kinds_are_skipped_and_counted() {
    let signer = Signer::ec();
    let keys = key_set(&[
        json!({"kty": "oct", "kid": "secret", "k": "c2VjcmV0"}),
        with(&Signer::rsa(), "use", "enc".into()),
        json!({"kty": "EC", "crv": "P-521", "x": "AA", "y": "AA"}),
        json!("no object"),
        signer.jwk("good"),
    ]);
    assert_eq!(keys.usable(), 1);
    let skipped: Vec<String> = keys.skipped().iter().map(ToString::to_string).collect();
    assert_eq!(
        skipped,
        [
            r#"key 1 (kid "secret") is of kind "oct", not RSA, EC P-256 or OKP Ed25519"#,
            r#"key 2 (kid "k") is for use "enc", not sig"#,
            r#"key 3 is of kind "EC P-521", not RSA, EC P-256 or OKP Ed25519"#,
            "key 4 is no object with members of the right types",
        ]
    );
}

#[test]
fn alg_use_and_key_ops_are_honoured() {
    let [rsa, ec, ed] = Signer::all();
    for jwk in [
        with(&rsa, "alg", "RS256".into()),
        with(&ec, "alg", "ES256".into()),
        with(&ed, "alg", "EdDSA".into()),
        with(&ed, "alg", "Ed25519".into()),
        with(&ed, "use", "sig".into()),
        with(&ed, "key_ops", json!(["verify"])),
        with(&ed, "x5c", json!(["MIIB"])),
    ] {
        assert_eq!(key_set(&[jwk]).usable(), 1);
    }
    for name in ["PS256", "RS512", "HS256", "RSA-OAEP", "ES256", ""] {
        let refused = refusal(&with(&rsa, "alg", name.into()));
        assert!(refused.contains(&format!("{name:?}")), "{refused}");
    }
    assert!(refusal(&with(&ec, "use", "enc".into())).contains("\"enc\""));
    assert!(refusal(&with(&ed, "key_ops", json!(["sign"]))).contains("key_ops"));
    assert!(refusal(&with(&ed, "key_ops", json!([]))).contains("key_ops"));
}

#[test]
fn weak_rsa_keys_are_refused() {
    let rsa = Signer::rsa();
    let mut modulus = vec![0xff; 128];
    assert!(refusal(&with(&rsa, "n", encode(&modulus).into())).contains("of 1024 bits"));
    modulus = vec![0xff; 256];
    modulus[0] = 0x7f;
    assert!(refusal(&with(&rsa, "n", encode(&modulus).into())).contains("of 2047 bits"));
    assert!(refusal(&with(&rsa, "n", encode([0xff; 1_025]).into())).contains("of 8200 bits"));
    for exponent in [
        vec![],
        vec![1],
        vec![2],
        vec![0],
        vec![1, 0, 0, 0, 0, 0, 0, 0, 1],
    ] {
        assert!(refusal(&with(&rsa, "e", encode(exponent).into())).contains("member e"));
    }
}

#[test]
fn a_modulus_may_have_a_leading_zero() {
    let signer = Signer::rsa();
    let ring::signature::RsaPublicKeyComponents { n, .. } = match &signer {
        Signer::Rsa(key) => ring::signature::RsaPublicKeyComponents::<Vec<u8>>::from(key.public()),
        _ => unreachable!("an RSA key was asked for"),
    };
    let jwk = with(&signer, "n", encode([vec![0], n].concat()).into());
    verify(&signer.token("k", &good_claims()), &[jwk]).unwrap();
}

#[test]
fn a_private_key_is_refused_and_not_repeated() {
    let secret = encode([7; 32]);
    let refused = refusal(&with(&Signer::ed(), "d", secret.as_str().into()));
    assert!(
        refused.contains("private key") && !refused.contains(&secret),
        "{refused}"
    );
}

#[test]
fn members_that_are_missing_or_garbled_are_named() {
    let [rsa, ec, ed] = Signer::all();
    for (signer, name) in [(&rsa, "n"), (&rsa, "e"), (&ec, "x"), (&ec, "y"), (&ed, "x")] {
        for value in [json!(null), json!("!"), json!("AA==")] {
            let refused = refusal(&with(signer, name, value.clone()));
            assert!(
                refused.contains(&format!("member {name}")),
                "{name} {value}: {refused}"
            );
        }
    }
    assert!(refusal(&with(&ec, "x", "AA".into())).contains("member x"));
}

#[test]
fn a_point_off_the_curve_verifies_nothing() {
    let signer = Signer::ec();
    let jwk = with(&signer, "y", encode([9; 32]).into());
    let token = signer.token("k", &good_claims());
    assert_eq!(verify(&token, &[jwk]), Err(TokenError::Signature));
}

#[test]
fn what_is_no_jwks_is_refused() {
    let jwk = Signer::ed().jwk("k").to_string();
    for text in [
        "",
        "{}",
        "[]",
        "null",
        "-----BEGIN PUBLIC KEY-----",
        &jwk,
        r#"{"keys": {}}"#,
        r#"[[{"kty": "OKP"}]]"#,
    ] {
        let error = KeySet::parse(text.as_bytes()).unwrap_err();
        assert!(
            error.to_string().contains("this is no JWKS"),
            "{text}: {error}"
        );
    }
    let error = KeySet::parse(br#"{"keys": []}"#).unwrap_err();
    assert!(matches!(error, KeySetError::Empty), "{error}");
    let error = KeySet::parse(&vec![b' '; LARGEST_JWKS + 1]).unwrap_err();
    assert!(matches!(error, KeySetError::TooLarge(_)), "{error}");
}

#[test]
fn many_unusable_keys_make_a_short_error() {
    let keys: Vec<Value> = (0..100)
        .map(|_| json!({"kty": "oct".repeat(100)}))
        .collect();
    let error = KeySet::parse(json!({ "keys": keys }).to_string().as_bytes()).unwrap_err();
    let text = error.to_string();
    assert!(
        text.ends_with("and 95 more") && text.len() < 1_000,
        "{text}"
    );
}
