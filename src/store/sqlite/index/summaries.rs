//! Summaries of rows: whose each is, and which keys its tags have. An untag by id needs no more of a row than that.
//!
//! 16 bytes for each row, as many as fit. Users neither come nor go while the service runs, so that only the keys
//! of a row change. It is read from the table when the service has started. Whoever does not find a row here reads the row.

use std::collections::{HashMap, HashSet};
use std::ops::ControlFlow;
use std::sync::Arc;

use foldhash::fast::FixedState;
use parking_lot::RwLock;
use rusqlite::{Connection, params};

use super::dictionary::{KeyDictionary, KeyMask};
use super::key::{Key, KeyKind};
use super::slots::{RowSummary, Slots};
use crate::domain::{RESOURCE_TYPE_USER, TagSelection};
use crate::store::sqlite::format::Rewrite;
use crate::store::sqlite::format::tags::{self, TagMask};

/// How many rows are read at once.
const PART: i64 = 4096;
/// How many dictionaries an account may have, and how many bytes all accounts and keys may take.
const DICTIONARIES: usize = 16;
const MOST_BYTES_OF_TEXTS: usize = 4 * 1024 * 1024;
/// What an account takes beside its id, about, in bytes.
const BYTES_OF_AN_ACCOUNT: usize = 128;

/// The summaries of the rows of a store, for all its connections.
#[derive(Debug, Clone, Default)]
pub struct RowSummaries(Arc<RwLock<Rows>>);

#[derive(Debug)]
struct Rows {
    slots: Slots,
    accounts: Vec<Account>,
    account_numbers: HashMap<Box<str>, u16, FixedState>,
    /// How many bytes are left for accounts and keys.
    budget: usize,
    /// The rows that were written since a part began to be read.
    written: Option<HashSet<i64, FixedState>>,
}

#[derive(Debug)]
struct Account {
    id: Box<str>,
    dictionaries: Vec<KeyDictionary>,
}

impl Default for Rows {
    fn default() -> Self {
        Self {
            slots: Slots::default(),
            accounts: Vec::new(),
            account_numbers: HashMap::default(),
            budget: MOST_BYTES_OF_TEXTS,
            written: None,
        }
    }
}

impl RowSummaries {
    /// Which tags of a row are selected, those too that are removed. `None` where the row is not that of the key, and where it
    /// is not known.
    pub fn selected(&self, number: i64, key: Key<'_>, selection: &TagSelection) -> Option<TagMask> {
        if key.kind != KeyKind::Id {
            return None;
        }
        let id = number_of(key.name)?;
        let rows = self.0.read();
        let summary = rows.slots.get(number).ok()??;
        let dictionary = usize::from(summary.dictionary).checked_sub(1)?;
        let account = rows.accounts.get(usize::from(summary.account))?;
        let is_of = id == summary.id && *account.id == *key.account;
        let dictionary = account.dictionaries.get(dictionary)?;
        is_of.then(|| dictionary.places(summary.keys, selection))
    }

    /// Takes over rows that were written, once that is committed.
    pub fn wrote(&self, rewrites: &[Rewrite]) {
        if rewrites.is_empty() {
            return;
        }
        let mut rows = self.0.write();
        for Rewrite { number, tags } in rewrites {
            if let Some(written) = &mut rows.written {
                written.insert(*number);
            }
            rows.set_tags(*number, tags);
        }
    }

    /// Reads the rows with numbers up to `end` into `slots`, a part at a time: `go_on` is asked in between, while no transaction
    /// is open.
    pub fn read(
        &self,
        connection: &Connection,
        end: i64,
        slots: Slots,
        mut go_on: impl FnMut() -> ControlFlow<()>,
    ) -> rusqlite::Result<()> {
        self.0.write().slots = slots;
        let mut from = 1;
        while from <= end && self.0.read().slots.has_slot(from) {
            let until = end.min(from + PART - 1);
            // Before the part's transaction, which may see what is written from now on, or not.
            self.0.write().written = Some(HashSet::default());
            let part = self.read_part(connection, from, until);
            self.0.write().end_part(from, part)?;
            if go_on().is_break() {
                break;
            }
            from = until + 1;
        }
        Ok(())
    }

    /// Reads the rows with these numbers.
    fn read_part(
        &self,
        connection: &Connection,
        from: i64,
        until: i64,
    ) -> rusqlite::Result<Vec<RowSummary>> {
        let mut statement = connection.prepare_cached(
            "SELECT number, account_id, resource_id, tags FROM resource \
             WHERE number BETWEEN ?1 AND ?2 AND resource_type = ?3",
        )?;
        let mut found = statement.query(params![from, until, RESOURCE_TYPE_USER])?;
        let mut part = Vec::new();
        while let Some(row) = found.next()? {
            let number: i64 = row.get(0)?;
            let (account, id) = (row.get_ref(1)?.as_str()?, row.get_ref(2)?.as_str()?);
            let tags = row.get_ref(3)?.as_blob()?;
            let Some(id) = number_of(id) else { continue };
            let Some(summary) = self.0.write().summary(account, id, tags) else {
                continue;
            };
            if let Ok(place) = usize::try_from(number - from) {
                // Numbers that no row has.
                part.resize(place, RowSummary::default());
                part.push(summary);
            }
        }
        Ok(part)
    }
}

/// The number that an id is, where it is written as that number is, and not too large.
fn number_of(id: &str) -> Option<u64> {
    id.parse().ok().filter(|_| !id.starts_with('0'))
}

impl Rows {
    /// The summary of a row, if there is memory for its account.
    fn summary(&mut self, account: &str, id: u64, tags: &[u8]) -> Option<RowSummary> {
        let account = self.number_of_account(account)?;
        let summary = RowSummary {
            id,
            account,
            ..RowSummary::default()
        };
        Some(self.with_tags(summary, tags))
    }

    /// Takes over a part as it was read. What the rows have that were written meanwhile is not known.
    fn end_part(
        &mut self,
        from: i64,
        part: rusqlite::Result<Vec<RowSummary>>,
    ) -> rusqlite::Result<()> {
        let written = self.written.take();
        let mut part = part?;
        for number in written.into_iter().flatten() {
            let place = usize::try_from(number - from);
            if let Some(summary) = place.ok().and_then(|place| part.get_mut(place)) {
                summary.dictionary = 0;
            }
        }
        self.slots.set(from, &part);
        Ok(())
    }

    fn number_of_account(&mut self, id: &str) -> Option<u16> {
        if let Some(number) = self.account_numbers.get(id) {
            return Some(*number);
        }
        let number = u16::try_from(self.accounts.len()).ok()?;
        self.budget = self.budget.checked_sub(BYTES_OF_AN_ACCOUNT + id.len())?;
        self.accounts.push(Account {
            id: id.into(),
            dictionaries: Vec::new(),
        });
        self.account_numbers.insert(id.into(), number);
        Some(number)
    }

    /// Sets the keys of a row that has a summary.
    fn set_tags(&mut self, number: i64, tags: &[u8]) {
        match self.slots.get(number) {
            Ok(Some(summary)) if summary.id != 0 => {
                let summary = self.with_tags(summary, tags);
                self.slots.set(number, &[summary]);
            }
            Ok(_) => {}
            Err(error) => self.slots.give_up(&error),
        }
    }

    /// A summary, with the keys of these tags.
    fn with_tags(&mut self, summary: RowSummary, tags: &[u8]) -> RowSummary {
        let account = self.accounts.get_mut(usize::from(summary.account));
        let keys = tags::keys(tags).ok();
        let found = account
            .zip(keys)
            .and_then(|(account, keys)| account.find(&keys, &mut self.budget));
        let (dictionary, keys) = found.unwrap_or_default();
        RowSummary {
            keys,
            dictionary,
            ..summary
        }
    }
}

impl Account {
    /// The dictionary that has these keys, counted from 1, and what they are there. It is made where there is memory for it.
    fn find(&mut self, keys: &[&[u8]], budget: &mut usize) -> Option<(u16, KeyMask)> {
        let count = |place: usize| u16::try_from(place + 1).ok();
        let mut all = self.dictionaries.iter().enumerate();
        let found = all.find_map(|(place, one)| Some((count(place)?, one.find(keys)?)));
        if found.is_some() {
            return found;
        }
        if self.dictionaries.len() < DICTIONARIES {
            // Only one that is used stays: its predecessors come first, and may take the keys.
            self.dictionaries.push(KeyDictionary::default());
        }
        let mut all = self.dictionaries.iter_mut().enumerate();
        let learnt = all.find_map(|(place, one)| Some((count(place)?, one.learn(keys, budget)?)));
        self.dictionaries.pop_if(|last| last.is_empty());
        learnt
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::domain::{AccountId, PrincipalName, Resource, ResourceId, TagKey, TagValue};
    use crate::store::sqlite::bulk;
    use crate::store::sqlite::format::DataDirectory;
    use crate::store::sqlite::index::{Index, MemoryBudget};

    const ACCOUNTS: [&str; 2] = ["1000000000000001", "1000000000000002"];

    fn tags_with(keys: &[&str]) -> BTreeMap<TagKey, TagValue> {
        let tag = |key: &&str| (TagKey::parse(*key).unwrap(), TagValue::parse("x").unwrap());
        keys.iter().map(tag).collect()
    }

    fn rewrite(number: i64, keys: &[&str]) -> Rewrite {
        let tags = tags::encode(&tags_with(keys));
        Rewrite { number, tags }
    }

    /// A store with these users, whose numbers are theirs from 1.
    fn store(users: &[(&str, &str, &[&str])]) -> (tempfile::TempDir, Connection) {
        let directory = tempfile::tempdir().unwrap();
        let connection = DataDirectory::lock(directory.path())
            .and_then(|directory| directory.open_writer())
            .unwrap();
        let resources = users.iter().map(|(account, id, keys)| {
            let resource = Resource::new(
                AccountId::parse(account).unwrap(),
                ResourceId::parse(*id).unwrap(),
                PrincipalName::parse(format!("u{id}@example.com")).unwrap(),
                tags_with(keys),
            );
            Ok::<_, ()>(resource.unwrap())
        });
        bulk::insert(&connection, resources).unwrap();
        (directory, connection)
    }

    fn read(summaries: &RowSummaries, connection: &Connection, end: i64) {
        let go_on = || ControlFlow::Continue(());
        let slots = Slots::new(100, None);
        summaries.read(connection, end, slots, go_on).unwrap();
    }

    fn all_of(summaries: &RowSummaries, number: i64, account: &str, id: &str) -> Option<TagMask> {
        let kind = KeyKind::Id;
        let name = id;
        let key = Key {
            kind,
            account,
            name,
        };
        summaries.selected(number, key, &TagSelection::All)
    }

    #[test]
    fn a_row_is_known_by_its_account_and_id() {
        let [account, other] = ACCOUNTS;
        let too_large = "18446744073709551616";
        let users: [(_, _, &[&str]); 5] = [
            (account, "7", &["a", "b"]),
            (other, "7", &["b", "c", "d"]),
            (account, "007", &["a"]),
            (account, too_large, &["a"]),
            (account, "8", &[]),
        ];
        let (_directory, connection) = store(&users);
        let summaries = RowSummaries::default();
        assert_eq!(all_of(&summaries, 1, account, "7"), None);
        read(&summaries, &connection, 5);
        assert_eq!(all_of(&summaries, 1, account, "7"), Some(0b11));
        assert_eq!(all_of(&summaries, 2, other, "7"), Some(0b111));
        assert_eq!(all_of(&summaries, 5, account, "8"), Some(0));
        for (number, account, id) in [
            (1, other, "7"),
            (1, account, "8"),
            (1, account, "07"),
            (3, account, "007"),
            (3, account, "7"),
            (4, account, too_large),
            (0, account, "0"),
            (6, account, "9"),
            (-1, account, "7"),
        ] {
            assert_eq!(
                all_of(&summaries, number, account, id),
                None,
                "{number} {id}"
            );
        }
        let by_name = Key {
            kind: KeyKind::Name,
            account,
            name: "7",
        };
        assert_eq!(summaries.selected(1, by_name, &TagSelection::All), None);
        let keys = TagSelection::Keys(vec![TagKey::parse("d").unwrap()]);
        let key = Key {
            kind: KeyKind::Id,
            account: other,
            name: "7",
        };
        assert_eq!(summaries.selected(2, key, &keys), Some(0b100));
    }

    #[test]
    fn a_row_that_is_written_has_its_new_keys() {
        let account = ACCOUNTS[0];
        let (_directory, connection) = store(&[(account, "7", &["a", "b"])]);
        let summaries = RowSummaries::default();
        summaries.wrote(&[rewrite(1, &["a"])]);
        read(&summaries, &connection, 1);
        assert_eq!(all_of(&summaries, 1, account, "7"), Some(0b11));
        summaries.wrote(&[rewrite(1, &["b", "c", "d"]), rewrite(9, &["a"])]);
        assert_eq!(all_of(&summaries, 1, account, "7"), Some(0b111));
        summaries.wrote(&[Rewrite {
            number: 1,
            tags: vec![0xff],
        }]);
        assert_eq!(all_of(&summaries, 1, account, "7"), None);
    }

    #[test]
    fn what_is_written_while_it_is_read_is_not_known_until_it_is_written_again() {
        let account = ACCOUNTS[0];
        let summaries = RowSummaries::default();
        summaries.0.write().written = Some(HashSet::default());
        summaries.wrote(&[rewrite(1, &["a"])]);
        let old = rewrite(1, &["a", "b"]).tags;
        let summary = summaries.0.write().summary(account, 7, &old).unwrap();
        summaries.0.write().slots = Slots::new(100, None);
        summaries.0.write().end_part(1, Ok(vec![summary])).unwrap();
        assert_eq!(all_of(&summaries, 1, account, "7"), None);
        summaries.wrote(&[rewrite(1, &["c"])]);
        assert_eq!(all_of(&summaries, 1, account, "7"), Some(0b1));
    }

    #[test]
    fn a_part_that_cannot_be_read_leaves_nothing_behind() {
        let connection = Connection::open_in_memory().unwrap();
        let table = "CREATE TABLE resource (number, account_id, resource_type, resource_id, tags);
            INSERT INTO resource VALUES (1, '1', 'user', '7', 'no blob')";
        connection.execute_batch(table).unwrap();
        let summaries = RowSummaries::default();
        let go_on = || ControlFlow::Continue(());
        let slots = Slots::new(100, None);
        summaries.read(&connection, 1, slots, go_on).unwrap_err();
        summaries.wrote(&[rewrite(1, &["a"])]);
        assert!(summaries.0.read().written.is_none());
    }

    #[test]
    fn it_takes_no_more_memory_than_it_may() {
        let account = ACCOUNTS[0];
        let ids: Vec<_> = (1..=9).map(|id: u32| id.to_string()).collect();
        let users: Vec<_> = ids
            .iter()
            .map(|id| (account, id.as_str(), &["a"][..]))
            .collect();
        let (directory, connection) = store(&users);
        let budget = |bytes, file_bytes| MemoryBudget {
            bytes,
            file_bytes,
            file: directory.path().join("roster"),
        };
        let read_with = |budget: &MemoryBudget| {
            let index = Index::default();
            let go_on = || ControlFlow::Continue(());
            index.read(&connection, budget, go_on).unwrap();
            index
        };
        let row_ids = read_with(&budget(0, 0)).row_ids.bytes();
        // From 0, which no row has.
        for (memory, file, last) in [(5, 0, 4), (5, 5, 4), (5, 8, 7), (0, 8, 7), (0, 99, 9)] {
            let budget = budget(
                row_ids + memory * RowSummary::BYTES,
                file * RowSummary::BYTES,
            );
            let summaries = read_with(&budget).summaries;
            let index =
                |number: &i64| all_of(&summaries, *number, account, &number.to_string()).is_some();
            let expected: Vec<_> = (1..=last).collect();
            assert_eq!((1..=9).filter(index).collect::<Vec<_>>(), expected);
        }
        let nowhere = MemoryBudget {
            file: directory.path().join("missing/roster"),
            ..budget(row_ids + 5 * RowSummary::BYTES, 99 * RowSummary::BYTES)
        };
        let summaries = read_with(&nowhere).summaries;
        assert!(all_of(&summaries, 4, account, "4").is_some());
        assert_eq!(all_of(&summaries, 5, account, "5"), None);

        let keys: Vec<_> = (0..700).map(|key| format!("{key:03}")).collect();
        for keys in keys.chunks(20) {
            let keys: Vec<_> = keys.iter().map(String::as_str).collect();
            summaries.wrote(&[rewrite(1, &keys)]);
        }
        assert_eq!(all_of(&summaries, 1, account, "1"), None);
        assert_eq!(
            summaries.0.read().accounts[0].dictionaries.len(),
            DICTIONARIES
        );
        summaries.wrote(&[rewrite(1, &["000", "001"])]);
        assert_eq!(all_of(&summaries, 1, account, "1"), Some(0b11));
    }
}
