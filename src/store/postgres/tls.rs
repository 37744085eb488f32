//! TLS to the database, by rustls.

use std::sync::Arc;

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, ring, verify_tls13_signature_with_raw_key};
use rustls::pki_types::{
    CertificateDer, ServerName, SignatureVerificationAlgorithm, SubjectPublicKeyInfoDer, UnixTime,
};
use rustls::{
    CertificateError, ClientConfig, DigitallySignedStruct, RootCertStore, SignatureScheme,
};
use tokio_postgres::{Client, Config, NoTls};
use tokio_postgres_rustls::MakeRustlsConnect;
use webpki::RawPublicKeyEntity;
use x509_parser::prelude::{FromDer as _, X509Certificate};

use super::config::{ConfigError, ConnectionString, Verification};
use crate::roots::{self, RootsError};
use crate::telemetry::metrics::metrics;

/// How to connect.
pub enum Tls {
    Off,
    On(MakeRustlsConnect),
}

impl Tls {
    /// `roots` are the contents of the file of root certificates; without them the system's count.
    pub fn new(connection: &ConnectionString, roots: Option<&[u8]>) -> Result<Self, ConfigError> {
        if !connection.uses_tls() {
            return Ok(Self::Off);
        }
        let provider = Arc::new(ring::default_provider());
        let builder = ClientConfig::builder_with_provider(Arc::clone(&provider))
            .with_safe_default_protocol_versions()
            .map_err(|error| ConfigError::Certificates(error.to_string()))?;
        let config = match connection.verification() {
            Verification::Full => builder.with_root_certificates(trusted(connection, roots)?),
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

fn trusted(
    connection: &ConnectionString,
    roots: Option<&[u8]>,
) -> Result<RootCertStore, ConfigError> {
    let loaded = match roots {
        Some(roots) => roots::parse(roots),
        None => roots::load(None),
    };
    loaded.map_err(|error| {
        let reason = match (error, connection.root_certificates()) {
            (RootsError::Empty, Some(path)) => format!("{} holds none", path.display()),
            (RootsError::Empty, None) => {
                "the system has none; name a file with sslrootcert=".to_owned()
            }
            (error, Some(path)) => format!("{}: {error}", path.display()),
            (error, None) => format!("the system: {error}"),
        };
        ConfigError::Certificates(reason)
    })
}

/// `sslmode=prefer` and `require` keep eavesdroppers out, and, as libpq's, ask nobody who he is. That the server has the key of
/// its certificate is seen all the same: channel binding rests on it.
#[derive(Debug)]
struct AnyCertificate(Arc<CryptoProvider>);

/// The key of a certificate. Webpki reads none of version 1, which names no hosts, and which PostgreSQL's manual makes.
fn key_of<'a>(
    certificate: &'a CertificateDer<'_>,
) -> Result<SubjectPublicKeyInfoDer<'a>, CertificateError> {
    let parsed = X509Certificate::from_der(certificate);
    let (_, parsed) = parsed.map_err(|_| CertificateError::BadEncoding)?;
    Ok(SubjectPublicKeyInfoDer::from(
        parsed.tbs_certificate.subject_pki.raw,
    ))
}

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
        let key = key_of(certificate)?;
        let key = RawPublicKeyEntity::try_from(&key).map_err(|_| CertificateError::BadEncoding)?;
        let schemes = self.0.signature_verification_algorithms.mapping;
        let of_scheme = schemes.iter().filter(|(it, _)| *it == signature.scheme);
        let mut algorithms = of_scheme.flat_map(|(_, algorithms)| *algorithms);
        let is_good = |algorithm: &dyn SignatureVerificationAlgorithm| {
            let verified = key.verify_signature(algorithm, message, signature.signature());
            verified.is_ok()
        };
        if algorithms.any(|algorithm| is_good(*algorithm)) {
            Ok(HandshakeSignatureValid::assertion())
        } else {
            Err(CertificateError::BadSignature.into())
        }
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = &self.0.signature_verification_algorithms;
        verify_tls13_signature_with_raw_key(message, &key_of(certificate)?, signature, algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}
