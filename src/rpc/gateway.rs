//! The gateway of the RPC style, which takes a request from its first byte to its answer.

use std::sync::{Arc, Mutex};

use arc_swap::ArcSwap;
use bytes::Bytes;
use http::header::HOST;
use http::request::Parts;
use http::{Request, Response};
use tonic::body::Body;

use super::access_keys::AccessKeys;
use super::answer::{self, Format, Problem};
use super::body;
use super::nonces::Nonces;
use super::parameters::LONGEST_NAME;
use super::reply::reply;
use super::request::{Request as Whole, shown};
use super::stop::Stop;
use crate::domain::{ClientRequestId, RequestId, shortened};
use crate::grpc::{Handler, Peer, Term, client_request_id, return_client_request_id};
use crate::service::{Audit, Refused};
use crate::telemetry::SECURITY;
use crate::telemetry::metrics::metrics;

/// A gateway, which answers requests of the cloud's RPC style.
#[derive(Debug, Clone)]
pub struct Gateway(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    handler: Handler,
    keys: Arc<ArcSwap<AccessKeys>>,
    nonces: Mutex<Nonces>,
    max_body_bytes: usize,
}

impl Gateway {
    /// A gateway to a handler, for callers who have one of the keys. Bodies have at most `max_body_bytes`.
    #[must_use]
    pub fn new(handler: Handler, keys: Arc<ArcSwap<AccessKeys>>, max_body_bytes: usize) -> Self {
        Self(Arc::new(Inner {
            handler,
            keys,
            nonces: Mutex::default(),
            max_body_bytes,
        }))
    }

    /// Answers one request. Nothing of it is decoded before it is here as a whole, and what was decoded is freed before the
    /// call is carried out: whoever does not send or take everything holds the bytes alone.
    pub async fn answer<B>(&self, request: Request<B>, peer: &Arc<Peer>) -> Response<Body>
    where
        B: http_body::Body<Data = Bytes>,
        B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
    {
        let Inner {
            handler,
            keys,
            nonces,
            max_body_bytes,
        } = &*self.0;
        // The connection is not idle while the request is read, and a drain waits for it.
        let _open = peer.enter(Term::Open);
        let in_flight = handler.enter();
        // Until the signature has been read, another may need its slot more.
        let unknown = peer.enter_stranger();
        let (head, body) = request.into_parts();
        let client_id = client_request_id(&head.headers);
        let mut format = Format::in_query(head.uri.query().unwrap_or_default());
        let order = match body::read(body, *max_body_bytes, handler).await {
            Ok(body) => {
                let (head, body) = (&head, body.as_slice());
                Whole { head, body }.order(&keys.load(), nonces, &mut format)
            }
            Err(stop) => Err(stop),
        };
        drop(unknown);
        let mut response = match order {
            Ok(order) => {
                let host = shown(&head.headers, HOST.as_str()).to_owned();
                drop(head);
                let operation = order.operation;
                let called = order.carry_out(handler, peer, in_flight).await;
                reply(format, operation, &host, &called)
            }
            Err(stop) => {
                let request_id = RequestId::now();
                let names = Names {
                    request_id,
                    client_id: client_id.as_ref(),
                };
                audit(handler.audit(), names, peer, &stop);
                refuse(format, &head, peer, names, &stop)
            }
        };
        return_client_request_id(response.headers_mut(), client_id.as_ref());
        response
    }
}

/// The names of a request: ours, and the caller's own if it has given one.
#[derive(Clone, Copy)]
struct Names<'a> {
    request_id: RequestId,
    client_id: Option<&'a ClientRequestId>,
}

/// Writes the line of the audit for a request that is refused: one of nobody who is known, or a change.
fn audit(audit: &Audit, names: Names<'_>, peer: &Peer, stop: &Stop) {
    let is_read = stop.action.is_some_and(|action| !action.changes());
    if stop.signer.is_some() && is_read {
        return;
    }
    audit.refused(&Refused {
        request_id: names.request_id,
        client_request_id: names.client_id,
        caller: stop.signer.as_ref(),
        source_ip: peer.address,
        secure_transport: peer.secure,
        account: None,
        action: stop.action,
        code: &stop.code,
    });
}

fn refuse(
    format: Format,
    head: &Parts,
    peer: &Peer,
    names: Names<'_>,
    stop: &Stop,
) -> Response<Body> {
    let Stop {
        status,
        code,
        message,
        retry_after,
        ..
    } = stop;
    metrics().server.rpc_refused(code);
    let address = peer.address;
    let action = shortened(shown(&head.headers, "x-acs-action"), LONGEST_NAME);
    let request_id = names.request_id;
    let client_request_id = names.client_id.map(ClientRequestId::as_str);
    tracing::warn!(target: SECURITY, %request_id, client_request_id, %address, action, code, error = message, "a request is refused");
    let problem = Problem {
        status: *status,
        request_id: request_id.as_str(),
        host: shown(&head.headers, HOST.as_str()),
        code,
        message,
        retry_after: *retry_after,
    };
    answer::problem(format, &problem)
}
