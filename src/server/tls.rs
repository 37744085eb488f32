//! TLS for the public port: certificate, key and client CA from files that are followed.

use std::path::PathBuf;
use std::sync::Arc;

use rustls::crypto::{CryptoProvider, ring};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::{NoServerSessionStorage, WebPkiClientVerifier};
use rustls::{RootCertStore, ServerConfig};
use x509_parser::prelude::{FromDer as _, X509Certificate};

use crate::bom::without_bom;
use crate::reload::{Follower, LoadError};
use crate::telemetry::metrics::{Reload, metrics};

/// The files of a server with TLS.
#[derive(Debug, Clone)]
pub struct TlsFiles {
    /// The certificate and those above it, PEM.
    pub certificate: PathBuf,
    /// The certificate's key, PEM.
    pub key: PathBuf,
    /// The authorities whose client certificates are believed, PEM.
    pub client_ca: Option<PathBuf>,
}

/// Whether clients have to show a certificate, where there is a client CA.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ClientCertificates {
    /// A handshake without one fails.
    Required,
    /// A client may show one.
    Optional,
}

/// Loads the files.
///
/// # Errors
/// What is wrong with them: unreadable, no PEM, a key that is not the certificate's.
pub fn load(
    files: TlsFiles,
    client_certificates: ClientCertificates,
) -> Result<Follower<ServerConfig>, LoadError> {
    let paths = [Some(files.certificate), Some(files.key), files.client_ca];
    let paths = paths.into_iter().flatten().collect();
    Follower::load(
        Reload::Tls,
        "TLS certificate, key and client CA",
        paths,
        move |contents| parse(contents, client_certificates),
    )
}

fn parse(
    contents: &[Vec<u8>],
    client_certificates: ClientCertificates,
) -> Result<ServerConfig, String> {
    let (certificate, key, client_ca) = match contents {
        [certificate, key] => (certificate, key, None),
        [certificate, key, client_ca] => (certificate, key, Some(client_ca)),
        _ => return Err("there must be a certificate and a key".to_owned()),
    };
    let provider = Arc::new(ring::default_provider());
    let chain = certificates(certificate, "certificate")?;
    let expiry = expiry(&chain);
    let key = without_bom(key).map_err(|error| format!("the key file can't be used: {error}"))?;
    let key = PrivateKeyDer::from_pem_slice(key)
        .map_err(|error| format!("there is no private key in the key file: {error}"))?;
    let builder = ServerConfig::builder_with_provider(Arc::clone(&provider))
        // TLS 1.3 and 1.2.
        .with_safe_default_protocol_versions()
        .map_err(|error| error.to_string())?;
    let asks_for_certificates = client_ca.is_some();
    let builder = match client_ca {
        None => builder.with_no_client_auth(),
        Some(pem) => {
            let roots = roots(pem)?;
            builder.with_client_cert_verifier(verifier(roots, provider, client_certificates)?)
        }
    };
    let mut config = builder
        .with_single_cert(chain, key)
        .map_err(|error| format!("the certificate and the key do not work together: {error}"))?;
    // A session that is resumed would bring a certificate along that nobody has looked at again.
    if asks_for_certificates {
        config.session_storage = Arc::new(NoServerSessionStorage {});
        config.send_tls13_tickets = 0;
    }
    // Only of a pair that is good, and so served from now on.
    if let Some(expiry) = expiry {
        metrics().server.certificate_expires(expiry);
    }
    Ok(config)
}

/// When the first certificate of a chain, which is the server's own, expires: seconds since 1970.
fn expiry(chain: &[CertificateDer<'_>]) -> Option<i64> {
    let (_, leaf) = X509Certificate::from_der(chain.first()?).ok()?;
    Some(leaf.validity().not_after.timestamp())
}

fn verifier(
    roots: RootCertStore,
    provider: Arc<CryptoProvider>,
    client_certificates: ClientCertificates,
) -> Result<Arc<dyn rustls::server::danger::ClientCertVerifier>, String> {
    let builder = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider);
    let builder = match client_certificates {
        ClientCertificates::Required => builder,
        ClientCertificates::Optional => builder.allow_unauthenticated(),
    };
    builder
        .build()
        .map_err(|error| format!("the client CA can't be used: {error}"))
}

fn roots(pem: &[u8]) -> Result<RootCertStore, String> {
    let mut roots = RootCertStore::empty();
    for certificate in certificates(pem, "client CA")? {
        roots
            .add(certificate)
            .map_err(|error| format!("the client CA holds a certificate that is none: {error}"))?;
    }
    Ok(roots)
}

fn certificates(pem: &[u8], what: &str) -> Result<Vec<CertificateDer<'static>>, String> {
    let pem =
        without_bom(pem).map_err(|error| format!("the {what} file can't be used: {error}"))?;
    let found: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(pem).collect();
    let found = found.map_err(|error| format!("the {what} file is not PEM: {error}"))?;
    if found.is_empty() {
        return Err(format!("there is no certificate in the {what} file"));
    }
    Ok(found)
}
