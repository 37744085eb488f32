//! The source of a JWKS: a file, or a URL.

use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;

use reqwest::Url;
use thiserror::Error;

use super::error::Quoted;
use crate::https::is_this_host;

/// The source of a JWKS.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum KeySource {
    /// A file, which is read again when it changes.
    File(PathBuf),
    /// A URL, which is [fetched](super::RemoteKeys) now and then.
    Url(JwksUrl),
}

/// A URL of a JWKS, by HTTPS. HTTP is for this host alone: whoever can change an answer on its way can let anybody in.
#[derive(Clone, PartialEq, Eq)]
pub struct JwksUrl(Url);

/// Why a text is no source of a JWKS.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum KeySourceError {
    /// The text is empty.
    #[error("the JWKS is named by an empty text; give a file or an https:// URL")]
    Empty,
    /// The text is neither the path of a file nor a URL.
    #[error(
        "{url} is no URL of a JWKS: {problem}; give a file or a URL such as https://issuer.example.org/jwks"
    )]
    Url {
        /// The start of the text.
        url: Quoted,
        /// What is wrong with it.
        problem: String,
    },
    /// The URL is no HTTPS: anybody on the way could replace the keys.
    #[error("keys for tokens are fetched by https:// from everywhere but this host; change {0}")]
    Insecure(Quoted),
    /// The URL has a password in it, which would be shown in logs.
    #[error(
        "the URL of the JWKS has a user or a password in it; keys are public, so leave them out"
    )]
    Credentials,
}

impl FromStr for KeySource {
    type Err = KeySourceError;

    fn from_str(text: &str) -> Result<Self, KeySourceError> {
        if text.is_empty() {
            return Err(KeySourceError::Empty);
        }
        if text.contains("://") {
            return JwksUrl::parse(text).map(Self::Url);
        }
        Ok(Self::File(text.into()))
    }
}

impl JwksUrl {
    /// Reads a URL.
    ///
    /// # Errors
    ///
    /// If this is no URL, or none that is safe to trust.
    pub fn parse(text: &str) -> Result<Self, KeySourceError> {
        let url = Url::parse(text).map_err(|error| KeySourceError::Url {
            url: Quoted::new(text),
            problem: error.to_string(),
        })?;
        // First, so that no other error shows a password.
        if !url.username().is_empty() || url.password().is_some() {
            return Err(KeySourceError::Credentials);
        }
        match url.scheme() {
            "https" => Ok(Self(url)),
            "http" if is_this_host(&url) => Ok(Self(url)),
            "http" => Err(KeySourceError::Insecure(Quoted::new(text))),
            scheme => Err(KeySourceError::Url {
                url: Quoted::new(text),
                problem: format!("{scheme}:// is neither https:// nor http://"),
            }),
        }
    }

    pub(super) fn url(&self) -> &Url {
        &self.0
    }

    pub(super) fn is_https(&self) -> bool {
        self.0.scheme() == "https"
    }
}

/// The text leaves the query out, in which some servers expect a key.
impl fmt::Display for JwksUrl {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut shown = self.0.clone();
        shown.set_query(None);
        shown.set_fragment(None);
        fmt::Display::fmt(&shown, formatter)
    }
}

impl fmt::Debug for JwksUrl {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, formatter)
    }
}

#[cfg(test)]
mod tests {
    use super::{JwksUrl, KeySource, KeySourceError};

    #[test]
    fn a_source_is_a_file_or_a_url() {
        let file: KeySource = "/etc/untag/jwks.json".parse().unwrap();
        assert_eq!(file, KeySource::File("/etc/untag/jwks.json".into()));
        let url = "https://issuer.example.org/jwks?token=hidden#part";
        let KeySource::Url(url) = url.parse().unwrap() else {
            panic!("no URL")
        };
        assert_eq!(url.to_string(), "https://issuer.example.org/jwks");
        assert_eq!(format!("{url:?}"), "https://issuer.example.org/jwks");
        assert_eq!("".parse::<KeySource>(), Err(KeySourceError::Empty));
    }

    #[test]
    fn http_is_for_this_host_alone() {
        for url in [
            "http://127.0.0.1:1/",
            "http://127.9.9.9",
            "http://[::1]:80",
            "http://localhost",
        ] {
            JwksUrl::parse(url).unwrap();
        }
        for url in [
            "http://issuer.example.org",
            "http://localhost.example.org",
            "http://10.0.0.1",
            "http://0.0.0.0",
        ] {
            let error = JwksUrl::parse(url).unwrap_err();
            assert!(
                matches!(error, KeySourceError::Insecure(_)),
                "{url}: {error}"
            );
        }
    }

    #[test]
    fn other_urls_are_refused_without_showing_a_password() {
        for url in ["ftp://a/b", "https://", "file:///etc/passwd"] {
            let error = url.parse::<KeySource>().unwrap_err();
            assert!(
                matches!(error, KeySourceError::Url { .. }),
                "{url}: {error}"
            );
        }
        let error = "http://me:hunter2@issuer.example.org"
            .parse::<KeySource>()
            .unwrap_err();
        assert_eq!(error, KeySourceError::Credentials);
    }
}
