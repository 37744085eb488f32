//! Signature V3: HMAC-SHA256 over a canonical form of the request, in the header `authorization`.

use ring::{digest, hmac};

use super::{Pair, canonical_query, hexadecimal, is_word};

const ALGORITHM: &str = "ACS3-HMAC-SHA256";

/// A header's name and value.
pub type Header<'a> = (&'a str, &'a str);

/// The parts of a request that are signed.
#[derive(Debug, Clone, Copy)]
pub struct Request<'a> {
    /// The method, such as `POST`.
    pub method: &'a str,
    /// The path, such as `/`.
    pub path: &'a str,
    /// The parameters of the query, decoded.
    pub query: &'a [Pair],
    /// The signed headers, their names in lower case.
    pub headers: &'a [Header<'a>],
    /// [`payload_hash`] of the body.
    pub payload_hash: &'a str,
}

/// The SHA-256 of a body, in hexadecimal digits.
#[must_use]
pub fn payload_hash(body: &[u8]) -> String {
    hexadecimal(digest::digest(&digest::SHA256, body).as_ref())
}

impl Request<'_> {
    /// The canonical form of the request.
    #[must_use]
    pub fn canonical(&self) -> String {
        let headers = self.sorted_headers();
        let lines: Vec<String> = headers
            .iter()
            .map(|(name, value)| format!("{name}:{}\n", value.trim()))
            .collect();
        let lines = lines.concat();
        let Self {
            method,
            path,
            payload_hash,
            ..
        } = self;
        let (query, names) = (canonical_query(self.query), names(&headers));
        format!("{method}\n{path}\n{query}\n{lines}\n{names}\n{payload_hash}")
    }

    /// The string that is signed with the secret.
    #[must_use]
    pub fn string_to_sign(&self) -> String {
        let hash = payload_hash(self.canonical().as_bytes());
        format!("{ALGORITHM}\n{hash}")
    }

    /// The header `authorization`.
    #[must_use]
    pub fn authorization(&self, access_key_id: &str, secret: &str) -> String {
        let signature = hmac::sign(&key(secret), self.string_to_sign().as_bytes());
        let (names, signature) = (
            names(&self.sorted_headers()),
            hexadecimal(signature.as_ref()),
        );
        format!(
            "{ALGORITHM} Credential={access_key_id},SignedHeaders={names},Signature={signature}"
        )
    }

    /// Whether a signature is that of this request by this secret; compared in constant time.
    #[must_use]
    pub fn is_signed(&self, signature: &str, secret: &str) -> bool {
        let Some(signature) = bytes(signature) else {
            return false;
        };
        hmac::verify(&key(secret), self.string_to_sign().as_bytes(), &signature).is_ok()
    }

    fn sorted_headers(&self) -> Vec<Header<'_>> {
        let mut headers = self.headers.to_vec();
        headers.sort_unstable();
        headers
    }
}

/// A header `authorization`, taken apart.
#[derive(Debug)]
pub struct Authorization<'a> {
    /// The id of the key that has signed.
    pub access_key_id: &'a str,
    /// The names of the headers that are signed.
    pub signed_headers: std::str::Split<'a, char>,
    /// The signature, in hexadecimal digits.
    pub signature: &'a str,
}

impl<'a> Authorization<'a> {
    /// Reads the header; `None` for what is none of this algorithm. The form is exact: where it were trimmed, one key would
    /// have many ids.
    #[must_use]
    pub fn parse(header: &'a str) -> Option<Self> {
        let parts = header.strip_prefix(ALGORITHM)?.strip_prefix(' ')?;
        if !is_word(parts) {
            return None;
        }
        let mut parts = parts.split(',');
        let mut part = |name: &str| parts.next()?.strip_prefix(name)?.strip_prefix('=');
        let access_key_id = part("Credential")?;
        let signed_headers = part("SignedHeaders")?.split(';');
        let signature = part("Signature")?;
        parts.next().is_none().then_some(Self {
            access_key_id,
            signed_headers,
            signature,
        })
    }
}

fn names(headers: &[Header<'_>]) -> String {
    let names: Vec<&str> = headers.iter().map(|(name, _)| *name).collect();
    names.join(";")
}

fn key(secret: &str) -> hmac::Key {
    hmac::Key::new(hmac::HMAC_SHA256, secret.as_bytes())
}

/// Hexadecimal digits as bytes.
fn bytes(digits: &str) -> Option<Vec<u8>> {
    if !digits.bytes().all(|digit| digit.is_ascii_hexdigit()) || !digits.len().is_multiple_of(2) {
        return None;
    }
    (0..digits.len())
        .step_by(2)
        .map(|at| u8::from_str_radix(&digits[at..at + 2], 16).ok())
        .collect()
}
