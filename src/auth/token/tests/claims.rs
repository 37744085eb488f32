use std::time::Duration;

use serde_json::{Value, json};

use super::signer::{AUDIENCE, Signer, good_claims, key_set, now, verifier, verify};
use crate::auth::token::{TokenError, TokenRules, Verified};
use crate::domain::Caller;

/// The verdict over a token with these claims beside, or instead of, the good ones.
fn with(changes: &Value) -> Result<Verified, TokenError> {
    let mut claims = good_claims();
    for (name, value) in changes.as_object().unwrap() {
        claims[name] = value.clone();
    }
    verdict(&claims.to_string())
}

fn verdict(payload: &str) -> Result<Verified, TokenError> {
    let signer = Signer::ed();
    let token = signer.sign(&json!({"alg": "EdDSA", "kid": "k"}), payload);
    verify(&token, &[signer.jwk("k")])
}

#[test]
fn every_algorithm_is_accepted() {
    let signers = Signer::all();
    let keys = [
        signers[0].jwk("a"),
        signers[1].jwk("b"),
        signers[2].jwk("c"),
    ];
    for (signer, kid) in signers.iter().zip(["a", "b", "c"]) {
        let holder = verify(&signer.token(kid, &good_claims()), &keys).unwrap();
        assert_eq!(holder.caller, Caller::token_subject("cleaner"));
        assert_eq!(holder.expires, now() + Duration::from_mins(10));
    }
}

#[test]
fn a_projected_token_of_kubernetes_is_accepted() {
    let issuer = "https://kubernetes.default.svc.cluster.local";
    let claims = json!({
        "aud": [AUDIENCE], "exp": 1_800_003_607, "iat": 1_800_000_000, "iss": issuer,
        "jti": "f2c4b5d6-0f6e-4a44-8b4e-0a6b1c1c8f0e", "nbf": 1_800_000_000,
        "kubernetes.io": {
            "namespace": "billing",
            "pod": {"name": "cleaner-7d9f", "uid": "0e5b2a1c-0000-4000-8000-000000000000"},
            "serviceaccount": {"name": "cleaner", "uid": "8a5b2a1c-0000-4000-8000-000000000000"}
        },
        "sub": "system:serviceaccount:billing:cleaner"
    });
    let signer = Signer::rsa();
    let kid = "uTRIk3YVXbkVd5dvNYnFOBBjXoMzAYN5qA0TmRbiYxA";
    let token = signer.sign(&json!({"alg": "RS256", "kid": kid}), &claims.to_string());
    let rules = TokenRules::new(issuer, AUDIENCE).unwrap();
    let verifier = crate::auth::token::Verifier::new(rules);

    let mut full = signer.jwk(kid);
    full["alg"] = "RS256".into();
    full["use"] = "sig".into();
    for jwk in [signer.jwk(kid), full] {
        let holder = verifier.verify(&token, &key_set(&[jwk]), now()).unwrap();
        let caller = "jwt:system:serviceaccount:billing:cleaner";
        assert_eq!(holder.caller.as_str(), caller);
    }
}

#[test]
fn a_missing_claim_is_named() {
    for name in ["iss", "aud", "sub", "exp"] {
        let mut claims = good_claims();
        claims.as_object_mut().unwrap().remove(name);
        assert_eq!(
            verdict(&claims.to_string()),
            Err(TokenError::MissingClaim(name))
        );
        assert_eq!(
            with(&json!({ name: null })),
            Err(TokenError::MissingClaim(name))
        );
    }
}

#[test]
fn a_claim_of_the_wrong_type_is_named() {
    let wrong = [
        ("iss", json!(["https://issuer.example.org"])),
        ("aud", json!({"untag": true})),
        ("aud", json!(["untag", 1])),
        ("sub", json!(7)),
        ("exp", json!("1800000600")),
        ("exp", json!(-1)),
        ("exp", json!(1e300)),
        ("exp", json!(u64::MAX)),
        ("nbf", json!(true)),
    ];
    for (name, value) in wrong {
        let error = with(&json!({ name: value })).unwrap_err();
        assert!(
            matches!(error, TokenError::InvalidClaim { claim, .. } if claim == name),
            "{name} {value}: {error:?}"
        );
    }
}

#[test]
fn another_issuer_is_refused() {
    for issuer in [
        "https://issuer.example.org/",
        "https://ISSUER.example.org",
        "",
    ] {
        assert_eq!(with(&json!({"iss": issuer})), Err(TokenError::Issuer));
    }
}

#[test]
fn an_audience_is_one_string_or_in_a_list() {
    for audience in [json!("untag"), json!(["untag"]), json!(["other", "untag"])] {
        with(&json!({"aud": audience})).unwrap();
    }
    for audience in [
        json!("other"),
        json!([]),
        json!(["other"]),
        json!("untag2"),
        json!(""),
    ] {
        assert_eq!(with(&json!({"aud": audience})), Err(TokenError::Audience));
    }
}

#[test]
fn a_token_expires_half_a_minute_after_its_time() {
    with(&json!({"exp": 1_799_999_971})).unwrap();
    with(&json!({"exp": 1_799_999_970.5})).unwrap();
    assert_eq!(
        with(&json!({"exp": 1_799_999_970})),
        Err(TokenError::Expired(30))
    );
    assert_eq!(
        with(&json!({"exp": 0})),
        Err(TokenError::Expired(1_800_000_000))
    );
}

#[test]
fn a_token_starts_half_a_minute_before_its_time() {
    with(&json!({"nbf": 1_800_000_030})).unwrap();
    with(&json!({"nbf": 0})).unwrap();
    assert_eq!(
        with(&json!({"nbf": 1_800_000_031})),
        Err(TokenError::NotYetValid(31))
    );
}

#[test]
fn the_clock_is_the_callers() {
    let signer = Signer::ed();
    let token = signer.token("k", &good_claims());
    let (keys, verifier) = (key_set(&[signer.jwk("k")]), verifier());
    verifier.verify(&token, &keys, now()).unwrap();
    let later = now() + Duration::from_hours(1);
    let error = verifier.verify(&token, &keys, later).unwrap_err();
    assert_eq!(error, TokenError::Expired(3_000));
}

#[test]
fn a_subject_is_visible_and_bounded() {
    with(&json!({"sub": "a".repeat(512)})).unwrap();
    with(&json!({"sub": "auth0|5f7c8ec7c33c6c004bbafe82"})).unwrap();
    let long = "a".repeat(513);
    for subject in [
        "",
        &long,
        "two words",
        "line\nbreak",
        "zero\u{200b}width",
        "\u{0441}leaner",
    ] {
        let error = with(&json!({"sub": subject})).unwrap_err();
        assert!(
            matches!(error, TokenError::InvalidClaim { claim: "sub", .. }),
            "{subject:?}"
        );
    }
}

#[test]
fn a_payload_is_an_object_with_each_claim_once() {
    let twice = good_claims().to_string().replace('{', r#"{"sub":"admin","#);
    let list = r#"["https://issuer.example.org","untag","cleaner",1800000600,null]"#;
    for payload in [twice.as_str(), list, "", "{", "null", "\"text\""] {
        assert!(
            matches!(verdict(payload), Err(TokenError::Malformed(_))),
            "{payload}"
        );
    }
}

#[test]
fn rules_that_no_token_keeps_are_refused() {
    for bad in ["", " ", "two words", "https://issuer.example.org\n"] {
        assert!(
            TokenRules::new(bad, AUDIENCE)
                .unwrap_err()
                .to_string()
                .contains("issuer")
        );
        assert!(
            TokenRules::new("https://a", bad)
                .unwrap_err()
                .to_string()
                .contains("audience")
        );
    }
}
