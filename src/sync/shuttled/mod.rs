//! The locks, channels and threads as shuttle has them.

mod bursts;
pub mod crossbeam_channel;
mod explore;
mod locks;
pub mod parking_lot;

pub use explore::explore;
pub use locks::{Mutex, MutexGuard, RwLock, RwLockReadGuard};

/// Threads of shuttle.
pub mod thread {
    use std::time::Duration;

    pub use shuttle::thread::{Builder, JoinHandle, Thread, current, yield_now};

    /// Shuttle reports a panic itself, with the schedule that has led to it: nobody has to end the process before.
    pub fn panicking() -> bool {
        false
    }

    /// The time may have passed at once.
    pub fn park_timeout(_patience: Duration) {
        yield_now();
    }
}
