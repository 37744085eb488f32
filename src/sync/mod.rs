//! The locks, channels and threads of the embedded store. They are those of std, `parking_lot` and crossbeam, but in unit tests that
//! are compiled with `--cfg shuttle`: there shuttle decides at each of them which thread goes on.

#[cfg(all(test, shuttle))]
mod shuttled;

use tokio::sync::mpsc;

#[cfg(all(test, shuttle))]
pub use shuttled::{
    Mutex, MutexGuard, RwLock, RwLockReadGuard, crossbeam_channel, explore, parking_lot, thread,
};
#[cfg(not(all(test, shuttle)))]
pub use {
    crossbeam_channel, parking_lot,
    std::sync::{Mutex, MutexGuard, RwLock, RwLockReadGuard},
    std::thread,
};

/// Takes what was sent first, and lets this thread wait for it. `None` once the last sender is gone and nothing is left.
pub fn receive<T>(receiver: &mut mpsc::Receiver<T>) -> Option<T> {
    #[cfg(all(test, shuttle))]
    return shuttle::future::block_on(receiver.recv());
    #[cfg(not(all(test, shuttle)))]
    receiver.blocking_recv()
}
