//! TLS to the database, by rustls.

use std::fs;
use std::sync::Arc;

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, ring, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{ClientConfig, DigitallySignedStruct, RootCertStore, SignatureScheme};
use tokio_postgres::{Client, Config, NoTls};
use tokio_postgres_rustls::MakeRustlsConnect;

use crate::telemetry::metrics::metrics;

use super::config::{ConfigError, ConnectionString, Verification};

/// How to connect.
pub enum Tls {
    Off,
    On(MakeRustlsConnect),
}

impl Tls {
    pub fn new(connection: &ConnectionString) -> Result<Self, ConfigError> {
        if !connection.uses_tls() {
            return Ok(Self::Off);
        }
        let provider = Arc::new(ring::default_provider());
        let builder = ClientConfig::builder_with_provider(Arc::clone(&provider))
            .with_safe_default_protocol_versions()
            .map_err(|error| ConfigError::Certificates(error.to_string()))?;
        let config = match connection.verification() {
            Verification::Full => builder.with_root_certificates(roots(connection)?),
            Verification::None => builder
                .dangerous()
                .with_custom_certificate_verifier(Arc::new(AnyCertificate(provider))),
        };
        Ok(Self::On(MakeRustlsConnect::new(
            config.with_no_client_auth(),
        )))
    }

    /// Opens a connection, which runs until its client is gone.
    pub async fn connect(&self, config: &Config) -> Result<Client, tokio_postgres::Error> {
        match self {
            Self::Off => {
                let (client, connection) = config.connect(NoTls).await?;
                tokio::spawn(counted(connection));
                Ok(client)
            }
            Self::On(tls) => {
                let (client, connection) = config.connect(tls.clone()).await?;
                tokio::spawn(counted(connection));
                Ok(client)
            }
        }
    }
}

/// Runs a connection, and counts it as open meanwhile. How it ends is seen by the statements on it.
async fn counted<E>(connection: impl Future<Output = Result<(), E>>) {
    let open = metrics().store.connection();
    let _ = connection.await;
    drop(open);
}

fn roots(connection: &ConnectionString) -> Result<RootCertStore, ConfigError> {
    let mut roots = RootCertStore::empty();
    let Some(path) = connection.root_certificates() else {
        let found = rustls_native_certs::load_native_certs();
        let (added, _) = roots.add_parsable_certificates(found.certs);
        if added == 0 {
            let what = "the system has none; name a file with sslrootcert=";
            return Err(ConfigError::Certificates(what.to_owned()));
        }
        return Ok(roots);
    };
    let pem = fs::read(path).map_err(|source| ConfigError::File {
        what: "the root certificates",
        path: path.to_path_buf(),
        source,
    })?;
    for certificate in CertificateDer::pem_slice_iter(&pem) {
        let added = certificate
            .map_err(|error| error.to_string())
            .and_then(|certificate| roots.add(certificate).map_err(|error| error.to_string()));
        added.map_err(|error| ConfigError::Certificates(format!("{}: {error}", path.display())))?;
    }
    if roots.is_empty() {
        return Err(ConfigError::Certificates(format!(
            "{} holds none",
            path.display()
        )));
    }
    Ok(roots)
}

/// `sslmode=prefer` and `require` keep eavesdroppers out, and, as libpq's, ask nobody who he is.
#[derive(Debug)]
struct AnyCertificate(Arc<CryptoProvider>);

impl ServerCertVerifier for AnyCertificate {
    fn verify_server_cert(
        &self,
        _end_entity: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = &self.0.signature_verification_algorithms;
        verify_tls12_signature(message, certificate, signature, algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = &self.0.signature_verification_algorithms;
        verify_tls13_signature(message, certificate, signature, algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}
