//! The signatures of requests to the cloud API: V3 in headers, as SDKs sign today, and V1 in the parameters, as they did
//! before. `vectors.json` has signatures that the official library makes, four published examples among them.

mod secret;
pub mod v1;
pub mod v3;

use std::fmt::Write as _;

use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

pub use secret::{KeyPart, Secret, is_word, key_problem};

/// The only version of the cloud API that is supported.
pub const VERSION: &str = "2019-08-15";

/// The name and the value of a parameter, decoded.
pub type Pair = (String, String);

/// The present time in the form of a request's date: ISO 8601 in whole seconds of UTC.
#[must_use]
pub fn timestamp() -> String {
    let now = OffsetDateTime::now_utc().truncate_to_second();
    // Years of four digits have this form.
    now.format(&Rfc3339).unwrap_or_default()
}

/// Encodes a text for a query as RFC 3986 wants it: all but letters, digits, `-`, `_`, `.` and `~` as `%XX`.
fn encode(text: &str) -> String {
    let mut encoded = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-_.~".contains(&byte) {
            encoded.push(char::from(byte));
        } else {
            // Writing into a String does not fail.
            let _ = write!(encoded, "%{byte:02X}");
        }
    }
    encoded
}

/// Parameters in the order of their names, as `name=value&…`.
fn canonical_query<'a>(parameters: impl IntoIterator<Item = &'a Pair>) -> String {
    let mut encoded: Vec<(String, String)> = parameters
        .into_iter()
        .map(|(name, value)| (encode(name), encode(value)))
        .collect();
    encoded.sort_unstable();
    let pairs: Vec<String> = encoded
        .into_iter()
        .map(|(name, value)| format!("{name}={value}"))
        .collect();
    pairs.join("&")
}

/// Bytes as lower-case hexadecimal digits.
#[must_use]
pub fn hexadecimal(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        // Writing into a String does not fail.
        let _ = write!(text, "{byte:02x}");
        text
    })
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::*;

    fn vectors(algorithm: &str) -> Vec<Value> {
        let all: Vec<Value> = serde_json::from_str(include_str!("vectors.json")).unwrap();
        all.into_iter()
            .filter(|vector| vector["algorithm"] == algorithm)
            .collect()
    }

    fn text<'a>(vector: &'a Value, name: &str) -> &'a str {
        vector[name].as_str().unwrap()
    }

    fn pairs(vector: &Value, name: &str) -> Vec<Pair> {
        let object = vector[name].as_object().unwrap();
        object
            .iter()
            .map(|(name, value)| (name.clone(), value.as_str().unwrap().to_owned()))
            .collect()
    }

    #[test]
    fn v3_makes_what_the_official_library_makes() {
        let vectors = vectors("ACS3-HMAC-SHA256");
        assert_eq!(vectors.len(), 6);
        for vector in &vectors {
            let name = text(vector, "name");
            let body = vector["body"].as_str().unwrap_or_default();
            assert_eq!(
                v3::payload_hash(body.as_bytes()),
                text(vector, "hashed_payload")
            );
            let headers = pairs(vector, "headers");
            let headers: Vec<v3::Header<'_>> = headers
                .iter()
                .map(|(name, value)| (name.as_str(), value.as_str()))
                .collect();
            let request = v3::Request {
                method: text(vector, "method"),
                path: text(vector, "path"),
                query: &pairs(vector, "query"),
                headers: &headers,
                payload_hash: text(vector, "hashed_payload"),
            };
            assert_eq!(
                request.canonical(),
                text(vector, "canonical_request"),
                "{name}"
            );
            assert_eq!(
                request.string_to_sign(),
                text(vector, "string_to_sign"),
                "{name}"
            );
            let (id, secret) = (
                text(vector, "access_key_id"),
                text(vector, "access_key_secret"),
            );
            let authorization = request.authorization(id, secret);
            assert_eq!(authorization, text(vector, "authorization"), "{name}");

            let shown = v3::Authorization::parse(&authorization).unwrap();
            assert_eq!(shown.access_key_id, id);
            assert!(request.is_signed(shown.signature, secret), "{name}");
            assert!(!request.is_signed(shown.signature, "other"), "{name}");
            let path = "/other";
            assert!(!v3::Request { path, ..request }.is_signed(shown.signature, secret));
            for cut in 0..shown.signature.len() {
                assert!(!request.is_signed(&shown.signature[..cut], secret));
            }
        }
    }

    #[test]
    fn v1_makes_what_the_official_library_makes() {
        let vectors = vectors("HMAC-SHA1 v1.0");
        assert_eq!(vectors.len(), 5);
        for vector in &vectors {
            let name = text(vector, "name");
            let (method, mut parameters) = (text(vector, "method"), pairs(vector, "params"));
            let signed = v1::string_to_sign(method, &parameters);
            assert_eq!(signed, text(vector, "string_to_sign"), "{name}");
            let secret = text(vector, "hmac_key").strip_suffix('&').unwrap();
            let signature = text(vector, "signature");
            assert_eq!(v1::sign(method, &parameters, secret), signature, "{name}");
            // The signature itself is a parameter too, and not signed.
            parameters.push(("Signature".to_owned(), signature.to_owned()));
            assert!(
                v1::is_signed(method, &parameters, signature, secret),
                "{name}"
            );
            assert!(
                !v1::is_signed("PUT", &parameters, signature, secret),
                "{name}"
            );
            assert!(
                !v1::is_signed(method, &parameters, signature, "other"),
                "{name}"
            );
            assert!(!v1::is_signed(method, &parameters, "no base64", secret));
        }
    }

    #[test]
    fn an_authorization_is_read_strictly() {
        let good = "ACS3-HMAC-SHA256 Credential=id,SignedHeaders=a;b,Signature=00ff";
        let shown = v3::Authorization::parse(good).unwrap();
        assert_eq!(shown.signed_headers.collect::<Vec<_>>(), ["a", "b"]);
        for bad in [
            "",
            "ACS3-HMAC-SHA256",
            "ACS3-HMAC-SM3 Credential=id,SignedHeaders=a,Signature=00",
            "ACS3-HMAC-SHA256 Credential=id,SignedHeaders=a",
            "ACS3-HMAC-SHA256 Credential=id,Signature=00",
            "ACS3-HMAC-SHA256 SignedHeaders=a,Signature=00",
            "ACS3-HMAC-SHA256 Credential=id,SignedHeaders=a,Signature=00,Signature=11",
            "ACS3-HMAC-SHA256 Credential=id,SignedHeaders=a,Signature=00,More=1",
            "ACS3-HMAC-SHA256  Credential=id,SignedHeaders=a,Signature=00",
            "ACS3-HMAC-SHA256 Credential=id ,SignedHeaders=a,Signature=00",
            "ACS3-HMAC-SHA256 Credential=id,SignedHeaders=a, Signature=00",
            "ACS3-HMAC-SHA256 Credential=id,SignedHeaders=a,Signature=00\t",
            "Bearer token",
        ] {
            assert!(v3::Authorization::parse(bad).is_none(), "{bad}");
        }
    }
}
