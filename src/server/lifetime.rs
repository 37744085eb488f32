//! The rules by which a connection may stay open, has to leave or is cut.

use std::pin::Pin;
use std::time::{Duration, Instant};

use super::bytes_read::Preface;
use super::limits::Limits;
use crate::grpc::Peer;

/// How much longer than its longest request a connection gets to take an answer, or to end when it is told to.
const GRACE: Duration = Duration::from_secs(5);

/// The times until which a connection may stay open.
pub struct Lifetime {
    handshake: Instant,
    age: Instant,
    idle: Duration,
    waiting: Duration,
    /// When the client's certificate expires, if it has shown one.
    expiry: Option<Instant>,
}

/// What to do with a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// Leave it, and look again then.
    Stay(Instant),
    /// Tell it to open no more requests, and close it when those that are open are done.
    Leave(&'static str),
    /// Close it.
    Cut(&'static str),
}

impl Lifetime {
    /// The lifetime of a connection that has `handshake_left` to send its preface, and whose certificate is good for
    /// `certificate_left`. `jitter` is 0 to 1.
    pub fn new(
        limits: &Limits,
        handshake_left: Duration,
        request_timeout: Duration,
        certificate_left: Option<Duration>,
        jitter: f64,
    ) -> Self {
        let now = Instant::now();
        let age = limits.connection_age.mul_f64(0.9 + 0.2 * jitter);
        let waiting = request_timeout + GRACE;
        // It is told to leave while its last requests can still be answered.
        let leave = certificate_left.map(|left| left.saturating_sub(waiting.min(left / 4)));
        Self {
            handshake: now + handshake_left,
            age: now + leave.map_or(age, |leave| leave.min(age)),
            idle: limits.idle_timeout,
            waiting,
            expiry: certificate_left.and_then(|left| now.checked_add(left)),
        }
    }

    /// Says what to do with a connection at this time.
    pub fn check(&self, peer: &Peer, preface: Preface, now: Instant) -> Verdict {
        if preface == Preface::Awaited && now >= self.handshake {
            return Verdict::Cut("it did not begin HTTP in time");
        }
        if self.expiry.is_some_and(|expiry| now >= expiry) {
            return Verdict::Cut("its certificate has expired");
        }
        if now >= self.age {
            return Verdict::Leave("it is old");
        }
        let idle = peer.idle_since().unwrap_or(now) + self.idle;
        if now >= idle {
            return Verdict::Leave("it had no request for long");
        }
        let waiting = peer.waiting_since().unwrap_or(now) + self.waiting;
        if now >= waiting {
            return Verdict::Cut("it does not take its answers");
        }
        let next = self.age.min(idle).min(waiting);
        Verdict::Stay(match preface {
            Preface::Read => next,
            Preface::Awaited => next.min(self.handshake),
        })
    }

    /// Waits for the end of a connection that was told to leave: not for long when it has no request open, and else for as
    /// long as its requests may take.
    pub async fn close_gracefully<T>(
        &self,
        peer: &Peer,
        mut connection: Pin<&mut impl Future<Output = T>>,
    ) -> Option<T> {
        for patience in [GRACE, self.waiting] {
            let left = self
                .expiry
                .map(|expiry| expiry.saturating_duration_since(Instant::now()));
            let patience = left.map_or(patience, |left| left.min(patience));
            if let Ok(ended) = tokio::time::timeout(patience, connection.as_mut()).await {
                return Some(ended);
            }
            if peer.idle_since().is_some() {
                return None;
            }
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use super::*;
    use crate::grpc::{Budget, Term};

    const SECOND: Duration = Duration::from_secs(1);

    fn lifetime(jitter: f64) -> (Lifetime, Peer) {
        let (limits, peer) = limits_and_peer();
        let lifetime = Lifetime::new(&limits, SECOND, 5 * SECOND, None, jitter);
        (lifetime, peer)
    }

    fn limits_and_peer() -> (Limits, Peer) {
        let limits = Limits {
            connections: 1,
            handshakes: 1,
            streams: 1,
            reset_streams: 1,
            header_list_bytes: 1,
            held_bytes: 1,
            handshake_timeout: SECOND,
            idle_timeout: 20 * SECOND,
            connection_age: 100 * SECOND,
            keepalive_interval: SECOND,
            keepalive_timeout: SECOND,
            requests_in_flight: 1,
            caller_rate: None,
            anonymous_rate: None,
        };
        (
            limits,
            Peer::new(Ipv4Addr::LOCALHOST.into(), false, Budget::new(1)),
        )
    }

    #[test]
    fn one_that_sends_no_preface_is_cut() {
        let (lifetime, peer) = lifetime(0.5);
        let now = peer.connected();
        assert!(
            matches!(lifetime.check(&peer, Preface::Awaited, now), Verdict::Stay(next) if next < now + 2 * SECOND)
        );
        assert!(matches!(
            lifetime.check(&peer, Preface::Awaited, now + 2 * SECOND),
            Verdict::Cut(_)
        ));
        assert!(matches!(
            lifetime.check(&peer, Preface::Read, now + 2 * SECOND),
            Verdict::Stay(_)
        ));
    }

    #[test]
    fn an_idle_one_leaves() {
        let (lifetime, peer) = lifetime(0.5);
        let later = peer.connected() + 20 * SECOND;
        assert_eq!(
            lifetime.check(&peer, Preface::Read, later),
            Verdict::Leave("it had no request for long")
        );
    }

    #[test]
    fn one_that_takes_no_answer_is_cut_and_one_with_a_stream_only_is_not() {
        let (lifetime, peer) = lifetime(0.5);
        let peer = std::sync::Arc::new(peer);
        let later = peer.connected() + 20 * SECOND;
        let watch = peer.enter(Term::Open);
        assert!(matches!(
            lifetime.check(&peer, Preface::Read, later),
            Verdict::Stay(_)
        ));
        let _request = peer.enter(Term::Bounded);
        assert!(matches!(
            lifetime.check(&peer, Preface::Read, later),
            Verdict::Cut(_)
        ));
        drop(watch);
    }

    #[test]
    fn one_is_told_to_leave_before_its_certificate_expires_and_cut_then() {
        let (limits, peer) = limits_and_peer();
        let left = Some(8 * SECOND);
        let lifetime = Lifetime::new(&limits, SECOND, 5 * SECOND, left, 0.5);
        let at =
            |seconds| lifetime.check(&peer, Preface::Read, peer.connected() + SECOND * seconds);
        assert!(matches!(at(5), Verdict::Stay(_)));
        assert!(matches!(at(7), Verdict::Leave(_)));
        assert_eq!(at(9), Verdict::Cut("its certificate has expired"));
    }

    #[test]
    fn an_old_one_leaves_some_sooner_and_some_later() {
        for (jitter, age) in [(0.0, 90), (1.0, 110)] {
            let (lifetime, peer) = lifetime(jitter);
            let peer = std::sync::Arc::new(peer);
            let _watch = peer.enter(Term::Open);
            let at =
                |seconds| lifetime.check(&peer, Preface::Read, peer.connected() + SECOND * seconds);
            assert!(matches!(at(age - 1), Verdict::Stay(_)), "{jitter}");
            assert_eq!(at(age + 1), Verdict::Leave("it is old"), "{jitter}");
        }
    }
}
