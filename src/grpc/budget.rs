//! The budget of memory for requests: the parts that connections hold, and what is free.
//!
//! A connection may hold an eighth of what is free. So one alone gets a ninth of the whole, many together leave less and
//! less to each of them, and whatever they take there is something left for the next (dynamic thresholds, as switches
//! share their buffers). Those who are not identified by certificate or token have a part of the budget to themselves.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use crate::domain::Error;
use crate::service::RETRY_AFTER;
use crate::telemetry::metrics::{Throttle, metrics};

/// The divisor of what is free: one connection may hold an eighth of it.
const SHARE: usize = 8;
/// The memory that a connection may hold in any case, in bytes: a few requests of the usual size.
const LEAST_BYTES: usize = 16 * 1024;
/// The divisor of the budget: an eighth of it is for those who are not identified.
const STRANGERS_PART: usize = 8;

/// The kind of sender that memory is held for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Holder {
    /// A caller who has shown what is demanded.
    Caller,
    /// Somebody who has not shown it, or need not: whoever asks for health.
    Stranger,
}

/// The budget of the process.
#[derive(Debug)]
pub struct Budget([Pool; 2]);

/// A part of the budget.
#[derive(Debug)]
struct Pool {
    bytes: usize,
    held: AtomicUsize,
}

/// A refusal of memory: the connection would hold more than its part. Others are not touched.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct OverBudget;

impl Budget {
    /// A budget of so many bytes.
    #[must_use]
    pub fn new(bytes: usize) -> Arc<Self> {
        let strangers = bytes / STRANGERS_PART;
        let pool = |bytes| Pool {
            bytes,
            held: AtomicUsize::new(0),
        };
        Arc::new(Self([pool(bytes - strangers), pool(strangers)]))
    }

    /// How many bytes of the budget are held.
    #[must_use]
    pub fn held(&self) -> usize {
        let held = self.0.iter().map(|pool| pool.held.load(Ordering::Relaxed));
        held.sum()
    }
}

/// The error for a caller whose connection holds too much.
pub fn over_budget(_: OverBudget) -> Error {
    metrics().server.throttled(Throttle::Memory);
    Error::Throttled {
        reason: "the connection holds as much memory for requests and answers as it may",
        retry_after: RETRY_AFTER,
    }
}

/// The memory that one connection holds of a budget.
#[derive(Debug)]
pub struct Holdings {
    budget: Arc<Budget>,
    held: [AtomicUsize; 2],
}

impl Holdings {
    /// The holdings of a new connection.
    #[must_use]
    pub fn of(budget: Arc<Budget>) -> Arc<Self> {
        Arc::new(Self {
            budget,
            held: Default::default(),
        })
    }

    /// Takes bytes of the budget, which are given back when the charge goes.
    ///
    /// # Errors
    /// [`OverBudget`] where the connection would hold more than its part.
    pub fn charge(self: &Arc<Self>, holder: Holder, bytes: usize) -> Result<Charge, OverBudget> {
        let mut charge = Charge {
            holdings: Arc::clone(self),
            holder,
            bytes: 0,
        };
        charge.grow_to(bytes)?;
        Ok(charge)
    }

    fn take(&self, holder: Holder, bytes: usize) -> Result<(), OverBudget> {
        let (pool, own) = (&self.budget.0[holder as usize], &self.held[holder as usize]);
        let held = pool.held.fetch_add(bytes, Ordering::Relaxed);
        let share = pool.bytes.saturating_sub(held) / SHARE;
        let own_held = own.fetch_add(bytes, Ordering::Relaxed) + bytes;
        if own_held <= share.max(LEAST_BYTES) {
            return Ok(());
        }
        self.give_back(holder, bytes);
        Err(OverBudget)
    }

    fn give_back(&self, holder: Holder, bytes: usize) {
        self.held[holder as usize].fetch_sub(bytes, Ordering::Relaxed);
        self.budget.0[holder as usize]
            .held
            .fetch_sub(bytes, Ordering::Relaxed);
    }
}

/// A charge: bytes that are held of a budget until it is dropped.
#[derive(Debug)]
pub struct Charge {
    holdings: Arc<Holdings>,
    holder: Holder,
    bytes: usize,
}

impl Charge {
    /// Raises the charge to this many bytes, if it has fewer.
    ///
    /// # Errors
    /// [`OverBudget`]; what is held stays.
    pub fn grow_to(&mut self, bytes: usize) -> Result<(), OverBudget> {
        let more = bytes.saturating_sub(self.bytes);
        if more > 0 {
            self.holdings.take(self.holder, more)?;
            self.bytes += more;
        }
        Ok(())
    }

    /// Another charge of the same holder, for something that may outlive this one.
    ///
    /// # Errors
    /// [`OverBudget`].
    pub fn beside(&self, bytes: usize) -> Result<Self, OverBudget> {
        self.holdings.charge(self.holder, bytes)
    }
}

impl Drop for Charge {
    fn drop(&mut self) {
        self.holdings.give_back(self.holder, self.bytes);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MIB: usize = 1 << 20;

    /// As much as one connection gets, in steps of 4 KiB.
    fn fill(budget: &Arc<Budget>, holder: Holder) -> Vec<Charge> {
        let holdings = Holdings::of(Arc::clone(budget));
        std::iter::from_fn(|| holdings.charge(holder, 4096).ok()).collect()
    }

    #[test]
    fn one_connection_gets_a_part_and_what_it_gives_back_is_free() {
        let budget = Budget::new(64 * MIB);
        let charges = fill(&budget, Holder::Caller);
        assert!(
            (6 * MIB..7 * MIB).contains(&budget.held()),
            "{}",
            budget.held()
        );
        drop(charges);
        assert_eq!(budget.held(), 0);
    }

    #[test]
    fn however_many_take_what_they_can_there_is_something_for_the_next() {
        let budget = Budget::new(64 * MIB);
        let greedy: Vec<_> = (0..1000).map(|_| fill(&budget, Holder::Caller)).collect();
        assert!(
            budget.held() < 64 * MIB + 1000 * LEAST_BYTES,
            "{}",
            budget.held()
        );
        let strangers: Vec<_> = (0..1000).map(|_| fill(&budget, Holder::Stranger)).collect();
        for holder in [Holder::Caller, Holder::Stranger] {
            assert!(!fill(&budget, holder).is_empty());
        }
        // What strangers hold takes nothing from callers.
        drop(greedy);
        assert!(fill(&budget, Holder::Caller).len() * 4096 > 6 * MIB);
        drop(strangers);
        assert_eq!(budget.held(), 0);
    }

    #[test]
    fn a_charge_grows_within_the_part_of_its_connection() {
        let budget = Budget::new(MIB);
        let holdings = Holdings::of(Arc::clone(&budget));
        let mut charge = holdings.charge(Holder::Caller, 10).unwrap();
        charge.grow_to(5).unwrap();
        assert_eq!(budget.held(), 10);
        charge.grow_to(LEAST_BYTES).unwrap();
        assert_eq!(charge.grow_to(MIB), Err(OverBudget));
        assert_eq!(budget.held(), LEAST_BYTES);
        let other = charge.beside(100).unwrap();
        drop(charge);
        assert_eq!(budget.held(), 100);
        drop(other);
        assert_eq!(budget.held(), 0);
    }
}
