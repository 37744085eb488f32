//! Who calls: by the certificate of the connection, by the token of the request, or both.

use std::sync::Arc;
use std::time::SystemTime;

use arc_swap::ArcSwap;
use thiserror::Error;

use super::certificate::CertificateError;
use super::token::{KeySet, RemoteKeys, TokenError, TokenRules, Verifier};
use crate::domain::Caller;

/// What callers have to show.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Demand {
    /// Nothing.
    Nothing,
    /// A certificate or a token, whichever of them the server can check. A token that is shown has to be good.
    Any,
    /// A certificate.
    Certificate,
    /// A token.
    Token,
    /// A certificate and a token; the token names the caller.
    Both,
}

/// Why nobody is known to call.
#[derive(Debug, Error)]
pub enum Unauthenticated {
    /// No certificate, or one that names nobody.
    #[error(transparent)]
    Certificate(#[from] CertificateError),
    /// No token.
    #[error("the metadata has no authorization entry; send Bearer and a token")]
    NoToken,
    /// A token where none can be checked.
    #[error("the server takes no tokens; call without the authorization entry")]
    TokenNotTaken,
    /// A token that proves nothing.
    #[error(transparent)]
    Token(#[from] TokenError),
}

/// Where the keys that tokens are signed with come from.
#[derive(Debug)]
pub enum Keys {
    /// From a file that somebody follows.
    File(Arc<ArcSwap<KeySet>>),
    /// From a URL.
    Url(RemoteKeys),
}

/// Verifies the tokens of one issuer.
#[derive(Debug)]
pub struct Tokens {
    verifier: Verifier,
    keys: Keys,
}

impl Tokens {
    /// Tokens that keep these rules and are signed with these keys.
    #[must_use]
    pub fn new(rules: TokenRules, keys: Keys) -> Self {
        Self {
            verifier: Verifier::new(rules),
            keys,
        }
    }

    fn subject(&self, token: &str, now: SystemTime) -> Result<Caller, TokenError> {
        let verified = match &self.keys {
            Keys::File(keys) => self.verifier.verify(token, &keys.load(), now),
            Keys::Url(keys) => keys.verify(&self.verifier, token, now),
        };
        verified.map(|verified| verified.caller)
    }
}

/// Finds out who calls.
#[derive(Debug)]
pub struct Authenticator {
    demand: Demand,
    tokens: Option<Tokens>,
}

impl Authenticator {
    /// One that lets everybody through as who they say they are, or as anonymous.
    #[must_use]
    pub fn open() -> Self {
        Self::new(Demand::Nothing, None)
    }

    /// One with demands, which can verify these tokens.
    #[must_use]
    pub fn new(demand: Demand, tokens: Option<Tokens>) -> Self {
        Self { demand, tokens }
    }

    /// The caller where none has to be proved.
    #[must_use]
    pub fn whoever(&self, certificate: &Result<Caller, CertificateError>) -> Caller {
        certificate.clone().unwrap_or_else(|_| Caller::anonymous())
    }

    /// Who calls.
    ///
    /// # Errors
    /// [`Unauthenticated`] for whoever does not show what is demanded, or shows a token that is not good.
    pub fn identify(
        &self,
        certificate: &Result<Caller, CertificateError>,
        token: Option<&str>,
        now: SystemTime,
    ) -> Result<Caller, Unauthenticated> {
        // A token that is shown is looked at, whatever else is shown.
        let subject = match (token, &self.tokens) {
            (None, _) => None,
            (Some(token), Some(tokens)) => Some(tokens.subject(token, now)?),
            // What nobody asks for is nobody's business: a proxy may send it along.
            (Some(_), None) if self.demand == Demand::Nothing => None,
            (Some(_), None) => return Err(Unauthenticated::TokenNotTaken),
        };
        match (self.demand, certificate, subject) {
            (Demand::Nothing, certificate, _) => Ok(self.whoever(certificate)),
            (Demand::Certificate | Demand::Both, Err(error), _)
            | (Demand::Any, Err(error), None) => Err(error.clone().into()),
            (Demand::Token | Demand::Both, _, None) => Err(Unauthenticated::NoToken),
            (_, _, Some(subject)) => Ok(subject),
            (_, Ok(certificate), None) => Ok(certificate.clone()),
        }
    }
}
