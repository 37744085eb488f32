//! The certificate authorities by which other servers are trusted: the database, the issuer of tokens, the cloud.

use std::path::Path;
use std::{fs, io};

use rustls::RootCertStore;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;
use thiserror::Error;

use crate::bom::{OtherEncoding, without_bom};

/// Why there are no authorities. Whoever asks knows what they are for, and says so.
#[derive(Debug, Error)]
pub enum RootsError {
    /// The file can't be read.
    #[error(transparent)]
    Read(#[from] io::Error),
    /// The file is in another encoding than UTF-8.
    #[error(transparent)]
    Encoding(#[from] OtherEncoding),
    /// A certificate in the file can't be read.
    #[error("{0}")]
    Certificate(String),
    /// The file, or the system, has none.
    #[error("there are no certificate authorities")]
    Empty,
}

/// The authorities in this PEM file alone, or those of the system where there is no file.
///
/// # Errors
/// [`RootsError`]: nobody would be believed.
pub fn load(file: Option<&Path>) -> Result<RootCertStore, RootsError> {
    if let Some(path) = file {
        return parse(&fs::read(path)?);
    }
    let mut roots = RootCertStore::empty();
    let found = rustls_native_certs::load_native_certs();
    // A system may hold some that are broken or too old.
    roots.add_parsable_certificates(found.certs);
    some(roots)
}

/// The authorities in the text of a PEM file.
///
/// # Errors
/// [`RootsError`]: nobody would be believed.
pub fn parse(text: &[u8]) -> Result<RootCertStore, RootsError> {
    let mut roots = RootCertStore::empty();
    for certificate in CertificateDer::pem_slice_iter(without_bom(text)?) {
        let added = certificate
            .map_err(|error| error.to_string())
            .and_then(|certificate| roots.add(certificate).map_err(|e| e.to_string()));
        added.map_err(RootsError::Certificate)?;
    }
    some(roots)
}

fn some(roots: RootCertStore) -> Result<RootCertStore, RootsError> {
    if roots.is_empty() {
        return Err(RootsError::Empty);
    }
    Ok(roots)
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::load;

    #[test]
    fn a_file_may_begin_with_the_byte_order_mark_of_utf_8_alone() {
        let key = rcgen::KeyPair::generate().unwrap();
        let parameters = rcgen::CertificateParams::default();
        let pem = parameters.self_signed(&key).unwrap().pem();
        let file = tempfile::NamedTempFile::new().unwrap();
        fs::write(&file, format!("\u{feff}{pem}")).unwrap();
        assert_eq!(load(Some(file.path())).unwrap().len(), 1);
        fs::write(&file, b"\xff\xfe-\0").unwrap();
        let error = load(Some(file.path())).unwrap_err().to_string();
        assert!(error.contains("(BOM) of UTF-16"), "{error}");
    }
}
