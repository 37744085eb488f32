//! The other end of a connection, and what it is doing.

use std::net::IpAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use bytes::Bytes;
use http_body::{Frame, SizeHint};
use tonic::Status;
use tonic::body::Body;

use super::in_flight::InFlightGuard;
use super::status;
use crate::auth::CertificateError;
use crate::domain::Caller;
use crate::telemetry::metrics::Call;

/// The other end of a connection.
#[derive(Debug)]
pub struct Peer {
    /// Its address.
    pub address: IpAddr,
    /// Whom its certificate names, or why that is nobody.
    pub certificate: Result<Caller, CertificateError>,
    /// Whether it speaks TLS.
    pub secure: bool,
    connected: Instant,
    streams: Running,
    tag_requests: Running,
}

/// How many are running, and when the last one ended or the first one began: milliseconds after the connection.
#[derive(Debug, Default)]
struct Running {
    count: AtomicUsize,
    moved: AtomicU64,
}

impl Peer {
    /// A peer that has just connected.
    #[must_use]
    pub fn new(
        address: IpAddr,
        certificate: Result<Caller, CertificateError>,
        secure: bool,
    ) -> Self {
        Self {
            address,
            certificate,
            secure,
            connected: Instant::now(),
            streams: Running::default(),
            tag_requests: Running::default(),
        }
    }

    /// When it connected.
    #[must_use]
    pub fn connected(&self) -> Instant {
        self.connected
    }

    /// Since when it has had no request open, if it has none.
    #[must_use]
    pub fn idle_since(&self) -> Option<Instant> {
        (self.streams.count.load(Ordering::Acquire) == 0).then(|| self.at(&self.streams))
    }

    /// Since when none of its tag requests has ended, its answer sent, if it has any. A request is answered in bounded
    /// time, so a peer that is here for longer does not take its answers.
    #[must_use]
    pub fn waiting_since(&self) -> Option<Instant> {
        (self.tag_requests.count.load(Ordering::Acquire) > 0).then(|| self.at(&self.tag_requests))
    }

    fn at(&self, running: &Running) -> Instant {
        self.connected + Duration::from_millis(running.moved.load(Ordering::Acquire))
    }

    /// Counts a request, until the guard goes.
    pub(crate) fn enter(self: &Arc<Self>, is_tag_request: bool) -> PeerGuard {
        self.streams.count.fetch_add(1, Ordering::AcqRel);
        if is_tag_request && self.tag_requests.count.fetch_add(1, Ordering::AcqRel) == 0 {
            self.tag_requests.moved.store(self.now(), Ordering::Release);
        }
        PeerGuard {
            peer: Arc::clone(self),
            is_tag_request,
        }
    }

    fn now(&self) -> u64 {
        u64::try_from(self.connected.elapsed().as_millis()).unwrap_or(u64::MAX)
    }
}

pub(crate) struct PeerGuard {
    peer: Arc<Peer>,
    is_tag_request: bool,
}

impl Drop for PeerGuard {
    fn drop(&mut self) {
        let Peer {
            streams,
            tag_requests,
            ..
        } = &*self.peer;
        let now = self.peer.now();
        streams.moved.store(now, Ordering::Release);
        streams.count.fetch_sub(1, Ordering::AcqRel);
        if self.is_tag_request {
            tag_requests.moved.store(now, Ordering::Release);
            tag_requests.count.fetch_sub(1, Ordering::AcqRel);
        }
    }
}

type Guards = (Option<InFlightGuard>, PeerGuard);

/// A body that keeps its request counted until it is sent or given up.
pub(super) struct CountedBody {
    body: Body,
    /// Its end is in the trailers, unless the headers have had it.
    call: Call,
    _guards: Guards,
}

impl CountedBody {
    pub(super) fn new(body: Body, guards: Guards, call: Call) -> Self {
        Self {
            body,
            call,
            _guards: guards,
        }
    }
}

impl http_body::Body for CountedBody {
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        let polled = Pin::new(&mut self.body).poll_frame(context);
        if let Poll::Ready(Some(Ok(frame))) = &polled
            && let Some(code) = frame.trailers_ref().and_then(status::code_in)
        {
            self.call.finish(code);
        }
        polled
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
