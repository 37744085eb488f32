//! A port: accepts connections and speaks HTTP/2 on each.
//!
//! hyper is driven directly, and not through tonic's server, which erases hyper's limits where they are not set again,
//! does not pause when the process is out of file descriptors, and answers a passed deadline with CANCELLED.

use std::convert::Infallible;
use std::time::Duration;

use futures_util::FutureExt as _;
use hyper::server::conn::http2;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use tokio::net::{TcpListener, TcpStream};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::grpc::Handler;

/// How many requests one connection may have in flight.
const MAX_CONCURRENT_STREAMS: u32 = 1024;
/// How many streams of one connection may be reset by us, or be reset before we saw them, before it is closed: a
/// client that opens and resets streams without end costs a connection and not the service (CVE-2023-44487).
const MAX_RESET_STREAMS: usize = 256;
/// The headers of one request, in bytes: 16 KiB, as gRPC's own libraries have it.
const MAX_HEADER_LIST_BYTES: u32 = 16 * 1024;
/// How often an open connection is asked whether its client is still there, and how long that may take to answer.
const KEEPALIVE_INTERVAL: Duration = Duration::from_mins(1);
const KEEPALIVE_TIMEOUT: Duration = Duration::from_secs(20);
/// How long to wait before the next try when the process can accept no connection.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// A listener and what serves it.
pub struct Port {
    /// For the log.
    pub name: &'static str,
    pub listener: TcpListener,
    pub handler: Handler,
    pub connections: TaskTracker,
    /// Cancelled when no more connections and requests are to be taken.
    pub closing: CancellationToken,
}

impl Port {
    /// Accepts connections until `closing`; those that are open then finish their requests on their own.
    pub async fn serve(self) {
        match self.listener.local_addr() {
            Ok(address) => tracing::info!(port = self.name, %address, "listening"),
            Err(error) => {
                tracing::warn!(port = self.name, %error, "listening on an unknown address");
            }
        }
        loop {
            let accepted = tokio::select! {
                () = self.closing.cancelled() => return,
                accepted = self.listener.accept() => accepted,
            };
            match accepted {
                Ok((stream, _)) => {
                    let connection = connection(stream, self.handler.clone(), self.closing.clone());
                    self.connections.spawn(connection);
                }
                Err(error) if is_of_one_connection(&error) => {
                    tracing::debug!(%error, "a connection was gone before it was accepted");
                }
                Err(error) => {
                    tracing::warn!(%error, "cannot accept connections; trying again");
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                }
            }
        }
    }
}

fn is_of_one_connection(error: &std::io::Error) -> bool {
    use std::io::ErrorKind::{ConnectionAborted, ConnectionRefused, ConnectionReset};
    matches!(
        error.kind(),
        ConnectionAborted | ConnectionRefused | ConnectionReset
    )
}

async fn connection(stream: TcpStream, handler: Handler, closing: CancellationToken) {
    // Answers are small: waiting to fill a packet would only delay them.
    if let Err(error) = stream.set_nodelay(true) {
        tracing::debug!(%error, "cannot set TCP_NODELAY");
    }
    let service = service_fn(move |request| handler.handle(request).map(Ok::<_, Infallible>));
    let served = http2::Builder::new(TokioExecutor::new())
        .timer(TokioTimer::new())
        .max_concurrent_streams(MAX_CONCURRENT_STREAMS)
        .max_local_error_reset_streams(MAX_RESET_STREAMS)
        .max_pending_accept_reset_streams(MAX_RESET_STREAMS)
        .max_header_list_size(MAX_HEADER_LIST_BYTES)
        .keep_alive_interval(KEEPALIVE_INTERVAL)
        .keep_alive_timeout(KEEPALIVE_TIMEOUT)
        .serve_connection(TokioIo::new(stream), service);
    let mut served = std::pin::pin!(served);
    let ended = tokio::select! {
        ended = served.as_mut() => ended,
        () = closing.cancelled() => {
            // GOAWAY: the client opens no more streams here, and those that are open are finished.
            served.as_mut().graceful_shutdown();
            served.await
        }
    };
    if let Err(error) = ended {
        tracing::debug!(%error, "a connection has ended early");
    }
}
