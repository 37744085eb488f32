//! The users in the index, found by id and by name: many small tables, so that none that grows holds anybody up for long.

use std::collections::hash_map::RandomState as KeyedState;
use std::hash::{BuildHasher as _, Hasher as _};

use foldhash::quality::RandomState;
use hashbrown::HashTable;

use super::accounts::AccountNumber;
use super::budget::MemoryBudget;
use super::slab::{Slab, Summary};
use crate::sync::parking_lot::RwLock;

/// How many shards there are, by ids and by names: a shard's number is a byte. Tests of threads have one, where all meet.
const SHARDS: usize = if cfg!(all(test, shuttle)) {
    1
} else {
    1 << SHARD_BITS
};
const SHARD_BITS: u32 = u8::BITS;
/// How many slots a shard may have, so that a position is a number of 32 bits.
const MOST_SLOTS: u32 = 1 << (u32::BITS - SHARD_BITS);
/// The bytes that a table hashes at once of a name.
const NAME_PART: usize = 64;

/// The summaries of the users. One thread at a time changes them.
///
/// A user takes 28 bytes for the summary and 5 for an entry in each of two tables, which are 7/8 full when they grow and 7/16
/// full then: 39.4 to 50.9 bytes. Summaries are allocated 64 at a time, which adds 1 KiB to each of 256 shards.
#[derive(Debug)]
pub struct Users {
    ids: Box<[RwLock<IdShard>]>,
    /// The positions of users by the hashes of their names.
    names: Box<[RwLock<HashTable<Position>>]>,
    id_hasher: RandomState,
    /// The hasher of names, keyed: nobody can make names up whose hashes are the same.
    name_hasher: KeyedState,
}

/// The users of a shard, and their slots by the hashes of their ids.
#[derive(Debug, Default)]
struct IdShard {
    slots: HashTable<u32>,
    slab: Slab,
}

/// The position of a summary: a shard and a slot there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Position(u32);

impl Position {
    fn new(shard: u8, slot: u32) -> Self {
        Self(slot << SHARD_BITS | u32::from(shard))
    }

    fn shard(self) -> u8 {
        self.0.to_le_bytes()[0]
    }

    fn slot(self) -> u32 {
        self.0 >> SHARD_BITS
    }
}

impl Default for Users {
    fn default() -> Self {
        Self {
            ids: (0..SHARDS).map(|_| RwLock::default()).collect(),
            names: (0..SHARDS).map(|_| RwLock::default()).collect(),
            id_hasher: RandomState::default(),
            name_hasher: KeyedState::default(),
        }
    }
}

impl Users {
    /// The user with this id.
    pub fn get(&self, account: AccountNumber, id: u64) -> Option<Summary> {
        let hash = self.hash_of_id(account, id);
        let shard = self.users_of(shard_of(hash)).read();
        shard
            .find(hash, account, id)
            .map(|slot| shard.slab.get(slot))
    }

    /// A user whose name has this hash.
    pub fn named(&self, account: AccountNumber, hash: u64) -> Option<Summary> {
        let names = self.names_of(hash).read();
        // No lock is taken for long, and never those of names after those of ids.
        names.iter_hash(hash).find_map(|&position| {
            let summary = self.at(position);
            (summary.name == hash && summary.account == account).then_some(summary)
        })
    }

    /// The hash of a name, without regard to the case of ASCII letters.
    pub fn hash_of_name(&self, account: AccountNumber, name: &str) -> u64 {
        let mut hasher = self.name_hasher.build_hasher();
        hasher.write_u16(account);
        for part in name.as_bytes().chunks(NAME_PART) {
            let mut lower = [0; NAME_PART];
            let lower = &mut lower[..part.len()];
            lower.copy_from_slice(part);
            lower.make_ascii_lowercase();
            hasher.write(lower);
        }
        hasher.finish()
    }

    /// Puts a user in, or replaces the one with its id. Where there is no memory for it, it is left out, or its name is.
    pub fn put(&self, summary: Summary, budget: &mut MemoryBudget) {
        let hash = self.hash_of_id(summary.account, summary.id);
        let at = shard_of(hash);
        let mut shard = self.users_of(at).write();
        let mut before = None;
        let slot = match shard.find(hash, summary.account, summary.id) {
            Some(slot) => {
                before = Some(shard.slab.get(slot).name);
                shard.slab.set(slot, summary);
                Some(slot)
            }
            None => shard.add(hash, summary, &self.id_hasher, budget),
        };
        drop(shard);
        let Some(slot) = slot else { return };
        let (position, name) = (Position::new(at, slot), summary.name);
        if before != Some(name) {
            if let Some(before) = before {
                self.remove_name(before, position);
            }
            self.add_name(name, position, budget);
        }
    }

    /// Removes the user with this id, if its row has this number.
    pub fn remove(&self, account: AccountNumber, id: u64, number: i64) {
        let hash = self.hash_of_id(account, id);
        let at = shard_of(hash);
        let mut shard = self.users_of(at).write();
        let Some(slot) = shard.find(hash, account, id) else {
            return;
        };
        let summary = shard.slab.get(slot);
        if summary.number() != number {
            return;
        }
        if let Ok(entry) = shard.slots.find_entry(hash, |&other| other == slot) {
            entry.remove();
        }
        drop(shard);
        // As long as the name leads to the slot, nobody else has it.
        self.remove_name(summary.name, Position::new(at, slot));
        self.users_of(at).write().slab.remove(slot);
    }

    fn add_name(&self, hash: u64, position: Position, budget: &mut MemoryBudget) {
        let mut names = self.names_of(hash).write();
        let name_of = |&position: &Position| self.at(position).name;
        insert(&mut names, hash, position, name_of, budget);
    }

    fn remove_name(&self, hash: u64, position: Position) {
        let mut names = self.names_of(hash).write();
        // One for which there was no memory is not there.
        if let Ok(entry) = names.find_entry(hash, |other| *other == position) {
            entry.remove();
        }
    }

    /// How many bytes are allocated, and how many users and names there are.
    #[cfg(test)]
    pub fn measure(&self) -> (usize, usize, usize) {
        let (mut bytes, mut users, mut names) = (0, 0, 0);
        for (by_id, by_name) in self.ids.iter().zip(&self.names) {
            let (by_id, by_name) = (by_id.read(), by_name.read());
            bytes += by_id.slots.allocation_size() + by_name.allocation_size() + by_id.slab.bytes();
            users += by_id.slots.len();
            names += by_name.len();
        }
        (bytes, users, names)
    }

    fn at(&self, position: Position) -> Summary {
        self.users_of(position.shard())
            .read()
            .slab
            .get(position.slot())
    }

    fn users_of(&self, shard: u8) -> &RwLock<IdShard> {
        &self.ids[usize::from(shard)]
    }

    fn names_of(&self, hash: u64) -> &RwLock<HashTable<Position>> {
        &self.names[usize::from(shard_of(hash))]
    }

    fn hash_of_id(&self, account: AccountNumber, id: u64) -> u64 {
        self.id_hasher.hash_one((account, id))
    }
}

impl IdShard {
    fn find(&self, hash: u64, account: AccountNumber, id: u64) -> Option<u32> {
        let is_of = |&slot: &u32| {
            let summary = self.slab.get(slot);
            summary.id == id && summary.account == account
        };
        self.slots.find(hash, is_of).copied()
    }

    fn add(
        &mut self,
        hash: u64,
        summary: Summary,
        hasher: &RandomState,
        budget: &mut MemoryBudget,
    ) -> Option<u32> {
        let Self { slots, slab } = self;
        let slot = slab.add(summary, MOST_SLOTS, budget)?;
        let hash_of = |&slot: &u32| {
            let Summary { account, id, .. } = slab.get(slot);
            hasher.hash_one((account, id))
        };
        let is_inserted = insert(slots, hash, slot, hash_of, budget);
        if !is_inserted {
            slab.remove(slot);
        }
        is_inserted.then_some(slot)
    }
}

/// The shard of a hash, by bits that its table has no use for.
fn shard_of(hash: u64) -> u8 {
    if SHARDS == 1 {
        0
    } else {
        hash.to_le_bytes()[6]
    }
}

/// Inserts an entry of 4 bytes into a table, if there is memory for it. Returns whether it was.
fn insert<T>(
    table: &mut HashTable<T>,
    hash: u64,
    entry: T,
    hash_of: impl Fn(&T) -> u64,
    budget: &mut MemoryBudget,
) -> bool {
    let before = table.allocation_size();
    let growth = growth(table);
    if !budget.take(growth) {
        return false;
    }
    table.insert_unique(hash, entry, hash_of);
    // While a table grows there are two. One that did not have to grow gives back what it has taken.
    budget.give_back((before + growth).saturating_sub(table.allocation_size()));
    true
}

/// How large a table becomes at most with one entry more, in bytes, or 0 where it has a place for that.
fn growth<T>(table: &HashTable<T>) -> usize {
    let most = table.num_buckets() / 8 * 7;
    // With many removed entries it puts the others in order, and stays as large as it is.
    if table.len() < table.capacity() || table.len() < most / 2 {
        return 0;
    }
    let buckets = (2 * table.num_buckets()).max(8);
    // A group of control bytes is behind them, and in front what aligns it.
    buckets * (size_of::<T>() + 1) + 32
}
