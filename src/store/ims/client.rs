//! The client of the cloud's API, which signs a call, sends it and reads its answer.

use std::path::Path;
use std::time::Duration;

use reqwest::Url;
use reqwest::header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE};
use reqwest::redirect::Policy;
use uuid::Uuid;

use super::answer::{Answer, Refused};
use super::credentials::{Credentials, Provider};
use super::error::Failure;
use crate::domain::Operation;
use crate::https::{self, ClientError, with_causes};
use crate::signature::{Pair, VERSION, timestamp, v3};

/// How long one call may take before it is given up as lost.
const TIMEOUT: Duration = Duration::from_secs(10);
/// The largest answer, in bytes: 100 users with 20 of the longest tags, each character escaped, have three quarters of it.
const LARGEST_ANSWER: usize = 8 * 1024 * 1024;
const FORM: &str = "application/x-www-form-urlencoded";

/// A client of one endpoint, with the service's credentials.
#[derive(Debug)]
pub struct Client {
    http: reqwest::Client,
    endpoint: Url,
    host: String,
    credentials: Provider,
}

impl Client {
    /// # Errors
    /// [`ClientError`], such as authorities that can't be read.
    pub fn new(
        endpoint: Url,
        authorities: Option<&Path>,
        credentials: Provider,
    ) -> Result<Self, ClientError> {
        let http = https::client(&endpoint, authorities, TIMEOUT, Policy::none())?;
        let host = endpoint.host_str().unwrap_or_default();
        // As the header has it, which is signed: without the port that the scheme implies.
        let host = match endpoint.port() {
            Some(port) => format!("{host}:{port}"),
            None => host.to_owned(),
        };
        Ok(Self {
            http,
            endpoint,
            host,
            credentials,
        })
    }

    /// Whether there is anything to sign with.
    pub fn has_credentials(&self) -> bool {
        self.credentials.current().is_some()
    }

    /// Carries out an operation.
    pub async fn call(&self, operation: Operation, parameters: &[Pair]) -> Result<Answer, Failure> {
        let credentials = self.credentials.current().ok_or(Failure::NoCredentials)?;
        let body = form_urlencoded::Serializer::new(String::new())
            .extend_pairs(parameters)
            .finish();
        let mut request = self.http.post(self.endpoint.clone());
        for (name, value) in self.headers(operation, &credentials, &body) {
            request = request.header(name, value);
        }
        let sent = request.header(ACCEPT, "application/json").body(body).send();
        let answer = sent.await.map_err(|error| {
            let was_sent = !error.is_connect();
            let problem = with_causes(&error.without_url());
            if was_sent {
                Failure::Lost(problem)
            } else {
                Failure::NotSent(problem)
            }
        })?;
        let (status, headers) = (answer.status().as_u16(), answer.headers().clone());
        let body = https::body(answer, LARGEST_ANSWER).await;
        let body = body.map_err(|error| Failure::Lost(error.to_string()))?;
        let garbage = || {
            Failure::Lost(format!(
                "an answer of HTTP status {status} that can't be read"
            ))
        };
        if status == 200 {
            return Answer::parse(&body).ok_or_else(garbage);
        }
        let refused = Refused::parse(status, &headers, &body).ok_or_else(garbage)?;
        Err(Failure::Refused(refused))
    }

    /// The headers that are sent and signed (signature V3), with the signature.
    fn headers(&self, operation: Operation, credentials: &Credentials, body: &str) -> Vec<Pair> {
        let payload_hash = v3::payload_hash(body.as_bytes());
        let (date, nonce) = (timestamp(), Uuid::new_v4().to_string());
        let mut headers = vec![
            ("host", self.host.as_str()),
            (CONTENT_TYPE.as_str(), FORM),
            ("x-acs-action", operation.name()),
            ("x-acs-content-sha256", &payload_hash),
            ("x-acs-date", &date),
            ("x-acs-signature-nonce", &nonce),
            ("x-acs-version", VERSION),
        ];
        if let Some(token) = &credentials.security_token {
            headers.push(("x-acs-security-token", token.reveal()));
        }
        let request = v3::Request {
            method: "POST",
            path: "/",
            query: &[],
            headers: &headers,
            payload_hash: &payload_hash,
        };
        let signature =
            request.authorization(&credentials.access_key_id, credentials.secret.reveal());
        let own = |(name, value): (&str, &str)| (name.to_owned(), value.to_owned());
        let mut headers: Vec<Pair> = headers.into_iter().map(own).collect();
        headers.push((AUTHORIZATION.to_string(), signature));
        headers
    }
}
