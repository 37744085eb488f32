//! The keys of the newest entries, which no run has yet: in memory, for the writer that adds them and for those who read.

use std::sync::Arc;

use prost::Message as _;
use rusqlite::Connection;

use super::extent::newest_sequence;
use super::runs::{self, EntryKey, KeyKind, Run, Stamps};
use crate::domain::Direction;
use crate::store::sqlite::error::{ApplyError, CorruptLog};
use crate::store::sqlite::format::log_entry::LoggedCommit;
use crate::sync::parking_lot::RwLock;

/// The keys of the newest entries, shared by the writer and those who read.
#[derive(Debug, Clone, Default)]
pub struct RecentKeys(Arc<RwLock<Keys>>);

/// Keys in the order of their commits.
#[derive(Debug, Default)]
pub struct Keys {
    requests: Vec<EntryKey>,
    users: Vec<EntryKey>,
    stamps: Option<Stamps>,
    /// The last sequence of which a run has the keys, and the newest of all.
    covered: i64,
    newest: i64,
}

impl Keys {
    /// Adds the keys of a commit.
    pub fn add(&mut self, sequence: i64, commit: &LoggedCommit) {
        let stamps = self.stamps.get_or_insert(Stamps::NONE);
        self.newest = sequence;
        for entry in commit.entries() {
            stamps.add(entry.stamp());
            let key = entry.request_low;
            self.requests.push(EntryKey { key, sequence });
            for effect in &entry.effects {
                let key = effect.number.cast_unsigned();
                self.users.push(EntryKey { key, sequence });
            }
        }
    }

    fn of(&self, kind: KeyKind) -> &Vec<EntryKey> {
        match kind {
            KeyKind::Request => &self.requests,
            KeyKind::User => &self.users,
        }
    }

    /// Writes all of them as a run where they are enough for one. Returns the bytes that it takes.
    fn write(&self, connection: &Connection, enough: usize) -> rusqlite::Result<Option<usize>> {
        let Some(stamps) = self.stamps else {
            return Ok(None);
        };
        if self.requests.len().max(self.users.len()) < enough {
            return Ok(None);
        }
        let run = Run {
            first_sequence: self.covered + 1,
            last_sequence: self.newest,
            stamps,
        };
        runs::add(connection, &run)?;
        let mut bytes = 0;
        for kind in [KeyKind::Request, KeyKind::User] {
            bytes += runs::write_keys(connection, &run, kind, &mut self.of(kind).clone())?;
        }
        Ok(Some(bytes))
    }
}

impl RecentKeys {
    /// Reads the keys of the entries that no run has.
    pub fn read(connection: &Connection) -> Result<Self, ApplyError> {
        let covered = runs::covered(connection)?;
        let mut keys = Keys {
            covered,
            newest: covered,
            ..Keys::default()
        };
        let select =
            "SELECT sequence, entries FROM change_log WHERE sequence > ?1 ORDER BY sequence";
        let mut select = connection.prepare(select)?;
        let mut rows = select.query([covered])?;
        while let Some(row) = rows.next()? {
            let entries = row.get_ref(1)?.as_blob().map_err(|_| CorruptLog)?;
            let commit = LoggedCommit::decode(entries).map_err(|_| CorruptLog)?;
            keys.add(row.get(0)?, &commit);
        }
        Ok(Self(Arc::new(RwLock::new(keys))))
    }

    /// Writes a run where there are enough keys. Returns the bytes that it takes. They stay in memory until the commit.
    pub fn write_run(
        &self,
        connection: &Connection,
        enough: usize,
    ) -> rusqlite::Result<Option<usize>> {
        self.0.read().write(connection, enough)
    }

    /// Takes over a commit: with a run that it has written, and with entries of its own.
    pub fn committed(&self, has_written_run: bool, entries: Option<(i64, &LoggedCommit)>) {
        let mut keys = self.0.write();
        if has_written_run {
            keys.requests.clear();
            keys.users.clear();
            keys.stamps = None;
            keys.covered = keys.newest;
        }
        if let Some((sequence, commit)) = entries {
            keys.add(sequence, commit);
        }
    }

    /// The sequences of a key that no run has in the state of the store that an open transaction reads, from one on in this
    /// direction, until there are `most`. `None` where the keys are not those of this state: begin the transaction again.
    pub fn find(
        &self,
        connection: &Connection,
        kind: KeyKind,
        from: EntryKey,
        direction: Direction,
        most: usize,
    ) -> rusqlite::Result<Option<Vec<i64>>> {
        let covered = runs::covered(connection)?;
        let newest = newest_sequence(connection)?;
        let keys = self.0.read();
        if keys.covered > covered || keys.newest < newest {
            return Ok(None);
        }
        let matches = |key: &&EntryKey| {
            key.key == from.key
                && runs::is_behind(key.sequence, from.sequence, direction)
                && (covered + 1..=newest).contains(&key.sequence)
        };
        let found = keys.of(kind).iter().filter(matches).map(|key| key.sequence);
        let mut found: Vec<_> = found.collect();
        found.dedup();
        if direction == Direction::Backwards {
            found.reverse();
        }
        found.truncate(most);
        Ok(Some(found))
    }
}
