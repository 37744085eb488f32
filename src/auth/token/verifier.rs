//! A token goes in, a caller comes out.

use std::time::SystemTime;

use super::claims::{TokenRules, Verified};
use super::error::TokenError;
use super::jws::Jws;
use super::key_set::KeySet;

/// Verifies tokens by fixed rules.
#[derive(Debug)]
pub struct Verifier {
    rules: TokenRules,
}

impl Verifier {
    /// Verifies by these rules.
    #[must_use]
    pub fn new(rules: TokenRules) -> Self {
        Self { rules }
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
        let payload = Jws::parse(token)?.verify(keys)?;
        self.rules.check(&payload, now)
    }
}
