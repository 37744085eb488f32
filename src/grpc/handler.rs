//! What happens around every request: its RequestId, its caller, its deadline, and an answer in every case.

use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use bytes::Bytes;
use futures_util::FutureExt as _;
use http::{HeaderName, Request, Response};
use http_body::Frame;
use http_body_util::{BodyExt as _, Full};
use tokio_util::sync::CancellationToken;
use tonic::body::Body;
use tracing::Instrument as _;

use super::budget::{Holder, OverBudget, over_budget};
use super::completion::complete;
use super::context::RequestContext;
use super::counted_body::{CountedBody, FirstFrame};
use super::deadline::caller_timeout;
use super::held::Held;
use super::in_flight::{InFlight, InFlightGuard};
use super::log_line::LogLine;
use super::peer::Peer;
use super::refused::{self, Source};
use super::services::{Answer, Services, service_of};
use super::{
    HEALTH_SERVICE, REQUEST_ID_HEADER, TAG_SERVICE, bearer, headers, message, protocol, status,
};
use crate::auth::token::{TOO_MANY_FAILURES, TokenError};
use crate::auth::{Authenticator, Credentials, Unauthenticated};
use crate::current::Current;
use crate::domain::{Applied, Call, Caller, Error, Fault, RequestId};
use crate::service::{Audit, RETRY_AFTER};
use crate::telemetry::metrics::{Kind, Throttle, metrics};
use crate::telemetry::trace::CallSpan;

/// The header of every answer with its RequestId, as hyper names it.
const REQUEST_ID: HeaderName = HeaderName::from_static(REQUEST_ID_HEADER);

/// What a request takes beside its message and its answer, in bytes. An estimate of the stream of HTTP/2, the futures, and what
/// is known of it.
const REQUEST_BYTES: usize = 4 * 1024;
/// What a request takes whose messages go both ways, with what its client may send ahead.
const STREAM_BYTES: usize = 256 * 1024;

/// A method that was called, or the answer of a request that was refused before.
type Called = Result<Answer, Box<Response<Body>>>;

/// Put into a request whose caller is known already: no header can say so.
#[derive(Debug, Clone)]
pub struct Authenticated(pub Caller);

/// Carries out requests on a set of services.
#[derive(Debug, Clone)]
pub struct Handler(Arc<Parts>);

/// What a [`Handler`] is made of.
#[derive(Debug)]
pub struct Parts {
    /// The services.
    pub services: Services,
    /// Who may call them; health may be asked by everybody.
    pub authenticator: Authenticator,
    /// The longest that a request may take.
    pub request_timeout: Duration,
    /// The largest message that the services take, in bytes.
    pub max_message_bytes: usize,
    /// The largest headers of a request, in bytes as HTTP/2 counts them.
    pub max_header_bytes: usize,
    /// Where requests are audited that are refused before the services are asked.
    pub audit: Audit,
    /// Counts the requests that a drain waits for.
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

    /// Waits until what is still running is cut off.
    pub(crate) async fn cut_off(&self) {
        self.0.cut_off.cancelled().await;
    }

    /// The audit.
    #[must_use]
    pub fn audit(&self) -> &Audit {
        &self.0.audit
    }

    /// Answers one request. Whatever happens, it is an answer with a RequestId. The request counts as in flight from this
    /// call on, and not only when the future is first polled: a drain misses none that a connection has taken.
    pub fn handle<B>(
        &self,
        request: Request<B>,
        peer: &Arc<Peer>,
    ) -> impl Future<Output = Response<Body>> + use<B>
    where
        B: http_body::Body<Data = Bytes> + Send + 'static,
        B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
    {
        let is_tag_request = service_of(request.uri().path()) == TAG_SERVICE;
        // Health watches and reflection streams last as long as their callers like, and hold up no drain.
        let guard = is_tag_request.then(|| self.0.in_flight.enter());
        let guards = (guard, peer.enter(is_tag_request));
        let mut call = metrics().calls.start(request.uri().path());
        let handler = self.clone();
        let peer = Arc::clone(peer);
        async move {
            // Begun by a function: whatever an async one is given, its future keeps to the end.
            let (response, held) = handler.begin(request, &peer, is_tag_request).await;
            if let Some(code) = status::code_in(response.headers()) {
                call.finish(code);
            }
            response.map(|body| Body::new(CountedBody::new(body, guards, held, call)))
        }
    }

    /// Begins a request. The answer comes from what is returned.
    fn begin<B>(
        self,
        request: Request<B>,
        peer: &Arc<Peer>,
        is_tag_request: bool,
    ) -> impl Future<Output = (Response<FirstFrame>, Held)> + use<B>
    where
        B: http_body::Body<Data = Bytes> + Send + 'static,
        B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
    {
        let client_id = headers::client_request_id(request.headers());
        let context = Arc::new(RequestContext::new(RequestId::now(), client_id));
        let request_id = context.id();
        let path = request.uri().path();
        let call = if is_tag_request {
            CallSpan::start(path, request.headers(), request_id.as_str())
        } else {
            CallSpan::none()
        };
        let stages = call.span();
        let path = path.to_owned();
        let line = LogLine::start(Arc::clone(&context), path, is_tag_request, call);

        let asked = caller_timeout(request.headers());
        let longest = self.0.request_timeout;
        let timeout = match &asked {
            Ok(Some(timeout)) => longest.min(*timeout),
            Ok(None) | Err(_) => longest,
        };
        let source = Source::of(peer);
        let deadline = Instant::now() + timeout;
        let current = Current::new(request_id, deadline);
        let (held, called) = current.begin(|| {
            stages.in_scope(|| self.take_up(request, peer, &context, asked, is_tag_request))
        });
        async move {
            let work = self.bounded(called, deadline, &context);
            let mut response = current.run(work).instrument(stages).await;
            complete(&mut response, &context, line.path());
            let mut response = encoded(response, &held, &context);
            let answered = response.headers_mut();
            if let Some(value) = held.header(context.id()) {
                answered.insert(REQUEST_ID, value);
            }
            headers::return_client_request_id(answered, context.client_id());
            refused::audit(&self.0.audit, &context, source, line.path(), answered);
            line.finish(answered);
            (response, held)
        }
    }

    /// Checks a request, holds what it will take, and calls the method: nothing waits that is not within the budget.
    fn take_up<B>(
        &self,
        request: Request<B>,
        peer: &Arc<Peer>,
        context: &Arc<RequestContext>,
        asked: Result<Option<Duration>, Fault>,
        is_tag_request: bool,
    ) -> (Held, Called)
    where
        B: http_body::Body<Data = Bytes> + Send + 'static,
        B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
    {
        let kind = self
            .0
            .services
            .kind_of(request.uri().path(), is_tag_request);
        let checked = self.check(&request, peer, context, asked);
        let Some(held) = hold(peer, checked.as_ref().ok().copied(), kind) else {
            let refusal = respond(&over_budget(OverBudget), context);
            return (Held::refused(peer.refuse()), Err(Box::new(refusal)));
        };
        let called = checked.map(|_| self.call(request, kind, context, &held, is_tag_request));
        (held, called)
    }

    /// Checks what can be checked before the body is read, since what a stranger sends is to cost as little as can be. Tells
    /// who it will be held for.
    fn check<B>(
        &self,
        request: &Request<B>,
        peer: &Peer,
        context: &RequestContext,
        asked: Result<Option<Duration>, Fault>,
    ) -> Result<Holder, Box<Response<Body>>> {
        if let Err(not_grpc) = protocol::check(request) {
            return Err(Box::new(not_grpc.answer(context.id())));
        }
        let check = || {
            headers::check(request, self.0.max_header_bytes)?;
            let call = self.identify(request, peer, context)?;
            let is_health = service_of(request.uri().path()) == HEALTH_SERVICE;
            if !is_health && !call.caller.is_anonymous() {
                peer.identify();
            }
            context.identify(call);
            asked.map_err(|fault| Error::Invalid(vec![fault]))?;
            Ok(if is_health {
                Holder::Stranger
            } else {
                Holder::Caller
            })
        };
        check().map_err(|error| Box::new(respond(&error, context)))
    }

    /// Calls the method.
    fn call<B>(
        &self,
        request: Request<B>,
        kind: Kind,
        context: &Arc<RequestContext>,
        held: &Held,
        is_tag_request: bool,
    ) -> Answer
    where
        B: http_body::Body<Data = Bytes> + Send + 'static,
        B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
    {
        let mut request = headers::trimmed(request);
        request.extensions_mut().insert(Arc::clone(context));
        let services = &self.0.services;
        match kind {
            Kind::BidiStream => services.call(request.map(Body::new), is_tag_request),
            Kind::Unary | Kind::ServerStream if !headers::has_encoding(request.headers()) => {
                self.call_with_message(request, context, held, is_tag_request)
            }
            // It is refused whatever its body is.
            _ => services.call(request.map(|_| Body::empty()), is_tag_request),
        }
    }

    /// Reads the one message of a request, and calls the method with it.
    fn call_with_message<B>(
        &self,
        request: Request<B>,
        context: &Arc<RequestContext>,
        held: &Held,
        is_tag_request: bool,
    ) -> Answer
    where
        B: http_body::Body<Data = Bytes> + Send + 'static,
    {
        let (parts, body) = request.into_parts();
        let (handler, context, held) = (self.clone(), Arc::clone(context), held.clone());
        Box::pin(async move {
            let limit = handler.0.max_message_bytes;
            let message = match message::read_charged(body, limit, &held).await {
                Ok(message) => message,
                Err(error) => return Ok(respond(&error, &context)),
            };
            drop(held);
            let request = Request::from_parts(parts, Body::new(Full::new(message)));
            handler.0.services.call(request, is_tag_request).await
        })
    }

    /// Runs the request until its deadline or the end of the drain.
    async fn bounded(
        &self,
        called: Called,
        deadline: Instant,
        context: &RequestContext,
    ) -> Response<Body> {
        let answer = match called {
            Ok(answer) => AssertUnwindSafe(answer).catch_unwind(),
            Err(refusal) => return *refusal,
        };
        tokio::select! {
            biased;
            answer = answer => match answer {
                Ok(Ok(response)) => response,
                Ok(Err(infallible)) => match infallible {},
                Err(_) => {
                    tracing::error!("the request's handler has panicked");
                    respond(&Error::Internal, context)
                }
            },
            () = tokio::time::sleep_until(deadline.into()) => {
                respond(&Error::DeadlineExceeded(context.applied_if_cut_off()), context)
            }
            () = self.0.cut_off.cancelled() => {
                respond(&shutting_down(context.applied_if_cut_off()), context)
            }
        }
    }

    fn identify<B>(
        &self,
        request: &Request<B>,
        peer: &Peer,
        context: &RequestContext,
    ) -> Result<Call, Error> {
        let Parts { authenticator, .. } = &*self.0;
        let time = SystemTime::now();
        let certificate = peer.certificate();
        let caller = if let Some(Authenticated(caller)) = request.extensions().get() {
            caller.clone()
        } else if service_of(request.uri().path()) == HEALTH_SERVICE {
            authenticator.whoever(certificate)
        } else {
            let identified = authenticator.identify(&Credentials {
                certificate,
                token: bearer::token(request.headers())?,
                source: peer.address,
                time,
                moment: Instant::now(),
            });
            identified.map_err(refusal)?
        };
        Ok(Call {
            request_id: context.id(),
            client_request_id: context.client_id().cloned(),
            caller,
            source_ip: peer.address,
            secure_transport: peer.secure,
            time,
        })
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

fn refusal(error: Unauthenticated) -> Error {
    match error {
        // Not the caller's fault.
        Unauthenticated::Token(TokenError::NoKeys) => Error::Unavailable {
            reason: "the keys that tokens are signed with have not been read yet",
            applied: Applied::No,
            retry_after: RETRY_AFTER,
        },
        Unauthenticated::Token(TokenError::TooManyFailures { retry_after }) => {
            metrics().server.throttled(Throttle::FailedAuthentications);
            Error::Throttled {
                reason: TOO_MANY_FAILURES,
                retry_after,
            }
        }
        error => Error::Unauthenticated(error.to_string()),
    }
}

/// Holds what a request takes, for whom it was checked to be, if it was. Whoever is refused at once waits for nothing, and
/// holds what its answer takes.
fn hold(peer: &Arc<Peer>, holder: Option<Holder>, kind: Kind) -> Option<Held> {
    let bytes = match kind {
        Kind::BidiStream if holder.is_some() => STREAM_BYTES,
        _ => REQUEST_BYTES,
    };
    let charge = peer
        .charge(holder.unwrap_or(Holder::Stranger), bytes)
        .ok()?;
    let stranger = match holder {
        Some(Holder::Stranger) => Some(peer.enter_stranger()?),
        Some(Holder::Caller) | None => None,
    };
    Some(Held::charged(charge, stranger))
}

/// The answer with its first frame, as far as that is ready: an answer of one message waits for its client as the bytes that it
/// is, which are charged.
fn encoded(
    response: Response<Body>,
    held: &Held,
    context: &RequestContext,
) -> Response<FirstFrame> {
    let (parts, mut body) = response.into_parts();
    let first = body.frame().now_or_never().flatten();
    let first = match first.map(|frame| frame.map(Frame::into_data)) {
        Some(Ok(Ok(data))) => match held.keep(data) {
            Ok(data) => Some(Ok(Frame::data(data))),
            Err(error) => {
                let refusal = respond(&over_budget(error), context);
                return refusal.map(|body| FirstFrame { first: None, body });
            }
        },
        Some(Ok(Err(frame))) => Some(Ok(frame)),
        Some(Err(status)) => Some(Err(status)),
        None => None,
    };
    Response::from_parts(parts, FirstFrame { first, body })
}

fn respond(error: &Error, context: &RequestContext) -> Response<Body> {
    status::from_error(error, context.id()).into_http()
}
