//! The certificate authorities that a connection to another server is believed by: of the database, of the issuer of tokens.

use std::path::Path;
use std::{fs, io};

use rustls::RootCertStore;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;
use thiserror::Error;

/// Why there are none. Whoever asks knows what the authorities are for, and says so.
#[derive(Debug, Error)]
pub enum RootsError {
    /// The file can't be read.
    #[error(transparent)]
    Read(#[from] io::Error),
    /// A certificate in it is none.
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
    let mut roots = RootCertStore::empty();
    match file {
        None => {
            let found = rustls_native_certs::load_native_certs();
            // A system may hold some that are broken or too old.
            roots.add_parsable_certificates(found.certs);
        }
        Some(path) => {
            for certificate in CertificateDer::pem_slice_iter(&fs::read(path)?) {
                let added = certificate
                    .map_err(|error| error.to_string())
                    .and_then(|certificate| roots.add(certificate).map_err(|e| e.to_string()));
                added.map_err(RootsError::Certificate)?;
            }
        }
    }
    if roots.is_empty() {
        return Err(RootsError::Empty);
    }
    Ok(roots)
}
