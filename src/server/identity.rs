//! Whom a client certificate names.

use rustls::pki_types::CertificateDer;
use x509_parser::extensions::GeneralName;
use x509_parser::prelude::{FromDer as _, X509Certificate};

use crate::domain::Caller;

/// The longest name that is believed: a SPIFFE ID has at most 2,048 bytes.
const LONGEST: usize = 2048;

/// The caller whom a verified certificate names: its SPIFFE ID, else its first DNS name. A certificate with a SPIFFE ID
/// beside another URI names nobody (X.509-SVID, section 2: exactly one URI).
pub fn caller(certificate: &CertificateDer<'_>) -> Option<Caller> {
    let (_, certificate) = X509Certificate::from_der(certificate).ok()?;
    let names = certificate.subject_alternative_name().ok()??;
    let names = &names.value.general_names;
    let uris: Vec<&str> = names
        .iter()
        .filter_map(|name| match name {
            GeneralName::URI(uri) => Some(*uri),
            _ => None,
        })
        .collect();
    if uris.iter().any(|uri| uri.starts_with("spiffe://")) {
        return match uris[..] {
            [id] if is_name(&id["spiffe://".len()..]) => Some(Caller::spiffe(id)),
            _ => None,
        };
    }
    names.iter().find_map(|name| match name {
        GeneralName::DNSName(name) if is_name(name) => Some(Caller::dns(name)),
        _ => None,
    })
}

/// Visible ASCII, so that a name is safe in a log and in a policy's pattern.
fn is_name(text: &str) -> bool {
    (1..=LONGEST).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_graphic())
}
