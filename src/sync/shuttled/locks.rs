//! Locks of shuttle that are used as those of std. Before each lock and behind it another thread may go on: what stands beside it may be
//! seen by others too, such as a call of SQLite, of which shuttle does not know.

use std::ops::{Deref, DerefMut};
use std::time::Duration;

use shuttle::sync::{self, LockResult, PoisonError};
use shuttle::thread;

pub type MutexGuard<'lock, T> = Guard<sync::MutexGuard<'lock, T>>;
pub type RwLockReadGuard<'lock, T> = Guard<sync::RwLockReadGuard<'lock, T>>;
pub type RwLockWriteGuard<'lock, T> = Guard<sync::RwLockWriteGuard<'lock, T>>;

/// A lock for one at a time.
#[derive(Debug, Default)]
pub struct Mutex<T>(sync::Mutex<T>);

impl<T> Mutex<T> {
    pub fn new(value: T) -> Self {
        Self(sync::Mutex::new(value))
    }

    pub fn lock(&self) -> LockResult<MutexGuard<'_, T>> {
        step();
        guarded(self.0.lock())
    }
}

/// A lock for one who writes, or several who read.
#[derive(Debug, Default)]
pub struct RwLock<T>(sync::RwLock<T>);

impl<T> RwLock<T> {
    pub fn new(value: T) -> Self {
        Self(sync::RwLock::new(value))
    }

    pub fn read(&self) -> LockResult<RwLockReadGuard<'_, T>> {
        step();
        guarded(self.0.read())
    }

    pub fn write(&self) -> LockResult<RwLockWriteGuard<'_, T>> {
        step();
        guarded(self.0.write())
    }
}

/// A guard, and nothing while it is dropped.
pub struct Guard<G>(Option<G>);

impl<G: Deref> Deref for Guard<G> {
    type Target = G::Target;

    fn deref(&self) -> &G::Target {
        self.0.as_ref().expect("it is not dropped yet")
    }
}

impl<G: DerefMut> DerefMut for Guard<G> {
    fn deref_mut(&mut self) -> &mut G::Target {
        self.0.as_mut().expect("it is not dropped yet")
    }
}

impl<G> Drop for Guard<G> {
    fn drop(&mut self) {
        drop(self.0.take());
        if !std::thread::panicking() {
            step();
        }
    }
}

fn guarded<G>(locked: LockResult<G>) -> LockResult<Guard<G>> {
    match locked {
        Ok(guard) => Ok(Guard(Some(guard))),
        Err(poisoned) => Err(PoisonError::new(Guard(Some(poisoned.into_inner())))),
    }
}

/// Lets shuttle choose who goes on.
fn step() {
    thread::sleep(Duration::ZERO);
}
