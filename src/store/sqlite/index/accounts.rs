//! The accounts of the users in the index, each with the dictionaries of its keys.

use std::collections::HashMap;

use foldhash::fast::FixedState;

use super::budget::MemoryBudget;
use super::dictionary::{KeyDictionary, KeyMask};
use crate::domain::TagSelection;
use crate::store::sqlite::format::tags::{self, TagMask};

/// How many dictionaries an account may have.
const DICTIONARIES: usize = 16;
/// What an account takes beside its id, about, in bytes.
const BYTES_OF_AN_ACCOUNT: usize = 192;

/// The number that the index has for an account.
pub type AccountNumber = u16;

/// The keys of a row, as bits of one of the dictionaries of its account.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct RowKeys {
    /// The dictionary, counted from 1. With 0 the keys are in none, and the row has to be read.
    pub dictionary: u8,
    pub mask: KeyMask,
}

/// The accounts, by id and by number. They are never removed.
#[derive(Debug, Default)]
pub struct Accounts {
    accounts: Vec<Account>,
    numbers: HashMap<Box<str>, AccountNumber, FixedState>,
}

#[derive(Debug, Default)]
struct Account {
    dictionaries: Vec<KeyDictionary>,
}

impl Accounts {
    /// The number of an account, if it has one.
    pub fn number(&self, id: &str) -> Option<AccountNumber> {
        self.numbers.get(id).copied()
    }

    /// The number of an account, which gets one if there is memory for it.
    pub fn learn(&mut self, id: &str, budget: &mut MemoryBudget) -> Option<AccountNumber> {
        if let Some(number) = self.number(id) {
            return Some(number);
        }
        let number = AccountNumber::try_from(self.accounts.len()).ok()?;
        if !budget.take_for_texts(BYTES_OF_AN_ACCOUNT + id.len()) {
            return None;
        }
        self.accounts.push(Account::default());
        self.numbers.insert(id.into(), number);
        Some(number)
    }

    /// The keys of these encoded tags, if a dictionary of the account has all of them.
    pub fn find_keys(&self, account: AccountNumber, tags: &[u8]) -> Option<RowKeys> {
        let account = self.accounts.get(usize::from(account))?;
        account.find(&tags::keys(tags).ok()?)
    }

    /// The keys of these encoded tags. Those that are new are added to a dictionary, if there is memory for it.
    pub fn learn_keys(
        &mut self,
        account: AccountNumber,
        tags: &[u8],
        budget: &mut MemoryBudget,
    ) -> Option<RowKeys> {
        let account = self.accounts.get_mut(usize::from(account))?;
        account.learn(&tags::keys(tags).ok()?, budget)
    }

    /// The positions of the selected tags in a row with these keys, if they are known.
    pub fn selected(
        &self,
        account: AccountNumber,
        keys: RowKeys,
        selection: &TagSelection,
    ) -> Option<TagMask> {
        let dictionary = self.dictionary(account, keys)?;
        Some(dictionary.places(keys.mask, selection))
    }

    /// The keys at these positions in a row with these keys.
    pub fn keys_at(
        &self,
        account: AccountNumber,
        keys: RowKeys,
        places: TagMask,
    ) -> impl Iterator<Item = &[u8]> {
        let dictionary = self.dictionary(account, keys).into_iter();
        dictionary.flat_map(move |dictionary| dictionary.keys_at(keys.mask, places))
    }

    fn dictionary(&self, account: AccountNumber, keys: RowKeys) -> Option<&KeyDictionary> {
        let dictionary = usize::from(keys.dictionary).checked_sub(1)?;
        let account = self.accounts.get(usize::from(account))?;
        account.dictionaries.get(dictionary)
    }
}

impl Account {
    fn find(&self, keys: &[&[u8]]) -> Option<RowKeys> {
        let mut all = self.dictionaries.iter().enumerate();
        all.find_map(|(at, dictionary)| row_keys(at, dictionary.find(keys)?))
    }

    fn learn(&mut self, keys: &[&[u8]], budget: &mut MemoryBudget) -> Option<RowKeys> {
        let found = self.find(keys);
        if found.is_some() {
            return found;
        }
        let learnt = self.learn_in_one(keys, budget);
        if learnt.is_some() || self.dictionaries.len() == DICTIONARIES {
            return learnt;
        }
        let mut dictionary = KeyDictionary::default();
        let mask = dictionary.learn(keys, budget)?;
        self.dictionaries.push(dictionary);
        row_keys(self.dictionaries.len() - 1, mask)
    }

    /// Adds keys to the first dictionary in which they fit.
    fn learn_in_one(&mut self, keys: &[&[u8]], budget: &mut MemoryBudget) -> Option<RowKeys> {
        let mut all = self.dictionaries.iter_mut().enumerate();
        all.find_map(|(at, dictionary)| row_keys(at, dictionary.learn(keys, budget)?))
    }
}

fn row_keys(dictionary: usize, mask: KeyMask) -> Option<RowKeys> {
    let dictionary = u8::try_from(dictionary + 1).ok()?;
    Some(RowKeys { dictionary, mask })
}
