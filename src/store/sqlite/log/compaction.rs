//! The table of tombstones as the writer keeps it: they are added with each commit, compacted into their rows a few at a time,
//! and deleted when none of them is in force any more.

use rusqlite::{Connection, params};

use super::changes::{ChangeLog, RemovedTags};
use super::tombstones::{StoredTombstones, Tombstones};
use super::uncommitted::{CompactionPass, Uncommitted};
use crate::store::sqlite::error::{ApplyError, CorruptTags};
use crate::store::sqlite::format::tags;
use crate::store::sqlite::format::tombstone::{self, Tombstone};
use crate::store::sqlite::format::{Rewrite, Rewriter, RowReader};

/// How many tombstones there may be for each resource that may have some.
const TOMBSTONES_OF_A_RESOURCE: usize = 2;
/// How many rows are rewritten in a commit at least, where there are too many tombstones, and where there is nothing else to do.
const LEAST_AT_ONCE: usize = 64;
const IDLE_AT_ONCE: usize = 512;
/// How many pages a commit may write before it compacts no more: bounds how much it adds to the WAL.
const MOST_PAGES: usize = 13_000;
/// How many rows of the table are deleted in a commit.
const DELETED_AT_ONCE: i64 = 16;

/// The table of tombstones, up to the last commit.
pub struct TombstoneLog {
    /// The sequence of the oldest row, or the next one where there is none, and that of the newest.
    oldest: i64,
    newest: i64,
    tombstones: usize,
    /// How many resources may have tombstones.
    most: usize,
    pass: Option<CompactionPass>,
    encoded: Vec<u8>,
}

/// The trigger of a compaction.
#[derive(Clone, Copy, PartialEq)]
pub enum CompactionTrigger {
    /// Changes are committed.
    Commit,
    /// There is nothing else to do.
    Idle,
}

impl TombstoneLog {
    /// The table, in which so many resources may have tombstones.
    pub fn new(stored: &StoredTombstones, most: usize) -> Self {
        Self {
            oldest: stored.oldest,
            newest: stored.newest,
            tombstones: stored.tombstones,
            most,
            pass: None,
            encoded: Vec::new(),
        }
    }

    /// Whether something is left to compact or to delete. The newest row stays: it tells readers which tombstones are theirs.
    pub fn has_rest(&self, in_force: &Tombstones) -> bool {
        in_force.count() > 0 || self.oldest < self.newest
    }

    /// Clears `changes` for a new transaction.
    pub fn begin(&self, changes: &mut Uncommitted) {
        changes.clear();
        changes.pass = self.pass;
        changes.oldest = self.oldest;
    }

    /// Compacts as much as the trigger demands.
    pub fn compact(
        &mut self,
        trigger: CompactionTrigger,
        in_force: &Tombstones,
        changes: &mut Uncommitted,
        connection: &Connection,
        log: &mut ChangeLog,
    ) -> Result<(), ApplyError> {
        let too_many_resources = in_force.count() > self.most;
        let too_many_tombstones = self.tombstones / TOMBSTONES_OF_A_RESOURCE > self.most;
        let most = match trigger {
            CompactionTrigger::Idle => IDLE_AT_ONCE,
            // More than come, so that they become fewer.
            CompactionTrigger::Commit if too_many_resources || too_many_tombstones => {
                LEAST_AT_ONCE + 2 * changes.tombstones().len()
            }
            CompactionTrigger::Commit => return Ok(()),
        };
        // Where only tombstones are too many, those in force are written again: a row costs a page, and a tombstone 12 bytes.
        let is_kept = trigger == CompactionTrigger::Commit && !too_many_resources;
        let mut pass = self.pass.unwrap_or(CompactionPass {
            until: self.newest,
            tombstones: self.tombstones,
            next: Some(i64::MIN),
        });
        let Some(next) = pass.next else {
            return Ok(self.delete(connection, pass, changes)?);
        };
        let tombstones = in_force.from(next, most);
        pass.next = match tombstones.last() {
            Some(last) if tombstones.len() == most => Some(last.number + 1),
            _ => None,
        };
        let mut rows = CompactedRows::new(connection, Some(log))?;
        for &Tombstone { number, .. } in &tombstones {
            if changes.pages() > MOST_PAGES {
                pass.next = Some(number);
                break;
            }
            let removed = changes.of(number, in_force);
            if removed == 0 {
                continue;
            }
            if is_kept {
                changes.add(Tombstone { number, removed });
                continue;
            }
            match rows.compact(Tombstone { number, removed }) {
                Ok(compacted) => {
                    if let Some((rewrite, removed)) = compacted {
                        changes.kept(&removed);
                        changes.rewrote(rewrite);
                    }
                    changes.add(Tombstone { number, removed: 0 });
                }
                // The row can't be read, and whoever asks for it is told. Its tombstone stays, in a row that stays.
                Err(ApplyError::Tags(_)) => changes.add(Tombstone { number, removed }),
                Err(error) => return Err(error),
            }
        }
        changes.pass = Some(pass);
        Ok(())
    }

    /// Deletes some of the rows of which no tombstone is in force.
    fn delete(
        &mut self,
        connection: &Connection,
        pass: CompactionPass,
        changes: &mut Uncommitted,
    ) -> rusqlite::Result<()> {
        let end = self.newest.min(pass.until + 1);
        changes.oldest = end.min(self.oldest + DELETED_AT_ONCE);
        connection
            .prepare_cached("DELETE FROM tombstone WHERE sequence < ?1")?
            .execute([changes.oldest])?;
        let is_done = changes.oldest == end;
        changes.pass = (!is_done).then_some(pass);
        changes.deleted = if is_done { pass.tombstones } else { 0 };
        Ok(())
    }

    /// Adds the tombstones to the table. Returns the sequence of the newest row, once this is committed.
    pub fn insert(
        &mut self,
        connection: &Connection,
        changes: &Uncommitted,
    ) -> rusqlite::Result<i64> {
        if changes.tombstones().is_empty() {
            return Ok(self.newest);
        }
        tombstone::encode(changes.tombstones(), &mut self.encoded);
        let sequence = self.newest + 1;
        connection
            .prepare_cached("INSERT INTO tombstone (sequence, tombstones) VALUES (?1, ?2)")?
            .execute(params![sequence, self.encoded])?;
        Ok(sequence)
    }

    /// Whether a compaction pass has begun and is not at its end.
    pub fn is_compacting(&self) -> bool {
        self.pass.is_some()
    }

    /// Takes over a transaction that was committed.
    pub fn committed(&mut self, sequence: i64, changes: &Uncommitted) {
        self.newest = sequence;
        self.oldest = changes.oldest;
        self.pass = changes.pass;
        self.tombstones = self.tombstones + changes.tombstones().len() - changes.deleted;
    }
}

/// Rewrites all rows that have lost tags, and empties the table. For a transaction of a process that serves nobody.
pub fn compact_all(connection: &Connection) -> Result<(), ApplyError> {
    let in_force = StoredTombstones::read(connection)?.in_force;
    let mut rows = CompactedRows::new(connection, None)?;
    for tombstone in in_force.from(i64::MIN, usize::MAX) {
        rows.compact(tombstone)?;
    }
    connection.execute("DELETE FROM tombstone", [])?;
    Ok(())
}

/// The rows that are compacted: statements that read and write them, and the log that keeps what they have lost.
struct CompactedRows<'connection> {
    connection: &'connection Connection,
    log: Option<&'connection mut ChangeLog>,
    reader: RowReader<'connection>,
    rewriter: Rewriter<'connection>,
}

impl<'connection> CompactedRows<'connection> {
    fn new(
        connection: &'connection Connection,
        log: Option<&'connection mut ChangeLog>,
    ) -> rusqlite::Result<Self> {
        Ok(Self {
            connection,
            log,
            reader: RowReader::new(connection)?,
            rewriter: Rewriter::new(connection)?,
        })
    }

    /// Rewrites a row without the tags that it has lost, if there is one: nobody can ask for another either. Returns both.
    fn compact(
        &mut self,
        Tombstone { number, removed }: Tombstone,
    ) -> Result<Option<(Rewrite, RemovedTags)>, ApplyError> {
        let compacted = self.reader.read(number, |record| {
            let tags = tags::without(record.tags, removed)?;
            let removed = RemovedTags::of(number, record.id, record.tags, removed)?;
            Ok::<_, CorruptTags>(removed.map(|removed| (record.rewrite(tags), removed)))
        })?;
        let Some((rewrite, removed)) = compacted.transpose()?.flatten() else {
            return Ok(None);
        };
        if let Some(log) = &mut self.log {
            log.keep_compacted(self.connection, &removed)?;
        }
        self.rewriter.write(&rewrite)?;
        Ok(Some((rewrite, removed)))
    }
}
