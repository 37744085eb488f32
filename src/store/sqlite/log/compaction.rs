//! The table of notes as the writer keeps it: notes are added with each commit, folded into their rows a few at a time,
//! and deleted when none of them is in force any more.

use std::collections::HashMap;

use foldhash::fast::FixedState;
use rusqlite::{Connection, params};

use super::recent_writes::Rewrites;
use super::tombstones::{Logged, Removals};
use crate::store::sqlite::error::ApplyError;
use crate::store::sqlite::format::tags::{self, Removed};
use crate::store::sqlite::format::tombstone::{self, Note};
use crate::store::sqlite::format::{Rewrite, Rewriter, RowReader};

/// How many notes there may be for each resource that may have some.
const NOTES_OF_A_RESOURCE: usize = 2;
/// How many rows are rewritten in a commit at least, where there are too many notes, and where there is nothing else to do.
const LEAST_AT_ONCE: usize = 64;
const IDLE_AT_ONCE: usize = 512;
/// How many pages a commit may write before it folds no more: bounds how much it adds to the WAL.
const MOST_PAGES: usize = 13_000;
const PAGE_BYTES: usize = 4096;
/// How many rows of the table are deleted in a commit.
const DELETED_AT_ONCE: i64 = 16;

/// The table, up to the last commit.
pub struct NoteTable {
    /// The sequence of the oldest row, or the next one where there is none, and that of the newest.
    oldest: i64,
    newest: i64,
    notes: usize,
    /// How many resources may have notes.
    most: usize,
    sweep: Option<Sweep>,
    encoded: Vec<u8>,
}

/// Once through all notes: those of all rows up to `until` are folded or noted again, and then deleted.
#[derive(Clone, Copy)]
struct Sweep {
    until: i64,
    /// How many notes these rows have.
    notes: usize,
    /// The number of the resource to go on with; none when all are folded.
    next: Option<i64>,
}

/// What one transaction does to the notes, which nobody else knows before its commit.
#[derive(Default)]
pub struct Uncommitted {
    notes: Vec<Note>,
    newest: HashMap<i64, Removed, FixedState>,
    sweep: Option<Sweep>,
    oldest: i64,
    swept: usize,
    rewritten: Vec<Rewrite>,
    /// How many pages these rows are at most, about.
    pages: usize,
    is_touched: bool,
    pub rewrites: Rewrites,
}

impl Uncommitted {
    /// What a resource has lost.
    pub fn of(&self, number: i64, removals: &Removals) -> Removed {
        let changed = self.newest.get(&number).copied();
        changed.unwrap_or_else(|| removals.of(number))
    }

    pub fn note(&mut self, note: Note) {
        self.newest.insert(note.number, note.removed);
        self.notes.push(note);
    }

    /// Notes that a row was written.
    pub fn rewrote(&mut self, rewrite: Rewrite) {
        self.rewrites.add(rewrite.number);
        self.pages += 1 + rewrite.tags.len() / PAGE_BYTES;
        self.rewritten.push(rewrite);
    }

    /// Notes that the schema version was written again, only to see whether a commit gets through.
    pub fn touched(&mut self) {
        self.is_touched = true;
    }

    /// Whether the commit writes anything. Only then its success shows that the disk takes more.
    pub fn has_written(&self) -> bool {
        self.is_touched || !self.notes.is_empty() || !self.rewritten.is_empty()
    }

    /// The rows that were written, in this order.
    pub fn rewritten(&self) -> &[Rewrite] {
        &self.rewritten
    }

    pub fn notes(&self) -> &[Note] {
        &self.notes
    }
}

/// Why to fold.
#[derive(Clone, Copy, PartialEq)]
pub enum Occasion {
    /// A commit of changes.
    Commit,
    /// There is nothing else to do.
    Idle,
}

impl NoteTable {
    /// The table, in which so many resources may have notes.
    pub fn new(logged: &Logged, most: usize) -> Self {
        Self {
            oldest: logged.oldest,
            newest: logged.newest,
            notes: logged.notes,
            most,
            sweep: None,
            encoded: Vec::new(),
        }
    }

    /// Whether something is left to fold or to delete. The newest row stays: it tells readers which notes are theirs.
    pub fn has_rest(&self, removals: &Removals) -> bool {
        removals.count() > 0 || self.oldest < self.newest
    }

    /// Begins what `changes` collects.
    pub fn begin(&self, changes: &mut Uncommitted) {
        changes.notes.clear();
        changes.newest.clear();
        changes.sweep = self.sweep;
        changes.oldest = self.oldest;
        changes.swept = 0;
        changes.rewritten.clear();
        changes.pages = 0;
        changes.is_touched = false;
    }

    /// Folds as much as the occasion demands.
    pub fn fold(
        &mut self,
        connection: &Connection,
        occasion: Occasion,
        removals: &Removals,
        changes: &mut Uncommitted,
        rows: &mut RowReader<'_>,
        rewriter: &mut Rewriter<'_>,
    ) -> Result<(), ApplyError> {
        let too_many_resources = removals.count() > self.most;
        let too_many_notes = self.notes / NOTES_OF_A_RESOURCE > self.most;
        let most = match occasion {
            Occasion::Idle => IDLE_AT_ONCE,
            // More than come, so that they become fewer.
            Occasion::Commit if too_many_resources || too_many_notes => {
                LEAST_AT_ONCE + 2 * changes.notes.len()
            }
            Occasion::Commit => return Ok(()),
        };
        // Where only notes are too many, those in force are noted again: a row costs a page, and a note 12 bytes.
        let is_kept = occasion == Occasion::Commit && !too_many_resources;
        let mut sweep = self.sweep.unwrap_or(Sweep {
            until: self.newest,
            notes: self.notes,
            next: Some(i64::MIN),
        });
        let Some(next) = sweep.next else {
            return Ok(self.delete(connection, sweep, changes)?);
        };
        let notes = removals.from(next, most);
        sweep.next = match notes.last() {
            Some(last) if notes.len() == most => Some(last.number + 1),
            _ => None,
        };
        for &Note { number, .. } in &notes {
            if changes.pages > MOST_PAGES {
                sweep.next = Some(number);
                break;
            }
            let removed = changes.of(number, removals);
            if removed == 0 {
                continue;
            }
            if is_kept {
                changes.note(Note { number, removed });
                continue;
            }
            match fold(rows, rewriter, Note { number, removed }) {
                Ok(rewrite) => {
                    if let Some(rewrite) = rewrite {
                        changes.rewrote(rewrite);
                    }
                    changes.note(Note { number, removed: 0 });
                }
                // The row can't be read, and whoever asks for it is told. Its note stays, in a row that stays.
                Err(ApplyError::Tags(_)) => changes.note(Note { number, removed }),
                Err(error) => return Err(error),
            }
        }
        changes.sweep = Some(sweep);
        Ok(())
    }

    /// Deletes some of the rows of which no note is in force.
    fn delete(
        &mut self,
        connection: &Connection,
        sweep: Sweep,
        changes: &mut Uncommitted,
    ) -> rusqlite::Result<()> {
        let end = self.newest.min(sweep.until + 1);
        changes.oldest = end.min(self.oldest + DELETED_AT_ONCE);
        connection
            .prepare_cached("DELETE FROM removal WHERE sequence < ?1")?
            .execute([changes.oldest])?;
        let is_done = changes.oldest == end;
        changes.sweep = (!is_done).then_some(sweep);
        changes.swept = if is_done { sweep.notes } else { 0 };
        Ok(())
    }

    /// Adds the notes to the table. Returns the sequence of the newest row, once this is committed.
    pub fn insert(
        &mut self,
        connection: &Connection,
        changes: &Uncommitted,
    ) -> rusqlite::Result<i64> {
        if changes.notes.is_empty() {
            return Ok(self.newest);
        }
        tombstone::encode(&changes.notes, &mut self.encoded);
        let sequence = self.newest + 1;
        connection
            .prepare_cached("INSERT INTO removal (sequence, notes) VALUES (?1, ?2)")?
            .execute(params![sequence, self.encoded])?;
        Ok(sequence)
    }

    /// Whether a sweep has begun and is not at its end.
    pub fn is_sweeping(&self) -> bool {
        self.sweep.is_some()
    }

    /// Takes over what was committed.
    pub fn committed(&mut self, sequence: i64, changes: &Uncommitted) {
        self.newest = sequence;
        self.oldest = changes.oldest;
        self.sweep = changes.sweep;
        self.notes = self.notes + changes.notes.len() - changes.swept;
    }
}

/// Rewrites all rows that have lost tags, and empties the table. For a transaction of a process that serves nobody.
pub fn fold_all(connection: &Connection) -> Result<(), ApplyError> {
    let removals = Logged::read(connection)?.removals;
    let mut rows = RowReader::new(connection)?;
    let mut rewriter = Rewriter::new(connection)?;
    for note in removals.from(i64::MIN, usize::MAX) {
        fold(&mut rows, &mut rewriter, note)?;
    }
    connection.execute("DELETE FROM removal", [])?;
    Ok(())
}

/// Rewrites a row without the tags that it has lost, if there is one: nobody can ask for another either.
fn fold(
    rows: &mut RowReader<'_>,
    rewriter: &mut Rewriter<'_>,
    Note { number, removed }: Note,
) -> Result<Option<Rewrite>, ApplyError> {
    let tags = rows.read(number, |record| tags::without(record.tags, removed))?;
    let Some(tags) = tags.transpose()? else {
        return Ok(None);
    };
    let rewrite = Rewrite { number, tags };
    rewriter.write(&rewrite)?;
    Ok(Some(rewrite))
}
