//! What the open transaction of the writer has changed.

use std::collections::{HashMap, HashSet};

use foldhash::fast::FixedState;
use rusqlite::Connection;

use super::changes::RemovedTags;
use super::tombstones::Tombstones;
use crate::domain::Resource;
use crate::store::sqlite::format::tags::TagMask;
use crate::store::sqlite::format::tombstone::Tombstone;
use crate::store::sqlite::format::{self, Rewrite, RowChange};

/// How many pages a change of a user writes at most, about: rows of two tables, and the pages of their indexes.
pub const PAGES_OF_A_USER: usize = 7;
const PAGE_BYTES: usize = 4096;

/// A compaction pass, once through all tombstones: those of all rows of the table up to `until` are compacted or written again,
/// and then deleted.
#[derive(Clone, Copy)]
pub struct CompactionPass {
    pub until: i64,
    /// How many tombstones these rows have.
    pub tombstones: usize,
    /// The number of the resource to go on with; none when all are compacted.
    pub next: Option<i64>,
}

/// What one transaction does to the tombstones and the rows, which nobody else knows before its commit.
#[derive(Default)]
pub struct Uncommitted {
    tombstones: Vec<Tombstone>,
    newest: HashMap<i64, TagMask, FixedState>,
    /// Where compaction has got to, the oldest row of the table of tombstones, and how many tombstones were deleted with others.
    pub pass: Option<CompactionPass>,
    pub oldest: i64,
    pub deleted: usize,
    rows: Vec<RowChange>,
    /// How many pages these rows and what is kept of them are at most, about.
    pages: usize,
    /// The numbers of these rows.
    changed: HashSet<i64, FixedState>,
    is_touched: bool,
    /// The number of the next new row, once one was asked for. No row has had it, nor a larger one.
    pub next_number: Option<i64>,
}

impl Uncommitted {
    /// Forgets everything, for a new transaction.
    pub fn clear(&mut self) {
        self.tombstones.clear();
        self.newest.clear();
        self.deleted = 0;
        self.rows.clear();
        self.changed.clear();
        self.pages = 0;
        self.is_touched = false;
    }

    /// The tags that a resource has lost.
    pub fn of(&self, number: i64, in_force: &Tombstones) -> TagMask {
        let changed = self.newest.get(&number).copied();
        changed.unwrap_or_else(|| in_force.of(number))
    }

    pub fn add(&mut self, tombstone: Tombstone) {
        let before = self.newest.insert(tombstone.number, tombstone.removed);
        debug_assert!(
            tombstone.keeps(before.unwrap_or_default()),
            "positions hold until the row is rewritten"
        );
        self.tombstones.push(tombstone);
    }

    /// Adds a row that was written.
    pub fn rewrote(&mut self, rewrite: Rewrite) {
        self.changed.insert(rewrite.number);
        self.pages += 1 + rewrite.tags.len() / PAGE_BYTES;
        self.rows.push(RowChange::Written(rewrite));
    }

    /// Counts tags that the log keeps of a row that is rewritten without them.
    pub fn kept(&mut self, removed: &RemovedTags) {
        self.pages += 1 + removed.bytes() / PAGE_BYTES;
    }

    /// Adds the row of a user who was created, renamed or restored, with these tags as they lie there.
    pub fn wrote(&mut self, number: i64, user: &Resource, tags: Vec<u8>) {
        self.pages += PAGES_OF_A_USER;
        self.rewrote(Rewrite {
            number,
            account: user.account.as_str().into(),
            id: user.id.as_str().into(),
            name: user.principal_name.as_str().into(),
            tags,
        });
    }

    /// Adds the row of a user who was deleted.
    pub fn removed(&mut self, number: i64, user: &Resource) {
        self.changed.insert(number);
        self.pages += PAGES_OF_A_USER;
        self.rows.push(RowChange::Removed {
            number,
            account: user.account.as_str().into(),
            id: user.id.as_str().into(),
        });
    }

    /// Gives a number to a new row.
    pub fn take_number(&mut self, connection: &Connection) -> rusqlite::Result<i64> {
        let number = match self.next_number {
            Some(number) => number,
            None => format::next_number(connection)?,
        };
        self.next_number = Some(number + 1);
        Ok(number)
    }

    /// Remembers that the schema version was written again, only to see whether a commit gets through.
    pub fn touched(&mut self) {
        self.is_touched = true;
    }

    /// Whether the commit writes anything. Only then its success shows that the disk takes more.
    pub fn has_written(&self) -> bool {
        self.is_touched || !self.tombstones.is_empty() || !self.rows.is_empty()
    }

    /// Whether a row is not as it was before the transaction. Without a number: whether any row is, where somebody may be who was
    /// missing.
    pub fn has_changed(&self, number: Option<i64>) -> bool {
        match number {
            Some(number) => self.changed.contains(&number),
            None => !self.rows.is_empty(),
        }
    }

    /// What was done to rows, in this order.
    pub fn rows(&self) -> &[RowChange] {
        &self.rows
    }

    /// How many pages the rows and what is kept of them are at most, about.
    pub fn pages(&self) -> usize {
        self.pages
    }

    pub fn tombstones(&self) -> &[Tombstone] {
        &self.tombstones
    }
}
