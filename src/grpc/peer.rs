//! The other end of a connection: who it is, and what it has open.

use std::net::IpAddr;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use tokio_util::sync::CancellationToken;

use super::budget::{Budget, Charge, Holder, Holdings, OverBudget};
use crate::auth::CertificateError;
use crate::domain::Caller;

/// The other end of a connection.
#[derive(Debug)]
pub struct Peer {
    /// The address of the other end.
    pub address: IpAddr,
    /// Whether the connection has TLS.
    pub secure: bool,
    certificate: OnceLock<Result<Caller, CertificateError>>,
    is_identified: AtomicBool,
    is_http1: AtomicBool,
    holdings: Arc<Holdings>,
    strangers: AtomicUsize,
    refusals: AtomicUsize,
    answered: AtomicUsize,
    ended: CancellationToken,
    reason: OnceLock<&'static str>,
    left: CancellationToken,
    why_left: OnceLock<&'static str>,
    connected: Instant,
    streams: Running,
    bounded: Running,
}

/// How many requests a connection may have open at a time that are of nobody who is identified, or ask for health.
const MOST_STRANGERS: usize = 32;
/// How many refusals for want of budget a connection may leave untaken: they are what it costs then.
const MOST_REFUSALS: usize = 64;

/// How long a request may stay open.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Term {
    /// Until it is answered, which takes bounded time: a request of the tag service.
    Bounded,
    /// As long as its client likes: a watch, or a request that is still read.
    Open,
}

/// How many requests are running, and when the last one ended or the first one began: milliseconds after the connection.
#[derive(Debug, Default)]
struct Running {
    count: AtomicUsize,
    moved: AtomicU64,
}

impl Peer {
    /// A peer that has just connected.
    #[must_use]
    pub fn new(address: IpAddr, secure: bool, budget: Arc<Budget>) -> Self {
        Self {
            address,
            secure,
            certificate: OnceLock::new(),
            is_identified: AtomicBool::new(false),
            is_http1: AtomicBool::new(false),
            holdings: Holdings::of(budget),
            strangers: AtomicUsize::new(0),
            refusals: AtomicUsize::new(0),
            answered: AtomicUsize::new(0),
            ended: CancellationToken::new(),
            reason: OnceLock::new(),
            left: CancellationToken::new(),
            why_left: OnceLock::new(),
            connected: Instant::now(),
            streams: Running::default(),
            bounded: Running::default(),
        }
    }

    /// Sets whom the certificate of the handshake names, or why that is nobody.
    pub fn show(&self, certificate: Result<Caller, CertificateError>) {
        if certificate.is_ok() {
            self.identify();
        }
        // A connection has one handshake.
        let _ = self.certificate.set(certificate);
    }

    /// The caller that the peer's certificate names, or why that is nobody.
    pub fn certificate(&self) -> &Result<Caller, CertificateError> {
        const NOT_SHOWN: &Result<Caller, CertificateError> = &Err(CertificateError::NotShown);
        self.certificate.get().unwrap_or(NOT_SHOWN)
    }

    /// Marks the peer as one that has shown who it is, by whatever.
    pub fn identify(&self) {
        self.is_identified.store(true, Ordering::Relaxed);
    }

    /// Marks the peer as one that has sent a request by HTTP/1.1.
    pub fn speak_http1(&self) {
        self.is_http1.store(true, Ordering::Relaxed);
    }

    /// Whether the peer has sent a request by HTTP/1.1.
    #[must_use]
    pub fn speaks_http1(&self) -> bool {
        self.is_http1.load(Ordering::Relaxed)
    }

    /// Whether the peer has no request but for health and has never shown who it is: nobody who is known loses anything
    /// when it goes.
    #[must_use]
    pub fn is_idle_stranger(&self) -> bool {
        let strangers = self.strangers.load(Ordering::Relaxed);
        !self.is_identified.load(Ordering::Relaxed)
            && self.streams.count.load(Ordering::Acquire) <= strangers
    }

    /// Takes bytes of the budget for something that is held for a request of the peer.
    ///
    /// # Errors
    /// [`OverBudget`] where the peer would hold more than its part.
    pub fn charge(&self, holder: Holder, bytes: usize) -> Result<Charge, OverBudget> {
        self.holdings.charge(holder, bytes)
    }

    /// Counts a request of nobody who is identified, until the guard goes. `None` where there are too many.
    #[must_use]
    pub fn enter_stranger(self: &Arc<Self>) -> Option<PeerCount> {
        let guard = PeerCount::of(self, |peer| &peer.strangers);
        (self.strangers.load(Ordering::Relaxed) <= MOST_STRANGERS).then_some(guard)
    }

    /// Counts a refusal for want of budget, until it is sent. A client that takes none of them has to go.
    pub(super) fn refuse(self: &Arc<Self>) -> PeerCount {
        let guard = PeerCount::of(self, |peer| &peer.refusals);
        if self.refusals.load(Ordering::Relaxed) > MOST_REFUSALS {
            self.end("it does not take its refusals");
        }
        guard
    }

    /// How many requests of the peer have ended.
    #[must_use]
    pub fn answered(&self) -> usize {
        self.answered.load(Ordering::Acquire)
    }

    /// Has the connection closed, since another needs its slot.
    pub fn evict(&self) {
        self.end("its slot is needed");
    }

    /// Has the connection closed.
    fn end(&self, reason: &'static str) {
        let _ = self.reason.set(reason);
        self.ended.cancel();
    }

    /// Whether the connection has to close.
    #[must_use]
    pub fn is_ended(&self) -> bool {
        self.ended.is_cancelled()
    }

    /// Waits until the connection has to close, and says why.
    pub async fn ended(&self) -> &'static str {
        self.ended.cancelled().await;
        self.reason.get().copied().unwrap_or_default()
    }

    /// Has the streams of the connection end that would go on for ever, since it has to leave.
    pub fn leave(&self, reason: &'static str) {
        let _ = self.why_left.set(reason);
        self.left.cancel();
    }

    /// Whether the connection has to leave.
    #[must_use]
    pub fn has_to_leave(&self) -> bool {
        self.left.is_cancelled()
    }

    /// Waits until such streams have to end, and says why.
    pub async fn left(&self) -> &'static str {
        self.left.cancelled().await;
        self.why_left.get().copied().unwrap_or_default()
    }

    /// When the peer connected.
    #[must_use]
    pub fn connected(&self) -> Instant {
        self.connected
    }

    /// Since when the peer has had no request open, if it has none.
    #[must_use]
    pub fn idle_since(&self) -> Option<Instant> {
        (self.streams.count.load(Ordering::Acquire) == 0).then(|| self.at(&self.streams))
    }

    /// Since when none of the peer's requests with a bounded term has ended, its answer sent, if the peer has any. A peer
    /// with one that is open for longer does not take its answers.
    #[must_use]
    pub fn waiting_since(&self) -> Option<Instant> {
        (self.bounded.count.load(Ordering::Acquire) > 0).then(|| self.at(&self.bounded))
    }

    fn at(&self, running: &Running) -> Instant {
        self.connected + Duration::from_millis(running.moved.load(Ordering::Acquire))
    }

    /// Counts a request, until the guard goes.
    pub(crate) fn enter(self: &Arc<Self>, term: Term) -> PeerGuard {
        self.streams.count.fetch_add(1, Ordering::AcqRel);
        if term == Term::Bounded && self.bounded.count.fetch_add(1, Ordering::AcqRel) == 0 {
            self.bounded.moved.store(self.now(), Ordering::Release);
        }
        PeerGuard {
            peer: Arc::clone(self),
            term,
        }
    }

    fn now(&self) -> u64 {
        u64::try_from(self.connected.elapsed().as_millis()).unwrap_or(u64::MAX)
    }
}

/// A guard that counts a request of a peer until it is dropped.
pub(crate) struct PeerGuard {
    peer: Arc<Peer>,
    term: Term,
}

impl Drop for PeerGuard {
    fn drop(&mut self) {
        let Peer {
            streams, bounded, ..
        } = &*self.peer;
        let now = self.peer.now();
        self.peer.answered.fetch_add(1, Ordering::AcqRel);
        streams.moved.store(now, Ordering::Release);
        streams.count.fetch_sub(1, Ordering::AcqRel);
        if self.term == Term::Bounded {
            bounded.moved.store(now, Ordering::Release);
            bounded.count.fetch_sub(1, Ordering::AcqRel);
        }
    }
}

/// A guard that counts something of a peer until it is dropped.
#[derive(Debug)]
pub struct PeerCount {
    peer: Arc<Peer>,
    count: fn(&Peer) -> &AtomicUsize,
}

impl PeerCount {
    fn of(peer: &Arc<Peer>, count: fn(&Peer) -> &AtomicUsize) -> Self {
        count(peer).fetch_add(1, Ordering::Relaxed);
        Self {
            peer: Arc::clone(peer),
            count,
        }
    }
}

impl Drop for PeerCount {
    fn drop(&mut self) {
        (self.count)(&self.peer).fetch_sub(1, Ordering::Relaxed);
    }
}
