//! The change log as the writer keeps it: entries are added with each commit, and found again by revision, request and user.

mod answers;
mod audited;
mod entries;
mod extent;
mod fresh;
mod listeners;
mod mark;
mod recent;
mod removed_tags;
mod retention;
mod revisions;
mod runs;
#[cfg(test)]
mod tests;
mod tokens;

use std::collections::{HashMap, HashSet};

use foldhash::fast::FixedState;
use prost::Message as _;
use rusqlite::{Connection, params};

pub use answers::Answer;
pub use audited::{AuditProgress, Committed, behind};
pub use entries::{Found, Range, Snapshot, extremes};
pub use fresh::{FreshEffect, FreshUntag};
pub use listeners::Listeners;
pub use mark::Mark;
pub use recent::RecentKeys;
pub use removed_tags::RemovedTags;
pub use revisions::expired;
pub use tokens::{ClientTokens, Known, MOST_TOKENS};

use crate::domain::{AccountId, Origin, Revision, Timestamp};
use crate::store::sqlite::error::ApplyError;
use crate::store::sqlite::format::LoggedEffect;
use crate::store::sqlite::format::log_entry::{LoggedAccount, LoggedCommit};
use crate::store::sqlite::options::Options;
use crate::store::{AuditUse, Retention};
use extent::{Extent, ROW_BYTES};
use fresh::FreshCommit;
use revisions::Revisions;

/// After how many commits the writer looks for entries that have expired.
const EXPIRE_AFTER: i64 = 64;
/// After how many milliseconds it looks where there are no commits.
const EXPIRE_AFTER_MILLIS: i64 = 60_000;
/// How many milliseconds pass between two times that it writes down how far the audit is.
const POSITION_AFTER_MILLIS: i64 = 1_000;

/// The change log, up to the last commit and in the open transaction.
pub struct ChangeLog {
    retention: Retention,
    /// How many keys of a kind are enough for a run. With those of one commit more they are all that is in memory, 16 bytes each.
    run_keys: usize,
    extent: Extent,
    revisions: Revisions,
    recent: RecentKeys,
    listeners: Listeners,
    /// When the writer last looked for what has expired, at which sequence, and whether there was more than it deleted.
    expired_time: Timestamp,
    expired_at: i64,
    has_expired: bool,
    open: Open,
    /// The progress of the audit, if one is kept, how much of it is written down, and when that was.
    audit: Option<AuditProgress>,
    saved_position: Option<i64>,
    saved_time: Timestamp,
    /// The answers to requests with a client token.
    pub tokens: ClientTokens,
}

/// What the open transaction does to the log.
#[derive(Default)]
struct Open {
    time: Option<Timestamp>,
    commit: LoggedCommit,
    accounts: HashMap<AccountId, OpenAccount, FixedState>,
    /// The rows whose removed tags were kept.
    kept: HashSet<i64, FixedState>,
    /// The untags among its changes that the audit can be told of.
    fresh: Vec<FreshUntag>,
    bytes: usize,
    has_written_run: bool,
    saved_position: Option<i64>,
    expired: Option<retention::Expired>,
}

/// An account that the open transaction changes: its position in the commit, its first and its newest revision there.
#[derive(Clone, Copy)]
struct OpenAccount {
    position: usize,
    first: u64,
    newest: u64,
    is_written_down: bool,
}

impl ChangeLog {
    /// The log of a database. It does not read all of it, but the entries that no run has.
    pub fn open(connection: &Connection, options: &Options) -> Result<Self, ApplyError> {
        let extent = Extent::read(connection)?;
        let (audit, saved_position) = open_audit(connection, options.audit, &extent)?;
        Ok(Self {
            retention: options.retention,
            run_keys: options.run_keys,
            extent,
            saved_position,
            saved_time: Timestamp::from_millis(0),
            audit,
            revisions: Revisions::default(),
            recent: RecentKeys::read(connection)?,
            listeners: Listeners::default(),
            expired_time: Timestamp::from_millis(0),
            expired_at: 0,
            has_expired: true,
            open: Open::default(),
            tokens: ClientTokens::new(MOST_TOKENS),
        })
    }

    /// The keys of the newest entries, for those who read.
    pub fn recent(&self) -> RecentKeys {
        self.recent.clone()
    }

    /// Who wants to know of changes.
    pub fn listeners(&self) -> Listeners {
        self.listeners.clone()
    }

    /// The progress of the audit, if one is kept.
    pub fn audit(&self) -> Option<AuditProgress> {
        self.audit.clone()
    }

    /// Begins a transaction at this time.
    pub fn begin(&mut self, time: Timestamp) {
        self.open = Open {
            time: Some(time),
            ..Open::default()
        };
        self.tokens.begin();
    }

    /// The time of the open transaction.
    pub fn time(&self) -> Timestamp {
        self.open.time.unwrap_or(Timestamp::from_millis(0))
    }

    /// The newest revision of an account in the open transaction.
    pub fn newest(
        &mut self,
        connection: &Connection,
        account: &AccountId,
    ) -> Result<Option<Revision>, ApplyError> {
        let open = self.open.accounts.get(account).map(|open| open.newest);
        let newest = match open {
            Some(newest) => newest,
            None => self.revisions.newest(connection, account)?,
        };
        Ok(Revision::new(newest))
    }

    /// Adds the entry of a change, which has effects. Returns its revision.
    pub fn add(
        &mut self,
        connection: &Connection,
        account: &AccountId,
        origin: &Origin,
        effects: Vec<LoggedEffect>,
    ) -> Result<Revision, ApplyError> {
        debug_assert!(!effects.is_empty(), "what changes nothing has no entry");
        let newest = self.newest(connection, account)?;
        let revision = newest.map_or(Revision::FIRST, Revision::next);
        let position = self.position(account, revision);
        let time = self.open.time.unwrap_or(origin.time);
        self.open.commit.add(position, origin, time, effects);
        Ok(revision)
    }

    /// Tells the audit of an untag whose entry was added. An audit that is not told of each entry of a commit reads the log.
    pub fn tell(&mut self, untag: FreshUntag) {
        if self.audit.is_some() {
            self.open.fresh.push(untag);
        }
    }

    /// The position of an account in the commit, whose next entry has this revision.
    fn position(&mut self, account: &AccountId, revision: Revision) -> usize {
        if let Some(open) = self.open.accounts.get_mut(account) {
            open.newest = revision.get();
            return open.position;
        }
        let position = self.open.commit.accounts.len();
        self.open.commit.accounts.push(LoggedAccount {
            id: account.as_str().to_owned(),
            first: revision.get(),
            count: 0,
        });
        let open = OpenAccount {
            position,
            first: revision.get(),
            newest: revision.get(),
            is_written_down: false,
        };
        self.open.accounts.insert(account.clone(), open);
        position
    }

    /// Whether the open transaction has added entries.
    pub fn has_entries(&self) -> bool {
        !self.open.accounts.is_empty()
    }

    /// Keeps the removed tags of a row that a job rewrites, which adds an entry to the commit.
    pub fn keep_removed(
        &mut self,
        connection: &Connection,
        removed: &RemovedTags,
    ) -> rusqlite::Result<()> {
        if self.open.kept.insert(removed.number()) {
            self.open.bytes += removed.keep(connection, self.extent.newest + 1)?;
        }
        Ok(())
    }

    /// Keeps the removed tags of a row that is rewritten when the open transaction adds no more entries. Where it has added none, the
    /// row is as the entries of the newest commit knew it.
    pub fn keep_compacted(
        &mut self,
        connection: &Connection,
        removed: &RemovedTags,
    ) -> rusqlite::Result<()> {
        if self.has_entries() {
            self.keep_removed(connection, removed)?;
        } else if self.extent.newest > 0 {
            self.open.bytes += removed.keep(connection, self.extent.newest)?;
        }
        Ok(())
    }

    /// Whether the removed tags of a row were kept in the open transaction: then its entries may no longer refer to the tags that
    /// lie in the row.
    pub fn has_kept(&self, number: i64) -> bool {
        self.open.kept.contains(&number)
    }

    /// Writes what the open transaction adds to the log, and deletes some of what has expired.
    pub fn write(&mut self, connection: &Connection) -> Result<(), ApplyError> {
        if self.has_entries() {
            let run = self.recent.write_run(connection, self.run_keys)?;
            self.open.has_written_run = run.is_some();
            self.open.bytes += run.unwrap_or_default();
            self.append(connection)?;
            if self.is_position_due(self.time()) {
                self.save_position(connection)?;
            }
            if self.extent.newest - self.expired_at >= EXPIRE_AFTER {
                self.expire(connection)?;
            }
        } else if self.open.bytes > 0 {
            self.charge_newest(connection)?;
        }
        Ok(())
    }

    fn append(&mut self, connection: &Connection) -> rusqlite::Result<()> {
        let sequence = self.extent.newest + 1;
        for (account, open) in &mut self.open.accounts {
            let first = open.first;
            open.is_written_down = self
                .revisions
                .write_down(connection, account, first, sequence)?;
            self.open.bytes +=
                usize::from(open.is_written_down) * (ROW_BYTES + account.as_str().len());
        }
        let entries = self.open.commit.encode_to_vec();
        self.open.bytes += entries.len() + ROW_BYTES;
        let time = self.open.time.map_or(0, Timestamp::millis);
        let insert =
            "INSERT INTO change_log (sequence, time, total, entries) VALUES (?1, ?2, ?3, ?4)";
        let total = self.total().cast_signed();
        connection
            .prepare_cached(insert)?
            .execute(params![sequence, time, total, entries])
            .map(drop)
    }

    /// The bytes that the log has ever taken, with those of the open transaction.
    fn total(&self) -> u64 {
        self.extent.total + self.open.bytes as u64
    }

    /// Adds what a transaction without entries takes to the total of the newest commit.
    fn charge_newest(&mut self, connection: &Connection) -> rusqlite::Result<()> {
        let update = "UPDATE change_log SET total = ?2 WHERE sequence = ?1";
        let columns = [self.extent.newest, self.total().cast_signed()];
        connection
            .prepare_cached(update)?
            .execute(columns)
            .map(drop)
    }

    /// Deletes some of what has expired.
    pub fn expire(&mut self, connection: &Connection) -> Result<(), ApplyError> {
        let Some(now) = self.open.time else {
            return Ok(());
        };
        let audit = self.audit.as_ref();
        let mut expired = retention::expire(connection, self.retention, audit, &self.extent, now)?;
        if self.is_position_due(now) {
            self.save_position(connection)?;
        }
        expired.has_more |= self.tokens.forget_some(connection, now)?;
        self.open.expired = Some(expired);
        self.expired_time = now;
        Ok(())
    }

    /// Whether it is time to look for what has expired, where there is nothing else to do.
    pub fn has_expired(&self, now: Timestamp) -> bool {
        let since = now.millis().saturating_sub(self.expired_time.millis());
        self.has_expired || since >= EXPIRE_AFTER_MILLIS || self.is_position_due(now)
    }

    /// Whether it is time to write down how far the audit is.
    fn is_position_due(&self, now: Timestamp) -> bool {
        let since = now.millis().saturating_sub(self.saved_time.millis());
        since >= POSITION_AFTER_MILLIS && self.unsaved_position().is_some()
    }

    /// How far the audit is, where that is not written down.
    fn unsaved_position(&self) -> Option<i64> {
        let position = self.audit.as_ref()?.written().sequence;
        let saved = self.open.saved_position.or(self.saved_position);
        // A store that is only opened is not written.
        let is_ahead = saved.map_or(self.has_entries(), |saved| position != saved);
        is_ahead.then_some(position)
    }

    /// Writes down how far the audit is.
    pub fn save_position(&mut self, connection: &Connection) -> rusqlite::Result<()> {
        let position = self.unsaved_position();
        if position.is_some() {
            audited::write_position(connection, position)?;
            self.open.saved_position = position;
        }
        Ok(())
    }

    /// Takes over a transaction that was committed.
    pub fn committed(&mut self) {
        let open = std::mem::take(&mut self.open);
        self.tokens.committed();
        self.extent.total += open.bytes as u64;
        let entries = (!open.accounts.is_empty()).then(|| {
            self.extent.newest += 1;
            if self.extent.oldest == 0 {
                self.extent.oldest = self.extent.newest;
                self.extent.oldest_total = self.extent.total;
            }
            (self.extent.newest, &open.commit)
        });
        for (account, entry) in &open.accounts {
            let written_down_at = entry.is_written_down.then_some(self.extent.newest);
            self.revisions
                .committed(account, entry.first, entry.newest, written_down_at);
        }
        self.recent.committed(open.has_written_run, entries);
        self.listeners.tell(open.accounts.keys());
        if open.saved_position.is_some() {
            self.saved_position = open.saved_position;
            self.saved_time = open.time.unwrap_or(self.saved_time);
        }
        if let Some(expired) = open.expired {
            self.expired_at = self.extent.newest;
            self.has_expired = expired.has_more;
            self.extent.oldest = expired.oldest;
            self.extent.oldest_total = expired.oldest_total;
        }
        if let Some(audit) = &self.audit {
            let lost = open.expired.map_or(0, |expired| expired.unaudited);
            audit.lose(lost);
            let mark = Mark {
                sequence: self.extent.newest,
                total: self.extent.total,
            };
            let untags = open.fresh;
            let is_told = untags.len() == open.commit.entries().len() && !untags.is_empty();
            audit.committed(mark, is_told.then_some(FreshCommit { mark, untags }));
        }
    }
}

/// Opens the progress of the audit, with how much of it is written down. Where none was kept before, it begins with the next change;
/// where none is kept from now on, nothing of it is left.
fn open_audit(
    connection: &Connection,
    audit: AuditUse,
    extent: &Extent,
) -> rusqlite::Result<(Option<AuditProgress>, Option<i64>)> {
    let saved = audited::read_position(connection)?;
    match audit {
        AuditUse::None => {
            if saved.is_some() {
                audited::write_position(connection, None)?;
            }
            Ok((None, None))
        }
        AuditUse::Kept => {
            let position = saved.unwrap_or(extent.newest);
            let written = audited::mark_at(connection, position, extent)?;
            Ok((Some(AuditProgress::new(written, extent)), saved))
        }
    }
}
