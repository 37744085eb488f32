//! One connection: TLS where it is wanted, then HTTP until it ends or has to leave.
//!
//! hyper is driven directly, and not through tonic's server, which erases hyper's limits where they are not set again,
//! does not pause when the process is out of file descriptors, and answers a passed deadline with CANCELLED.

use std::convert::Infallible;
use std::fmt::Display;
use std::future::ready;
use std::net::IpAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use arc_swap::ArcSwap;
use futures_util::FutureExt as _;
use futures_util::future::BoxFuture;
use http::header::CONNECTION;
use http::{HeaderValue, Request, Response, Version};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::conn::auto;
use rustls::ServerConfig;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio_rustls::{TlsAcceptor, server::TlsStream};
use tokio_util::sync::CancellationToken;
use tonic::body::Body;

use super::admin::{self, Admin};
use super::bytes_read::{MeteredStream, ReadMeter, Unanswered};
use super::frames::OpenBlock;
use super::http_version::HttpVersion;
use super::lifetime::{Lifetime, Verdict};
use super::limits::Limits;
use super::shutdown_ping::DelayedAck;
use super::slots::{Evicts, Slots};
use super::streams::{StreamExecutor, WithStreams, streams};
use crate::auth::{self, CertificateError};
use crate::grpc::{Budget, Handler, Peer, Term};
use crate::rpc::Gateway;
use crate::telemetry::metrics::metrics;

/// The flow-control window of one request, in bytes: the largest message fits.
const STREAM_WINDOW_BYTES: u32 = 128 * 1024;
/// The flow-control window of all requests of a connection, in bytes.
const CONNECTION_WINDOW_BYTES: u32 = 1024 * 1024;
/// How much of one answer is kept for a client that does not take it, in bytes.
const SEND_BUFFER_BYTES: usize = 64 * 1024;
/// How many times the largest headers are read, so that larger ones get an answer of gRPC with its RequestId: h2 answers
/// those over its own limit with a bare 431, and ends the connection of those over four times that.
const READ_HEADERS: u32 = 4;
/// How many times the largest headers an open block of them costs: as many as are read, and the map's own cost.
const OPEN_BLOCK: usize = 8;
/// The least that hyper's reader of HTTP/1.1 can work with, in bytes.
const LEAST_HEADER_BUFFER_BYTES: usize = 8 * 1024;

/// How long a client of HTTP/1.1 has for a last request, whose answer says that the connection closes. Where one closes between two
/// requests, the second may be on its way, and its client can't know whether it was carried out. A drain lingers for longer.
const LAST_REQUEST: Duration = Duration::from_millis(300);

/// Why streams end with the service.
const SHUTTING_DOWN: &str = "the server is shutting down";
/// Why streams end with a connection that is old, or whose certificate expires.
const OPEN_ANEW: &str = "the connection has to be opened anew";

/// How long the query of a request in RPC style may be, in bytes: SDKs send all parameters there, and 20 tags of 128
/// characters of three bytes, each `%XX`, take 46 KiB.
const QUERY_BYTES: usize = 64 * 1024;

/// What all connections of a port share.
pub struct Common {
    pub handler: Handler,
    /// The protocol of the port.
    pub protocol: Protocol,
    pub limits: Limits,
    /// The memory that requests and answers may hold.
    pub budget: Arc<Budget>,
    /// TLS, if the port has it.
    pub tls: Option<Tls>,
    /// Cancelled when no more requests are to be taken.
    pub closing: CancellationToken,
}

/// The protocol of a port.
#[derive(Clone)]
pub enum Protocol {
    /// gRPC over HTTP/2, and Connect over HTTP/1.1 too.
    Grpc,
    /// gRPC, and what operators ask over HTTP/1.1 too, as curl and Prometheus do.
    Admin(Admin),
    /// The cloud's RPC style, over HTTP/1.1.
    Rpc(Gateway),
}

/// TLS for the connections of a port.
pub struct Tls {
    /// The newest configuration is taken for each connection.
    config: Arc<ArcSwap<ServerConfig>>,
    /// The ALPN names of what may come after the handshake, the best first.
    alpn: &'static [&'static [u8]],
    /// The slots of handshakes, which have a bound of their own: one costs more than a request, and nobody is known before it.
    handshakes: Arc<Slots>,
}

impl Tls {
    /// TLS by this configuration, with at most `handshakes` at a time, for the connections of a port with this protocol.
    pub fn new(config: Arc<ArcSwap<ServerConfig>>, handshakes: usize, protocol: &Protocol) -> Self {
        Self {
            config,
            alpn: match protocol {
                Protocol::Grpc | Protocol::Admin(_) => &[b"h2", b"http/1.1"],
                Protocol::Rpc(_) => &[b"http/1.1"],
            },
            handshakes: Slots::new(handshakes, Evicts::IdleStrangers),
        }
    }
}

/// Shows the peer's certificate to the peer, and returns how long it is good for, if there is one with an end.
fn show_certificate(stream: &TlsStream<TcpStream>, peer: &Peer) -> Option<Duration> {
    let certificates = stream.get_ref().1.peer_certificates();
    let certificate = certificates.and_then(<[_]>::first);
    let caller = certificate.map_or(Err(CertificateError::NotShown), |it| auth::caller_of(it));
    if let Err(error) = &caller
        && *error != CertificateError::NotShown
    {
        tracing::info!(address = %peer.address, %error, "a client certificate names no caller");
    }
    peer.show(caller);
    let expiry = certificate.and_then(|it| auth::expiry_of(it))?;
    Some(expiry.duration_since(SystemTime::now()).unwrap_or_default())
}

/// Notes how a connection has ended.
fn note_end(peer: &Peer, ended: Result<(), impl Display>) {
    if let Err(error) = ended {
        tracing::debug!(address = %peer.address, %error, "a connection has ended early");
    }
}

impl Common {
    /// The peer of a connection that was just accepted from this address.
    pub fn peer(&self, address: IpAddr) -> Arc<Peer> {
        let budget = Arc::clone(&self.budget);
        Arc::new(Peer::new(address, self.tls.is_some(), budget))
    }

    /// Serves a connection until it ends or has to go.
    pub async fn serve(&self, stream: TcpStream, peer: Arc<Peer>) {
        tokio::select! {
            () = self.handshake_and_serve(stream, &peer) => {}
            why = peer.ended() => {
                tracing::debug!(address = %peer.address, why, "a connection is cut");
            }
        }
    }

    async fn handshake_and_serve(&self, stream: TcpStream, peer: &Arc<Peer>) {
        // Answers are small: waiting to fill a packet would only delay them.
        if let Err(error) = stream.set_nodelay(true) {
            tracing::debug!(%error, "cannot set TCP_NODELAY");
        }
        let Some(tls) = &self.tls else {
            let open = HttpVersion::Open(0);
            return self
                .serve_http(stream, peer, Instant::now(), None, open)
                .await;
        };
        let address = peer.address;
        // Nobody is known before it: one that is under way goes for another.
        let slot = tls.handshakes.enter(peer);
        let started = Instant::now();
        // A copy is a few counts of references, and little beside a handshake.
        let mut config = ServerConfig::clone(&tls.config.load());
        config.alpn_protocols = tls.alpn.iter().map(|name| name.to_vec()).collect();
        let handshake = TlsAcceptor::from(Arc::new(config)).accept(stream);
        let handshake = tokio::select! {
            () = self.closing.cancelled() => return,
            handshake = tokio::time::timeout(self.limits.handshake_timeout, handshake) => handshake,
        };
        drop(slot);
        match handshake {
            Ok(Ok(stream)) => {
                let left = show_certificate(&stream, peer);
                let version = HttpVersion::negotiated(stream.get_ref().1.alpn_protocol());
                self.serve_http(stream, peer, started, left, version).await;
            }
            Ok(Err(error)) => {
                metrics().server.tls_handshakes_failed.inc();
                tracing::info!(%address, %error, "a TLS handshake has failed");
            }
            Err(_) => {
                metrics().server.tls_handshakes_failed.inc();
                tracing::info!(%address, "a TLS handshake has taken too long");
            }
        }
    }

    /// Serves HTTP of this version on a stream whose client has had since `started` to begin, and whose certificate is good for
    /// `certificate_left`.
    async fn serve_http<S>(
        &self,
        stream: S,
        peer: &Arc<Peer>,
        started: Instant,
        certificate_left: Option<Duration>,
        version: HttpVersion,
    ) where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let limits = &self.limits;
        let service = service_fn(|request| {
            let answer = self.answer(request, peer);
            answer.map(Ok::<_, Infallible>)
        });
        let (stream, meter) = self.metered(stream, peer);
        let (executor, new) = streams();
        let http = self.http(executor, version);
        let served = http.serve_connection(TokioIo::new(stream), service);
        let mut served = WithStreams::new(Box::pin(served), new, meter.clone());

        let handshake_left = limits.handshake_timeout.saturating_sub(started.elapsed());
        let request_timeout = self.handler.request_timeout();
        let lifetime = Lifetime::new(
            limits,
            handshake_left,
            request_timeout,
            certificate_left,
            rand::random(),
        );
        let why_left = loop {
            let look = match lifetime.check(peer, meter.preface(), Instant::now()) {
                Verdict::Stay(next) => next,
                Verdict::Cut(why) => {
                    tracing::debug!(address = %peer.address, why, "a connection is cut");
                    return;
                }
                Verdict::Leave(why) => {
                    tracing::debug!(address = %peer.address, why, "a connection is told to leave");
                    break OPEN_ANEW;
                }
            };
            tokio::select! {
                ended = &mut served => return note_end(peer, ended),
                () = self.closing.cancelled() => break SHUTTING_DOWN,
                () = tokio::time::sleep_until(look.into()) => {}
            }
        };
        peer.leave(why_left);
        if peer.speaks_http1()
            && let Ok(ended) = tokio::time::timeout(LAST_REQUEST, &mut served).await
        {
            return note_end(peer, ended);
        }
        // GOAWAY: the client opens no more streams here, and those that are open are finished.
        served.connection.as_mut().graceful_shutdown();
        let ended = if why_left == SHUTTING_DOWN {
            Some(served.await)
        } else {
            lifetime.close_gracefully(peer, Pin::new(&mut served)).await
        };
        if let Some(ended) = ended {
            note_end(peer, ended);
        }
    }

    /// The stream with its meter. What is read is followed as HTTP/2, or charged as HTTP/1.1, where the port's protocol needs it.
    fn metered<S>(&self, stream: S, peer: &Arc<Peer>) -> (MeteredStream<DelayedAck<S>>, ReadMeter) {
        let blocks = matches!(self.protocol, Protocol::Grpc).then(|| {
            let bytes = self.limits.header_list_bytes().saturating_mul(OPEN_BLOCK);
            OpenBlock::of(Arc::clone(peer), bytes)
        });
        let unanswered = match self.protocol {
            Protocol::Admin(_) => None,
            Protocol::Grpc => Some(HttpVersion::Open(0)),
            Protocol::Rpc(_) => Some(HttpVersion::Http1),
        };
        let unanswered = unanswered.map(|version| Unanswered::from(Arc::clone(peer), version));
        MeteredStream::to(DelayedAck::of(stream, blocks), unanswered)
    }

    /// Answers a request. What HTTP/2 has frames for, an answer of HTTP/1.1 says itself: that it is the last one.
    fn answer(
        &self,
        request: Request<Incoming>,
        peer: &Arc<Peer>,
    ) -> BoxFuture<'static, Response<Body>> {
        let version = request.version();
        let answer = self.dispatch(request, peer);
        if version >= Version::HTTP_2 {
            return answer;
        }
        peer.speak_http1();
        let peer = Arc::clone(peer);
        Box::pin(async move {
            let mut response = answer.await;
            if peer.has_to_leave() {
                let close = HeaderValue::from_static("close");
                response.headers_mut().insert(CONNECTION, close);
            }
            response
        })
    }

    /// Has a request answered by whom it is for. Boxed, since the future is large and whoever runs it moves it more than once.
    fn dispatch(
        &self,
        request: Request<Incoming>,
        peer: &Arc<Peer>,
    ) -> BoxFuture<'static, Response<Body>> {
        match &self.protocol {
            Protocol::Rpc(gateway) => {
                let (gateway, peer) = (gateway.clone(), Arc::clone(peer));
                Box::pin(async move { gateway.answer(request, &peer).await })
            }
            Protocol::Admin(admin) if !admin::is_grpc(&request) => {
                let (admin, counted) = (admin.clone(), peer.enter(Term::Open));
                let peer = Arc::clone(peer);
                let source = peer.address;
                Box::pin(async move {
                    let response = admin.answer(request, source).await;
                    drop(counted);
                    admin::charged(response, &peer)
                })
            }
            _ => match self.handler.preflight(&request) {
                Some(answer) => Box::pin(ready(answer)),
                None => Box::pin(self.handler.handle(request, peer)),
            },
        }
    }

    /// The HTTP server of a connection, in the version that was negotiated, or in those of the port's protocol.
    fn http(
        &self,
        executor: StreamExecutor,
        version: HttpVersion,
    ) -> auto::Builder<StreamExecutor> {
        let limits = &self.limits;
        let query_bytes = match self.protocol {
            Protocol::Grpc | Protocol::Admin(_) => 0,
            Protocol::Rpc(_) => QUERY_BYTES,
        };
        let buffer_bytes = limits.header_list_bytes().saturating_add(query_bytes);
        let mut http = auto::Builder::new(executor);
        http = match (&self.protocol, version) {
            (Protocol::Rpc(_), _) | (_, HttpVersion::Http1) => http.http1_only(),
            (_, HttpVersion::Http2) => http.http2_only(),
            (_, HttpVersion::Open(_)) => http,
        };
        http.http1()
            .timer(TokioTimer::new())
            .header_read_timeout(limits.handshake_timeout)
            .max_buf_size(buffer_bytes.max(LEAST_HEADER_BUFFER_BYTES));
        http.http2()
            .timer(TokioTimer::new())
            .max_concurrent_streams(limits.streams)
            .max_local_error_reset_streams(limits.reset_streams)
            .max_pending_accept_reset_streams(limits.reset_streams)
            .max_header_list_size(limits.header_list_bytes.saturating_mul(READ_HEADERS))
            .initial_stream_window_size(STREAM_WINDOW_BYTES)
            .initial_connection_window_size(CONNECTION_WINDOW_BYTES)
            .max_send_buf_size(SEND_BUFFER_BYTES)
            .keep_alive_interval(limits.keepalive_interval)
            .keep_alive_timeout(limits.keepalive_timeout);
        http
    }
}
