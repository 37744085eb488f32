//! The authentication of callers: by the certificate of the connection, by the token of the request, or both.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::{Instant, SystemTime};

use arc_swap::ArcSwap;
use thiserror::Error;

use super::certificate::CertificateError;
use super::failures::FailureLimit;
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
    /// There is no certificate, or one that names nobody.
    #[error(transparent)]
    Certificate(#[from] CertificateError),
    /// There is no token.
    #[error("the metadata has no authorization entry; send Bearer and a token")]
    NoToken,
    /// A token is shown where none can be checked.
    #[error("the server takes no tokens; call without the authorization entry")]
    TokenNotTaken,
    /// The token that is shown proves nothing.
    #[error(transparent)]
    Token(#[from] TokenError),
}

/// The source of the keys that tokens are signed with.
#[derive(Debug)]
pub enum Keys {
    /// The newest keys of a file that is followed.
    File(Arc<ArcSwap<KeySet>>),
    /// The keys behind a URL.
    Url(RemoteKeys),
}

/// The verifier of one issuer's tokens, with its keys.
#[derive(Debug)]
pub struct Tokens {
    verifier: Verifier,
    keys: Keys,
    failures: Option<FailureLimit>,
}

impl Tokens {
    /// A verifier of tokens that keep these rules and are signed with these keys. A source address may fail up to this limit.
    #[must_use]
    pub fn new(rules: TokenRules, keys: Keys, failures: Option<FailureLimit>) -> Self {
        Self {
            verifier: Verifier::new(rules),
            keys,
            failures,
        }
    }

    /// The caller whom a token that was shown names.
    fn subject(&self, token: &str, shown: &Credentials<'_>) -> Result<Caller, TokenError> {
        let verify = |keys: &KeySet| {
            let permission = || self.may_look_into(shown);
            self.verifier
                .verify_after(permission, token, keys, shown.time)
        };
        let verified = match &self.keys {
            Keys::File(keys) => verify(&keys.load()),
            Keys::Url(keys) => keys.verify_by(verify),
        };
        if let (Err(error), Some(failures)) = (&verified, &self.failures)
            && !matches!(
                error,
                TokenError::NoKeys | TokenError::TooManyFailures { .. }
            )
        {
            failures.count(shown.source, shown.moment);
        }
        verified.map(|verified| verified.caller)
    }

    fn may_look_into(&self, shown: &Credentials<'_>) -> Result<(), TokenError> {
        let Some(failures) = &self.failures else {
            return Ok(());
        };
        let checked = failures.check(shown.source, shown.moment);
        checked.map_err(|retry_after| TokenError::TooManyFailures { retry_after })
    }
}

/// What a request shows to prove who calls, and where it comes from.
#[derive(Debug, Clone, Copy)]
pub struct Credentials<'a> {
    /// The caller whom the certificate of the connection names, or why that is nobody.
    pub certificate: &'a Result<Caller, CertificateError>,
    /// The bearer token.
    pub token: Option<&'a str>,
    /// The address of the other end of the connection.
    pub source: IpAddr,
    /// The time of the request, by the clock.
    pub time: SystemTime,
    /// The time of the request, by a clock that nobody sets.
    pub moment: Instant,
}

/// The authenticator of a port, which finds out who calls.
#[derive(Debug)]
pub struct Authenticator {
    demand: Demand,
    tokens: Option<Tokens>,
}

impl Authenticator {
    /// An authenticator that demands nothing: callers are who their certificates say, or anonymous.
    #[must_use]
    pub fn open() -> Self {
        Self::new(Demand::Nothing, None)
    }

    /// An authenticator with this demand, which can verify these tokens.
    #[must_use]
    pub fn new(demand: Demand, tokens: Option<Tokens>) -> Self {
        Self { demand, tokens }
    }

    /// The caller where none has to be proved.
    #[must_use]
    pub fn whoever(&self, certificate: &Result<Caller, CertificateError>) -> Caller {
        certificate.clone().unwrap_or_else(|_| Caller::anonymous())
    }

    /// Finds out who calls.
    ///
    /// # Errors
    /// [`Unauthenticated`] for whoever does not show what is demanded, or shows a token that is not good.
    pub fn identify(&self, shown: &Credentials<'_>) -> Result<Caller, Unauthenticated> {
        // A token that is shown is looked at, whatever else is shown.
        let subject = match (shown.token, &self.tokens) {
            (None, _) => None,
            (Some(token), Some(tokens)) => Some(tokens.subject(token, shown)?),
            // What nobody asks for is nobody's business: a proxy may send it along.
            (Some(_), None) if self.demand == Demand::Nothing => None,
            (Some(_), None) => return Err(Unauthenticated::TokenNotTaken),
        };
        match (self.demand, shown.certificate, subject) {
            (Demand::Nothing, certificate, _) => Ok(self.whoever(certificate)),
            (Demand::Certificate | Demand::Both, Err(error), _)
            | (Demand::Any, Err(error), None) => Err(error.clone().into()),
            (Demand::Token | Demand::Both, _, None) => Err(Unauthenticated::NoToken),
            (_, _, Some(subject)) => Ok(subject),
            (_, Ok(certificate), None) => Ok(certificate.clone()),
        }
    }
}
