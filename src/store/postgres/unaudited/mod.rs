//! The changes of this replica that have no line in the audit, and those of replicas that are gone.
//!
//! Each change is recorded under the id of its replica, and `audit_position` has up to which revision those of a replica have their
//! lines. It is made in the transaction of the replica's first change of an account, so that a crash loses none. A replica that was not
//! seen for a minute is gone: one of the others writes the lines that it owes, and forgets it.

mod connection;
mod progress;

use std::time::{Duration, Instant};

use tokio_postgres::Row;
use tokio_postgres::types::Type;

use super::changes::parse;
use super::connector::Connector;
use super::error::Failure;
use super::replica::Replica;
use super::session::Parameters;
use super::{OpenError, statements};
use crate::domain::{AccountId, AuditedChange, ClientRequestId};
use crate::store::{CommittedChanges, NextChanges, StoreError};
use connection::Connection;
use progress::{Key, Ledger, Position, Progress};

/// How often a replica tells that it is there, and looks for replicas that are gone and for changes whose answers were lost.
const LOOK_EVERY: Duration = Duration::from_secs(10);
/// How many entries, and how many effects of them, a statement reads at most, about.
const ENTRIES: i64 = 512;
const EFFECTS: i64 = 2_048;
/// How many statements are sent before lines are written.
const STATEMENTS: usize = 16;

/// A reader of the changes that have no line in the audit.
pub struct UnauditedChanges {
    connection: Connection,
    replica: Replica,
    /// The id of this replica, and those of replicas that are gone whose lines it writes.
    own: String,
    taken: Vec<String>,
    ledger: Ledger,
    looked: Option<Instant>,
}

impl UnauditedChanges {
    /// A reader for a replica, which has this id.
    pub(super) fn new(
        connector: Connector,
        own: String,
        replica: Replica,
    ) -> Result<Self, OpenError> {
        Ok(Self {
            connection: Connection::new(connector)?,
            replica,
            own,
            taken: Vec::new(),
            ledger: Ledger::default(),
            looked: None,
        })
    }

    /// Takes note of what this replica has changed.
    fn take_made(&mut self) -> Result<(), Failure> {
        for (account, newest) in self.replica.take_made() {
            let key = (self.own.clone(), account);
            // What is not written down was not committed, and where it was, the next look finds it.
            if !self.ledger.knows(&key, None)
                && let Some(position) = self.position(&key)?
            {
                self.ledger.begin(key.clone(), position);
            }
            self.ledger.note(key, newest.get());
        }
        Ok(())
    }

    /// The position that is written down.
    fn position(&mut self, (replica, account): &Key) -> Result<Option<Position>, Failure> {
        let parameters: Parameters = vec![
            (Box::new(account.to_string()), Type::TEXT),
            (Box::new(replica.clone()), Type::TEXT),
        ];
        let rows = self
            .connection
            .ask(statements::AUDIT_POSITION, &parameters)?;
        Ok(rows.first().map(|row| (row.get(0), number(row.get(1)))))
    }

    /// Tells that this replica is there, takes on those that are gone, and finds where lines are owed.
    fn look(&mut self) -> Result<(), Failure> {
        self.save()?;
        self.meet()?;
        let replicas: Vec<String> = self.taken.iter().chain([&self.own]).cloned().collect();
        let replicas: Parameters = vec![(Box::new(replicas), Type::TEXT_ARRAY)];
        for row in self.connection.ask(statements::OWED, &replicas)? {
            let account = AccountId::parse(row.get(1)).map_err(|_| Failure::CorruptEntry)?;
            let key = (row.get(0), account);
            let position: Position = (row.get(2), number(row.get(3)));
            // An import begins a new history.
            if !self.ledger.knows(&key, Some(&position.0)) {
                self.ledger.begin(key.clone(), position);
            }
            self.ledger.note(key, number(row.get(4)));
        }
        self.forget()?;
        self.looked = Some(Instant::now());
        Ok(())
    }

    /// Tells that this replica is there, and finds out whose lines it writes besides.
    fn meet(&mut self) -> Result<(), Failure> {
        let parameters: Parameters = vec![(Box::new(self.own.clone()), Type::TEXT)];
        let met = self
            .connection
            .ask(statements::MEET_REPLICAS, &parameters)?;
        let taken: Vec<String> = met.first().map_or_else(Vec::new, |row| row.get(0));
        for replica in taken.iter().filter(|id| !self.taken.contains(id)) {
            tracing::info!(replica, "writing the audit lines of a replica that is gone");
        }
        for replica in self.taken.iter().filter(|id| !taken.contains(id)) {
            tracing::info!(replica, "a replica that was gone is there again");
            self.ledger.forget(replica);
        }
        self.taken = taken;
        Ok(())
    }

    /// Forgets the replicas that are gone and owe nothing.
    fn forget(&mut self) -> Result<(), Failure> {
        for gone in self.taken.clone() {
            if self.ledger.owes(&gone) {
                continue;
            }
            let parameters: Parameters = vec![(Box::new(gone.clone()), Type::TEXT)];
            let forgotten = self
                .connection
                .ask(statements::FORGET_REPLICA, &parameters)?;
            if forgotten.first().is_some_and(|row| row.get(0)) {
                self.ledger.forget(&gone);
                self.taken.retain(|taken| *taken != gone);
            }
        }
        Ok(())
    }

    /// Writes down up to where lines are safe.
    fn save(&mut self) -> Result<(), Failure> {
        let saved = self.ledger.to_save();
        if saved.is_empty() {
            return Ok(());
        }
        let texts = |text: fn(&(Key, Position)) -> String| -> Vec<String> {
            saved.iter().map(text).collect()
        };
        let revisions = saved
            .iter()
            .map(|(_, (_, revision))| revision.cast_signed());
        let parameters: Parameters = vec![
            (
                Box::new(texts(|((replica, _), _)| replica.clone())),
                Type::TEXT_ARRAY,
            ),
            (
                Box::new(texts(|((_, account), _)| account.to_string())),
                Type::TEXT_ARRAY,
            ),
            (
                Box::new(texts(|(_, (history, _))| history.clone())),
                Type::TEXT_ARRAY,
            ),
            (Box::new(revisions.collect::<Vec<_>>()), Type::INT8_ARRAY),
        ];
        self.connection
            .ask(statements::SAVE_POSITIONS, &parameters)?;
        for (key, position) in &saved {
            self.ledger.saved(key, position);
        }
        Ok(())
    }

    /// Reads on in an account.
    fn read(
        &mut self,
        key: Key,
        mut progress: Progress,
        next: &mut NextChanges,
    ) -> Result<(), Failure> {
        let (replica, account) = &key;
        let parameters: Parameters = vec![
            (Box::new(account.to_string()), Type::TEXT),
            (Box::new((progress.read + 1).cast_signed()), Type::INT8),
            (Box::new(false), Type::BOOL),
            (Box::new(ENTRIES), Type::INT8),
            (Box::new(EFFECTS), Type::INT8),
            (Box::new(replica.clone()), Type::TEXT),
        ];
        let rows = self.connection.ask(statements::UNAUDITED, &parameters)?;
        let revision = |row: &Row| number(row.get(0));
        let first = rows.first().map_or(progress.newest + 1, revision);
        // Revisions have no gap: those before the first are gone. Not all need have been of this replica.
        let gone = first - progress.read - 1;
        next.lost += gone;
        progress.has_unsafe |= gone > 0;
        progress.read = rows.last().map_or(progress.newest, revision);
        for row in &rows {
            let effects: Option<&str> = row.get(7);
            if effects.is_none() {
                continue;
            }
            progress.has_unsafe = true;
            match audited(account, row) {
                Ok(change) => next.changes.push(change),
                Err(error) => {
                    let revision = revision(row);
                    tracing::error!(%error, %account, revision, "a change can't be read, and has no line of the audit");
                    next.lost += 1;
                }
            }
        }
        self.ledger.was_read(key, progress);
        Ok(())
    }

    fn read_on(&mut self) -> Result<NextChanges, Failure> {
        self.take_made()?;
        if self.until_look().is_zero() {
            self.look()?;
        }
        let mut next = NextChanges::default();
        for _ in 0..STATEMENTS {
            let Some((key, progress)) = self.ledger.unread() else {
                break;
            };
            match self.read(key, progress, &mut next) {
                Ok(()) => {}
                Err(failure) if next.is_empty() => return Err(failure),
                // What was read has its lines first.
                Err(_) => break,
            }
        }
        Ok(next)
    }

    fn until_look(&self) -> Duration {
        let left = |looked: Instant| LOOK_EVERY.saturating_sub(looked.elapsed());
        self.looked.map_or(Duration::ZERO, left)
    }
}

/// The number of a revision.
fn number(revision: i64) -> u64 {
    u64::try_from(revision).unwrap_or_default()
}

/// A change of this replica, as the audit tells of it.
fn audited(account: &AccountId, row: &Row) -> Result<AuditedChange, StoreError> {
    let client_request_id: Option<&str> = row.get(9);
    let client_request_id = client_request_id.map(str::as_bytes);
    Ok(AuditedChange::of(
        parse(account, row)?,
        account.clone(),
        client_request_id.and_then(ClientRequestId::parse),
        row.get(8),
    ))
}

impl CommittedChanges for UnauditedChanges {
    fn next(&mut self) -> Result<NextChanges, StoreError> {
        self.read_on().map_err(StoreError::from)
    }

    fn rewind(&mut self) {
        self.ledger.rewind();
    }

    fn written(&mut self) {
        self.ledger.written();
        if let Err(failure) = self.save() {
            // The next time does it. A crash before that repeats lines.
            tracing::debug!(%failure, "cannot write down how far the audit is");
        }
    }

    fn bytes_behind(&self) -> u64 {
        self.ledger.bytes_behind()
    }

    fn wait(&mut self, patience: Duration) {
        if self.ledger.unread().is_none() {
            self.replica.wait(patience.min(self.until_look()));
        }
    }
}
