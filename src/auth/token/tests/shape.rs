use proptest::prelude::*;
use serde_json::json;

use super::signer::{Signer, encode, good_claims, key_set, now, verifier, verify};
use crate::auth::token::{KeySet, LARGEST_TOKEN, TokenError};

#[test]
fn a_truncated_token_is_refused() {
    let signer = Signer::ed();
    let token = signer.token("k", &good_claims());
    let (keys, verifier) = (key_set(&[signer.jwk("k")]), verifier());
    for end in 0..token.len() {
        verifier.verify(&token[..end], &keys, now()).unwrap_err();
    }
    verifier.verify(&token, &keys, now()).unwrap();
}

#[test]
fn a_token_has_one_spelling() {
    let signer = Signer::ed();
    let token = signer.token("k", &good_claims());
    // The 64 bytes of a signature leave four bits of its last letter unused.
    let last = token.chars().last().unwrap();
    let spare = if last == 'A' {
        'B'
    } else {
        char::from(last as u8 + 1)
    };
    let changed = [
        format!("{token}="),
        format!("{token} "),
        format!(" {token}"),
        format!("{token}\n"),
        format!("Bearer {token}"),
        format!("{token}."),
        format!(".{token}"),
        format!("{token}.{}", encode("{}")),
        format!("{}{spare}", &token[..token.len() - 1]),
    ];
    for token in changed {
        verify(&token, &[signer.jwk("k")]).unwrap_err();
    }
}

#[test]
fn a_huge_token_is_not_looked_into() {
    let signer = Signer::ed();
    let mut claims = good_claims();
    claims["groups"] = "x".repeat(8_000).into();
    let token = signer.token("k", &claims);
    let (length, limit) = (token.len(), LARGEST_TOKEN);
    assert_eq!(
        verify(&token, &[signer.jwk("k")]),
        Err(TokenError::TooLarge { length, limit })
    );
    claims["groups"] = "x".repeat(5_500).into();
    verify(&signer.token("k", &claims), &[signer.jwk("k")]).unwrap();
}

#[test]
fn a_header_is_an_object_with_a_name_in_alg() {
    let signer = Signer::ed();
    let headers = [
        json!({}),
        json!({"alg": 1}),
        json!({"alg": null}),
        json!(["EdDSA", "k", "JWT", null]),
        json!("EdDSA"),
        json!({"alg": "EdDSA", "kid": 1}),
    ];
    for header in headers {
        let token = signer.sign(&header, &good_claims().to_string());
        let error = verify(&token, &[signer.jwk("k")]).unwrap_err();
        assert!(
            matches!(error, TokenError::Malformed(_)),
            "{header}: {error:?}"
        );
    }
}

#[test]
fn a_header_and_claims_are_utf_8_in_what_nobody_reads_too() {
    let signer = Signer::ed();
    let (header, claims) = (r#"{"alg":"EdDSA","other":"?"}"#, good_claims());
    let claims = claims.to_string().replacen('{', r#"{"other":"?","#, 1);
    let other = |text: &str| {
        let bytes = text.bytes();
        bytes
            .map(|byte| if byte == b'?' { 0xff } else { byte })
            .collect::<Vec<_>>()
    };
    let verify_signed = |header: &[u8], claims: &[u8]| {
        let message = format!("{}.{}", encode(header), encode(claims));
        let signature = encode(signer.signature(message.as_bytes()));
        verify(&format!("{message}.{signature}"), &[signer.bare_jwk()])
    };
    verify_signed(header.as_bytes(), claims.as_bytes()).unwrap();
    for (header, claims) in [
        (other(header), claims.clone().into_bytes()),
        (header.as_bytes().to_vec(), other(&claims)),
    ] {
        let error = verify_signed(&header, &claims).unwrap_err();
        assert!(matches!(error, TokenError::Malformed(_)), "{error:?}");
    }
}

fn any_signer_keys() -> KeySet {
    key_set(&Signer::all().map(|signer| signer.jwk("k")))
}

proptest! {
    #[test]
    fn garbage_never_panics_and_never_passes(text in ".{0,200}", shape in "[A-Za-z0-9_.-]{0,300}") {
        let (keys, verifier) = (any_signer_keys(), verifier());
        prop_assert!(verifier.verify(&text, &keys, now()).is_err());
        prop_assert!(verifier.verify(&shape, &keys, now()).is_err());
    }

    #[test]
    fn garbage_in_the_parts_never_panics_and_never_passes(
        header in prop::collection::vec(any::<u8>(), 0..60),
        name in prop::sample::select(vec!["RS256", "ES256", "EdDSA"]),
        payload in prop::collection::vec(any::<u8>(), 0..60),
        signature in prop::collection::vec(any::<u8>(), 0..300),
    ) {
        let (keys, verifier) = (any_signer_keys(), verifier());
        let (payload, signature) = (encode(payload), encode(signature));
        let named = json!({"alg": name, "kid": "k"}).to_string();
        for header in [encode(header), encode(named)] {
            let token = format!("{header}.{payload}.{signature}");
            prop_assert!(verifier.verify(&token, &keys, now()).is_err());
        }
    }

    #[test]
    fn signed_garbage_never_panics(payload in ".{0,200}") {
        let signer = Signer::ed();
        let token = signer.sign(&json!({"alg": "EdDSA"}), &payload);
        prop_assert!(verify(&token, &[signer.bare_jwk()]).is_err());
    }

    #[test]
    fn a_flipped_bit_is_noticed(position in 0_usize..10_000, bit in 0_u8..7) {
        let signer = Signer::ed();
        let mut token = signer.token("k", &good_claims()).into_bytes();
        let position = position % token.len();
        token[position] ^= 1 << bit;
        let token = String::from_utf8(token).unwrap();
        prop_assert!(verify(&token, &[signer.jwk("k")]).is_err());
    }

    #[test]
    fn a_garbled_jwks_never_panics(text in ".{0,200}", kty in "RSA|EC|OKP|oct|.{0,5}", n in ".{0,80}") {
        let _ = KeySet::parse(text.as_bytes());
        let entry = json!({"kty": kty, "crv": "P-256", "n": n, "e": n, "x": n, "y": n});
        let _ = KeySet::parse(json!({"keys": [entry, n]}).to_string().as_bytes());
    }
}
