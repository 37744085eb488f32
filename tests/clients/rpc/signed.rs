//! Requests that are signed by hand.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicU32, Ordering};

use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;
use untag::signature::{Pair, v1, v3};

use super::{KEY_ID, SECRET, Service};
use crate::support::ALICE;
use crate::support::http::{Answer, Http1};

/// A request of signature V3, to be changed before it is signed or after.
#[derive(Clone)]
pub struct Request {
    pub method: &'static str,
    pub query: String,
    pub headers: Vec<Pair>,
    pub body: String,
}

pub fn pair(name: &str, value: &str) -> Pair {
    (name.to_owned(), value.to_owned())
}

pub fn nonce() -> String {
    static LAST: AtomicU32 = AtomicU32::new(0);
    format!("nonce-{}", LAST.fetch_add(1, Ordering::Relaxed))
}

/// A time as requests have it, so many seconds from now.
pub fn time(seconds: i64) -> String {
    let time = OffsetDateTime::now_utc() + time::Duration::seconds(seconds);
    time.replace_nanosecond(0)
        .unwrap()
        .format(&Rfc3339)
        .unwrap()
}

/// The parameters of an untag of Alice.
pub fn untag_alice() -> String {
    format!("ResourceType=user&ResourceId.1={ALICE}&TagKey.1=env")
}

impl Request {
    pub fn new(action: &str, query: &str) -> Self {
        Self {
            method: "POST",
            query: query.to_owned(),
            headers: vec![
                pair("host", "untag"),
                pair("x-acs-action", action),
                pair("x-acs-version", "2019-08-15"),
                pair("x-acs-date", &time(0)),
                pair("x-acs-signature-nonce", &nonce()),
            ],
            body: String::new(),
        }
    }

    pub fn untag() -> Self {
        Self::new("UntagResources", &untag_alice())
    }

    pub fn header(mut self, name: &str, value: &str) -> Self {
        self.headers.retain(|(given, _)| given != name);
        self.headers.push(pair(name, value));
        self
    }

    pub fn without(mut self, name: &str) -> Self {
        self.headers.retain(|(given, _)| given != name);
        self
    }

    /// Signs what is there now.
    pub fn sign(self) -> Self {
        self.sign_with(KEY_ID, SECRET)
    }

    pub fn sign_with(self, id: &str, secret: &str) -> Self {
        let hash = v3::payload_hash(self.body.as_bytes());
        let signed = self.header("x-acs-content-sha256", &hash);
        let query: Vec<Pair> = form_urlencoded::parse(signed.query.as_bytes())
            .into_owned()
            .collect();
        let headers: Vec<v3::Header<'_>> = signed
            .headers
            .iter()
            .map(|(name, value)| (name.as_str(), value.as_str()))
            .collect();
        let request = v3::Request {
            method: signed.method,
            path: "/",
            query: &query,
            headers: &headers,
            payload_hash: &hash,
        };
        let authorization = request.authorization(id, secret);
        signed.header("authorization", &authorization)
    }

    pub fn send(&self, service: &Service) -> Answer {
        self.send_to(service.rpc)
    }

    pub fn send_to(&self, address: SocketAddr) -> Answer {
        let own = self.headers.iter().filter(|(name, _)| name != "host");
        let headers: Vec<String> = own
            .map(|(name, value)| format!("{name}: {value}\r\n"))
            .collect();
        let path = format!("/?{}", self.query);
        Http1::open(address).ask(self.method, &path, &headers.concat(), &self.body)
    }

    pub fn code(&self, service: &Service) -> (u16, String) {
        code(&self.send(service))
    }
}

/// The status of an answer, and the code of an error.
pub fn code(answer: &Answer) -> (u16, String) {
    let body: serde_json::Value = serde_json::from_str(&answer.body).unwrap();
    let code = body["Code"].as_str().unwrap_or_default();
    assert_eq!(body["RequestId"].as_str().unwrap().len(), 36, "{body}");
    (answer.code, code.to_owned())
}

/// Parameters with a signature V1 among them.
pub fn v1(method: &str, action: &str, parameters: &str) -> String {
    let common = format!(
        "Action={action}&Version=2019-08-15&AccessKeyId={KEY_ID}&SignatureMethod=HMAC-SHA1&SignatureVersion=1.0\
         &SignatureNonce={}&Timestamp={}",
        nonce(),
        time(0)
    );
    sign_v1(method, &format!("{common}&{parameters}"), SECRET)
}

/// Signs parameters, which are encoded.
pub fn sign_v1(method: &str, parameters: &str, secret: &str) -> String {
    let pairs: Vec<Pair> = form_urlencoded::parse(parameters.as_bytes())
        .into_owned()
        .collect();
    let signature = v1::sign(method, &pairs, secret);
    let mut signed = form_urlencoded::Serializer::new(parameters.to_owned());
    signed.append_pair("Signature", &signature);
    signed.finish()
}
