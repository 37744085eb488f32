//! A certificate authority for tests.

use std::net::{IpAddr, Ipv4Addr};

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair, SanType};

/// An authority that signs certificates.
pub struct Authority(CertifiedIssuer<'static, KeyPair>);

/// A certificate and its key, PEM.
#[derive(Clone)]
pub struct Pair {
    pub certificate: String,
    pub key: String,
}

/// The SPIFFE ID of a caller.
pub fn spiffe(name: &str) -> SanType {
    SanType::URI(
        format!("spiffe://example.org/ns/test/sa/{name}")
            .try_into()
            .unwrap(),
    )
}

pub fn uri(uri: &str) -> SanType {
    SanType::URI(uri.try_into().unwrap())
}

pub fn dns(name: &str) -> SanType {
    SanType::DnsName(name.try_into().unwrap())
}

impl Authority {
    pub fn new(name: &str) -> Self {
        let mut parameters = CertificateParams::default();
        parameters.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        parameters.distinguished_name.push(DnType::CommonName, name);
        Self::of(parameters)
    }

    /// An authority whose own certificate has this form.
    pub fn of(parameters: CertificateParams) -> Self {
        let key = KeyPair::generate().unwrap();
        Self(CertifiedIssuer::self_signed(parameters, key).unwrap())
    }

    /// The certificate, PEM.
    pub fn pem(&self) -> String {
        self.0.pem()
    }

    /// The private key, PEM.
    pub fn key_pem(&self) -> String {
        self.0.key().serialize_pem()
    }

    /// Signs a certificate for these names.
    pub fn issue(&self, names: Vec<SanType>) -> Pair {
        let mut parameters = CertificateParams::default();
        parameters.subject_alt_names = names;
        self.sign(&parameters)
    }

    /// Signs a certificate of this form.
    pub fn sign(&self, parameters: &CertificateParams) -> Pair {
        let key = KeyPair::generate().unwrap();
        Pair {
            certificate: parameters.signed_by(&key, &self.0).unwrap().pem(),
            key: key.serialize_pem(),
        }
    }

    /// A certificate for a server on 127.0.0.1.
    pub fn issue_for_server(&self) -> Pair {
        let address = IpAddr::V4(Ipv4Addr::LOCALHOST);
        self.issue(vec![SanType::IpAddress(address)])
    }
}
