//! The verifier of tokens, which turns a token into a caller.

use std::fmt;
use std::time::SystemTime;

use quick_cache::sync::Cache;
use sha2::{Digest as _, Sha256};

use super::claims::{TokenRules, Verified, is_over};
use super::error::TokenError;
use super::jws::{Jws, check_length};
use super::key_set::KeySet;

/// How many tokens are remembered, at some 200 bytes each. Clients use one token for minutes, and each client has few.
const REMEMBERED: usize = 10_000;

/// A verifier of tokens by fixed rules.
///
/// It remembers tokens that passed, since a client sends the same one again and again, and a signature costs more than all
/// the rest of a small request. A token is remembered by a hash of it and of the keys: it is forgotten when the keys
/// change, and is not kept itself.
pub struct Verifier {
    rules: TokenRules,
    passed: Cache<[u8; 32], Verified>,
}

impl Verifier {
    /// A verifier by these rules.
    #[must_use]
    pub fn new(rules: TokenRules) -> Self {
        let passed = Cache::new(REMEMBERED);
        Self { rules, passed }
    }

    /// Says who holds this token, if one of the keys signed it and its claims keep the rules at this time.
    ///
    /// # Errors
    ///
    /// If the token proves nothing.
    pub fn verify(
        &self,
        token: &str,
        keys: &KeySet,
        now: SystemTime,
    ) -> Result<Verified, TokenError> {
        self.verify_after(|| Ok(()), token, keys, now)
    }

    /// Verifies as [`Verifier::verify`] does, and asks first whether a token that is not remembered may be looked into.
    pub(in crate::auth) fn verify_after(
        &self,
        permission: impl FnOnce() -> Result<(), TokenError>,
        token: &str,
        keys: &KeySet,
        now: SystemTime,
    ) -> Result<Verified, TokenError> {
        check_length(token)?;
        let fingerprint = Sha256::new().chain_update(keys.fingerprint());
        let fingerprint: [u8; 32] = fingerprint.chain_update(token).finalize().into();
        if let Some(holder) = self.passed.get(&fingerprint)
            && !is_over(holder.expires, now)
        {
            return Ok(holder);
        }
        permission()?;
        let payload = Jws::parse(token)?.verify(keys)?;
        let holder = self.rules.check(&payload, now)?;
        // Only what passed: nobody without a token of the issuer's can fill the memory.
        self.passed.insert(fingerprint, holder.clone());
        Ok(holder)
    }
}

impl fmt::Debug for Verifier {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("Verifier")
            .field("rules", &self.rules)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::super::tests::signer::{Signer, good_claims, key_set, now, verifier};
    use super::{REMEMBERED, TokenError};

    #[test]
    fn a_remembered_token_expires_all_the_same() {
        let signer = Signer::ed();
        let (token, keys) = (
            signer.token("k", &good_claims()),
            key_set(&[signer.jwk("k")]),
        );
        let verifier = verifier();
        let first = verifier.verify(&token, &keys, now()).unwrap();
        assert_eq!(verifier.passed.len(), 1);
        assert_eq!(verifier.verify(&token, &keys, now()), Ok(first.clone()));
        let end = first.expires + Duration::from_secs(30);
        verifier
            .verify(&token, &keys, end - Duration::from_secs(1))
            .unwrap();
        assert_eq!(
            verifier.verify(&token, &keys, end),
            Err(TokenError::Expired(30))
        );
    }

    #[test]
    fn a_token_is_forgotten_when_the_keys_change() {
        let signer = Signer::ed();
        let token = signer.token("k", &good_claims());
        let verifier = verifier();
        verifier
            .verify(&token, &key_set(&[signer.jwk("k")]), now())
            .unwrap();
        let others = key_set(&[Signer::ed().jwk("k")]);
        assert_eq!(
            verifier.verify(&token, &others, now()),
            Err(TokenError::Signature)
        );
        let others = key_set(&[Signer::ed().jwk("new")]);
        let error = verifier.verify(&token, &others, now()).unwrap_err();
        assert!(matches!(error, TokenError::UnknownKey(_)), "{error:?}");
    }

    #[test]
    fn only_what_passed_is_remembered_and_not_without_end() {
        let signer = Signer::ed();
        let keys = key_set(&[signer.jwk("k")]);
        let verifier = verifier();
        let mut claims = good_claims();
        claims["aud"] = "other".into();
        verifier
            .verify(&signer.token("k", &claims), &keys, now())
            .unwrap_err();
        verifier.verify("garbage", &keys, now()).unwrap_err();
        assert_eq!(verifier.passed.len(), 0);
        claims = good_claims();
        for number in 0..REMEMBERED + 500 {
            claims["jti"] = number.into();
            verifier
                .verify(&signer.token("k", &claims), &keys, now())
                .unwrap();
        }
        let remembered = verifier.passed.len();
        assert!(
            (REMEMBERED / 2..=REMEMBERED).contains(&remembered),
            "{remembered}"
        );
    }
}
