//! The admission of requests: which are carried out when there are too many.
//!
//! Only requests that are here as a whole count: one whose body does not arrive takes no other's permit.

use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::Duration;

use governor::clock::Clock as _;
use governor::{DefaultDirectRateLimiter, DefaultKeyedRateLimiter, NotUntil, Quota, RateLimiter};

use super::in_flight::{InFlight, InFlightGuard};
use crate::domain::{Caller, Error};
use crate::service::RETRY_AFTER;
use crate::telemetry::metrics::{Throttle, metrics};

/// A limiter that lets requests in, up to a number at a time and a rate for each caller.
#[derive(Debug, Clone)]
pub struct Admission {
    running: InFlight,
    most: usize,
    rates: Option<Arc<Rates>>,
    /// The rate of all anonymous callers together.
    anonymous_rate: Option<Arc<DefaultDirectRateLimiter>>,
}

type Rates = DefaultKeyedRateLimiter<Caller>;

impl Admission {
    /// A limiter of at most `most` requests at a time, and so many a second for each caller and for all anonymous ones
    /// together.
    #[must_use]
    pub fn new(
        most: usize,
        caller_rate: Option<NonZeroU32>,
        anonymous_rate: Option<NonZeroU32>,
    ) -> Self {
        let rates = caller_rate.map(|rate| RateLimiter::keyed(Quota::per_second(rate)));
        let anonymous_rate =
            anonymous_rate.map(|rate| RateLimiter::direct(Quota::per_second(rate)));
        Self {
            running: InFlight::default(),
            most,
            rates: rates.map(Arc::new),
            anonymous_rate: anonymous_rate.map(Arc::new),
        }
    }

    /// Lets a request in until the guard goes.
    pub(super) fn enter(&self, caller: &Caller) -> Result<InFlightGuard, Error> {
        self.check_rate(caller).map_err(|retry_after| {
            metrics().server.throttled(Throttle::CallerRate);
            Error::Throttled {
                reason: "the caller has sent more requests a second than the server allows",
                retry_after,
            }
        })?;
        let guard = self.running.enter();
        if self.running.count() > self.most {
            metrics().server.throttled(Throttle::RequestsInFlight);
            return Err(Error::Throttled {
                reason: "the server carries out as many requests as it may",
                retry_after: RETRY_AFTER,
            });
        }
        Ok(guard)
    }

    /// Counts a request of a caller, or says how long it would have to wait.
    fn check_rate(&self, caller: &Caller) -> Result<(), Duration> {
        if caller.is_anonymous() {
            return self.anonymous_rate.as_ref().map_or(Ok(()), |rate| {
                let wait = |early: NotUntil<_>| early.wait_time_from(rate.clock().now());
                rate.check().map_err(wait)
            });
        }
        self.rates.as_ref().map_or(Ok(()), |rates| {
            let wait = |early: NotUntil<_>| early.wait_time_from(rates.clock().now());
            rates.check_key(caller).map_err(wait)
        })
    }

    /// Forgets callers that have long sent nothing, now and then, for ever.
    pub async fn forget(self, interval: Duration) {
        let Some(rates) = self.rates else { return };
        loop {
            tokio::time::sleep(interval).await;
            rates.retain_recent();
            rates.shrink_to_fit();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn anonymous_callers_have_a_limit_only_where_it_is_given() {
        let refused = |admission: &Admission, caller: &Caller| {
            let refused = (0..100).filter(|_| admission.enter(caller).is_err());
            refused.count() > 0
        };
        let rate = NonZeroU32::new(5);
        let (anonymous, known) = (Caller::anonymous(), Caller::dns("a"));
        let default = Admission::new(usize::MAX, rate, None);
        assert!(!refused(&default, &anonymous));
        assert!(refused(&default, &known));
        let given = Admission::new(usize::MAX, rate, rate);
        assert!(refused(&given, &anonymous));
    }
}
