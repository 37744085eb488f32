//! Which requests are carried out, when there are too many.
//!
//! Only requests that are here as a whole count: one whose body does not arrive holds nobody's place.

use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::Duration;

use governor::clock::Clock as _;
use governor::{DefaultKeyedRateLimiter, Quota, RateLimiter};

use super::in_flight::{InFlight, InFlightGuard};
use crate::domain::{Caller, Error};
use crate::service::RETRY_AFTER;
use crate::telemetry::metrics::{Throttle, metrics};

/// Lets requests in, up to a number at a time and a rate for each caller.
#[derive(Debug, Clone)]
pub struct Admission {
    running: InFlight,
    most: usize,
    rates: Option<Arc<Rates>>,
}

type Rates = DefaultKeyedRateLimiter<Caller>;

impl Admission {
    /// At most so many at a time, and so many a second for each caller.
    #[must_use]
    pub fn new(most: usize, a_second_for_a_caller: Option<NonZeroU32>) -> Self {
        let rates =
            a_second_for_a_caller.map(|rate| Arc::new(RateLimiter::keyed(Quota::per_second(rate))));
        Self {
            running: InFlight::default(),
            most,
            rates,
        }
    }

    /// Lets a request in until the guard goes.
    pub(super) fn enter(&self, caller: &Caller) -> Result<InFlightGuard, Error> {
        if let Some(rates) = &self.rates {
            rates.check_key(caller).map_err(|too_early| {
                metrics().server.throttled(Throttle::CallerRate);
                Error::Throttled {
                    reason: "the caller has sent more requests a second than the server allows",
                    retry_after: too_early.wait_time_from(rates.clock().now()),
                }
            })?;
        }
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
