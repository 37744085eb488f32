//! The index beside a map, while it is filled and users come and go.

use std::collections::{BTreeMap, BTreeSet, HashSet};

use proptest::prelude::*;

use super::{ACCOUNTS, User, all_of, by_id, by_name, known};
use crate::domain::{TagKey, TagSelection};
use crate::store::sqlite::format::{RowChange, tags};
use crate::store::sqlite::index::{Found, Index};

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
            if let Some((number, selected)) = known(all_of(index, account, &id)) {
                count += 1;
                let (&expected, user) = row.expect("a user that is known is there");
                prop_assert_eq!(number, expected);
                prop_assert_eq!(selected.count_ones() as usize, user.keys.len());
                for key in ["a", "b", "ab"] {
                    let selection = TagSelection::Keys(vec![TagKey::parse(key).unwrap()]);
                    let encoded = tags::encode(&user.tags());
                    let selected = tags::selected(&encoded, 0, &selection).unwrap();
                    prop_assert_eq!(
                        known(index.find(by_id(account, &id), &selection)),
                        Some((number, selected))
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
