//! The handler around every request: its RequestId, its caller, its deadline, and an answer in every case.

use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use futures_util::FutureExt as _;
use http::{HeaderName, Method, Request, Response};
use http_body_util::Full;
use tokio_util::sync::CancellationToken;
use tonic::Code;
use tonic::body::Body;
use tracing::Instrument as _;

use super::budget::{Holder, OverBudget, over_budget};
use super::completion::complete;
use super::connect::{EndOfStream, Schema};
use super::counted_body::{CountedBody, FirstFrame};
use super::deadline::caller_timeout;
use super::held::Held;
use super::in_flight::{InFlight, InFlightGuard};
use super::log_line::LogLine;
use super::message::{Framing, Sent};
use super::origin::Origins;
use super::peer::{Peer, Term};
use super::progress::HandedCall;
use super::protocol::Protocol;
use super::refused::{self, Source};
use super::services::{Answer, ServiceKind, Services};
use super::stream_host::{Follower, StreamHost};
use super::underway::Underway;
use super::{REQUEST_ID_HEADER, headers, message, status};
use crate::auth::Authenticator;
use crate::current::Current;
use crate::domain::{Applied, Call, Error, Fault};
use crate::service::{Audit, RETRY_AFTER};
use crate::telemetry::metrics::{self, Kind, metrics};
use crate::telemetry::trace::CallSpan;

/// The header of every answer with its RequestId, as hyper names it.
const REQUEST_ID: HeaderName = HeaderName::from_static(REQUEST_ID_HEADER);

/// The body of a request.
pub trait RequestBody:
    http_body::Body<Data = Bytes, Error: Into<Box<dyn std::error::Error + Send + Sync>>>
    + Send
    + 'static
{
}

impl<B> RequestBody for B where
    B: http_body::Body<Data = Bytes, Error: Into<Box<dyn std::error::Error + Send + Sync>>>
        + Send
        + 'static
{
}

/// A request that was taken up.
struct TakenUp {
    /// Who calls, unless the request was refused before that was known.
    call: Option<Arc<Call>>,
    held: Held,
    /// The answer of the method that was called, or of a request that was refused before.
    answer: Result<Answer, Box<Response<Body>>>,
}

/// A handler, which carries out requests on a set of services.
#[derive(Debug, Clone)]
pub struct Handler(Arc<Parts>);

/// The parts of a [`Handler`].
#[derive(Debug)]
pub struct Parts {
    /// The services.
    pub services: Services,
    /// The check of who calls the services; health may be asked by everybody.
    pub authenticator: Authenticator,
    /// The longest that a request may take.
    pub request_timeout: Duration,
    /// The largest message that the services take, in bytes.
    pub max_message_bytes: usize,
    /// The largest headers of a request, in bytes as HTTP/2 counts them.
    pub max_header_bytes: usize,
    /// The descriptors of the services' methods.
    pub schema: Schema,
    /// The origins of the web pages that may call.
    pub origins: Origins,
    /// The audit, for requests that are refused before the services are asked.
    pub audit: Audit,
    /// The counter of the requests that a drain waits for.
    pub in_flight: InFlight,
    /// Cancelled when the drain's time is over: what is still running is answered and cut off.
    pub cut_off: CancellationToken,
}

impl Handler {
    /// A handler of these parts.
    #[must_use]
    pub fn new(parts: Parts) -> Self {
        Self(Arc::new(parts))
    }

    /// The longest that a request may take.
    #[must_use]
    pub fn request_timeout(&self) -> Duration {
        self.0.request_timeout
    }

    /// Counts a request that a drain waits for, until it is handed to [`Handler::handle`] or answered.
    pub(crate) fn enter(&self) -> InFlightGuard {
        self.0.in_flight.enter()
    }

    /// Waits until requests that are still running are cut off.
    pub(crate) async fn cut_off(&self) {
        self.0.cut_off.cancelled().await;
    }

    /// The audit of the handler's requests.
    #[must_use]
    pub fn audit(&self) -> &Audit {
        &self.0.audit
    }

    /// Answers one request. Whatever happens, it is an answer with a RequestId. The request counts as in flight from this
    /// call on, and not only when the future is first polled: a drain misses none that a connection has taken.
    pub fn handle<B: RequestBody>(
        &self,
        request: Request<B>,
        peer: &Arc<Peer>,
    ) -> impl Future<Output = Response<Body>> + use<B> {
        let underway = Underway::of(&request, &self.0.origins);
        let protocol = underway.protocol;
        let is_head = request.method() == Method::HEAD;
        let (guard, term) = match underway.service {
            ServiceKind::Contract if metrics::kind_of(&underway.path).is_stream() => {
                (None, Term::Open)
            }
            ServiceKind::Tags | ServiceKind::Contract => {
                (Some(self.0.in_flight.enter()), Term::Bounded)
            }
            // Watches, of health too, and reflection streams last as long as their callers like, and hold up no drain.
            ServiceKind::Health | ServiceKind::Other => (None, Term::Open),
        };
        let guards = (guard, peer.enter(term));
        let mut call = metrics().calls.start(&underway.path);
        let handler = self.clone();
        let other = (protocol != Protocol::Grpc).then(|| self.0.schema.clone());
        let peer = Arc::clone(peer);
        async move {
            // Begun by a function: whatever an async one is given, its future keeps to the end.
            let (response, held) = handler.begin(request, &peer, Arc::new(underway)).await;
            if let Some(code) = status::code_in(response.headers()) {
                call.finish(code);
            }
            let follower = response.extensions().get::<Follower>().cloned();
            let Some(schema) = other else {
                return response.map(|body| {
                    let body = CountedBody::new(body, guards, held, call);
                    Body::new(body.followed_by(follower))
                });
            };
            let mut response = schema.finished(response, protocol, &held);
            if is_head {
                *response.body_mut() = FirstFrame::unknown(Body::empty());
            }
            if protocol == Protocol::ConnectStream {
                return response.map(|body| {
                    let body = CountedBody::new(body, guards, held, call).followed_by(follower);
                    Body::new(EndOfStream::after(body, schema))
                });
            }
            // It has no trailers to tell of its end.
            call.finish(Code::Ok.into());
            response.map(|body| Body::new(CountedBody::new(body, guards, held, call)))
        }
    }

    /// The answer to a browser that asks whether a page may send a request, if it is asked for one that may.
    #[must_use]
    pub fn preflight<B>(&self, request: &Request<B>) -> Option<Response<Body>> {
        self.0.origins.preflight(request)
    }

    /// Begins a request. The future that is returned gives its answer.
    fn begin<B: RequestBody>(
        self,
        request: Request<B>,
        peer: &Arc<Peer>,
        underway: Arc<Underway>,
    ) -> impl Future<Output = (Response<FirstFrame>, Held)> + use<B> {
        let started = Instant::now();
        let span = match underway.service {
            ServiceKind::Tags | ServiceKind::Contract => {
                CallSpan::start(&underway.path, request.headers(), underway.id.as_str())
            }
            ServiceKind::Health | ServiceKind::Other => CallSpan::none(),
        };
        let stages = span.span();
        let timeout = caller_timeout(request.headers(), underway.protocol);
        let longest = self.0.request_timeout;
        let deadline = started
            + match &timeout {
                Ok(Some(timeout)) => longest.min(*timeout),
                Ok(None) | Err(_) => longest,
            };
        let source = Source::of(peer);
        let current = Current::new(underway.id, deadline);
        let TakenUp { call, held, answer } =
            current.begin(|| stages.in_scope(|| self.take_up(request, peer, &underway, timeout)));
        let line = LogLine::start(Arc::clone(&underway), call.clone(), span, started);
        async move {
            let work = self.bounded(answer, deadline, &underway);
            let mut response = current.run(work).instrument(stages).await;
            if let Protocol::Connect(form) = underway.protocol {
                let schema = &self.0.schema;
                response = Box::pin(schema.encoded(response, form, &underway)).await;
            }
            complete(&mut response, &underway);
            let mut response = FirstFrame::of(response, &held).unwrap_or_else(|error| {
                let refusal = underway.refusal(&over_budget(error));
                refusal.map(FirstFrame::unknown)
            });
            let answered = response.headers_mut();
            if let Some(value) = held.header(underway.answer_id()) {
                answered.insert(REQUEST_ID, value);
            }
            headers::return_client_request_id(answered, underway.client_id.as_ref());
            underway.page.open(answered);
            refused::audit(&self.0.audit, &underway, call.as_deref(), source, answered);
            line.finish(answered);
            (response, held)
        }
    }

    /// Checks a request, holds what it will take, and calls the method: nothing waits that is not within the budget.
    fn take_up<B: RequestBody>(
        &self,
        request: Request<B>,
        peer: &Arc<Peer>,
        underway: &Arc<Underway>,
        timeout: Result<Option<Duration>, Fault>,
    ) -> TakenUp {
        let kind = self.0.services.kind_of(&underway.path, underway.service);
        let identified = self.0.identify(&request, kind, peer, underway);
        let call = identified.as_ref().ok().cloned();
        let checked = identified.and_then(|call| match timeout {
            Ok(_) => Ok(call),
            Err(fault) => Err(Box::new(underway.refusal(&Error::Invalid(vec![fault])))),
        });
        let holder = checked.as_ref().ok().map(|_| match underway.service {
            ServiceKind::Health => Holder::Stranger,
            ServiceKind::Tags | ServiceKind::Contract | ServiceKind::Other => Holder::Caller,
        });
        let Some(held) = Held::for_request(peer, holder, kind) else {
            let refusal = underway.refusal(&over_budget(OverBudget));
            return TakenUp {
                call,
                held: Held::refused(peer.refuse()),
                answer: Err(Box::new(refusal)),
            };
        };
        let answer = checked.map(|call| {
            let mut request = headers::trimmed(request, underway.protocol);
            let progress = Arc::clone(&underway.progress);
            request
                .extensions_mut()
                .insert(HandedCall { call, progress });
            if kind.is_stream() {
                request.extensions_mut().insert(StreamHost {
                    peer: Arc::clone(peer),
                    held: held.clone(),
                    in_flight: self.0.in_flight.clone(),
                    patience: self.0.request_timeout,
                    max_message_bytes: self.0.max_message_bytes,
                });
            }
            self.call(request, kind, underway, &held)
        });
        TakenUp { call, held, answer }
    }

    /// Calls the method.
    fn call<B: RequestBody>(
        &self,
        request: Request<B>,
        kind: Kind,
        underway: &Arc<Underway>,
        held: &Held,
    ) -> Answer {
        let (services, service) = (&self.0.services, underway.service);
        match kind {
            Kind::BidiStream => services.call(request.map(Body::new), service),
            Kind::Unary | Kind::ServerStream if !headers::has_encoding(request.headers()) => {
                self.call_with_message(request, underway, held)
            }
            // It is refused whatever its body is.
            _ => services.call(request.map(|_| Body::empty()), service),
        }
    }

    /// Reads the one message of a request, and calls the method with it.
    fn call_with_message<B: RequestBody>(
        &self,
        request: Request<B>,
        underway: &Arc<Underway>,
        held: &Held,
    ) -> Answer {
        let (parts, body) = request.into_parts();
        let (handler, underway, held) = (self.clone(), Arc::clone(underway), held.clone());
        Box::pin(async move {
            let limit = handler.0.max_message_bytes;
            let sent = Sent {
                body,
                framing: match underway.protocol {
                    Protocol::Connect(_) => Framing::Bare,
                    _ => Framing::Prefixed,
                },
                version: parts.version,
            };
            let message = message::read_charged(sent, limit, &held).await;
            let message = message.and_then(|it| handler.0.schema.decoded(it, &underway));
            let message = match message {
                Ok(message) => message,
                Err(error) => return Ok(underway.refusal(&error)),
            };
            drop(held);
            let request = Request::from_parts(parts, Body::new(Full::new(message)));
            let services = &handler.0.services;
            services.call(request, underway.service).await
        })
    }

    /// Runs the request until its deadline or the end of the drain.
    async fn bounded(
        &self,
        answer: Result<Answer, Box<Response<Body>>>,
        deadline: Instant,
        underway: &Underway,
    ) -> Response<Body> {
        let answer = match answer {
            Ok(answer) => AssertUnwindSafe(answer).catch_unwind(),
            Err(refusal) => return *refusal,
        };
        let applied = || underway.progress.applied_if_cut_off();
        tokio::select! {
            biased;
            answer = answer => match answer {
                Ok(Ok(response)) => response,
                Ok(Err(infallible)) => match infallible {},
                Err(_) => {
                    tracing::error!("the request's handler has panicked");
                    underway.refusal(&Error::Internal)
                }
            },
            () = tokio::time::sleep_until(deadline.into()) => {
                underway.refusal(&Error::DeadlineExceeded(applied()))
            }
            () = self.0.cut_off.cancelled() => underway.refusal(&shutting_down(applied())),
        }
    }
}

/// The error of a request that is cut off by the end of the drain.
pub(crate) fn shutting_down(applied: Applied) -> Error {
    Error::Unavailable {
        reason: "the server is shutting down",
        applied,
        retry_after: RETRY_AFTER,
    }
}
