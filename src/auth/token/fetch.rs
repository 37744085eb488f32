//! The client that fetches a JWKS.

use std::path::Path;
use std::time::Duration;

use reqwest::Client;
use reqwest::header::{ACCEPT, CACHE_CONTROL, HeaderMap};
use reqwest::redirect::{Attempt, Policy};
use thiserror::Error;

use super::key_set::{KeySet, KeySetError, LARGEST_JWKS};
use super::source::JwksUrl;
use crate::https::{self, BodyError, ClientError, with_causes};

/// The most redirects that are followed.
const MOST_REDIRECTS: usize = 3;

/// Why the client that fetches keys can't be set up.
#[derive(Debug, Error)]
#[error("cannot fetch keys from the JWKS URL: {0}")]
pub struct RemoteKeysError(#[from] ClientError);

/// Why a fetch brought no keys.
#[derive(Debug, Error)]
pub(super) enum FetchError {
    #[error("{0}")]
    Request(String),
    #[error("the server answers with HTTP status {0}")]
    Status(u16),
    #[error(
        "the server answers with HTTP status {0}: it wants to know who asks, and no credentials are sent; let anybody read the keys, \
         or name a file of them"
    )]
    Refused(u16),
    #[error("{0}; this is no set of an issuer's keys")]
    Body(#[from] BodyError),
    #[error(transparent)]
    Keys(#[from] KeySetError),
}

/// The keys of a fetch, and for how long the server says that they are fresh.
pub(super) struct Fetched {
    pub(super) keys: KeySet,
    pub(super) fresh_for: Option<Duration>,
}

/// The client that fetches a JWKS again and again.
pub(super) struct Fetcher {
    client: Client,
    url: JwksUrl,
}

impl Fetcher {
    /// A client that trusts the authorities in this file alone, or those of the system where there is no file.
    pub(super) fn new(
        url: JwksUrl,
        authorities: Option<&Path>,
        timeout: Duration,
    ) -> Result<Self, RemoteKeysError> {
        let redirects = Policy::custom(follow);
        let client = https::client(url.url(), authorities, timeout, redirects)?;
        Ok(Self { client, url })
    }

    pub(super) fn url(&self) -> &JwksUrl {
        &self.url
    }

    pub(super) async fn fetch(&self) -> Result<Fetched, FetchError> {
        let response = self
            .client
            .get(self.url.url().clone())
            .header(ACCEPT, "application/jwk-set+json, application/json")
            .send()
            .await
            // Without the URL, whose query may hold a key.
            .map_err(|error| FetchError::Request(with_causes(&error.without_url())))?;
        match response.status().as_u16() {
            200 => {}
            status @ (401 | 403) => return Err(FetchError::Refused(status)),
            status => return Err(FetchError::Status(status)),
        }
        let fresh_for = max_age(response.headers());
        let body = https::body(response, LARGEST_JWKS).await?;
        let keys = KeySet::parse(&body)?;
        Ok(Fetched { keys, fresh_for })
    }
}

/// Follows a few redirects, to URLs that would be taken in the first place, and never from HTTPS to HTTP.
fn follow(attempt: Attempt<'_>) -> reqwest::redirect::Action {
    let was_https = attempt.previous().iter().any(|url| url.scheme() == "https");
    let next = JwksUrl::parse(attempt.url().as_str());
    match next {
        _ if attempt.previous().len() > MOST_REDIRECTS => attempt.error("too many redirects"),
        Ok(url) if was_https && !url.is_https() => attempt.error("a redirect from https to http"),
        Ok(_) => attempt.follow(),
        Err(error) => attempt.error(error),
    }
}

/// The time in `Cache-Control: max-age`.
fn max_age(headers: &HeaderMap) -> Option<Duration> {
    let values = headers.get_all(CACHE_CONTROL).into_iter();
    values
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .map(|directive| directive.trim().to_ascii_lowercase())
        .find_map(|directive| directive.strip_prefix("max-age=")?.parse().ok())
        .map(Duration::from_secs)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::{CACHE_CONTROL, HeaderMap, max_age};

    #[test]
    fn max_age_is_found_among_other_directives() {
        for (value, seconds) in [
            ("max-age=60", Some(60)),
            ("public, Max-Age=60, must-revalidate", Some(60)),
            ("no-store", None),
            ("s-maxage=60", None),
            ("max-age=-1", None),
            ("max-age=99999999999999999999", None),
        ] {
            let mut headers = HeaderMap::new();
            headers.insert(CACHE_CONTROL, value.parse().unwrap());
            assert_eq!(
                max_age(&headers),
                seconds.map(Duration::from_secs),
                "{value}"
            );
        }
        assert_eq!(max_age(&HeaderMap::new()), None);
    }
}
