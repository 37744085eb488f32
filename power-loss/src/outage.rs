//! What a disk could hold after the power went.

use std::collections::BTreeMap;

use rand::rngs::StdRng;
use rand::seq::IndexedRandom as _;
use rand::{Rng as _, SeedableRng as _};

use crate::event::{Event, Inode};
use crate::tree::Tree;

/// What a disk writes as a whole or not at all.
const SECTOR: u64 = 512;

/// A disk at a moment of a record: what is on it for sure, and what may be.
#[derive(Debug, Clone)]
pub struct Outage {
    synced: Tree,
    /// What was not synced, in its order.
    unsynced: Vec<Event>,
}

/// How much survives of what was not synced.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Survival {
    /// Nothing.
    Nothing,
    /// Everything, as when the process is killed.
    Everything,
    /// What came first, and a part of the change after it.
    Beginning,
    /// Each change or not, at random.
    Changes,
    /// Each sector of each write or not, at random.
    Sectors,
}

impl Survival {
    const ALL: [Self; 5] = [
        Self::Nothing,
        Self::Everything,
        Self::Beginning,
        Self::Changes,
        Self::Sectors,
    ];
}

impl Outage {
    /// A disk before the first event of a record.
    #[must_use]
    pub fn new(before: Tree) -> Self {
        Self {
            synced: before,
            unsynced: Vec::new(),
        }
    }

    /// Goes on to the moment behind an event.
    pub(crate) fn pass(&mut self, event: &Event) {
        match event {
            Event::Sync { inode, .. } => self.sync(*inode),
            _ if event.awaits().is_some() => self.unsynced.push(event.clone()),
            _ => self.synced.apply(event),
        }
    }

    fn sync(&mut self, inode: Inode) {
        let is_due = |event: &mut Event| event.awaits() == Some(inode);
        for event in self.unsynced.extract_if(.., is_due) {
            self.synced.apply(&event);
        }
    }

    /// How many changes were not synced.
    #[must_use]
    pub fn unsynced(&self) -> usize {
        self.unsynced.len()
    }

    /// What was not synced, for people: how many changes of each file and directory, by the names that they have.
    #[must_use]
    pub fn summary(&self) -> String {
        let mut now = self.synced.clone();
        for event in &self.unsynced {
            now.apply(event);
        }
        let mut counts = BTreeMap::new();
        for inode in self.unsynced.iter().filter_map(Event::awaits) {
            *counts.entry(inode).or_insert(0) += 1;
        }
        let counts = counts.into_iter().map(|(inode, count)| {
            let path = now.path(inode);
            let path = path.map_or_else(|| "(no name)".into(), |path| path.display().to_string());
            format!("{path}: {count}")
        });
        counts.collect::<Vec<_>>().join(", ")
    }

    /// What the disk could hold if the power went now: the same seed makes the same.
    ///
    /// # Panics
    /// Never.
    #[must_use]
    pub fn image(&self, seed: u64) -> (Survival, Tree) {
        let mut random = StdRng::seed_from_u64(seed);
        let survival = *Survival::ALL.choose(&mut random).expect("there are some");
        let mut image = self.synced.clone();
        match survival {
            Survival::Nothing => {}
            Survival::Everything => {
                for event in &self.unsynced {
                    image.apply(event);
                }
            }
            Survival::Beginning => {
                let count = random.random_range(0..=self.unsynced.len());
                let (whole, rest) = self.unsynced.split_at(count);
                for event in whole {
                    image.apply(event);
                }
                if let Some(event) = rest.first() {
                    tear(&mut image, event, 0.5, &mut random);
                }
            }
            Survival::Changes => {
                let odds = odds(&mut random);
                for event in &self.unsynced {
                    if random.random_bool(odds) {
                        image.apply(event);
                    }
                }
            }
            Survival::Sectors => {
                let odds = odds(&mut random);
                for event in &self.unsynced {
                    tear(&mut image, event, odds, &mut random);
                }
            }
        }
        (survival, image)
    }
}

/// How probable it is that a change survives.
fn odds(random: &mut StdRng) -> f64 {
    *[0.1, 0.5, 0.9].choose(random).expect("there are some")
}

/// Applies parts of a write, each with the same odds, and any other change or not.
fn tear(image: &mut Tree, event: &Event, odds: f64, random: &mut StdRng) {
    let Event::Write {
        inode,
        offset,
        bytes,
    } = event
    else {
        if random.random_bool(odds) {
            image.apply(event);
        }
        return;
    };
    let end = offset + bytes.len() as u64;
    let mut at = *offset;
    while at < end {
        let next = end.min((at / SECTOR + 1) * SECTOR);
        if random.random_bool(odds) {
            let part = |place: u64| usize::try_from(place - offset).unwrap_or(bytes.len());
            image.write(*inode, at, &bytes[part(at)..part(next)]);
        }
        at = next;
    }
    // The length is kept apart from the bytes.
    if random.random_bool(odds) {
        image.lengthen(*inode, end);
    }
}
