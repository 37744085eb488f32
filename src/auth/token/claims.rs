//! The claims that a token must have to be accepted (RFC 7519).

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde::Deserialize;
use serde_json::Value;
use thiserror::Error;

use super::error::TokenError;
use super::jws::object;
use crate::domain::Caller;

/// How far the clocks of the issuer and of this host may differ.
pub const LEEWAY: Duration = Duration::from_secs(30);

/// The most characters of a subject. It stands in policies and in every line of the audit log.
const LONGEST_SUBJECT: usize = 512;

/// The rules for tokens: whose tokens are accepted, and for what audience.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TokenRules {
    issuer: String,
    audience: String,
}

/// Why no token could keep some rules.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum RulesError {
    /// The issuer is empty or has forbidden characters.
    #[error("{0:?} can't be a token issuer; give the exact text of the claim iss")]
    Issuer(String),
    /// The audience is empty or has forbidden characters.
    #[error("{0:?} can't be a token audience; give the text that the claim aud has to contain")]
    Audience(String),
}

/// A verified token: who holds it, and until when.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Verified {
    /// The subject of the token, as a caller.
    pub caller: Caller,
    /// The time of the claim `exp`. The token is accepted [a little longer](LEEWAY).
    pub expires: SystemTime,
}

/// The claims as JSON values, so that one of the wrong type can be named; serde would refuse them all together. A claim
/// that is there twice is an error of serde's.
#[derive(Deserialize)]
struct Claims {
    iss: Option<Value>,
    aud: Option<Value>,
    sub: Option<Value>,
    exp: Option<Value>,
    nbf: Option<Value>,
}

impl TokenRules {
    /// Rules that accept tokens of this issuer for this audience. Both are compared byte by byte.
    ///
    /// # Errors
    ///
    /// [`RulesError`] if one of them is empty, or has white space or control characters in it.
    pub fn new(issuer: &str, audience: &str) -> Result<Self, RulesError> {
        let (issuer, audience) = (issuer.to_owned(), audience.to_owned());
        if !is_visible(&issuer) {
            return Err(RulesError::Issuer(issuer));
        }
        if !is_visible(&audience) {
            return Err(RulesError::Audience(audience));
        }
        Ok(Self { issuer, audience })
    }

    /// Checks the claims of a token whose signature has been verified.
    pub(super) fn check(&self, payload: &[u8], now: SystemTime) -> Result<Verified, TokenError> {
        let problem = "its payload is no JSON object with each claim once";
        let claims: Claims = object(payload, problem)?;
        if text("iss", claims.iss)? != self.issuer {
            return Err(TokenError::Issuer);
        }
        if !audiences(claims.aud)?.contains(&self.audience) {
            return Err(TokenError::Audience);
        }
        let expires = time("exp", claims.exp)?;
        if is_over(expires, now) {
            let ago = now.duration_since(expires).unwrap_or_default();
            return Err(TokenError::Expired(ago.as_secs()));
        }
        if let Some(not_before) = claims.nbf {
            let not_before = time("nbf", Some(not_before))?;
            match not_before.duration_since(now) {
                Ok(ahead) if ahead > LEEWAY => {
                    return Err(TokenError::NotYetValid(ahead.as_secs()));
                }
                _ => {}
            }
        }
        let subject = text("sub", claims.sub)?;
        // Only ASCII: names that look alike but differ have no place in a policy.
        if subject.len() > LONGEST_SUBJECT || !is_visible(&subject) {
            let wanted = "1 to 512 visible ASCII characters";
            return Err(invalid("sub", wanted));
        }
        Ok(Verified {
            caller: Caller::token_subject(&subject),
            expires,
        })
    }
}

/// Whether a token that expires at `expires` is refused at `now`.
pub(super) fn is_over(expires: SystemTime, now: SystemTime) -> bool {
    now.duration_since(expires)
        .is_ok_and(|since| since >= LEEWAY)
}

fn is_visible(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_graphic())
}

fn invalid(claim: &'static str, wanted: &'static str) -> TokenError {
    TokenError::InvalidClaim { claim, wanted }
}

fn text(claim: &'static str, value: Option<Value>) -> Result<String, TokenError> {
    match value {
        Some(Value::String(text)) => Ok(text),
        Some(_) => Err(invalid(claim, "a string")),
        None => Err(TokenError::MissingClaim(claim)),
    }
}

/// Reads an audience: one string, or a list of them.
fn audiences(value: Option<Value>) -> Result<Vec<String>, TokenError> {
    match value {
        Some(Value::Array(values)) => values
            .into_iter()
            .map(|value| text("aud", Some(value)))
            .collect(),
        value => Ok(vec![text("aud", value)?]),
    }
}

/// Reads a time in seconds since 1970, perhaps with a fraction.
fn time(claim: &'static str, value: Option<Value>) -> Result<SystemTime, TokenError> {
    let value = value.ok_or(TokenError::MissingClaim(claim))?;
    let seconds = match (value.as_u64(), value.as_f64()) {
        (Some(whole), _) => Some(Duration::from_secs(whole)),
        (None, Some(fraction)) => Duration::try_from_secs_f64(fraction).ok(),
        (None, None) => None,
    };
    seconds
        .and_then(|seconds| UNIX_EPOCH.checked_add(seconds))
        .ok_or_else(|| invalid(claim, "a time in seconds since 1970"))
}
