//! The authentication of requests: whose key has signed one, and that it was not sent before.

use std::sync::{Mutex, PoisonError};

use http::header::{AUTHORIZATION, CONTENT_TYPE, HOST};
use http::{HeaderMap, Method};
use subtle::ConstantTimeEq as _;

use super::access_keys::{AccessKey, AccessKeys};
use super::nonces::{Moment, Nonces, TOLERANCE, Use};
use super::parameters::Parameters;
use crate::auth::parse_time;
use crate::signature::{Pair, v1, v3};

/// The longest nonce, in bytes.
const LONGEST_NONCE: usize = 128;

/// The parts of a request that can be signed.
#[derive(Debug)]
pub struct Signed<'a> {
    pub method: &'a Method,
    pub path: &'a str,
    pub headers: &'a HeaderMap,
    /// The parameters of the query alone.
    pub query: &'a [Pair],
    /// All parameters, those of a form too.
    pub parameters: &'a Parameters,
    pub body: &'a [u8],
}

/// Why a request is not believed, in the cloud's words.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refusal {
    Incomplete(&'static str),
    UnknownKey,
    WrongToken,
    WrongSignature,
    BadDate,
    Expired,
    UsedNonce,
    TooMany,
}

impl Refusal {
    /// The cloud's code, and the message.
    pub fn explain(self) -> (&'static str, &'static str) {
        match self {
            Self::Incomplete(what) => ("IncompleteSignature", what),
            Self::UnknownKey => (
                "InvalidAccessKeyId.NotFound",
                "Specified access key is not found.",
            ),
            Self::WrongToken => (
                "InvalidSecurityToken.MismatchWithAccessKey",
                "Specified security token is not that of the access key.",
            ),
            Self::WrongSignature => (
                "SignatureDoesNotMatch",
                "Specified signature does not match our calculation.",
            ),
            Self::BadDate => (
                "InvalidTimeStamp.Format",
                "Specified time stamp is not in ISO 8601, such as 2026-01-02T03:04:05Z.",
            ),
            Self::Expired => (
                "InvalidTimeStamp.Expired",
                "Specified time stamp is more than 15 minutes from the service's; set the clock right.",
            ),
            Self::UsedNonce => (
                "SignatureNonceUsed",
                "Specified signature nonce was used already.",
            ),
            Self::TooMany => (
                "Throttling.User",
                "The access key has signed too many requests within 15 minutes, and their nonces are still remembered; \
                 retry later.",
            ),
        }
    }
}

/// The facts that a signature of either version shows.
struct Shown<'a> {
    access_key_id: &'a str,
    date: &'a str,
    nonce: &'a str,
    security_token: Option<&'a str>,
}

/// The version of a request's signature, which says which of its parts can be believed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Signature {
    /// The signature is in the parameters; no header is signed.
    V1,
    /// The signature is in a header; the cloud's headers, the query and the body are signed.
    V3,
}

/// Finds out whose access key has signed a request, and how. A request is accepted once.
pub fn authenticate<'keys>(
    request: &Signed<'_>,
    keys: &'keys AccessKeys,
    nonces: &Mutex<Nonces>,
    now: Moment,
) -> Result<(&'keys AccessKey, Signature), Refusal> {
    let signature = if request.headers.contains_key(AUTHORIZATION) {
        Signature::V3
    } else {
        Signature::V1
    };
    let (shown, key) = match signature {
        Signature::V1 => verify_v1(request, keys)?,
        Signature::V3 => verify_v3(request, keys)?,
    };
    check_token(key, shown.security_token)?;
    let date = parse_time(shown.date).map_err(|_| Refusal::BadDate)?;
    let distance = now
        .date
        .duration_since(date)
        .unwrap_or_else(|ahead| ahead.duration());
    if distance > TOLERANCE {
        return Err(Refusal::Expired);
    }
    if !(1..=LONGEST_NONCE).contains(&shown.nonce.len()) {
        return Err(Refusal::Incomplete(
            "the nonce has to have 1 to 128 characters",
        ));
    }
    let mut nonces = nonces.lock().unwrap_or_else(PoisonError::into_inner);
    match nonces.enter(shown.access_key_id, keys.count(), shown.nonce, date, now) {
        Use::First => Ok((key, signature)),
        Use::Again => Err(Refusal::UsedNonce),
        Use::Full => Err(Refusal::TooMany),
    }
}

fn check_token(key: &AccessKey, shown: Option<&str>) -> Result<(), Refusal> {
    let is_right = match (&key.security_token, shown) {
        (None, None) => true,
        (Some(token), Some(shown)) => token.reveal().as_bytes().ct_eq(shown.as_bytes()).into(),
        _ => false,
    };
    is_right.then_some(()).ok_or(Refusal::WrongToken)
}

fn verify_v3<'a, 'keys>(
    request: &Signed<'a>,
    keys: &'keys AccessKeys,
) -> Result<(Shown<'a>, &'keys AccessKey), Refusal> {
    let authorization = header(request.headers, AUTHORIZATION.as_str())?;
    let authorization = v3::Authorization::parse(authorization).ok_or(Refusal::Incomplete(
        "the authorization header is not ACS3-HMAC-SHA256 Credential=…,SignedHeaders=…,Signature=…, with one space",
    ))?;
    let key = keys
        .get(authorization.access_key_id)
        .ok_or(Refusal::UnknownKey)?;
    let signed = signed_headers(request.headers, authorization.signed_headers)?;
    // What decides what is done must not be changed by those between: all of the cloud's headers are signed.
    let decides = |name: &str| name == HOST.as_str() || name.starts_with("x-acs-");
    let is_signed = |name: &str| signed.iter().any(|(signed, _)| *signed == name);
    let mut names = request.headers.keys().map(http::HeaderName::as_str);
    if !is_signed(HOST.as_str()) || names.any(|name| decides(name) && !is_signed(name)) {
        return Err(Refusal::Incomplete(
            "host and every x-acs- header have to be signed",
        ));
    }
    let payload_hash = v3::payload_hash(request.body);
    if header(request.headers, "x-acs-content-sha256")? != payload_hash {
        return Err(Refusal::WrongSignature);
    }
    let canonical = v3::Request {
        method: request.method.as_str(),
        path: request.path,
        query: request.query,
        headers: &signed,
        payload_hash: &payload_hash,
    };
    if !canonical.is_signed(authorization.signature, key.secret.reveal()) {
        return Err(Refusal::WrongSignature);
    }
    // It decides whether a body is parameters.
    if !request.body.is_empty() && !is_signed(CONTENT_TYPE.as_str()) {
        return Err(Refusal::Incomplete(
            "content-type has to be signed where there is a body",
        ));
    }
    let has_token = request.headers.contains_key("x-acs-security-token");
    let token = has_token.then(|| header(request.headers, "x-acs-security-token"));
    let shown = Shown {
        access_key_id: authorization.access_key_id,
        date: header(request.headers, "x-acs-date")?,
        nonce: header(request.headers, "x-acs-signature-nonce")?,
        security_token: token.transpose()?,
    };
    Ok((shown, key))
}

/// The headers that are signed. Names that are sorted as they are signed are each there once, so that they are no more
/// than the request has, however often its sender would like to have one hashed.
fn signed_headers<'a>(
    headers: &'a HeaderMap,
    names: impl Iterator<Item = &'a str>,
) -> Result<Vec<v3::Header<'a>>, Refusal> {
    let mut signed: Vec<v3::Header<'a>> = Vec::new();
    for name in names {
        let is_lower_case = !name.bytes().any(|byte| byte.is_ascii_uppercase());
        let is_next = signed.last().is_none_or(|(last, _)| *last < name);
        if !is_lower_case || !is_next {
            return Err(Refusal::Incomplete(
                "SignedHeaders has to have its names in lower case, in the order of the alphabet, each once",
            ));
        }
        if !headers.contains_key(name) {
            return Err(Refusal::Incomplete(
                "SignedHeaders names a header that is not there",
            ));
        }
        signed.push((name, header(headers, name)?));
    }
    Ok(signed)
}

/// The one value of a header.
fn header<'a>(headers: &'a HeaderMap, name: &str) -> Result<&'a str, Refusal> {
    let mut values = headers.get_all(name).iter();
    match (values.next().map(http::HeaderValue::to_str), values.next()) {
        (Some(Ok(value)), None) => Ok(value),
        (None, _) => Err(Refusal::Incomplete(
            "x-acs-date, x-acs-signature-nonce and x-acs-content-sha256 have to be there",
        )),
        _ => Err(Refusal::Incomplete(
            "a header is there twice, or is not ASCII",
        )),
    }
}

fn verify_v1<'a, 'keys>(
    request: &Signed<'a>,
    keys: &'keys AccessKeys,
) -> Result<(Shown<'a>, &'keys AccessKey), Refusal> {
    let parameters = request.parameters;
    let get = |name| {
        parameters.get(name).ok_or(Refusal::Incomplete(
            "the request is not signed: it has neither an authorization header nor AccessKeyId, Signature, \
             SignatureMethod, SignatureVersion, SignatureNonce and Timestamp",
        ))
    };
    let signature = get("Signature")?;
    let shown = Shown {
        access_key_id: get("AccessKeyId")?,
        date: get("Timestamp")?,
        nonce: get("SignatureNonce")?,
        security_token: parameters.get("SecurityToken"),
    };
    if (get("SignatureMethod")?, get("SignatureVersion")?) != ("HMAC-SHA1", "1.0") {
        return Err(Refusal::Incomplete(
            "only HMAC-SHA1 of version 1.0 and ACS3-HMAC-SHA256 are known",
        ));
    }
    let key = keys.get(shown.access_key_id).ok_or(Refusal::UnknownKey)?;
    let (method, secret) = (request.method.as_str(), key.secret.reveal());
    if !v1::is_signed(method, parameters.pairs(), signature, secret) {
        return Err(Refusal::WrongSignature);
    }
    Ok((shown, key))
}
