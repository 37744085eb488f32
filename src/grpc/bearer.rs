//! The bearer token that a request carries.

use http::header::AUTHORIZATION;
use http::{HeaderMap, HeaderValue};

use crate::domain::Error;

/// The token of `authorization: Bearer TOKEN` (RFC 6750), if there is such an entry.
///
/// # Errors
/// For two entries, and for one with another scheme: what was meant to prove something is never passed over.
pub fn token(headers: &HeaderMap) -> Result<Option<&str>, Error> {
    let mut entries = headers.get_all(AUTHORIZATION).iter();
    let refused = |reason: &str| Err(Error::Unauthenticated(reason.to_owned()));
    match (entries.next().map(HeaderValue::to_str), entries.next()) {
        (None, _) => Ok(None),
        (Some(_), Some(_)) => refused("the metadata has two authorization entries; send one"),
        (Some(Err(_)), None) => refused("the authorization entry is not ASCII text"),
        (Some(Ok(entry)), None) => match entry.split_once(' ') {
            Some((scheme, token)) if scheme.eq_ignore_ascii_case("bearer") => {
                Ok(Some(token.trim_matches(' ')))
            }
            _ => refused("the authorization entry must be the word Bearer, a space and a token"),
        },
    }
}
