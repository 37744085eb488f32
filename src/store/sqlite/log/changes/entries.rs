//! How entries are read: those of an account by their revisions, by the request that has made them and by a user that they changed,
//! all in one state of the store.

use prost::Message as _;
use rusqlite::{Connection, OptionalExtension as _};

use super::recent::RecentKeys;
use super::runs::{self, EntryKey, KeyKind};
use super::{removed_tags, revisions};
use crate::domain::{AccountId, Change, ChangesQuery, Direction, RequestId, Revision, Timestamp};
use crate::store::sqlite::error::{ApplyError, CorruptLog};
use crate::store::sqlite::format::log_entry::{FoundEntry, LoggedCommit, Recorded, halves, stamp};

/// The log of an account in the state of the store that an open transaction reads.
pub struct Snapshot<'connection> {
    connection: &'connection Connection,
    account: &'connection AccountId,
}

/// The newest and the oldest revision of an account that there are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Extremes {
    pub newest: Option<Revision>,
    pub oldest: Option<Revision>,
}

/// Finds out which revisions of an account there are.
pub fn extremes(connection: &Connection, account: &AccountId) -> Result<Extremes, ApplyError> {
    let newest = revisions::newest(connection, account)?;
    let expired = revisions::expired(connection, account)?;
    Ok(Extremes {
        newest: Revision::new(newest),
        oldest: (expired < newest)
            .then(|| Revision::new(expired + 1))
            .flatten(),
    })
}

/// The changes that are read: where they begin, in which direction they go on, and when they are enough.
#[derive(Debug, Clone, Copy)]
pub struct Range {
    pub from: Revision,
    pub direction: Direction,
    pub most: usize,
    pub most_effects: usize,
}

impl From<&ChangesQuery> for Range {
    fn from(query: &ChangesQuery) -> Self {
        Self {
            from: query.from,
            direction: query.direction,
            most: query.most,
            most_effects: query.most_effects,
        }
    }
}

impl Range {
    /// One change, from this revision on.
    fn one(from: Revision) -> Self {
        Self {
            from,
            direction: Direction::Forwards,
            most: 1,
            most_effects: usize::MAX,
        }
    }
}

/// What a snapshot has where keys in memory are looked at too.
pub enum Found<T> {
    Read(T),
    /// The keys are not those of this state of the store: begin the transaction again.
    Again,
}

/// A row of the log.
struct Row {
    time: Timestamp,
    commit: LoggedCommit,
}

impl<'connection> Snapshot<'connection> {
    pub fn new(connection: &'connection Connection, account: &'connection AccountId) -> Self {
        Self {
            connection,
            account,
        }
    }

    /// The changes of a range.
    pub fn of(&self, range: Range) -> Result<Vec<Change>, ApplyError> {
        let Range {
            from,
            direction,
            most,
            ..
        } = range;
        let spans = revisions::find(self.connection, self.account, from.get(), direction, most)?;
        let sequences = spans.iter().map(|span| span.sequence);
        self.pick(sequences, range, |found| {
            runs::is_behind(found.revision, from, direction)
        })
    }

    /// The change of a revision.
    pub fn at(&self, revision: Revision) -> Result<Option<Change>, ApplyError> {
        let changes = self.of(Range::one(revision))?;
        Ok(changes
            .into_iter()
            .find(|change| change.revision == revision))
    }

    /// The change that a request has made.
    pub fn of_request(
        &self,
        recent: &RecentKeys,
        request_id: RequestId,
    ) -> Result<Found<Option<Change>>, ApplyError> {
        let (high, low) = halves(request_id);
        let (kind, forwards) = (KeyKind::Request, Direction::Forwards);
        let key = |sequence| EntryKey { key: low, sequence };
        let found = recent.find(self.connection, kind, key(0), forwards, usize::MAX)?;
        let Some(found) = found else {
            return Ok(Found::Again);
        };
        let is_of = |found: &FoundEntry<'_>| found.entry.request_id() == request_id;
        let change = |sequences: Vec<i64>| -> Result<_, ApplyError> {
            let one = Range::one(Revision::FIRST);
            let mut changes = self.pick(sequences.into_iter(), one, is_of)?;
            Ok(changes.pop())
        };
        if let Some(change) = change(found)? {
            return Ok(Found::Read(Some(change)));
        }
        for run in runs::with_stamp(self.connection, stamp(high))? {
            let from = key(run.first_sequence);
            let found = runs::find(self.connection, &run, kind, from, forwards, usize::MAX)?;
            if let Some(change) = change(found)? {
                return Ok(Found::Read(Some(change)));
            }
        }
        Ok(Found::Read(None))
    }

    /// The changes of a range of the user with the row of this number.
    pub fn of_user(
        &self,
        recent: &RecentKeys,
        number: i64,
        range: Range,
    ) -> Result<Found<Vec<Change>>, ApplyError> {
        let Range {
            from,
            direction,
            most,
            ..
        } = range;
        let bound = revisions::find(self.connection, self.account, from.get(), direction, 1)?;
        let Some(bound) = bound.first().map(|span| span.sequence) else {
            // There is nothing from there on.
            return Ok(Found::Read(Vec::new()));
        };
        let from_key = EntryKey {
            key: number.cast_unsigned(),
            sequence: bound,
        };
        let kind = KeyKind::User;
        // The first commit may have changes of the user that lie before the revision, and a commit may have several.
        let enough = most.saturating_add(1);
        let recent = recent.find(self.connection, kind, from_key, direction, enough)?;
        let Some(recent) = recent else {
            return Ok(Found::Again);
        };
        let mut sequences = Vec::new();
        if direction == Direction::Backwards {
            sequences.extend(&recent);
        }
        let (first, last) = match direction {
            Direction::Forwards => (bound, i64::MAX),
            Direction::Backwards => (0, bound),
        };
        for run in runs::between(self.connection, first, last, direction)? {
            let left = enough.saturating_sub(sequences.len());
            if left == 0 {
                break;
            }
            let found = runs::find(self.connection, &run, kind, from_key, direction, left)?;
            sequences.extend(found);
        }
        if direction == Direction::Forwards {
            sequences.extend(&recent);
        }
        let changes = self.pick(sequences.into_iter(), range, |found| {
            let mut effects = found.entry.effects.iter();
            runs::is_behind(found.revision, from, direction)
                && effects.any(|effect| effect.number == number)
        })?;
        Ok(Found::Read(changes))
    }

    /// The changes of these commits that are picked, until the range has enough of them. Commits that have expired are passed over.
    fn pick(
        &self,
        sequences: impl Iterator<Item = i64>,
        range: Range,
        is_picked: impl Fn(&FoundEntry<'_>) -> bool,
    ) -> Result<Vec<Change>, ApplyError> {
        let (mut changes, mut effects) = (Vec::new(), 0);
        for sequence in sequences {
            let Some(row) = self.row(sequence)? else {
                continue;
            };
            let mut picked = Vec::new();
            for found in row.commit.each() {
                let found = found?;
                if found.account == self.account.as_str() && is_picked(&found) {
                    picked.push(found);
                }
            }
            if range.direction == Direction::Backwards {
                picked.reverse();
            }
            for found in picked {
                if changes.len() >= range.most || effects >= range.most_effects {
                    return Ok(changes);
                }
                effects += found.entry.effects.len();
                changes.push(self.change(sequence, found.recorded(row.time)?, &found)?);
            }
        }
        Ok(changes)
    }

    fn row(&self, sequence: i64) -> Result<Option<Row>, ApplyError> {
        let select = "SELECT time, entries FROM change_log WHERE sequence = ?1";
        let mut select = self.connection.prepare_cached(select)?;
        let row = select
            .query_row([sequence], |row| {
                let entries = row.get_ref(1)?.as_blob()?;
                Ok((row.get(0)?, LoggedCommit::decode(entries)))
            })
            .optional()?;
        let Some((time, commit)) = row else {
            return Ok(None);
        };
        Ok(Some(Row {
            time: Timestamp::from_millis(time),
            commit: commit.map_err(|_| CorruptLog)?,
        }))
    }

    /// The change of an entry in the commit of this sequence, with what is recorded of it.
    pub(super) fn change(
        &self,
        sequence: i64,
        recorded: Recorded,
        found: &FoundEntry<'_>,
    ) -> Result<Change, ApplyError> {
        let effects = found.entry.effects.iter().map(|effect| {
            if let Some(effect) = effect.detailed(self.account) {
                return Ok(effect?);
            }
            removed_tags::resolve(self.connection, sequence, effect)
        });
        Ok(Change {
            revision: found.revision,
            request_id: recorded.request_id,
            time: recorded.time,
            caller: recorded.caller,
            source_ip: recorded.source_ip,
            action: recorded.action,
            client_token: recorded.client_token,
            effects: effects.collect::<Result<_, ApplyError>>()?,
        })
    }
}
