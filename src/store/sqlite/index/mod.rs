//! The index: what is known of the users without reading their rows. It is filled when the service has started, changes with each
//! commit, and takes no more memory than it may. Who is not in it is searched for in the tables.

mod accounts;
mod budget;
mod dictionary;
mod filling;
mod key;
mod lookup;
mod slab;
#[cfg(test)]
mod tests;
mod users;

use std::collections::HashSet;
use std::sync::Arc;

use foldhash::fast::FixedState;

pub use key::Key;
pub use lookup::{Lookup, LookupResult};

use crate::domain::{TagKey, TagSelection};
use crate::store::sqlite::format::tags::TagMask;
use crate::store::sqlite::format::{Record, RowChange};
use crate::sync::parking_lot::{Mutex, RwLock};
use accounts::{AccountNumber, Accounts, RowKeys};
use budget::MemoryBudget;
use key::KeyKind;
use slab::Summary;
use users::Users;

/// The index that the connections of a store share.
#[derive(Debug, Clone)]
pub struct Index(Arc<State>);

#[derive(Debug)]
struct State {
    accounts: RwLock<Accounts>,
    users: Users,
    /// A lock that is held by the one who changes the others.
    changing: Mutex<Changing>,
}

#[derive(Debug)]
struct Changing {
    budget: MemoryBudget,
    /// The rows that were changed since a part began to be read.
    changed: Option<HashSet<i64, FixedState>>,
}

/// What the index knows of a key. That nobody has the key it never knows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Found {
    /// The number of the row with this key, and which of its tags are selected, those too that are removed.
    Known {
        number: i64,
        selected: TagMask,
        keys: KnownKeys,
    },
    /// The number of a row that may have the key.
    Maybe(i64),
    /// Nothing: the tables have to be searched.
    Ask,
}

/// The keys of a row, in the order of its tags: what they are can be asked for as long as there is the index.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct KnownKeys {
    account: AccountNumber,
    keys: RowKeys,
}

impl Index {
    /// An empty index, which may take so many bytes.
    pub fn new(bytes: usize) -> Self {
        Self(Arc::new(State {
            accounts: RwLock::default(),
            users: Users::default(),
            changing: Mutex::new(Changing {
                budget: MemoryBudget::new(bytes),
                changed: None,
            }),
        }))
    }

    /// Finds the row with a key, as it was after the last commit that was applied. Only who commits knows that it is still so.
    pub fn find(&self, key: Key<'_>, selection: &TagSelection) -> Found {
        let accounts = self.0.accounts.read();
        let Some(summary) = self.summary(&accounts, key) else {
            return Found::Ask;
        };
        let number = summary.number();
        let selected = accounts.selected(summary.account, summary.keys(), selection);
        match (key.kind, selected) {
            (KeyKind::Id, Some(selected)) => Found::Known {
                number,
                selected,
                keys: KnownKeys {
                    account: summary.account,
                    keys: summary.keys(),
                },
            },
            // Of a name the index has only a hash.
            _ => Found::Maybe(number),
        }
    }

    /// The keys of the tags at these positions of a row that has, or had, these keys.
    pub fn keys_at(&self, known: KnownKeys, positions: TagMask) -> Vec<TagKey> {
        let accounts = self.0.accounts.read();
        let keys = accounts.keys_at(known.account, known.keys, positions);
        let parse = |key| TagKey::parse(std::str::from_utf8(key).ok()?).ok();
        keys.filter_map(parse).collect()
    }

    /// The number of a row that may have a key.
    pub fn hint(&self, key: Key<'_>) -> Option<i64> {
        let summary = self.summary(&self.0.accounts.read(), key)?;
        Some(summary.number())
    }

    fn summary(&self, accounts: &Accounts, key: Key<'_>) -> Option<Summary> {
        let (users, account) = (&self.0.users, accounts.number(key.account)?);
        match key.kind {
            KeyKind::Id => users.get(account, number_of(key.name)?),
            KeyKind::Name => users.named(account, users.hash_of_name(account, key.name)),
        }
    }

    /// Takes over what a transaction has done, in its order, once that is committed and before it is published.
    pub fn apply(&self, changes: &[RowChange]) {
        if changes.is_empty() {
            return;
        }
        let mut changing = self.0.changing.lock();
        for change in changes {
            if let Some(changed) = &mut changing.changed {
                changed.insert(change.number());
            }
            match change {
                RowChange::Written(row) => self.put(&row.record(), &mut changing.budget),
                RowChange::Removed {
                    number,
                    account,
                    id,
                } => self.remove(*number, account, id),
            }
        }
    }

    /// Puts a row in, or replaces what is known of it.
    fn put(&self, record: &Record<'_>, budget: &mut MemoryBudget) {
        let Some(id) = number_of(record.id) else {
            return;
        };
        let State {
            accounts, users, ..
        } = &*self.0;
        let known = accounts.read().number(record.account);
        let learnt = known.or_else(|| accounts.write().learn(record.account, budget));
        let Some(account) = learnt else { return };
        let known = accounts.read().find_keys(account, record.tags);
        let learn = || accounts.write().learn_keys(account, record.tags, budget);
        // Where they fit into no dictionary, whoever wants them reads the row.
        let keys = known.or_else(learn).unwrap_or_default();
        let name = users.hash_of_name(account, record.name);
        if let Some(summary) = Summary::new(record.number, account, id, name, keys) {
            users.put(summary, budget);
        }
    }

    fn remove(&self, number: i64, account: &str, id: &str) {
        let account = self.0.accounts.read().number(account);
        if let (Some(account), Some(id)) = (account, number_of(id)) {
            self.0.users.remove(account, id, number);
        }
    }
}

/// The number that an id is, where it is written as that number is, and not too large.
fn number_of(id: &str) -> Option<u64> {
    id.parse().ok().filter(|_| !id.starts_with(['0', '+']))
}
