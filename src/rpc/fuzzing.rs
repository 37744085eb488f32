//! What the fuzz targets expect of requests in the RPC style.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{LazyLock, Mutex};

use form_urlencoded::Serializer;
use http::header::{AUTHORIZATION, CONTENT_TYPE, HOST};
use http::request::Parts;
use http::{HeaderMap, HeaderName, HeaderValue, Request as HttpRequest};
use prost_reflect::{DescriptorPool, DynamicMessage, MethodDescriptor};

use super::access_keys::AccessKeys;
use super::answer::Format;
use super::nonces::Nonces;
use super::order::Order;
use super::parameters::{Parameters, decode};
use super::request::Request;
use super::stop::Stop;
use super::task::Task;
use crate::domain::{Caller, Operation};
use crate::grpc::DESCRIPTORS;
use crate::signature::{Pair, timestamp, v1, v3};

const KEY: &str = "id";
const SECRET: &str = "secret-of-the-key";
/// The parameters that are added here.
const OWN: [&str; 8] = [
    "Added",
    "SecurityToken",
    "AccessKeyId",
    "Signature",
    "SignatureMethod",
    "SignatureVersion",
    "SignatureNonce",
    "Timestamp",
];

static KEYS: LazyLock<AccessKeys> = LazyLock::new(|| {
    let file = format!(
        r#"{{"access_keys":[{{"access_key_id":"{KEY}","access_key_secret":"{SECRET}","account_id":"7","caller":"fuzz"}}]}}"#
    );
    AccessKeys::parse(file.as_bytes()).expect("the file is right")
});
static NONCES: LazyLock<Mutex<Nonces>> = LazyLock::new(Mutex::default);
static CONTRACT: LazyLock<DescriptorPool> =
    LazyLock::new(|| DescriptorPool::decode(DESCRIPTORS).expect("the contract is compiled in"));

/// Checks that nobody gives an order without a signature; and that each request that is signed is believed, once and as it is.
///
/// The input is `METHOD QUERY`, a line for each header, an empty line, and the body.
///
/// # Panics
/// Where that does not hold.
pub fn request(bytes: &[u8]) {
    let Some((head, body)) = read(bytes) else {
        return;
    };
    if let Ok(order) = ordered(&head, body) {
        panic!("nobody has signed {order:?}");
    }
    sign_v1(&head);
    sign_v3(head, body);
}

fn read(bytes: &[u8]) -> Option<(Parts, &[u8])> {
    let end = bytes.windows(2).position(|two| two == b"\n\n");
    let (head, body) = match end {
        Some(at) => (&bytes[..at], &bytes[at + 2..]),
        None => (bytes, &[][..]),
    };
    let mut lines = head.split(|byte| *byte == b'\n');
    let first = std::str::from_utf8(lines.next()?).ok()?;
    let (method, query) = first.split_once(' ')?;
    let mut request = HttpRequest::builder()
        .method(method)
        .uri(format!("/?{query}"));
    for line in lines {
        let at = line.iter().position(|byte| *byte == b':')?;
        request = request.header(&line[..at], line[at + 1..].trim_ascii());
    }
    Some((request.body(()).ok()?.into_parts().0, body))
}

fn ordered(head: &Parts, body: &[u8]) -> Result<Order, Stop> {
    let mut format = Format::in_query(head.uri.query().unwrap_or_default());
    Request { head, body }.order(&KEYS, &NONCES, &mut format)
}

/// Checks an order, or a refusal of what was signed: the signature has to be believed.
fn check(result: Result<Order, Stop>, signed: &Parts) {
    let order = match result {
        Ok(order) => order,
        Err(stop) => {
            let caller = stop.signer.as_ref().map(Caller::as_str);
            assert_eq!(caller, Some("key:fuzz"), "{stop:?}: {signed:?}");
            assert!(!stop.code.is_empty() && !stop.message.is_empty());
            return;
        }
    };
    assert_eq!(order.sender.account.as_str(), "7");
    if let Task::Call(message) = &order.task {
        let method = method(order.operation).expect("the contract has the method");
        let decoded = DynamicMessage::decode(method.input(), message.as_slice());
        let decoded = decoded.expect("the message is one of the contract");
        assert_eq!(decoded.unknown_fields().count(), 0);
    }
}

fn method(operation: Operation) -> Option<MethodDescriptor> {
    let mut methods = CONTRACT
        .services()
        .flat_map(|service| service.methods().collect::<Vec<_>>());
    methods.find(|method| method.name() == operation.action().operation())
}

/// A nonce that no request had.
fn nonce() -> String {
    static NEXT: AtomicU64 = AtomicU64::new(0);
    // The nonces of a key are bounded, and these would be too many within minutes.
    let number = NEXT.fetch_add(1, Ordering::Relaxed);
    if number.is_multiple_of(1 << 16) {
        *NONCES.lock().expect("no thread has panicked") = Nonces::default();
    }
    number.to_string()
}

/// Signs the parameters of the query by V1, and changes one behind the signature.
fn sign_v1(head: &Parts) {
    let query = head.uri.query().unwrap_or_default().as_bytes();
    let Ok(mut pairs) = decode(query) else {
        return;
    };
    pairs.retain(|(name, _)| !OWN.contains(&name.as_str()));
    let is_plain = matches!(head.method.as_str(), "GET" | "POST");
    if !is_plain || pairs.len() > 900 || Parameters::new(pairs.clone()).is_err() {
        return;
    }
    pairs.push(("Added".to_owned(), "1".to_owned()));
    let own = [
        ("AccessKeyId", KEY.to_owned()),
        ("SignatureMethod", "HMAC-SHA1".to_owned()),
        ("SignatureVersion", "1.0".to_owned()),
        ("SignatureNonce", nonce()),
        ("Timestamp", timestamp()),
    ];
    pairs.extend(own.map(|(name, value)| (name.to_owned(), value)));
    let signature = v1::sign(head.method.as_str(), &pairs, SECRET);
    pairs.push(("Signature".to_owned(), signature));
    let Some(signed) = with_query(head, &pairs) else {
        return;
    };
    check(ordered(&signed, &[]), &signed);
    assert_eq!(code(ordered(&signed, &[])), "SignatureNonceUsed");
    pairs[0].1.push('x');
    if let Some(forged) = with_query(head, &pairs) {
        assert_eq!(code(ordered(&forged, &[])), "SignatureDoesNotMatch");
    }
}

fn code(result: Result<Order, Stop>) -> String {
    result.map_or_else(|stop| stop.code, |order| panic!("taken: {order:?}"))
}

fn with_query(head: &Parts, pairs: &[Pair]) -> Option<Parts> {
    let mut query = Serializer::new(String::new());
    query.extend_pairs(pairs);
    let mut signed = head.clone();
    signed.headers.remove(AUTHORIZATION);
    signed.uri = format!("/?{}", query.finish()).parse().ok()?;
    Some(signed)
}

/// Signs the request by V3, and changes its body behind the signature.
fn sign_v3(mut head: Parts, body: &[u8]) {
    let own = [
        "x-acs-content-sha256",
        "x-acs-date",
        "x-acs-signature-nonce",
    ];
    for name in own
        .into_iter()
        .chain(["authorization", "x-acs-security-token"])
    {
        head.headers.remove(name);
    }
    let query = head.uri.query().unwrap_or_default();
    let Ok(pairs) = decode(query.as_bytes()) else {
        return;
    };
    let is_plain = matches!(head.method.as_str(), "GET" | "POST");
    let forms = [query.as_bytes(), body].map(<[u8]>::to_vec).join(&b'&');
    let parameters = decode(&forms).ok().map(Parameters::new);
    // These are faults before anybody looks at a signature.
    if !is_plain || !matches!(parameters, Some(Ok(all)) if all.pairs().len() <= 900) {
        return;
    }
    let hash = v3::payload_hash(body);
    for (name, value) in own.into_iter().zip([hash.clone(), timestamp(), nonce()]) {
        let value = HeaderValue::from_str(&value).expect("it is ASCII");
        head.headers.insert(HeaderName::from_static(name), value);
    }
    head.headers
        .insert(HOST, HeaderValue::from_static("localhost"));
    head.headers
        .entry(CONTENT_TYPE)
        .or_insert(HeaderValue::from_static("application/octet-stream"));
    let Some(authorization) = authorization(&head, &pairs, &hash) else {
        return;
    };
    head.headers.insert(AUTHORIZATION, authorization);
    check(ordered(&head, body), &head);
    assert_eq!(code(ordered(&head, body)), "SignatureNonceUsed");
    let other = [body, b"x"].concat();
    let forged = ordered(&head, &other);
    assert!(forged.is_err_and(|stop| stop.signer.is_none()));
}

/// The header of the signature, where each header that has to be signed is there once as text.
fn authorization(head: &Parts, query: &[Pair], hash: &str) -> Option<HeaderValue> {
    let is_signed = |name: &&HeaderName| {
        **name == HOST || **name == CONTENT_TYPE || name.as_str().starts_with("x-acs-")
    };
    let names = head.headers.keys().filter(is_signed);
    let headers = names.map(|name| Some((name.as_str(), only(&head.headers, name)?)));
    let headers = headers.collect::<Option<Vec<_>>>()?;
    let request = v3::Request {
        method: head.method.as_str(),
        path: "/",
        query,
        headers: &headers,
        payload_hash: hash,
    };
    HeaderValue::from_str(&request.authorization(KEY, SECRET)).ok()
}

fn only<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Option<&'a str> {
    let mut values = headers.get_all(name).iter();
    let value = values.next()?.to_str().ok()?;
    values.next().is_none().then_some(value)
}
