//! The limit on failed authentications of each source address.

use std::net::{IpAddr, Ipv6Addr};
use std::num::NonZeroU32;
use std::time::{Duration, Instant};

use quick_cache::sync::Cache;

/// How many addresses are remembered, at some 100 bytes each. One that has not failed for long is the first to go.
const REMEMBERED: usize = 10_000;

/// A limit on how often a source address may fail to prove who calls, since each try can cost the verification of a few
/// signatures. Only failures count: callers who share the address of a proxy take nothing from each other while they
/// are good.
#[derive(Debug)]
pub struct FailureLimit {
    /// The time that one failure takes of an address's second.
    interval: Duration,
    /// When the failures of an address will be made up for.
    made_up: Cache<IpAddr, Instant>,
}

/// The time that an address's failures may run ahead: a second's worth may come at once.
const AHEAD: Duration = Duration::from_secs(1);

impl FailureLimit {
    /// A limit of so many failures a second for each address.
    #[must_use]
    pub fn new(a_second: NonZeroU32) -> Self {
        Self {
            interval: AHEAD / a_second.get(),
            made_up: Cache::new(REMEMBERED),
        }
    }

    /// Whether another try may be made from this address.
    ///
    /// # Errors
    /// How long the address has to wait.
    pub fn check(&self, address: IpAddr, now: Instant) -> Result<(), Duration> {
        let made_up = self.made_up.get(&source(address)).unwrap_or(now);
        let ahead = made_up.saturating_duration_since(now);
        // The next failure has to fit too.
        let excess = (ahead + self.interval).saturating_sub(AHEAD);
        if excess.is_zero() {
            Ok(())
        } else {
            Err(excess)
        }
    }

    /// Counts a failure of this address.
    pub fn count(&self, address: IpAddr, now: Instant) {
        let source = source(address);
        let made_up = self.made_up.get(&source).unwrap_or(now).max(now);
        self.made_up.insert(source, made_up + self.interval);
    }
}

/// The source that an address belongs to: an IPv4 address, or the /64 that one subscriber has of IPv6.
fn source(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(address) => {
            let network = address.to_bits() >> 64 << 64;
            IpAddr::V6(Ipv6Addr::from_bits(network))
        }
        address @ IpAddr::V4(_) => address,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn limit(a_second: u32) -> FailureLimit {
        FailureLimit::new(NonZeroU32::new(a_second).unwrap())
    }

    fn address(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    /// How many of a hundred tries fail before the others are refused.
    fn failures(limit: &FailureLimit, from: IpAddr, now: Instant) -> usize {
        let tries = (0..100).filter(|_| limit.check(from, now).is_ok());
        tries.inspect(|_| limit.count(from, now)).count()
    }

    #[test]
    fn a_second_s_worth_of_failures_is_let_through_and_made_up_for() {
        let (limit, now) = (limit(10), Instant::now());
        let one = address("192.0.2.1");
        assert_eq!(failures(&limit, one, now), 10);
        assert_eq!(limit.check(one, now), Err(Duration::from_millis(100)));
        let later = now + Duration::from_millis(300);
        assert_eq!(failures(&limit, one, later), 3);
        let much_later = now + Duration::from_mins(1);
        assert_eq!(failures(&limit, one, much_later), 10);
    }

    #[test]
    fn each_address_has_its_own_and_a_network_of_ipv6_one() {
        let (limit, now) = (limit(5), Instant::now());
        assert_eq!(failures(&limit, address("192.0.2.1"), now), 5);
        assert_eq!(failures(&limit, address("::ffff:192.0.2.1"), now), 0);
        assert_eq!(failures(&limit, address("192.0.2.2"), now), 5);
        assert_eq!(failures(&limit, address("2001:db8::1"), now), 5);
        assert_eq!(failures(&limit, address("2001:db8::ffff:0:0:1"), now), 0);
        assert_eq!(failures(&limit, address("2001:db8:0:1::1"), now), 5);
    }

    #[test]
    fn a_success_takes_nothing_and_memory_is_bounded() {
        let (limit, now) = (limit(1), Instant::now());
        for number in 0..u32::try_from(3 * REMEMBERED).unwrap() {
            let from = IpAddr::V4(number.into());
            limit.check(from, now).unwrap();
            limit.check(from, now).unwrap();
            limit.count(from, now);
        }
        assert!(limit.made_up.len() <= REMEMBERED);
    }
}
