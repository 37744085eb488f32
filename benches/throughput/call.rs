//! One unary call over h2: everything that a client has to do and to check.

use std::future::poll_fn;
use std::net::SocketAddr;

use bytes::{Bytes, BytesMut};
use h2::client::SendRequest;
use http::{HeaderMap, HeaderValue, Method, Request, StatusCode, header};

use crate::Outcome;
use crate::names::{ACCOUNT, Accounts};
use crate::workload::Action;

/// The metadata that names the account of a call.
const ACCOUNT_METADATA: &str = "x-acs-account-id";

/// The headers of each kind of request for each account, as the usual clients send them.
pub struct RequestHeaders {
    untag: Vec<Request<()>>,
    list: Vec<Request<()>>,
}

impl RequestHeaders {
    pub fn new(address: SocketAddr, accounts: Accounts) -> Outcome<Self> {
        let head = |action: Action| {
            let of = |account: String| {
                let head = Request::builder()
                    .method(Method::POST)
                    .uri(format!("http://{address}{}", action.path()))
                    .header(header::TE, "trailers")
                    .header(header::CONTENT_TYPE, "application/grpc")
                    .header(header::USER_AGENT, "untag-throughput");
                // The first is that of calls that name none.
                let named = account != ACCOUNT;
                let head = if named {
                    head.header(ACCOUNT_METADATA, account)
                } else {
                    head
                };
                head.body(())
            };
            accounts.ids().map(of).collect::<Result<Vec<_>, _>>()
        };
        Ok(Self {
            untag: head(Action::UntagAll)?,
            list: head(Action::List)?,
        })
    }

    /// Those of a request to an account by its number.
    pub fn of(&self, action: Action, account: usize) -> Request<()> {
        let of_all = match action {
            Action::Untag(_) | Action::UntagAll => &self.untag,
            Action::List => &self.list,
        };
        of_all[account].clone()
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

/// A request of a gRPC client to an account.
pub fn in_account<T>(account: &str, message: T) -> Result<tonic::Request<T>, tonic::Status> {
    let mut request = tonic::Request::new(message);
    let value = account.parse();
    let value = value.map_err(|_| tonic::Status::internal("no account"))?;
    request.metadata_mut().insert(ACCOUNT_METADATA, value);
    Ok(request)
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
