//! What the index knows, against what is true.

mod memory;
mod random;
#[cfg(shuttle)]
mod threads;

use std::collections::{BTreeMap, BTreeSet};
use std::ops::ControlFlow;

use rusqlite::{Connection, params};

use super::*;
use crate::domain::{AccountId, PrincipalName, ResourceId, TagKey, TagValue, Targets};
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

/// The number and the selected tags of a row that is known.
fn known(found: Found) -> Option<(i64, TagMask)> {
    match found {
        Found::Known {
            number, selected, ..
        } => Some((number, selected)),
        Found::Maybe(_) | Found::Ask => None,
    }
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
    assert_eq!(known(all_of(&index, account, "7")), Some((1, 0b11)));
    assert_eq!(known(all_of(&index, other, "7")), Some((2, 0b111)));
    assert_eq!(known(all_of(&index, account, "8")), Some((5, 0)));
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
    assert_eq!(
        known(index.find(by_id(other, "7"), &keys)),
        Some((2, 0b100))
    );
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
    assert_eq!(known(all_of(&index, account, "7")), Some((1, 0b1)));
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
    assert_eq!(known(all_of(&index, account, "7")), Some((1, 0b11)));
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
    assert_eq!(known(all_of(&index, ACCOUNTS[0], "4096")), Some((4096, 0)));
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

#[test]
fn a_wrong_row_id_changes_nothing_that_is_found() {
    let account = AccountId::parse(ACCOUNTS[0]).unwrap();
    let users = ["1", "2", "3"].map(|id| user(ACCOUNTS[0], id, &[]));
    let (_directory, connection) = store(&users);
    let index = Index::new(usize::MAX);
    // Another user's row, one that nobody has, and that of a user who is gone.
    let gone = user(ACCOUNTS[0], "4", &[]);
    index.apply(&[users[0].written(2), users[1].written(9), gone.written(3)]);
    let mut lookup = Lookup::new(&connection, &index).unwrap();
    let id = |id: &str| ResourceId::parse(id).unwrap();
    let name = |id: &str| PrincipalName::parse(format!("u{id}@EXAMPLE.com")).unwrap();
    let wanted = ["4", "3", "2", "1"];
    for targets in [
        Targets::Ids(wanted.map(id).to_vec()),
        Targets::Names(wanted.map(name).to_vec()),
    ] {
        let mut numbers = Vec::new();
        let missing = lookup.each(&account, &targets, |position, record| {
            numbers.push((position, record.number));
            Ok::<_, rusqlite::Error>(())
        });
        assert_eq!(missing.unwrap(), [0]);
        assert_eq!(numbers, [(1, 3), (2, 2), (3, 1)]);
    }
}
