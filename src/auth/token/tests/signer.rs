//! An issuer for tests.

use std::process::Command;
use std::sync::LazyLock;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use ring::rand::SystemRandom;
use ring::signature::{
    ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, Ed25519KeyPair, KeyPair as _, RSA_PKCS1_SHA256,
    RsaKeyPair, RsaPublicKeyComponents,
};
use rustls::pki_types::PrivatePkcs8KeyDer;
use rustls::pki_types::pem::PemObject as _;
use serde_json::{Value, json};

use crate::auth::token::{KeySet, TokenError, TokenRules, Verified, Verifier};

pub const ISSUER: &str = "https://issuer.example.org";
pub const AUDIENCE: &str = "untag";

/// The time in all tests: 1,800,000,000 seconds after 1970 began.
pub fn now() -> SystemTime {
    UNIX_EPOCH + Duration::from_hours(500_000)
}

/// The claims of a token that is accepted.
pub fn good_claims() -> Value {
    json!({"iss": ISSUER, "aud": AUDIENCE, "sub": "cleaner", "exp": 1_800_000_600})
}

pub fn verifier() -> Verifier {
    Verifier::new(TokenRules::new(ISSUER, AUDIENCE).unwrap())
}

pub fn key_set(keys: &[Value]) -> KeySet {
    KeySet::parse(json!({ "keys": keys }).to_string().as_bytes()).unwrap()
}

pub fn verify(token: &str, keys: &[Value]) -> Result<Verified, TokenError> {
    verifier().verify(token, &key_set(keys), now())
}

pub fn encode(bytes: impl AsRef<[u8]>) -> String {
    URL_SAFE_NO_PAD.encode(bytes)
}

/// A private key, and what its owner publishes of it.
pub enum Signer {
    Rsa(RsaKeyPair),
    Ec(EcdsaKeyPair),
    Ed(Ed25519KeyPair),
}

/// ring makes no RSA keys, and a key takes openssl a while, so that all tests share these two.
static RSA_KEYS: LazyLock<[Vec<u8>; 2]> = LazyLock::new(|| {
    [(), ()].map(|()| {
        let arguments = ["genpkey", "-algorithm", "RSA", "-quiet"];
        let made = Command::new("openssl")
            .args(arguments)
            .args(["-pkeyopt", "rsa_keygen_bits:2048"])
            .output()
            .expect("cannot start openssl; run scripts/setup");
        assert!(made.status.success(), "openssl: {made:?}");
        let key = PrivatePkcs8KeyDer::from_pem_slice(&made.stdout).unwrap();
        key.secret_pkcs8_der().to_vec()
    })
});

impl Signer {
    pub fn rsa() -> Self {
        Self::Rsa(RsaKeyPair::from_pkcs8(&RSA_KEYS[0]).unwrap())
    }

    pub fn other_rsa() -> Self {
        Self::Rsa(RsaKeyPair::from_pkcs8(&RSA_KEYS[1]).unwrap())
    }

    pub fn ec() -> Self {
        let (random, kind) = (SystemRandom::new(), &ECDSA_P256_SHA256_FIXED_SIGNING);
        let pkcs8 = EcdsaKeyPair::generate_pkcs8(kind, &random).unwrap();
        Self::Ec(EcdsaKeyPair::from_pkcs8(kind, pkcs8.as_ref(), &random).unwrap())
    }

    pub fn ed() -> Self {
        let pkcs8 = Ed25519KeyPair::generate_pkcs8(&SystemRandom::new()).unwrap();
        Self::Ed(Ed25519KeyPair::from_pkcs8(pkcs8.as_ref()).unwrap())
    }

    /// One of each kind.
    pub fn all() -> [Self; 3] {
        [Self::rsa(), Self::ec(), Self::ed()]
    }

    pub fn algorithm(&self) -> &'static str {
        match self {
            Self::Rsa(_) => "RS256",
            Self::Ec(_) => "ES256",
            Self::Ed(_) => "EdDSA",
        }
    }

    /// The entry of a JWKS, without any member that may be left out.
    pub fn bare_jwk(&self) -> Value {
        match self {
            Self::Rsa(key) => {
                let public = RsaPublicKeyComponents::<Vec<u8>>::from(key.public());
                json!({"kty": "RSA", "n": encode(public.n), "e": encode(public.e)})
            }
            Self::Ec(key) => {
                let (x, y) = key.public_key().as_ref()[1..].split_at(32);
                json!({"kty": "EC", "crv": "P-256", "x": encode(x), "y": encode(y)})
            }
            Self::Ed(key) => {
                json!({"kty": "OKP", "crv": "Ed25519", "x": encode(key.public_key())})
            }
        }
    }

    pub fn jwk(&self, kid: &str) -> Value {
        let mut jwk = self.bare_jwk();
        jwk["kid"] = kid.into();
        jwk
    }

    pub fn signature(&self, message: &[u8]) -> Vec<u8> {
        let random = SystemRandom::new();
        match self {
            Self::Rsa(key) => {
                let mut signature = vec![0; key.public().modulus_len()];
                key.sign(&RSA_PKCS1_SHA256, &random, message, &mut signature)
                    .unwrap();
                signature
            }
            Self::Ec(key) => key.sign(&random, message).unwrap().as_ref().to_vec(),
            Self::Ed(key) => key.sign(message).as_ref().to_vec(),
        }
    }

    /// A token with this header and payload, whatever they say.
    pub fn sign(&self, header: &Value, payload: &str) -> String {
        let message = format!("{}.{}", encode(header.to_string()), encode(payload));
        let signature = self.signature(message.as_bytes());
        format!("{message}.{}", encode(signature))
    }

    pub fn token(&self, kid: &str, claims: &Value) -> String {
        let header = json!({"alg": self.algorithm(), "kid": kid, "typ": "JWT"});
        self.sign(&header, &claims.to_string())
    }
}
