//! The names of the accounts, of the users and of their tags.

use std::collections::BTreeMap;
use std::fmt::{self, Display, Formatter};

/// The first account, and the only one where nobody asks for more.
pub const ACCOUNT: &str = "1000000000000001";
/// How many tags each user has, which is as many as a user may have.
pub const KEYS: usize = 20;

/// So many accounts, to which users are dealt out by their numbers.
#[derive(Clone, Copy)]
pub struct Accounts(pub u32);

impl Display for Accounts {
    fn fmt(&self, formatter: &mut Formatter<'_>) -> fmt::Result {
        match self.0 {
            1 => formatter.write_str("one account"),
            several => write!(formatter, "{several} accounts"),
        }
    }
}

impl Accounts {
    /// The ids of the accounts.
    pub fn ids(self) -> impl Iterator<Item = String> {
        (0..self.0).map(|number| (1_000_000_000_000_001 + u64::from(number)).to_string())
    }

    /// The number of a user's account.
    pub fn number(self, user: u32) -> usize {
        (user % self.0) as usize
    }

    /// The user next to a drawn one that is of the account of another one.
    pub fn neighbour(self, drawn: u32, other: u32) -> u32 {
        drawn - drawn % self.0 + other % self.0
    }

    /// The users in groups of one account, of at most so many each.
    pub fn groups(self, users: &[u32], most: usize) -> Vec<(String, Vec<u32>)> {
        let mut by_account: BTreeMap<usize, Vec<u32>> = BTreeMap::new();
        for &user in users {
            by_account.entry(self.number(user)).or_default().push(user);
        }
        let ids: Vec<String> = self.ids().collect();
        let groups = by_account.iter().flat_map(|(&account, users)| {
            let id = &ids[account];
            users.chunks(most).map(|group| (id.clone(), group.to_vec()))
        });
        groups.collect()
    }
}

/// The id of a user by its number: 16 digits, as real ones have.
pub fn id(user: u32) -> String {
    (2_000_000_000_000_000 + u64::from(user)).to_string()
}

/// The principal name of a user by its number.
pub fn principal_name(user: u32) -> String {
    format!("user-{user:08}@benchmark.onaliyun.com")
}

/// A tag key by its number, in order.
pub fn key(number: usize) -> String {
    format!("k{number:02}")
}

/// The value of a tag by the number of its key.
pub fn value(number: usize) -> String {
    format!("value of {}", key(number))
}
