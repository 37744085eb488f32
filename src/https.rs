//! The client of HTTPS for other servers: the issuer of tokens, the cloud.

use std::error::Error;
use std::io;
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use reqwest::redirect::Policy;
use reqwest::{Client, Response, Url};
use rustls::crypto::ring;
use rustls::{ClientConfig, RootCertStore};
use thiserror::Error;

use crate::roots::{self, RootsError};

/// How long a server may take to accept a connection.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(3);

/// Why a client can't be set up. Whoever asks knows what it is for, and says so.
#[derive(Debug, Error)]
pub enum ClientError {
    /// The file with the authorities can't be read.
    #[error("cannot read the certificate authorities in {}: {source}", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// There is no authority to trust a server by.
    #[error("{origin} has no certificate authority to trust the server by: {problem}")]
    Authorities {
        /// The origin of the authorities: the path of the file, or the system.
        origin: String,
        /// What is wrong.
        problem: String,
    },
    /// The library refuses to start.
    #[error("cannot set up the HTTP client: {0}")]
    Client(String),
}

impl ClientError {
    fn of_roots(error: RootsError, file: Option<&Path>) -> Self {
        let problem = match (error, file) {
            (RootsError::Read(source), Some(path)) => {
                let path = path.to_path_buf();
                return Self::File { path, source };
            }
            (RootsError::Empty, None) => "install ca-certificates, or name a file".to_owned(),
            (RootsError::Empty, Some(_)) => "it holds no PEM certificate".to_owned(),
            (error, _) => error.to_string(),
        };
        let origin = file.map_or("the system".to_owned(), |path| path.display().to_string());
        Self::Authorities { origin, problem }
    }
}

/// Why the body of an answer can't be used.
#[derive(Debug, Error)]
pub enum BodyError {
    /// The body did not arrive.
    #[error("{0}")]
    Lost(String),
    /// The body is longer than it may be.
    #[error("the answer has over {0} bytes")]
    TooLarge(usize),
}

/// A client for a server. It trusts the authorities in the file alone, or those of the system where there is none.
///
/// # Errors
/// [`ClientError`], such as authorities that can't be read.
pub fn client(
    server: &Url,
    authorities: Option<&Path>,
    timeout: Duration,
    redirects: Policy,
) -> Result<Client, ClientError> {
    let is_https = server.scheme() == "https";
    let roots = if is_https {
        roots::load(authorities).map_err(|error| ClientError::of_roots(error, authorities))?
    } else {
        RootCertStore::empty()
    };
    let failed = |error: &dyn Error| ClientError::Client(with_causes(error));
    let tls = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .map_err(|error| failed(&error))?
        .with_root_certificates(roots)
        .with_no_client_auth();
    let mut client = Client::builder()
        .tls_backend_preconfigured(tls)
        .timeout(timeout)
        .connect_timeout(CONNECT_TIMEOUT)
        .redirect(redirects)
        .referer(false)
        .user_agent(concat!("untag/", env!("CARGO_PKG_VERSION")));
    if !is_https {
        // HTTPS_PROXY may be needed to reach others. What is on this host never leaves it.
        client = client.no_proxy();
    }
    client.build().map_err(|error| failed(&error))
}

/// Reads a body of at most `most` bytes, whatever the server says or sends.
///
/// # Errors
/// [`BodyError`]: the body is longer, or did not arrive.
pub async fn body(mut response: Response, most: usize) -> Result<Vec<u8>, BodyError> {
    let mut body = Vec::new();
    let lost = |error: reqwest::Error| BodyError::Lost(with_causes(&error.without_url()));
    while let Some(chunk) = response.chunk().await.map_err(lost)? {
        if body.len() + chunk.len() > most {
            return Err(BodyError::TooLarge(most));
        }
        body.extend_from_slice(&chunk);
    }
    Ok(body)
}

/// An error of reqwest in words with its causes: by itself it says little.
#[must_use]
pub fn with_causes(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text = format!("{text}: {error}");
        cause = error.source();
    }
    text
}

/// The innermost cause of an error, for those that only say by themselves that there is one; `None` where there is none.
#[must_use]
pub fn root_cause(error: &dyn Error) -> Option<String> {
    let mut cause = error.source()?;
    while let Some(next) = cause.source() {
        cause = next;
    }
    Some(cause.to_string())
}

/// The URL of a server: `https://host`, or `http://` on this host, and a port where it is needed.
///
/// # Errors
/// What is wrong with it.
pub fn server_url(text: &str) -> Result<Url, String> {
    let example = "give a URL such as https://ims.aliyuncs.com";
    let url = Url::parse(text).map_err(|error| format!("{error}; {example}"))?;
    let is_bare = url.path() == "/"
        && url.query().is_none()
        && url.fragment().is_none()
        && url.username().is_empty()
        && url.password().is_none();
    match url.scheme() {
        "https" | "http" if !is_bare => {
            Err(format!("only a host and a port are wanted; {example}"))
        }
        "https" => Ok(url),
        "http" if is_this_host(&url) => Ok(url),
        "http" => Err("only https:// goes to other hosts than this one".to_owned()),
        _ => Err(example.to_owned()),
    }
}

/// Whether a URL leads to this host.
#[must_use]
pub fn is_this_host(url: &Url) -> bool {
    names_this_host(url.host_str().unwrap_or_default())
}

/// Whether a host, as URLs have it, is this one: what is said there nobody on the way can hear or change.
#[must_use]
pub fn names_this_host(host: &str) -> bool {
    let address = host.trim_start_matches('[').trim_end_matches(']');
    host.eq_ignore_ascii_case("localhost")
        || address
            .parse()
            .is_ok_and(|address: IpAddr| address.is_loopback())
}

#[cfg(test)]
mod tests {
    use super::server_url;

    #[test]
    fn a_server_is_reached_by_https_or_on_this_host() {
        for good in [
            "https://ims.aliyuncs.com",
            "https://ims.example.org:8443/",
            "http://127.0.0.1:1",
            "http://[::1]:1",
            "http://localhost",
        ] {
            server_url(good).unwrap();
        }
        for bad in [
            "",
            "ims.aliyuncs.com",
            "ftp://ims.aliyuncs.com",
            "http://ims.aliyuncs.com",
            "https://ims.aliyuncs.com/path",
            "https://ims.aliyuncs.com?a=b",
            "https://ims.aliyuncs.com#a",
            "https://me:secret@ims.aliyuncs.com",
        ] {
            let error = server_url(bad).unwrap_err();
            assert!(!error.contains("secret"), "{error}");
        }
    }
}
