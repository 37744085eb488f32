//! One unary call over h2: everything that a client has to do and to check.

use std::future::poll_fn;
use std::net::SocketAddr;

use bytes::{Bytes, BytesMut};
use h2::client::SendRequest;
use http::{HeaderMap, HeaderValue, Method, Request, StatusCode, header};

use crate::Outcome;
use crate::workload::Action;

/// The headers of each kind of request, as the usual clients send them.
pub struct RequestHeaders {
    untag: Request<()>,
    list: Request<()>,
}

impl RequestHeaders {
    pub fn new(address: SocketAddr) -> Outcome<Self> {
        let head = |action: Action| {
            Request::builder()
                .method(Method::POST)
                .uri(format!("http://{address}{}", action.path()))
                .header(header::TE, "trailers")
                .header(header::CONTENT_TYPE, "application/grpc")
                .header(header::USER_AGENT, "untag-throughput")
                .body(())
        };
        Ok(Self {
            untag: head(Action::UntagAll)?,
            list: head(Action::List)?,
        })
    }

    pub fn of(&self, action: Action) -> Request<()> {
        match action {
            Action::Untag(_) | Action::UntagAll => self.untag.clone(),
            Action::List => self.list.clone(),
        }
    }
}

/// Why a request has no answer with OK.
pub enum Failure {
    Status(String),
    Connection(h2::Error),
}

impl From<h2::Error> for Failure {
    fn from(error: h2::Error) -> Self {
        Self::Connection(error)
    }
}

/// Sends a request and returns the body of its answer.
pub async fn call(
    client: &mut SendRequest<Bytes>,
    request: Request<()>,
    message: Bytes,
) -> Result<Bytes, Failure> {
    poll_fn(|context| client.poll_ready(context)).await?;
    let (response, mut stream) = client.send_request(request, false)?;
    stream.send_data(message, true)?;
    let (head, mut body) = response.await?.into_parts();
    if head.status != StatusCode::OK {
        return Err(Failure::Status(format!("HTTP {}", head.status)));
    }
    let mut answer = Bytes::new();
    while let Some(chunk) = body.data().await {
        let chunk = chunk?;
        body.flow_control().release_capacity(chunk.len())?;
        answer = if answer.is_empty() {
            chunk
        } else {
            let mut both = BytesMut::from(answer);
            both.extend_from_slice(&chunk);
            both.freeze()
        };
    }
    // An answer without a message has the status in its only headers.
    let trailers = body.trailers().await?;
    check(trailers.as_ref().unwrap_or(&head.headers))?;
    Ok(answer)
}

fn check(headers: &HeaderMap) -> Result<(), Failure> {
    let text = |name| {
        headers
            .get(name)
            .and_then(|value: &HeaderValue| value.to_str().ok())
    };
    match text("grpc-status") {
        Some("0") => Ok(()),
        Some(code) => {
            let message = text("grpc-message").unwrap_or_default();
            Err(Failure::Status(format!("grpc-status {code} {message}")))
        }
        None => Err(Failure::Status("no grpc-status".to_owned())),
    }
}
