//! The identity of a replica, under which its changes are recorded for the audit.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::thread::{self, Thread};
use std::time::Duration;

use uuid::Uuid;

use crate::domain::{AccountId, Revision};

/// The identity of a replica whose changes have lines in an audit. By default there is no audit, and so none.
#[derive(Debug, Clone, Default)]
pub struct Replica(Option<Arc<Shared>>);

#[derive(Debug)]
struct Shared {
    id: String,
    /// The accounts that it has changed, with the newest revision, until whoever writes the lines takes them.
    made: Mutex<HashMap<AccountId, Revision>>,
    /// The thread that is woken by changes.
    reader: OnceLock<Thread>,
}

impl Replica {
    /// A new identity, of this process.
    pub fn with_audit() -> Self {
        Self(Some(Arc::new(Shared {
            id: Uuid::new_v4().to_string(),
            made: Mutex::default(),
            reader: OnceLock::new(),
        })))
    }

    /// The id, if there is one.
    pub fn id(&self) -> Option<&str> {
        self.0.as_ref().map(|shared| &*shared.id)
    }

    /// Takes note of a change, if it has an entry, and wakes the reader.
    pub fn made(&self, account: &AccountId, entry: Option<Revision>) {
        let (Some(shared), Some(revision)) = (&self.0, entry) else {
            return;
        };
        let mut made = shared.made.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(newest) = made.get_mut(account) {
            *newest = revision.max(*newest);
            return;
        }
        made.insert(account.clone(), revision);
        drop(made);
        if let Some(reader) = shared.reader.get() {
            reader.unpark();
        }
    }

    /// Takes the accounts that were changed.
    pub fn take_made(&self) -> HashMap<AccountId, Revision> {
        let Some(shared) = &self.0 else {
            return HashMap::new();
        };
        std::mem::take(&mut *shared.made.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Waits for a change, or until the thread is woken or `patience` has passed.
    pub fn wait(&self, patience: Duration) {
        if let Some(shared) = &self.0 {
            shared.reader.get_or_init(thread::current);
        }
        thread::park_timeout(patience);
    }
}
