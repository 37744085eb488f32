//! A bound on the lines of requests that were refused before they became changes.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// How many lines a second one source gets.
const LINES_OF_A_SOURCE: u32 = 10;
/// How many lines a second all sources get together.
const LINES: u32 = 500;
const WINDOW: Duration = Duration::from_secs(1);

/// A bound on the lines of refused requests: whoever wants to can send them without end.
#[derive(Debug, Default)]
pub struct Quota(Mutex<Window>);

/// The lines of the current second.
#[derive(Debug, Default)]
struct Window {
    began: Option<Instant>,
    lines: u32,
    /// The lines of each source. There are no more entries than lines.
    sources: HashMap<IpAddr, u32>,
    /// How many requests got no line since the last one that did.
    left_out: u64,
}

impl Quota {
    /// Takes a line for a source, and returns how many requests got none since the last line. `None` where there are too many.
    pub fn take(&self, source: IpAddr, now: Instant) -> Option<u64> {
        let mut window = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if window
            .began
            .is_none_or(|began| now.saturating_duration_since(began) >= WINDOW)
        {
            window.began = Some(now);
            window.lines = 0;
            window.sources.clear();
        }
        let source = network(source);
        let of_source = window.sources.get(&source).copied().unwrap_or_default();
        if window.lines >= LINES || of_source >= LINES_OF_A_SOURCE {
            window.left_out += 1;
            return None;
        }
        window.lines += 1;
        window.sources.insert(source, of_source + 1);
        Some(std::mem::take(&mut window.left_out))
    }
}

/// The source that an address belongs to. Whoever has an IPv6 address has the 2^64 beside it too.
fn network(address: IpAddr) -> IpAddr {
    match address {
        IpAddr::V4(_) => address,
        IpAddr::V6(address) => {
            let network = address.to_bits() >> 64 << 64;
            IpAddr::V6(network.into())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_source_has_so_many_lines_a_second_and_the_rest_is_counted() {
        let (quota, now) = (Quota::default(), Instant::now());
        let stranger: IpAddr = "2001:db8::1".parse().unwrap();
        let neighbour: IpAddr = "2001:db8::2".parse().unwrap();
        let other: IpAddr = "192.0.2.7".parse().unwrap();
        for _ in 0..LINES_OF_A_SOURCE {
            assert_eq!(quota.take(stranger, now), Some(0));
        }
        assert_eq!(quota.take(stranger, now), None);
        assert_eq!(quota.take(neighbour, now), None);
        assert_eq!(quota.take(other, now), Some(2));
        assert_eq!(quota.take(stranger, now + WINDOW), Some(0));
    }

    #[test]
    fn all_sources_together_have_a_bound_too() {
        let (quota, now) = (Quota::default(), Instant::now());
        let lines = (0..2 * LINES).filter(|number| {
            let address = IpAddr::V4((*number).into());
            quota.take(address, now).is_some()
        });
        assert_eq!(lines.count(), LINES as usize);
    }
}
