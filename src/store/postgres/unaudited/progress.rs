//! How far the lines of the audit are, by replica and account.

use std::collections::{HashMap, HashSet};

use crate::domain::AccountId;

/// What an entry takes, about, in bytes.
const BYTES_OF_AN_ENTRY: u64 = 256;

/// A replica, by its id, and an account in which it may owe lines.
pub type Key = (String, AccountId);

/// A position that is written down: the history, and the revision of the last line.
pub type Position = (String, u64);

/// How far the lines of a replica's changes of an account are: revisions of a history, 0 before the first.
#[derive(Debug, Clone)]
pub struct Progress {
    pub history: String,
    /// Up to where the changes were read, where their lines are safe, and where that is written down.
    pub read: u64,
    pub safe: u64,
    pub saved: u64,
    /// The newest one that is known.
    pub newest: u64,
    /// Whether there are changes up to `read` whose lines are not safe.
    pub has_unsafe: bool,
}

impl Progress {
    fn at((history, revision): Position) -> Self {
        Self {
            history,
            read: revision,
            safe: revision,
            saved: revision,
            newest: revision,
            has_unsafe: false,
        }
    }
}

/// The progress of replicas in their accounts.
#[derive(Debug, Default)]
pub struct Ledger {
    progress: HashMap<Key, Progress>,
    /// Those with changes that were not read, and those whose progress is not written down.
    unread: HashSet<Key>,
    unsaved: HashSet<Key>,
}

impl Ledger {
    /// Whether something is known of the account, and in this history where one is given.
    pub fn knows(&self, key: &Key, history: Option<&str>) -> bool {
        let known = self.progress.get(key);
        known.is_some_and(|known| history.is_none_or(|history| *history == known.history))
    }

    /// Begins at a position.
    pub fn begin(&mut self, key: Key, position: Position) {
        self.progress.insert(key, Progress::at(position));
    }

    /// Takes note of the newest revision of an account, where something is known of that.
    pub fn note(&mut self, key: Key, newest: u64) {
        if let Some(progress) = self.progress.get_mut(&key) {
            progress.newest = newest.max(progress.newest);
            if progress.newest > progress.read {
                self.unread.insert(key);
            }
        }
    }

    /// One that has changes which were not read.
    pub fn unread(&self) -> Option<(Key, Progress)> {
        let key = self.unread.iter().next()?;
        Some((key.clone(), self.progress.get(key)?.clone()))
    }

    /// Takes over what was read in an account.
    pub fn was_read(&mut self, key: Key, mut progress: Progress) {
        progress.newest = progress.newest.max(progress.read);
        if !progress.has_unsafe {
            progress.safe = progress.read;
        }
        if progress.read >= progress.newest {
            self.unread.remove(&key);
        }
        self.unsaved.insert(key.clone());
        self.progress.insert(key, progress);
    }

    /// Takes note that the lines of all that was read are safe.
    pub fn written(&mut self) {
        for key in &self.unsaved {
            if let Some(progress) = self.progress.get_mut(key) {
                progress.safe = progress.read;
                progress.has_unsafe = false;
            }
        }
    }

    /// Goes back to where lines are safe.
    pub fn rewind(&mut self) {
        for key in &self.unsaved {
            if let Some(progress) = self.progress.get_mut(key) {
                progress.read = progress.safe;
                progress.has_unsafe = false;
                if progress.newest > progress.read {
                    self.unread.insert(key.clone());
                }
            }
        }
    }

    /// What is safe and not written down.
    pub fn to_save(&self) -> Vec<(Key, Position)> {
        let unsaved = self.unsaved.iter();
        let ahead = unsaved.filter_map(|key| {
            let progress = self.progress.get(key)?;
            let position = (progress.history.clone(), progress.safe);
            (progress.safe > progress.saved).then(|| (key.clone(), position))
        });
        ahead.collect()
    }

    /// Takes note that a position is written down.
    pub fn saved(&mut self, key: &Key, position: &Position) {
        if let Some(progress) = self.progress.get_mut(key) {
            progress.saved = position.1;
            if !progress.has_unsafe {
                self.unsaved.remove(key);
            }
        }
    }

    /// Whether a replica may owe lines, or what it does not owe is not written down.
    pub fn owes(&self, replica: &str) -> bool {
        self.unread
            .iter()
            .chain(&self.unsaved)
            .any(|(owing, _)| owing == replica)
    }

    /// Forgets a replica.
    pub fn forget(&mut self, replica: &str) {
        let is_other = |key: &Key| key.0 != replica;
        self.progress.retain(|key, _| is_other(key));
        self.unread.retain(is_other);
        self.unsaved.retain(is_other);
    }

    /// How many bytes of entries have no safe lines, about.
    pub fn bytes_behind(&self) -> u64 {
        let keys = self.unread.union(&self.unsaved);
        let progress = keys.filter_map(|key| self.progress.get(key));
        let entries = progress.map(|progress| progress.newest.saturating_sub(progress.safe));
        entries.sum::<u64>() * BYTES_OF_AN_ENTRY
    }
}
