//! The locks, channels and threads of the embedded store.

use tokio::sync::mpsc;

pub use {
    crossbeam_channel, parking_lot,
    std::sync::{Mutex, MutexGuard, RwLock, RwLockReadGuard},
    std::thread,
};

/// Takes what was sent first, and lets this thread wait for it. `None` once the last sender is gone and nothing is left.
pub fn receive<T>(receiver: &mut mpsc::Receiver<T>) -> Option<T> {
    receiver.blocking_recv()
}
