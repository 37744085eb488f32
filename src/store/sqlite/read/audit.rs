//! What the audit reads of the change log, on a connection of its own.

use std::time::Duration;

use rusqlite::Connection;
use tokio::sync::mpsc;

use crate::domain::Applied;
use crate::store::sqlite::error::ApplyError;
use crate::store::sqlite::index::Index;
use crate::store::sqlite::log::changes::{AuditProgress, Committed, Mark, behind};
use crate::store::sqlite::write::Job;
use crate::store::{CommittedChanges, NextChanges, StoreError};

/// A reader of the changes that have no line in the audit. The store stays open as long as it is there.
pub struct UnauditedChanges {
    connection: Connection,
    index: Index,
    progress: AuditProgress,
    /// The last commit that was read.
    last: Mark,
    _open: mpsc::Sender<Job>,
}

impl UnauditedChanges {
    /// A reader that begins where the audit has got to.
    pub fn new(
        connection: Connection,
        index: Index,
        progress: AuditProgress,
        open: mpsc::Sender<Job>,
    ) -> Self {
        Self {
            connection,
            index,
            last: progress.written(),
            progress,
            _open: open,
        }
    }

    fn read(&self) -> Result<Committed, ApplyError> {
        // One state. Dropped, it rolls back.
        let transaction = self.connection.unchecked_transaction()?;
        behind(&transaction, self.last)
    }

    /// The changes that need no reading; none where the next ones do.
    fn take_fresh(&self) -> Option<Committed> {
        let commits = self.progress.take_fresh(self.last);
        let last = commits.last()?.mark;
        let untags = commits.iter().flat_map(|commit| &commit.untags);
        let changes = untags.map(|untag| untag.audited(&self.index));
        Some(Committed {
            changes: changes.collect::<Option<_>>()?,
            unreadable: 0,
            last,
        })
    }
}

impl CommittedChanges for UnauditedChanges {
    fn next(&mut self) -> Result<NextChanges, StoreError> {
        let read = self.take_fresh().map_or_else(|| self.read(), Ok);
        let read = read.map_err(|error| error.to_store_error(Applied::No))?;
        self.last = read.last;
        Ok(NextChanges {
            changes: read.changes,
            lost: read.unreadable + self.progress.take_lost(),
        })
    }

    fn rewind(&mut self) {
        self.last = self.progress.written();
    }

    fn written(&mut self) {
        self.progress.wrote(self.last);
    }

    fn bytes_behind(&self) -> u64 {
        self.progress.bytes_behind()
    }

    fn wait(&mut self, patience: Duration) {
        self.progress.wait(patience);
    }
}
