//! Where records lie: the numbers of their rows by id and by principal name, in memory.
//!
//! To find a record by its id is a search in an index and one for the row, in trees that are larger than any cache. A row
//! id spares the first. It may be missing or wrong: whoever follows it looks whether the record is the one that was asked for,
//! and asks the index of the database where it is not.

use std::fmt;
use std::hash::{BuildHasher as _, Hasher as _};
use std::ops::ControlFlow;
use std::sync::{Arc, OnceLock};

use foldhash::fast::RandomState;
use rusqlite::{Connection, Statement, params};

use super::key::KeyKind;
use crate::domain::RESOURCE_TYPE_USER;

/// How many rows of an index are read at once.
const PART: usize = 4096;
/// How many row ids are meant to share a bucket. They are spread by chance, and 1 in 100 finds its bucket full.
const USUAL_IN_BUCKET: usize = 12;
/// How many buckets there may be, 64 MiB: enough for 6 million users by id and by name.
const MOST_BUCKETS: usize = 1 << 20;
/// The bits of an item that are the number. The others are of the key's hash.
const NUMBER_BITS: u32 = 24;

/// Items that fill a line of the processor's cache: a number with a part of its key's hash, or 0.
type Bucket = [u32; 16];

/// A table of row ids, which does not change any more.
struct Table {
    buckets: Vec<Bucket>,
    hasher: RandomState,
}

impl Table {
    fn new(row_ids: usize) -> Self {
        let buckets = row_ids.div_ceil(USUAL_IN_BUCKET).clamp(1, MOST_BUCKETS);
        Self {
            // Zeros, which take no memory until they are written.
            buckets: vec![[0; 16]; buckets],
            hasher: RandomState::default(),
        }
    }

    /// The bucket of a key, and the part of an item that tells it from most others of the bucket.
    fn locate(&self, kind: KeyKind, account: &[u8], key: &[u8]) -> (usize, u32) {
        let mut hasher = self.hasher.build_hasher();
        hasher.write(account);
        match kind {
            KeyKind::Id => hasher.write(key),
            KeyKind::Name => hasher.write(&key.to_ascii_lowercase()),
        }
        hasher.write_u8(kind as u8);
        let hash = hasher.finish();
        let [mark, _, _, _, high @ ..] = hash.to_le_bytes();
        // The high half of the hash, spread over the buckets.
        let bucket = (u64::from(u32::from_le_bytes(high)) * self.buckets.len() as u64) >> 32;
        (bucket as usize, u32::from(mark) << NUMBER_BITS)
    }

    /// Adds a row id, if its bucket has a slot for it.
    fn add(&mut self, kind: KeyKind, account: &[u8], key: &[u8], number: i64) {
        let number = u32::try_from(number).unwrap_or_default();
        if number == 0 || number >> NUMBER_BITS != 0 {
            return;
        }
        let (bucket, mark) = self.locate(kind, account, key);
        let mut free = self.buckets[bucket].iter_mut().filter(|item| **item == 0);
        if let Some(item) = free.next() {
            *item = mark | number;
        }
    }

    /// The numbers that the record with this key may have.
    fn of(
        &self,
        kind: KeyKind,
        account: &[u8],
        key: &[u8],
    ) -> impl Iterator<Item = i64> + Clone + use<'_> {
        let (bucket, mark) = self.locate(kind, account, key);
        let row_ids = self.buckets[bucket].iter();
        row_ids.filter_map(move |&item| {
            let number = item ^ mark;
            (number != 0 && number >> NUMBER_BITS == 0).then(|| i64::from(number))
        })
    }
}

/// The row ids of a store, for all its connections. There are none until [`RowIds::read`] is at its end.
#[derive(Clone, Default)]
pub struct RowIds(Arc<OnceLock<Table>>);

impl RowIds {
    /// The numbers that the record with this key may have.
    pub fn of(
        &self,
        kind: KeyKind,
        account: &str,
        key: &str,
    ) -> impl Iterator<Item = i64> + Clone + use<'_> {
        let table = self.0.get();
        let numbers = table.map(|table| table.of(kind, account.as_bytes(), key.as_bytes()));
        numbers.into_iter().flatten()
    }

    /// How much memory the row ids take, in bytes.
    pub fn bytes(&self) -> usize {
        let buckets = self.0.get().map_or(0, |table| table.buckets.len());
        buckets * size_of::<Bucket>()
    }

    /// Reads the row ids from the indexes, where rows have numbers up to `newest`, a part at a time: `go_on` is asked in between, while
    /// no transaction is open.
    pub fn read(
        &self,
        connection: &Connection,
        newest: i64,
        mut go_on: impl FnMut() -> ControlFlow<()>,
    ) -> rusqlite::Result<ControlFlow<()>> {
        let users = usize::try_from(newest).unwrap_or_default();
        let mut table = Table::new(KeyKind::ALL.len().saturating_mul(users));
        for kind in KeyKind::ALL {
            let mut part = Part::new(connection, kind)?;
            while part.read(&mut table)? {
                if go_on().is_break() {
                    return Ok(ControlFlow::Break(()));
                }
            }
        }
        let _ = self.0.set(table);
        Ok(ControlFlow::Continue(()))
    }
}

/// Reads an index in parts.
struct Part<'connection> {
    kind: KeyKind,
    statement: Statement<'connection>,
    /// The account and the key that the last part has ended with.
    behind: (String, String),
}

impl<'connection> Part<'connection> {
    fn new(connection: &'connection Connection, kind: KeyKind) -> rusqlite::Result<Self> {
        let key = kind.column();
        let statement = connection.prepare(&format!(
            "SELECT account_id, {key}, number FROM resource \
             WHERE (account_id, resource_type, {key}) > (?1, ?2, ?3) \
             ORDER BY account_id, resource_type, {key} LIMIT {PART}"
        ))?;
        Ok(Self {
            kind,
            statement,
            behind: Default::default(),
        })
    }

    /// Adds the next part to a table. Returns whether there may be more.
    fn read(&mut self, table: &mut Table) -> rusqlite::Result<bool> {
        let (account, key) = &self.behind;
        let mut rows = self
            .statement
            .query(params![account, RESOURCE_TYPE_USER, key])?;
        let mut count = 0;
        let mut last = None;
        while let Some(row) = rows.next()? {
            let (account, key) = (row.get_ref(0)?.as_bytes()?, row.get_ref(1)?.as_bytes()?);
            table.add(self.kind, account, key, row.get(2)?);
            count += 1;
            if count == PART {
                last = Some((row.get(0)?, row.get(1)?));
            }
        }
        drop(rows);
        let more = last.is_some();
        self.behind = last.unwrap_or_default();
        Ok(more)
    }
}

impl fmt::Debug for RowIds {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let bytes = &format_args!("{} bytes", self.bytes());
        formatter.debug_tuple("Hints").field(bytes).finish()
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::path::PathBuf;

    use super::*;
    use crate::domain::{AccountId, PrincipalName, Resource, ResourceId, Targets};
    use crate::store::sqlite::bulk;
    use crate::store::sqlite::format::DataDirectory;
    use crate::store::sqlite::index::{Index, Lookup, MemoryBudget};

    const ACCOUNT: &str = "1000000000000001";

    fn account() -> AccountId {
        AccountId::parse(ACCOUNT).unwrap()
    }

    fn id(user: usize) -> String {
        format!("2{user:015}")
    }

    fn name(user: usize) -> String {
        format!("User-{user}@example.onaliyun.com")
    }

    /// A store with users, whose numbers are theirs from 1.
    fn store(users: usize) -> (tempfile::TempDir, Connection) {
        let directory = tempfile::tempdir().unwrap();
        let connection = DataDirectory::lock(directory.path())
            .and_then(|directory| directory.open_writer())
            .unwrap();
        let resources = (1..=users).map(|user| {
            let resource = Resource::new(
                account(),
                ResourceId::parse(id(user)).unwrap(),
                PrincipalName::parse(name(user)).unwrap(),
                BTreeMap::new(),
            );
            Ok::<_, ()>(resource.unwrap())
        });
        bulk::insert(&connection, resources).unwrap();
        (directory, connection)
    }

    fn names_in_capitals(users: impl Iterator<Item = usize>) -> Targets {
        let name = |user| PrincipalName::parse(name(user).to_uppercase()).unwrap();
        Targets::Names(users.map(name).collect())
    }

    fn ids(users: impl Iterator<Item = usize>) -> Targets {
        let id = |user| ResourceId::parse(id(user)).unwrap();
        Targets::Ids(users.map(id).collect())
    }

    /// The numbers of the targets that are found, and the places of the others.
    fn look_up(
        connection: &Connection,
        row_ids: &RowIds,
        targets: &Targets,
    ) -> (Vec<i64>, Vec<usize>) {
        let mut numbers = Vec::new();
        let index = Index {
            row_ids: row_ids.clone(),
            ..Index::default()
        };
        let mut lookup = Lookup::new(connection, &index).unwrap();
        let missing = lookup.each(&account(), targets, |_, record| {
            numbers.push(record.number);
            Ok::<_, rusqlite::Error>(())
        });
        (numbers, missing.unwrap())
    }

    #[test]
    fn nearly_every_user_has_a_row_id_by_id_and_by_name() {
        let users = PART + 10;
        let (_directory, connection) = store(users);
        let newest = i64::try_from(users).unwrap();
        // Each reading spreads them by chance: one alone is past the bound in 2 of 100 runs.
        let readings = 16;
        let mut missing = 0;
        let mut others = 0;
        for _ in 0..readings {
            let row_ids = RowIds::default();
            let mut parts = 0;
            let count = || {
                parts += 1;
                ControlFlow::Continue(())
            };
            let read = row_ids.read(&connection, newest, count).unwrap();
            assert!(read.is_continue());
            assert_eq!(parts, 2, "one break in each index");
            for user in 1..=users {
                let number = i64::try_from(user).unwrap();
                for (kind, key) in [
                    (KeyKind::Id, id(user)),
                    (KeyKind::Name, name(user).to_uppercase()),
                ] {
                    let numbers: Vec<_> = row_ids.of(kind, ACCOUNT, &key).collect();
                    missing += usize::from(!numbers.contains(&number));
                    others += numbers.iter().filter(|other| **other != number).count();
                }
            }
        }
        assert!(missing < readings * users / 20, "{missing}");
        assert!(others < readings * users / 4, "{others}");
    }

    #[test]
    fn row_ids_that_are_wrong_or_missing_change_nothing() {
        let (_directory, connection) = store(40);
        let mut table = Table::new(80);
        let mut item =
            |kind, key: &str, number| table.add(kind, ACCOUNT.as_bytes(), key.as_bytes(), number);
        for user in 1..=45 {
            // Another user's, and one that no row has.
            item(
                KeyKind::Id,
                &id(user),
                1 + i64::try_from(user).unwrap() % 40,
            );
            item(KeyKind::Id, &id(user), 1_000_000);
            item(KeyKind::Name, &name(user), 7);
        }
        let wrong = RowIds(Arc::new(OnceLock::from(table)));
        for row_ids in [wrong, RowIds::default()] {
            for targets in [ids(30..=45), names_in_capitals(30..=45)] {
                let found = look_up(&connection, &row_ids, &targets);
                assert_eq!(found, ((30..=40).collect(), (11..16).collect()));
            }
        }
    }

    #[test]
    fn a_reader_that_is_stopped_leaves_no_row_ids() {
        let (_directory, connection) = store(PART + 10);
        let index = Index::default();
        let mut parts = 0;
        let stop = || {
            parts += 1;
            ControlFlow::Break(())
        };
        let budget = MemoryBudget {
            bytes: usize::MAX,
            file_bytes: 0,
            file: PathBuf::new(),
        };
        index.read(&connection, &budget, stop).unwrap();
        assert!(index.row_ids.0.get().is_none());
        assert_eq!(parts, 1, "and reads nothing behind them");
    }

    #[test]
    fn what_does_not_fit_is_left_out() {
        let mut table = Table::new(1);
        for number in [-1, 0, 1 << NUMBER_BITS, i64::MAX] {
            table.add(KeyKind::Id, b"", b"x", number);
            assert_eq!(table.of(KeyKind::Id, b"", b"x").count(), 0, "{number}");
        }
        for number in 1..=20 {
            table.add(KeyKind::Id, b"", b"x", number);
        }
        let kept: Vec<_> = table.of(KeyKind::Id, b"", b"x").collect();
        assert_eq!(kept, (1..=16).collect::<Vec<_>>());
    }
}
