//! Whose each row is and which keys its tags have: an untag by id needs no more of a row than that.
//!
//! 16 bytes for each row, as many as there is room for. Users neither come nor go while the service runs, so that only the keys
//! of a row change. It is read from the table when the service has started. Whoever does not find a row here reads the row.

use std::collections::{HashMap, HashSet};
use std::ops::ControlFlow;
use std::sync::Arc;

use foldhash::fast::FixedState;
use parking_lot::RwLock;
use rusqlite::{Connection, params};

use super::dictionary::{Keys, Vocabulary};
use super::key::{Key, KeyKind};
use super::slots::{Entries, Entry};
use crate::domain::{RESOURCE_TYPE_USER, TagSelection};
use crate::store::sqlite::format::Rewrite;
use crate::store::sqlite::format::tags::{self, Removed};

/// How many rows are read at once.
const PART: i64 = 4096;
/// How many vocabularies an account may have, and how many bytes all accounts and keys.
const VOCABULARIES: usize = 16;
const MOST_BYTES_OF_TEXTS: usize = 4 * 1024 * 1024;
/// What an account takes beside its id, about, in bytes.
const BYTES_OF_AN_ACCOUNT: usize = 128;

/// The roster of a store, for all its connections.
#[derive(Debug, Clone, Default)]
pub struct Roster(Arc<RwLock<Rows>>);

#[derive(Debug)]
struct Rows {
    entries: Entries,
    accounts: Vec<Account>,
    account_numbers: HashMap<Box<str>, u16, FixedState>,
    /// How many bytes are left for accounts and keys.
    room: usize,
    /// The rows that were written since a part began to be read.
    written: Option<HashSet<i64, FixedState>>,
}

#[derive(Debug)]
struct Account {
    id: Box<str>,
    vocabularies: Vec<Vocabulary>,
}

impl Default for Rows {
    fn default() -> Self {
        Self {
            entries: Entries::default(),
            accounts: Vec::new(),
            account_numbers: HashMap::default(),
            room: MOST_BYTES_OF_TEXTS,
            written: None,
        }
    }
}

impl Roster {
    /// Which tags of a row are selected, those too that are removed. `None` where the row is not that of the key, and where it
    /// is not known.
    pub fn selected(&self, number: i64, key: Key<'_>, selection: &TagSelection) -> Option<Removed> {
        if key.kind != KeyKind::Id {
            return None;
        }
        let id = number_of(key.name)?;
        let rows = self.0.read();
        let entry = rows.entries.get(number).ok()??;
        let vocabulary = usize::from(entry.vocabulary).checked_sub(1)?;
        let account = rows.accounts.get(usize::from(entry.account))?;
        let is_of = id == entry.id && *account.id == *key.account;
        let vocabulary = account.vocabularies.get(vocabulary)?;
        is_of.then(|| vocabulary.places(entry.keys, selection))
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

    /// Reads the rows with numbers up to `end` into `entries`, a part at a time: `go_on` is asked in between, while no transaction
    /// is open.
    pub fn read(
        &self,
        connection: &Connection,
        end: i64,
        entries: Entries,
        mut go_on: impl FnMut() -> ControlFlow<()>,
    ) -> rusqlite::Result<()> {
        self.0.write().entries = entries;
        let mut from = 1;
        while from <= end && self.0.read().entries.has_room(from) {
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
    ) -> rusqlite::Result<Vec<Entry>> {
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
            let Some(entry) = self.0.write().entry(account, id, tags) else {
                continue;
            };
            if let Ok(place) = usize::try_from(number - from) {
                // Numbers that no row has.
                part.resize(place, Entry::default());
                part.push(entry);
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
    /// What is to be known of a row, if there is room for the account.
    fn entry(&mut self, account: &str, id: u64, tags: &[u8]) -> Option<Entry> {
        let account = self.number_of_account(account)?;
        let entry = Entry {
            id,
            account,
            ..Entry::default()
        };
        Some(self.with_tags(entry, tags))
    }

    /// Takes over a part as it was read. What the rows have that were written meanwhile is not known.
    fn end_part(&mut self, from: i64, part: rusqlite::Result<Vec<Entry>>) -> rusqlite::Result<()> {
        let written = self.written.take();
        let mut part = part?;
        for number in written.into_iter().flatten() {
            let place = usize::try_from(number - from);
            if let Some(entry) = place.ok().and_then(|place| part.get_mut(place)) {
                entry.vocabulary = 0;
            }
        }
        self.entries.set(from, &part);
        Ok(())
    }

    fn number_of_account(&mut self, id: &str) -> Option<u16> {
        if let Some(number) = self.account_numbers.get(id) {
            return Some(*number);
        }
        let number = u16::try_from(self.accounts.len()).ok()?;
        self.room = self.room.checked_sub(BYTES_OF_AN_ACCOUNT + id.len())?;
        self.accounts.push(Account {
            id: id.into(),
            vocabularies: Vec::new(),
        });
        self.account_numbers.insert(id.into(), number);
        Some(number)
    }

    /// Notes which keys a row that is known has.
    fn set_tags(&mut self, number: i64, tags: &[u8]) {
        match self.entries.get(number) {
            Ok(Some(entry)) if entry.id != 0 => {
                let entry = self.with_tags(entry, tags);
                self.entries.set(number, &[entry]);
            }
            Ok(_) => {}
            Err(error) => self.entries.give_up(&error),
        }
    }

    /// An entry, with the keys of these tags.
    fn with_tags(&mut self, entry: Entry, tags: &[u8]) -> Entry {
        let account = self.accounts.get_mut(usize::from(entry.account));
        let keys = tags::keys(tags).ok();
        let found = account
            .zip(keys)
            .and_then(|(account, keys)| account.find(&keys, &mut self.room));
        let (vocabulary, keys) = found.unwrap_or_default();
        Entry {
            keys,
            vocabulary,
            ..entry
        }
    }
}

impl Account {
    /// The vocabulary that has these keys, counted from 1, and what they are there. Made, where there is room for it.
    fn find(&mut self, keys: &[&[u8]], room: &mut usize) -> Option<(u16, Keys)> {
        let count = |place: usize| u16::try_from(place + 1).ok();
        let mut all = self.vocabularies.iter().enumerate();
        let found = all.find_map(|(place, one)| Some((count(place)?, one.find(keys)?)));
        if found.is_some() {
            return found;
        }
        if self.vocabularies.len() < VOCABULARIES {
            // Only one that is used stays: its predecessors come first, and may have room.
            self.vocabularies.push(Vocabulary::default());
        }
        let mut all = self.vocabularies.iter_mut().enumerate();
        let learnt = all.find_map(|(place, one)| Some((count(place)?, one.learn(keys, room)?)));
        self.vocabularies.pop_if(|last| last.is_empty());
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
    use crate::store::sqlite::index::{Known, Room};

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

    fn read(roster: &Roster, connection: &Connection, end: i64) {
        let go_on = || ControlFlow::Continue(());
        let entries = Entries::new(100, None);
        roster.read(connection, end, entries, go_on).unwrap();
    }

    fn all_of(roster: &Roster, number: i64, account: &str, id: &str) -> Option<Removed> {
        let kind = KeyKind::Id;
        let name = id;
        let key = Key {
            kind,
            account,
            name,
        };
        roster.selected(number, key, &TagSelection::All)
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
        let roster = Roster::default();
        assert_eq!(all_of(&roster, 1, account, "7"), None);
        read(&roster, &connection, 5);
        assert_eq!(all_of(&roster, 1, account, "7"), Some(0b11));
        assert_eq!(all_of(&roster, 2, other, "7"), Some(0b111));
        assert_eq!(all_of(&roster, 5, account, "8"), Some(0));
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
            assert_eq!(all_of(&roster, number, account, id), None, "{number} {id}");
        }
        let by_name = Key {
            kind: KeyKind::Name,
            account,
            name: "7",
        };
        assert_eq!(roster.selected(1, by_name, &TagSelection::All), None);
        let keys = TagSelection::Keys(vec![TagKey::parse("d").unwrap()]);
        let key = Key {
            kind: KeyKind::Id,
            account: other,
            name: "7",
        };
        assert_eq!(roster.selected(2, key, &keys), Some(0b100));
    }

    #[test]
    fn a_row_that_is_written_has_its_new_keys() {
        let account = ACCOUNTS[0];
        let (_directory, connection) = store(&[(account, "7", &["a", "b"])]);
        let roster = Roster::default();
        roster.wrote(&[rewrite(1, &["a"])]);
        read(&roster, &connection, 1);
        assert_eq!(all_of(&roster, 1, account, "7"), Some(0b11));
        roster.wrote(&[rewrite(1, &["b", "c", "d"]), rewrite(9, &["a"])]);
        assert_eq!(all_of(&roster, 1, account, "7"), Some(0b111));
        roster.wrote(&[Rewrite {
            number: 1,
            tags: vec![0xff],
        }]);
        assert_eq!(all_of(&roster, 1, account, "7"), None);
    }

    #[test]
    fn what_is_written_while_it_is_read_is_not_known_until_it_is_written_again() {
        let account = ACCOUNTS[0];
        let roster = Roster::default();
        roster.0.write().written = Some(HashSet::default());
        roster.wrote(&[rewrite(1, &["a"])]);
        let old = rewrite(1, &["a", "b"]).tags;
        let entry = roster.0.write().entry(account, 7, &old).unwrap();
        roster.0.write().entries = Entries::new(100, None);
        roster.0.write().end_part(1, Ok(vec![entry])).unwrap();
        assert_eq!(all_of(&roster, 1, account, "7"), None);
        roster.wrote(&[rewrite(1, &["c"])]);
        assert_eq!(all_of(&roster, 1, account, "7"), Some(0b1));
    }

    #[test]
    fn a_part_that_cannot_be_read_leaves_nothing_behind() {
        let connection = Connection::open_in_memory().unwrap();
        let table = "CREATE TABLE resource (number, account_id, resource_type, resource_id, tags);
            INSERT INTO resource VALUES (1, '1', 'user', '7', 'no blob')";
        connection.execute_batch(table).unwrap();
        let roster = Roster::default();
        let go_on = || ControlFlow::Continue(());
        let entries = Entries::new(100, None);
        roster.read(&connection, 1, entries, go_on).unwrap_err();
        roster.wrote(&[rewrite(1, &["a"])]);
        assert!(roster.0.read().written.is_none());
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
        let room = |bytes, file_bytes| Room {
            bytes,
            file_bytes,
            file: directory.path().join("roster"),
        };
        let read_with = |room: &Room| {
            let known = Known::default();
            let go_on = || ControlFlow::Continue(());
            known.read(&connection, room, go_on).unwrap();
            known
        };
        let hints = read_with(&room(0, 0)).hints.bytes();
        // From 0, which no row has.
        for (memory, file, last) in [(5, 0, 4), (5, 5, 4), (5, 8, 7), (0, 8, 7), (0, 99, 9)] {
            let room = room(hints + memory * Entry::BYTES, file * Entry::BYTES);
            let roster = read_with(&room).roster;
            let known =
                |number: &i64| all_of(&roster, *number, account, &number.to_string()).is_some();
            let expected: Vec<_> = (1..=last).collect();
            assert_eq!((1..=9).filter(known).collect::<Vec<_>>(), expected);
        }
        let nowhere = Room {
            file: directory.path().join("missing/roster"),
            ..room(hints + 5 * Entry::BYTES, 99 * Entry::BYTES)
        };
        let roster = read_with(&nowhere).roster;
        assert!(all_of(&roster, 4, account, "4").is_some());
        assert_eq!(all_of(&roster, 5, account, "5"), None);

        let keys: Vec<_> = (0..700).map(|key| format!("{key:03}")).collect();
        for keys in keys.chunks(20) {
            let keys: Vec<_> = keys.iter().map(String::as_str).collect();
            roster.wrote(&[rewrite(1, &keys)]);
        }
        assert_eq!(all_of(&roster, 1, account, "1"), None);
        assert_eq!(roster.0.read().accounts[0].vocabularies.len(), VOCABULARIES);
        roster.wrote(&[rewrite(1, &["000", "001"])]);
        assert_eq!(all_of(&roster, 1, account, "1"), Some(0b11));
    }
}
