//! What the index knows, against what is true.

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::ops::ControlFlow;

use proptest::prelude::*;
use rusqlite::{Connection, params};

use super::*;
use crate::domain::{TagKey, TagValue};
use crate::store::sqlite::format::{DataDirectory, Rewrite, tags};

const ACCOUNTS: [&str; 2] = ["1000000000000001", "1000000000000002"];

/// A user as its row has it.
#[derive(Debug, Clone)]
struct User {
    account: &'static str,
    id: String,
    name: String,
    keys: BTreeSet<String>,
}

fn user(account: &'static str, id: &str, keys: &[&str]) -> User {
    User {
        account,
        id: id.to_owned(),
        name: format!("U{id}@example.com"),
        keys: keys.iter().map(ToString::to_string).collect(),
    }
}

impl User {
    fn tags(&self) -> BTreeMap<TagKey, TagValue> {
        let tag = |key: &String| {
            (
                TagKey::parse(key.as_str()).unwrap(),
                TagValue::parse("x").unwrap(),
            )
        };
        self.keys.iter().map(tag).collect()
    }

    fn written(&self, number: i64) -> RowChange {
        RowChange::Written(Rewrite {
            number,
            account: self.account.into(),
            id: self.id.as_str().into(),
            name: self.name.as_str().into(),
            tags: tags::encode(&self.tags()),
        })
    }

    fn removed(&self, number: i64) -> RowChange {
        RowChange::Removed {
            number,
            account: self.account.into(),
            id: self.id.as_str().into(),
        }
    }
}

fn by_id<'key>(account: &'key str, id: &'key str) -> Key<'key> {
    Key {
        kind: KeyKind::Id,
        account,
        name: id,
    }
}

fn by_name<'key>(account: &'key str, name: &'key str) -> Key<'key> {
    Key {
        kind: KeyKind::Name,
        account,
        name,
    }
}

fn all_of(index: &Index, account: &str, id: &str) -> Found {
    index.find(by_id(account, id), &TagSelection::All)
}

fn known(number: i64, selected: TagMask) -> Found {
    Found::Known { number, selected }
}

/// A store with these users, whose numbers are theirs from 1.
fn store(users: &[User]) -> (tempfile::TempDir, Connection) {
    let directory = tempfile::tempdir().unwrap();
    let connection = DataDirectory::lock(directory.path())
        .and_then(|directory| directory.open_writer())
        .unwrap();
    let transaction = connection.unchecked_transaction().unwrap();
    for (number, user) in (1..).zip(users) {
        let insert = "INSERT INTO resource \
             (number, account_id, resource_type, resource_id, principal_name, tags) \
             VALUES (?1, ?2, 'user', ?3, ?4, ?5)";
        let tags = tags::encode(&user.tags());
        let values = params![number, user.account, user.id, user.name, tags];
        transaction.execute(insert, values).unwrap();
    }
    transaction.commit().unwrap();
    (directory, connection)
}

fn fill(index: &Index, connection: &Connection) {
    let go_on = || ControlFlow::Continue(());
    index.fill(connection, go_on).unwrap();
}

#[test]
fn a_row_is_known_by_its_account_and_id_and_may_be_that_of_a_name() {
    let [account, other] = ACCOUNTS;
    let too_large = "18446744073709551616";
    let (_directory, connection) = store(&[
        user(account, "7", &["a", "b"]),
        user(other, "7", &["b", "c", "d"]),
        user(account, "007", &["a"]),
        user(account, too_large, &["a"]),
        user(account, "8", &[]),
    ]);
    let index = Index::new(usize::MAX);
    assert_eq!(all_of(&index, account, "7"), Found::Ask);
    fill(&index, &connection);
    assert_eq!(all_of(&index, account, "7"), known(1, 0b11));
    assert_eq!(all_of(&index, other, "7"), known(2, 0b111));
    assert_eq!(all_of(&index, account, "8"), known(5, 0));
    let unknown = [
        (other, "8"),
        (account, "07"),
        (account, "007"),
        (account, "+7"),
        (account, too_large),
        (account, "0"),
        (account, "9"),
        ("1", "7"),
    ];
    for (account, id) in unknown {
        assert_eq!(all_of(&index, account, id), Found::Ask, "{account} {id}");
    }
    let keys = TagSelection::Keys(vec![TagKey::parse("d").unwrap()]);
    assert_eq!(index.find(by_id(other, "7"), &keys), known(2, 0b100));
    let find_name = |account, name| index.find(by_name(account, name), &TagSelection::All);
    assert_eq!(find_name(account, "u7@EXAMPLE.com"), Found::Maybe(1));
    assert_eq!(find_name(other, "u7@EXAMPLE.com"), Found::Maybe(2));
    assert_eq!(find_name(other, "u8@example.com"), Found::Ask);
    assert_eq!(find_name(account, "7"), Found::Ask);
}

#[test]
fn a_row_whose_keys_cannot_be_known_has_to_be_read() {
    let account = ACCOUNTS[0];
    let index = Index::new(usize::MAX);
    let before = user(account, "7", &["a"]);
    index.apply(&[before.written(1)]);
    assert_eq!(all_of(&index, account, "7"), known(1, 0b1));
    let RowChange::Written(mut rewrite) = before.written(1) else {
        unreachable!("it is written");
    };
    rewrite.tags = vec![0xff];
    index.apply(&[RowChange::Written(rewrite)]);
    assert_eq!(all_of(&index, account, "7"), Found::Maybe(1));
    // More keys than all dictionaries have, 20 at a time.
    let keys: Vec<_> = (0..700).map(|key| format!("{key:03}")).collect();
    for keys in keys.chunks(20) {
        let keys: Vec<_> = keys.iter().map(String::as_str).collect();
        index.apply(&[user(account, "7", &keys).written(1)]);
    }
    assert_eq!(all_of(&index, account, "7"), Found::Maybe(1));
    index.apply(&[user(account, "7", &["000", "001"]).written(1)]);
    assert_eq!(all_of(&index, account, "7"), known(1, 0b11));
}

#[test]
fn filling_ends_where_it_is_stopped_and_where_a_row_cannot_be_read() {
    let users: Vec<_> = (1..5_000)
        .map(|id: u32| user(ACCOUNTS[0], &id.to_string(), &[]))
        .collect();
    let (_directory, connection) = store(&users);
    let index = Index::new(usize::MAX);
    let mut parts = 0;
    let stop = || {
        parts += 1;
        ControlFlow::Break(())
    };
    index.fill(&connection, stop).unwrap();
    assert_eq!(parts, 1);
    assert_eq!(all_of(&index, ACCOUNTS[0], "4096"), known(4096, 0));
    assert_eq!(all_of(&index, ACCOUNTS[0], "4097"), Found::Ask);

    let connection = Connection::open_in_memory().unwrap();
    let table = "CREATE TABLE resource (number, account_id, resource_type, resource_id, principal_name, tags);
        INSERT INTO resource VALUES (1, '1', 'user', '7', 'a@b', 'no blob')";
    connection.execute_batch(table).unwrap();
    let index = Index::new(usize::MAX);
    let go_on = || ControlFlow::Continue(());
    index.fill(&connection, go_on).unwrap_err();
    assert!(index.0.changing.lock().changed.is_none());
}

/// A change of the users, by small numbers: of a slot among the users, of an account, an id, a name and keys.
#[derive(Debug, Clone)]
enum Step {
    Put {
        slot: usize,
        account: usize,
        id: u8,
        name: u8,
        keys: BTreeSet<String>,
    },
    Remove {
        slot: usize,
    },
    BeginPart,
    ReadPart,
    EndPart,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let keys = proptest::collection::btree_set("[a-h]{1,2}", 0..4);
    let put = (0..40_usize, 0..2_usize, 1..40_u8, 0..8_u8, keys).prop_map(
        |(slot, account, id, name, keys)| Step::Put {
            slot,
            account,
            id,
            name,
            keys,
        },
    );
    let remove = (0..40_usize).prop_map(|slot| Step::Remove { slot });
    let step = prop_oneof![
        8 => put,
        3 => remove,
        1 => Just(Step::BeginPart),
        1 => Just(Step::ReadPart),
        1 => Just(Step::EndPart),
    ];
    proptest::collection::vec(step, 1..150)
}

/// The rows by number, and the number of the next one.
#[derive(Default)]
struct Table {
    rows: BTreeMap<i64, User>,
    newest: i64,
}

impl Table {
    /// What a step does to the rows: it changes the user of a slot, which has a number as long as it is there, or makes one.
    fn change(&mut self, slots: &mut [Option<i64>], step: &Step) -> Vec<RowChange> {
        match step {
            Step::Put {
                slot,
                account,
                id,
                name,
                keys,
            } => {
                let before = slots[*slot].and_then(|number| self.rows.get(&number).cloned());
                let (account, id) = match before {
                    Some(user) => (user.account, user.id),
                    None => (ACCOUNTS[*account], id.to_string()),
                };
                let name = format!("N{name}@example.com");
                let is_taken = self.rows.iter().any(|(number, other)| {
                    let is_same = other.id == id || other.name == name;
                    slots[*slot] != Some(*number) && other.account == account && is_same
                });
                if is_taken {
                    return Vec::new();
                }
                let number = slots[*slot].unwrap_or_else(|| {
                    self.newest += 1;
                    self.newest
                });
                slots[*slot] = Some(number);
                let user = User {
                    account,
                    id,
                    name,
                    keys: keys.clone(),
                };
                let written = user.written(number);
                self.rows.insert(number, user);
                vec![written]
            }
            Step::Remove { slot } => {
                let number = slots[*slot].take();
                let removed = number.and_then(|number| Some((number, self.rows.remove(&number)?)));
                removed
                    .into_iter()
                    .map(|(number, user)| user.removed(number))
                    .collect()
            }
            Step::BeginPart | Step::ReadPart | Step::EndPart => Vec::new(),
        }
    }
}

/// That the index knows nothing wrong. Returns how many users it knows.
fn verify(index: &Index, table: &Table) -> Result<usize, TestCaseError> {
    let mut count = 0;
    for account in ACCOUNTS {
        for id in 1..40 {
            let id = id.to_string();
            let row = table
                .rows
                .iter()
                .find(|(_, user)| user.account == account && user.id == id);
            if let Found::Known { number, selected } = all_of(index, account, &id) {
                count += 1;
                let (&expected, user) = row.expect("a user that is known is there");
                prop_assert_eq!(number, expected);
                prop_assert_eq!(selected.count_ones() as usize, user.keys.len());
                for key in ["a", "b", "ab"] {
                    let selection = TagSelection::Keys(vec![TagKey::parse(key).unwrap()]);
                    let encoded = tags::encode(&user.tags());
                    let selected = tags::selected(&encoded, 0, &selection).unwrap();
                    prop_assert_eq!(
                        index.find(by_id(account, &id), &selection),
                        known(number, selected)
                    );
                }
            }
        }
        for name in 0..8 {
            let name = format!("n{name}@example.com");
            let found = index.find(by_name(account, &name), &TagSelection::All);
            if let Found::Maybe(number) = found {
                let user = table.rows.get(&number).expect("the hint leads to a user");
                prop_assert!(user.account == account && user.name.eq_ignore_ascii_case(&name));
            } else {
                prop_assert_eq!(found, Found::Ask);
            }
        }
    }
    Ok(count)
}

proptest! {
    #[test]
    fn it_knows_nothing_wrong_while_it_is_filled_and_users_come_and_go(
        before in steps(),
        steps in steps(),
        bytes in prop_oneof![Just(usize::MAX), Just(0), 0..60_000_usize],
    ) {
        let (mut table, mut slots) = (Table::default(), [None; 40]);
        for step in &before {
            table.change(&mut slots, step);
        }
        let index = Index::new(bytes);
        let mut part: Option<BTreeMap<i64, User>> = None;
        for step in &steps {
            match step {
                Step::BeginPart if part.is_none() => {
                    index.note_changes(Some(HashSet::default()));
                    part = Some(table.rows.clone());
                }
                Step::ReadPart => for (number, user) in part.iter().flatten() {
                    let RowChange::Written(row) = user.written(*number) else {
                        unreachable!("it is written");
                    };
                    index.put_unchanged(&row.record());
                },
                Step::EndPart => {
                    index.note_changes(None);
                    part = None;
                }
                step => index.apply(&table.change(&mut slots, step)),
            }
            let count = verify(&index, &table)?;
            let (_, users, names) = index.0.users.measure();
            prop_assert!(count <= users && names <= users && users <= table.rows.len());
            if bytes == 0 {
                prop_assert_eq!(users, 0);
            }
        }
        if bytes == usize::MAX {
            index.note_changes(None);
            for (number, user) in &table.rows {
                index.apply(&[user.written(*number)]);
            }
            let (_, users, names) = index.0.users.measure();
            prop_assert_eq!(verify(&index, &table)?, table.rows.len());
            prop_assert_eq!((users, names), (table.rows.len(), table.rows.len()));
            for (number, user) in &table.rows {
                let found = index.find(by_name(user.account, &user.name), &TagSelection::All);
                prop_assert_eq!(found, Found::Maybe(*number));
            }
        }
    }
}

fn put_numbered(index: &Index, number: u32) {
    let mut changing = index.0.changing.lock();
    let (id, name) = (
        format!("2{number:015}"),
        format!("user-{number}@example.com"),
    );
    let record = Record {
        number: number.into(),
        account: ACCOUNTS[0],
        id: &id,
        name: &name,
        tags: &[],
    };
    index.put(&record, &mut changing.budget);
}

#[test]
fn a_user_takes_at_most_56_bytes() {
    let index = Index::new(usize::MAX);
    let mut most = 0;
    for number in 1..=250_000 {
        put_numbered(&index, number);
        // At 114,688 and 229,376 users the tables become twice as large.
        if number >= 100_000 && number % 1_000 == 0 {
            let (bytes, users, names) = index.0.users.measure();
            assert_eq!((users, names), (number as usize, number as usize));
            most = most.max(bytes * 10 / users);
        }
    }
    assert!(most <= 560, "{most} tenths of a byte");
}

#[test]
fn it_takes_no_more_memory_than_it_may() {
    for bytes in [0, 1_000, 100_000, 1_000_000] {
        let index = Index::new(bytes);
        for number in 1..=30_000 {
            put_numbered(&index, number);
            if number % 97 == 0 {
                assert!(index.0.users.measure().0 <= bytes);
            }
        }
        let (_, users, names) = index.0.users.measure();
        assert!(users <= 30_000 && names <= users);
        assert!(
            users * 60 + 500_000 >= bytes.min(30_000 * 60),
            "{users} users in {bytes} bytes"
        );
    }
}
