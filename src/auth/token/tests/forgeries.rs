use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use ring::hmac;
use ring::signature::{ED25519, UnparsedPublicKey};
use serde_json::json;

use super::signer::{Signer, encode, good_claims, key_set, verify};
use crate::auth::token::TokenError;

#[test]
fn a_token_without_signature_is_refused() {
    let signer = Signer::rsa();
    for name in ["none", "None", "NONE", ""] {
        let header = encode(json!({"alg": name, "kid": "k"}).to_string());
        let token = format!("{header}.{}.", encode(good_claims().to_string()));
        let error = verify(&token, &[signer.jwk("k")]).unwrap_err();
        assert!(
            matches!(error, TokenError::Algorithm(_)),
            "{name}: {error:?}"
        );
    }
}

#[test]
fn an_empty_signature_is_refused() {
    for signer in Signer::all() {
        let token = signer.token("k", &good_claims());
        let message = token.rsplit_once('.').unwrap().0;
        let error = verify(&format!("{message}."), &[signer.jwk("k")]).unwrap_err();
        assert_eq!(error, TokenError::Signature);
    }
}

#[test]
fn a_public_key_is_no_hmac_secret() {
    let signer = Signer::rsa();
    let jwk = signer.jwk("k");
    let secrets = [jwk["n"].as_str().unwrap().to_owned(), jwk.to_string()];
    for secret in secrets {
        for header in [
            json!({"alg": "HS256", "kid": "k"}),
            json!({"alg": "RS256", "kid": "k"}),
        ] {
            let payload = encode(good_claims().to_string());
            let message = format!("{}.{payload}", encode(header.to_string()));
            let key = hmac::Key::new(hmac::HMAC_SHA256, secret.as_bytes());
            let tag = hmac::sign(&key, message.as_bytes());
            let token = format!("{message}.{}", encode(tag.as_ref()));
            let error = verify(&token, std::slice::from_ref(&jwk)).unwrap_err();
            assert!(
                matches!(error, TokenError::Algorithm(_) | TokenError::Signature),
                "{error:?}"
            );
        }
    }
}

#[test]
fn algorithms_beside_the_three_are_refused() {
    let signer = Signer::rsa();
    for name in [
        "HS256", "HS512", "RS384", "RS512", "PS256", "ES384", "ES256K", "rs256", "RSA1_5",
    ] {
        let header = json!({"alg": name, "kid": "k"});
        let token = signer.sign(&header, &good_claims().to_string());
        let error = verify(&token, &[signer.jwk("k")]).unwrap_err();
        assert!(error.to_string().contains(&format!("{name:?}")), "{error}");
    }
}

#[test]
fn a_keys_kind_decides_its_algorithm() {
    let [rsa, ec, ed] = Signer::all();
    for (signer, published) in [(&rsa, &ec), (&ec, &ed), (&ed, &rsa)] {
        let error = verify(&signer.token("k", &good_claims()), &[published.jwk("k")]).unwrap_err();
        assert!(matches!(error, TokenError::KeyAlgorithm(_)), "{error:?}");
        // The same, with a header that names the algorithm of the key.
        let header = json!({"alg": published.algorithm(), "kid": "k"});
        let token = signer.sign(&header, &good_claims().to_string());
        assert_eq!(
            verify(&token, &[published.jwk("k")]),
            Err(TokenError::Signature)
        );
    }
}

#[test]
fn a_key_id_may_stand_for_a_key_of_each_kind() {
    let signers = Signer::all();
    let keys: Vec<_> = signers.iter().map(|signer| signer.jwk("same")).collect();
    for signer in &signers {
        verify(&signer.token("same", &good_claims()), &keys).unwrap();
    }
}

#[test]
fn another_key_with_the_same_id_is_refused() {
    for (signer, published) in [
        (Signer::other_rsa(), Signer::rsa()),
        (Signer::ec(), Signer::ec()),
        (Signer::ed(), Signer::ed()),
    ] {
        let token = signer.token("k", &good_claims());
        assert_eq!(
            verify(&token, &[published.jwk("k")]),
            Err(TokenError::Signature)
        );
    }
}

#[test]
fn a_changed_payload_or_signature_is_refused() {
    for signer in Signer::all() {
        let token = signer.token("k", &good_claims());
        let parts: Vec<&str> = token.split('.').collect();
        let mut claims = good_claims();
        claims["sub"] = "admin".into();
        let payload = encode(claims.to_string());
        let changed = format!("{}.{payload}.{}", parts[0], parts[2]);
        assert_eq!(
            verify(&changed, &[signer.jwk("k")]),
            Err(TokenError::Signature)
        );

        let signature = signer.signature(format!("{}.{}", parts[0], parts[1]).as_bytes());
        for position in [0, signature.len() / 2, signature.len() - 1] {
            let mut signature = signature.clone();
            signature[position] ^= 1;
            let changed = format!("{}.{}.{}", parts[0], parts[1], encode(signature));
            assert_eq!(
                verify(&changed, &[signer.jwk("k")]),
                Err(TokenError::Signature)
            );
        }
    }
}

#[test]
fn a_key_in_the_header_is_not_used() {
    let (thief, issuer) = (Signer::rsa(), Signer::other_rsa());
    let header = json!({
        "alg": "RS256", "kid": "k", "jwk": thief.jwk("k"), "jku": "https://thief.example.org/jwks",
        "x5u": "https://thief.example.org/x5u", "x5c": ["MIIB"]
    });
    let payload = good_claims().to_string();
    let forged = thief.sign(&header, &payload);
    assert_eq!(
        verify(&forged, &[issuer.jwk("k")]),
        Err(TokenError::Signature)
    );
    // An honest issuer may send them; they change nothing.
    verify(&issuer.sign(&header, &payload), &[issuer.jwk("k")]).unwrap();
}

#[test]
fn extensions_that_have_to_be_understood_are_refused() {
    let signer = Signer::ed();
    for crit in [
        json!(["b64"]),
        json!(["exp"]),
        json!([]),
        json!(null),
        json!("x"),
    ] {
        let header = json!({"alg": "EdDSA", "kid": "k", "b64": false, "crit": crit});
        let token = signer.sign(&header, &good_claims().to_string());
        assert_eq!(
            verify(&token, &[signer.jwk("k")]),
            Err(TokenError::Critical)
        );
    }
}

#[test]
fn a_token_for_another_purpose_is_refused() {
    let signer = Signer::ed();
    let of_type = |kind: &str| {
        let header = json!({"alg": "EdDSA", "kid": "k", "typ": kind});
        let token = signer.sign(&header, &good_claims().to_string());
        verify(&token, &[signer.jwk("k")])
    };
    for kind in [
        "JWT",
        "jwt",
        "at+jwt",
        "application/at+jwt",
        "JOSE",
        "jose",
        "application/jose",
    ] {
        of_type(kind).unwrap();
    }
    for kind in ["logout+jwt", "dpop+jwt", "secevent+jwt", "JOSE+JSON", ""] {
        assert!(matches!(of_type(kind), Err(TokenError::Type(_))), "{kind}");
    }
}

#[test]
fn a_token_without_key_id_is_tried_with_the_keys_of_its_algorithm() {
    let signers: Vec<Signer> = (0..4).map(|_| Signer::ed()).collect();
    let keys: Vec<_> = signers.iter().map(Signer::bare_jwk).collect();
    let token = |signer: &Signer| signer.sign(&json!({"alg": "EdDSA"}), &good_claims().to_string());
    verify(&token(&signers[0]), &keys[..1]).unwrap();
    verify(&token(&signers[2]), &keys[..3]).unwrap();
    assert_eq!(
        verify(&token(&signers[3]), &keys[..3]),
        Err(TokenError::Signature)
    );
    assert_eq!(
        verify(&token(&signers[0]), &keys),
        Err(TokenError::AmbiguousKey)
    );
}

#[test]
fn an_unknown_key_is_named_but_never_at_length() {
    let signer = Signer::ed();
    let keys = [signer.jwk("k"), Signer::ed().bare_jwk()];
    let error = verify(&signer.token(&"x".repeat(500), &good_claims()), &keys).unwrap_err();
    assert!(matches!(error, TokenError::UnknownKey(_)));
    assert!(error.to_string().len() < 200, "{error}");
    assert_eq!(key_set(&keys).usable(), 2);
}

#[test]
fn a_key_of_small_order_for_which_anybody_can_sign_is_refused() {
    let point = |low: u8, middle: u8, high: u8| {
        let mut point = [middle; 32];
        (point[0], point[31]) = (low, high);
        point
    };
    // The neutral element: it holds for every message that its own point and no number sign.
    let neutral = point(1, 0, 0);
    let forged = [neutral, [0; 32]].concat();
    UnparsedPublicKey::new(&ED25519, neutral)
        .verify(b"anything", &forged)
        .expect("ring takes such a key");
    let order_8 = [
        "JuiVj8KyJ7BFw_SJ8u-Y8NXfrAXTxjM5sTgCiG1T_AU",
        "xxdqcD1N2E-6PAt2DRBnDyogU_osOczGTsf9d5KsA3o",
    ];
    let order_8: [[u8; 32]; 2] =
        order_8.map(|x| URL_SAFE_NO_PAD.decode(x).unwrap().try_into().unwrap());
    let mut points = vec![
        neutral,
        point(0, 0, 0),
        point(0xec, 0xff, 0x7f),
        point(0xed, 0xff, 0x7f),
        point(0xee, 0xff, 0x7f),
    ];
    points.extend(order_8);
    let good = Signer::ed();
    for mut point in points {
        // Either sign of x.
        for _ in 0..2 {
            point[31] ^= 0x80;
            let jwk = json!({"kty": "OKP", "crv": "Ed25519", "kid": "k", "x": encode(point)});
            let keys = key_set(&[jwk, good.jwk("good")]);
            assert_eq!(keys.usable(), 1, "{point:?}");
            let skipped = keys.skipped()[0].to_string();
            assert!(skipped.contains("is a point of small order"), "{skipped}");
        }
    }
    // Beside them, any point is a key.
    for (low, middle, high) in [(2, 0, 0), (0xeb, 0xff, 0x7f), (1, 0, 1)] {
        let x = encode(point(low, middle, high));
        key_set(&[json!({"kty": "OKP", "crv": "Ed25519", "x": x})]);
    }
}
