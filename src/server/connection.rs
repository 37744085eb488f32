//! One connection: TLS where it is wanted, then HTTP until it ends or has to leave. The public port speaks HTTP/2 only.
//!
//! hyper is driven directly, and not through tonic's server, which erases hyper's limits where they are not set again,
//! does not pause when the process is out of file descriptors, and answers a passed deadline with CANCELLED.

use std::convert::Infallible;
use std::net::IpAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Instant;

use arc_swap::ArcSwap;
use futures_util::FutureExt as _;
use futures_util::future::BoxFuture;
use http::{Request, Response};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::conn::auto;
use rustls::ServerConfig;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::sync::Semaphore;
use tokio_rustls::TlsAcceptor;
use tokio_util::sync::CancellationToken;
use tonic::body::Body;

use super::admin::{self, Admin};
use super::lifetime::{Lifetime, Verdict};
use super::limits::Limits;
use super::shutdown_ping::DelayedAck;
use super::spoken::Listening;
use super::streams::{StreamExecutor, WithStreams, streams};
use crate::auth::{self, CertificateError};
use crate::grpc::{Handler, Peer};
use crate::rpc::Gateway;
use crate::telemetry::metrics::metrics;

/// What one request may send before it is read, in bytes: the largest message fits.
const STREAM_WINDOW_BYTES: u32 = 128 * 1024;
/// What all requests of a connection may send before it is read, in bytes.
const CONNECTION_WINDOW_BYTES: u32 = 1024 * 1024;
/// How much of one answer is kept for a client that does not take it, in bytes.
const SEND_BUFFER_BYTES: usize = 64 * 1024;
/// How many times the largest headers are read, so that larger ones get an answer of gRPC with its RequestId: h2 answers
/// those over its own limit with a bare 431, and ends the connection of those over four times that.
const READ_HEADERS: u32 = 4;
/// The least that hyper's reader of HTTP/1.1 can work with, in bytes.
const LEAST_HEADER_BUFFER_BYTES: usize = 8 * 1024;

/// How long the query of a request in RPC style may be, in bytes: SDKs send all parameters there, and 20 tags of 128
/// characters of three bytes, each `%XX`, take 46 KiB.
const QUERY_BYTES: usize = 64 * 1024;

/// What connections of a port have in common.
pub struct Common {
    pub handler: Handler,
    /// What the port speaks.
    pub speech: Speech,
    pub limits: Limits,
    /// TLS, if the port speaks it.
    pub tls: Option<Tls>,
    /// Cancelled when no more requests are to be taken.
    pub closing: CancellationToken,
}

/// What a port speaks.
#[derive(Clone)]
pub enum Speech {
    /// gRPC, over HTTP/2.
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
    /// What is spoken after the handshake, by its name in ALPN.
    protocol: &'static [u8],
    /// A handshake costs more than a request, and nobody is known before it: so they have a bound of their own.
    handshakes: Semaphore,
}

impl Tls {
    /// TLS by this configuration, with so many handshakes at a time, for connections that will speak this.
    pub fn new(config: Arc<ArcSwap<ServerConfig>>, handshakes: usize, speech: &Speech) -> Self {
        Self {
            config,
            protocol: match speech {
                Speech::Grpc | Speech::Admin(_) => b"h2",
                Speech::Rpc(_) => b"http/1.1",
            },
            handshakes: Semaphore::new(handshakes),
        }
    }
}

impl Common {
    /// Serves a connection until it ends.
    pub async fn serve(&self, stream: TcpStream, address: IpAddr) {
        // Answers are small: waiting to fill a packet would only delay them.
        if let Err(error) = stream.set_nodelay(true) {
            tracing::debug!(%error, "cannot set TCP_NODELAY");
        }
        let Some(tls) = &self.tls else {
            let peer = Peer::new(address, Err(CertificateError::NotShown), false);
            return self.speak(stream, peer, Instant::now()).await;
        };
        let Ok(place) = tls.handshakes.try_acquire() else {
            metrics().server.tls_handshakes_failed.inc();
            tracing::info!(%address, "a connection is turned away: too many are in their TLS handshake");
            return;
        };
        let started = Instant::now();
        // A copy is a few counts of references, and little beside a handshake.
        let mut config = ServerConfig::clone(&tls.config.load());
        config.alpn_protocols = vec![tls.protocol.to_vec()];
        let handshake = TlsAcceptor::from(Arc::new(config)).accept(stream);
        let handshake = tokio::select! {
            () = self.closing.cancelled() => return,
            handshake = tokio::time::timeout(self.limits.handshake_timeout, handshake) => handshake,
        };
        drop(place);
        match handshake {
            Ok(Ok(stream)) => {
                let certificates = stream.get_ref().1.peer_certificates();
                let caller = certificates
                    .and_then(<[_]>::first)
                    .map_or(Err(CertificateError::NotShown), |it| auth::caller_of(it));
                if let Err(error) = &caller
                    && *error != CertificateError::NotShown
                {
                    tracing::info!(%address, %error, "a client certificate names no caller");
                }
                self.speak(stream, Peer::new(address, caller, true), started)
                    .await;
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

    /// Speaks over a stream whose client has had since `started` to begin.
    async fn speak<S>(&self, stream: S, peer: Peer, started: Instant)
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let limits = &self.limits;
        let peer = Arc::new(peer);
        let service = service_fn(|request| {
            let answer = self.answer(request, &peer);
            answer.map(Ok::<_, Infallible>)
        });
        let (stream, spoken) =
            Listening::to(DelayedAck::of(stream, matches!(self.speech, Speech::Grpc)));
        let (executor, new) = streams();
        let http = self.http(executor);
        let served = http.serve_connection(TokioIo::new(stream), service);
        let mut served = WithStreams::new(Box::pin(served), new);

        let handshake_left = limits.handshake_timeout.saturating_sub(started.elapsed());
        let request_timeout = self.handler.request_timeout();
        let lifetime = Lifetime::new(limits, handshake_left, request_timeout, rand::random());
        let ended = loop {
            let look = match lifetime.judge(&peer, spoken.is_begun(), Instant::now()) {
                Verdict::Stay(next) => next,
                Verdict::Cut(why) => {
                    tracing::debug!(address = %peer.address, why, "a connection is cut");
                    return;
                }
                Verdict::Leave(why) => {
                    tracing::debug!(address = %peer.address, why, "a connection is told to leave");
                    served.connection.as_mut().graceful_shutdown();
                    match lifetime.farewell(&peer, Pin::new(&mut served)).await {
                        Some(ended) => break ended,
                        None => return,
                    }
                }
            };
            tokio::select! {
                ended = &mut served => break ended,
                () = self.closing.cancelled() => {
                    // GOAWAY: the client opens no more streams here, and those that are open are finished.
                    served.connection.as_mut().graceful_shutdown();
                    break served.await;
                }
                () = tokio::time::sleep_until(look.into()) => {}
            }
        };
        if let Err(error) = ended {
            tracing::debug!(address = %peer.address, %error, "a connection has ended early");
        }
    }

    /// Boxed, since it is large and whoever runs it moves it more than once.
    fn answer(
        &self,
        request: Request<Incoming>,
        peer: &Arc<Peer>,
    ) -> BoxFuture<'static, Response<Body>> {
        match &self.speech {
            Speech::Rpc(gateway) => {
                let (gateway, peer) = (gateway.clone(), Arc::clone(peer));
                Box::pin(async move { gateway.answer(request, &peer).await })
            }
            Speech::Admin(admin) if !admin::is_grpc(&request) => {
                let (admin, counted) = (admin.clone(), peer.enter(false));
                Box::pin(async move {
                    let response = admin.answer(request).await;
                    drop(counted);
                    response
                })
            }
            _ => Box::pin(self.handler.handle(request, peer)),
        }
    }

    /// HTTP in the versions that the port speaks.
    fn http(&self, executor: StreamExecutor) -> auto::Builder<StreamExecutor> {
        let limits = &self.limits;
        let query_bytes = match self.speech {
            Speech::Grpc | Speech::Admin(_) => 0,
            Speech::Rpc(_) => QUERY_BYTES,
        };
        let buffer_bytes = limits.header_list_bytes().saturating_add(query_bytes);
        let mut http = auto::Builder::new(executor);
        http = match self.speech {
            Speech::Grpc => http.http2_only(),
            Speech::Admin(_) => http,
            Speech::Rpc(_) => http.http1_only(),
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
