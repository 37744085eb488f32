//! The caller whom a client certificate names: by the rules of SPIFFE-ID and X.509-SVID, or by a DNS name.

use std::time::{Duration, SystemTime};

use thiserror::Error;
use x509_parser::extensions::GeneralName;
use x509_parser::prelude::{FromDer as _, X509Certificate};

use super::token::Quoted;
use crate::domain::Caller;

/// The scheme of a SPIFFE ID, with what stands before its trust domain.
const SCHEME: &str = "spiffe://";
/// The most bytes of a SPIFFE ID (SPIFFE-ID, section 2.3).
const LONGEST_ID: usize = 2048;
/// The most bytes of a trust domain.
const LONGEST_TRUST_DOMAIN: usize = 255;
/// The most bytes of a DNS name and of one of its labels (RFC 1035).
const LONGEST_DNS_NAME: usize = 253;
const LONGEST_LABEL: usize = 63;

/// Why no caller is known by a certificate.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum CertificateError {
    /// The connection has none.
    #[error(
        "the connection shows no client certificate with a SPIFFE ID or a DNS name; connect with one that the server's \
         client CA has signed"
    )]
    NotShown,
    /// The certificate, or its names, can't be read.
    #[error(
        "the names of the client certificate can't be read; have it issued again, with one SPIFFE ID or a DNS name"
    )]
    Unreadable,
    /// The certificate is one that signs others (X.509-SVID, section 5.2).
    #[error(
        "the client certificate is an authority's, by its CA flag or its key usage; connect with a leaf certificate"
    )]
    Authority,
    /// The certificate has neither a URI nor a DNS name.
    #[error(
        "the client certificate has neither a SPIFFE ID nor a DNS name; have it issued with one"
    )]
    NoName,
    /// The certificate has more than one URI (X.509-SVID, section 2).
    #[error("the client certificate has {0} URIs; have it issued with one, the SPIFFE ID")]
    Uris(usize),
    /// The URI of the certificate is no SPIFFE ID, or that of no caller.
    #[error("the URI {uri} of the client certificate is no caller's SPIFFE ID: {reason}")]
    SpiffeId {
        /// The URI.
        uri: Quoted,
        /// What is wrong with it.
        reason: &'static str,
    },
    /// The first DNS name of the certificate, which has no URI, is that of no host.
    #[error("the DNS name {name} of the client certificate is no caller's: {reason}")]
    DnsName {
        /// The name.
        name: Quoted,
        /// What is wrong with it.
        reason: &'static str,
    },
}

/// The caller whom a verified certificate names: its SPIFFE ID, or its first DNS name where it has no URI at all.
///
/// # Errors
/// [`CertificateError`]: it names nobody.
pub fn caller_of(certificate: &[u8]) -> Result<Caller, CertificateError> {
    let (_, certificate) =
        X509Certificate::from_der(certificate).map_err(|_| CertificateError::Unreadable)?;
    if is_authority(&certificate)? {
        return Err(CertificateError::Authority);
    }
    let names = certificate
        .subject_alternative_name()
        .map_err(|_| CertificateError::Unreadable)?
        .ok_or(CertificateError::NoName)?;
    let (mut uris, mut dns_names) = (Vec::new(), Vec::new());
    for name in &names.value.general_names {
        match name {
            GeneralName::URI(uri) => uris.push(*uri),
            GeneralName::DNSName(name) => dns_names.push(*name),
            GeneralName::Invalid(..) => return Err(CertificateError::Unreadable),
            _ => {}
        }
    }
    match (uris[..].as_ref(), dns_names.first()) {
        ([uri], _) => match check_spiffe_id(uri) {
            Ok(()) => Ok(Caller::spiffe(uri)),
            Err(reason) => Err(CertificateError::SpiffeId {
                uri: Quoted::new(uri),
                reason,
            }),
        },
        ([], Some(name)) => match check_dns_name(name) {
            Ok(()) => Ok(Caller::dns(name)),
            Err(reason) => Err(CertificateError::DnsName {
                name: Quoted::new(name),
                reason,
            }),
        },
        ([], None) => Err(CertificateError::NoName),
        (several, _) => Err(CertificateError::Uris(several.len())),
    }
}

/// When a certificate expires.
#[must_use]
pub fn expiry_of(certificate: &[u8]) -> Option<SystemTime> {
    let (_, certificate) = X509Certificate::from_der(certificate).ok()?;
    let seconds = certificate.validity().not_after.timestamp();
    SystemTime::UNIX_EPOCH.checked_add(Duration::from_secs(seconds.try_into().ok()?))
}

/// Whether a certificate may sign others, or lists of revoked ones.
fn is_authority(certificate: &X509Certificate<'_>) -> Result<bool, CertificateError> {
    let unreadable = |_| CertificateError::Unreadable;
    let constraints = certificate.basic_constraints().map_err(unreadable)?;
    let usage = certificate.key_usage().map_err(unreadable)?;
    Ok(constraints.is_some_and(|constraints| constraints.value.ca)
        || usage.is_some_and(|usage| usage.value.key_cert_sign() || usage.value.crl_sign()))
}

/// Checks that a URI is the SPIFFE ID of a caller (SPIFFE-ID, sections 2.1 to 2.3). There is one spelling for each: what
/// a library for URIs would decode or take away is refused.
///
/// # Errors
/// What is wrong with it.
pub fn check_spiffe_id(uri: &str) -> Result<(), &'static str> {
    let id = uri
        .strip_prefix(SCHEME)
        .ok_or("it does not begin with spiffe://, in lower case")?;
    if uri.len() > LONGEST_ID {
        return Err("it has over 2,048 bytes");
    }
    let (domain, path) = id
        .split_once('/')
        .ok_or("it has no path, and names a trust domain")?;
    let is_lower = |byte: u8| byte.is_ascii_lowercase() || is_other_than_letter(byte);
    if !(1..=LONGEST_TRUST_DOMAIN).contains(&domain.len()) || !domain.bytes().all(is_lower) {
        return Err(
            "its trust domain is not 1 to 255 characters of a to z, 0 to 9, dot, hyphen and underscore",
        );
    }
    if domain.split('.').any(str::is_empty) {
        return Err("its trust domain begins or ends with a dot, or has two in a row");
    }
    for segment in path.split('/') {
        if segment.is_empty() {
            return Err("its path has an empty segment, or ends with a slash");
        }
        let is_letter = |byte: u8| byte.is_ascii_alphabetic() || is_other_than_letter(byte);
        if !segment.bytes().all(is_letter) {
            return Err(
                "its path has other characters than letters, digits, dot, hyphen and underscore",
            );
        }
        if matches!(segment, "." | "..") {
            return Err("its path has a segment . or ..");
        }
    }
    if path.ends_with('.') {
        return Err("it ends with a dot");
    }
    Ok(())
}

fn is_other_than_letter(byte: u8) -> bool {
    byte.is_ascii_digit() || matches!(byte, b'.' | b'-' | b'_')
}

/// Checks that a name is that of one host, in the one spelling that it has without its letters' case.
fn check_dns_name(name: &str) -> Result<(), &'static str> {
    if name.contains('*') {
        return Err("it has a wildcard");
    }
    if name.len() > LONGEST_DNS_NAME {
        return Err("it has over 253 bytes");
    }
    let is_label = |label: &str| {
        (1..=LONGEST_LABEL).contains(&label.len())
            && label
                .bytes()
                .all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_'))
    };
    if name.split('.').all(is_label) {
        Ok(())
    } else {
        Err(
            "it is not labels of 1 to 63 letters, digits, hyphens and underscores with a dot between each",
        )
    }
}

#[cfg(test)]
mod tests {
    use rcgen::{BasicConstraints, CertificateParams, IsCa, KeyPair, KeyUsagePurpose, SanType};

    use super::*;

    /// What a certificate with this form says.
    fn named(parameters: &CertificateParams) -> Result<String, String> {
        let key = KeyPair::generate().unwrap();
        let certificate = parameters.self_signed(&key).unwrap();
        match caller_of(certificate.der()) {
            Ok(caller) => Ok(caller.as_str().to_owned()),
            Err(error) => Err(error.to_string()),
        }
    }

    fn with_names(names: Vec<SanType>) -> CertificateParams {
        let mut parameters = CertificateParams::default();
        parameters.subject_alt_names = names;
        parameters
    }

    fn uri(uri: &str) -> SanType {
        SanType::URI(uri.try_into().unwrap())
    }

    fn dns(name: &str) -> SanType {
        SanType::DnsName(name.try_into().unwrap())
    }

    #[test]
    fn a_spiffe_id_has_one_spelling() {
        let longest = format!("spiffe://a/{}", "b".repeat(LONGEST_ID - 11));
        for good in [
            "spiffe://example.org/ns/billing/sa/cleaner",
            "spiffe://prod_1.acme-2.example/A.b-C_9/...x",
            "spiffe://a/b",
            "spiffe://10.0.0.1/host",
            &longest,
        ] {
            assert_eq!(named(&with_names(vec![uri(good)])), Ok(good.to_owned()));
        }
    }

    #[test]
    fn spiffe_ids_that_the_specification_forbids_name_nobody_and_say_why() {
        let (path, domain) = ("its path has other characters", "its trust domain is not");
        let too_long = format!("spiffe://a/{}", "b".repeat(LONGEST_ID - 10));
        let long_domain = format!("spiffe://{}/b", "a".repeat(LONGEST_TRUST_DOMAIN + 1));
        for (bad, reason) in [
            ("spiffe://example.org/sa/admin?x=1", path),
            ("spiffe://example.org/sa/admin#f", path),
            ("spiffe://example.org:8443/sa/admin", domain),
            ("spiffe://user@example.org/sa/admin", domain),
            ("spiffe://example.org/sa/../admin", "a segment . or .."),
            ("spiffe://example.org/./admin", "a segment . or .."),
            ("spiffe://example.org/sa/admin/..", "a segment . or .."),
            ("spiffe://example.org//sa/admin", "an empty segment"),
            ("spiffe://example.org/sa/admin/", "ends with a slash"),
            ("spiffe://example.org/sa/admin.", "it ends with a dot"),
            ("spiffe://example.org./sa/admin", "ends with a dot"),
            ("spiffe://Example.org/sa/admin", domain),
            ("spiffe://example.org/%73a/admin", path),
            ("spiffe://example%2eorg/sa/admin", domain),
            ("spiffe://example.org/sa/*", path),
            ("spiffe://*/sa/admin", domain),
            ("spiffe://example.org", "it has no path"),
            ("spiffe://example.org/", "an empty segment"),
            ("spiffe:///sa/admin", domain),
            ("spiffe://", "it has no path"),
            ("SPIFFE://example.org/sa/admin", "in lower case"),
            (
                "spiffe:/example.org/sa/admin",
                "does not begin with spiffe://",
            ),
            ("spiffe://example.org/sa/ad min", path),
            ("spiffe://example..org/sa", "two in a row"),
            (
                "https://example.org/sa/admin",
                "does not begin with spiffe://",
            ),
            (&too_long, "over 2,048 bytes"),
            (&long_domain, domain),
        ] {
            let error = named(&with_names(vec![uri(bad)])).unwrap_err();
            assert!(error.contains(reason), "{bad}: {error}");
            // The name beside it does not stand in.
            let beside = with_names(vec![dns("admin.example.org"), uri(bad)]);
            assert_eq!(named(&beside), Err(error));
        }
    }

    #[test]
    fn more_uris_than_one_name_nobody() {
        for second in ["spiffe://example.org/b", "https://example.org/"] {
            let names = vec![
                uri("spiffe://example.org/a"),
                uri(second),
                dns("c.example.org"),
            ];
            let error = named(&with_names(names)).unwrap_err();
            assert!(error.contains("has 2 URIs"), "{error}");
        }
    }

    #[test]
    fn the_first_dns_name_is_that_of_one_host_or_names_nobody() {
        for good in ["Cleaner.Example.org", "localhost", "_a.b-c.1"] {
            let names = vec![dns(good), dns("other.example.org")];
            let wanted = format!("dns:{}", good.to_ascii_lowercase());
            assert_eq!(named(&with_names(names)), Ok(wanted));
        }
        let long_label = format!("{}.example.org", "a".repeat(LONGEST_LABEL + 1));
        let long_name = ["a"; 128].join(".");
        for bad in [
            "*.example.org",
            "*",
            "admin.example.org.",
            ".example.org",
            "a..b",
            "",
            "jwt:admin",
            "spiffe://example.org/admin",
            "key:admin",
            "example.org/admin",
            "a b",
            &long_label,
            &long_name,
        ] {
            let names = vec![dns(bad), dns("other.example.org")];
            let error = named(&with_names(names)).unwrap_err();
            assert!(error.contains("is no caller's: it "), "{bad}: {error}");
        }
        assert!(named(&with_names(vec![])).unwrap_err().contains("neither"));
    }

    #[test]
    fn the_certificate_of_an_authority_names_nobody() {
        let names = vec![uri("spiffe://example.org/sa/admin")];
        let mut authority = with_names(names.clone());
        authority.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let mut signer = with_names(names.clone());
        signer.key_usages = vec![
            KeyUsagePurpose::DigitalSignature,
            KeyUsagePurpose::KeyCertSign,
        ];
        let mut revoker = with_names(names.clone());
        revoker.key_usages = vec![KeyUsagePurpose::CrlSign];
        for parameters in [authority, signer, revoker] {
            let error = named(&parameters).unwrap_err();
            assert!(error.contains("connect with a leaf certificate"), "{error}");
        }
        let mut leaf = with_names(names);
        leaf.is_ca = IsCa::ExplicitNoCa;
        leaf.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        named(&leaf).unwrap();
    }

    #[test]
    fn what_strangers_wrote_is_escaped_and_cut_in_the_message() {
        let bad = format!("https://example.org/{}", "a".repeat(1000));
        let error = named(&with_names(vec![uri(&bad)])).unwrap_err();
        assert!(error.len() < 250 && error.contains('…'), "{error}");
        assert_eq!(caller_of(b"\x30\x00"), Err(CertificateError::Unreadable));
    }
}
