//! The newest changes of an account, which its watches share.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use crate::domain::{Change, EffectKind, PassedChange, Revision, TagKey, TagValue, User};

/// How many bytes the changes of one ring may take, about.
const RING_BYTES: usize = 2 << 20;
/// How many bytes those of all rings may take together.
const ALL_BYTES: usize = 32 << 20;
/// How many changes are taken at once.
const TAKEN_AT_ONCE: usize = 64;

/// Changes whose revisions have no gap, up to the newest that is known.
#[derive(Debug)]
pub struct Ring {
    changes: VecDeque<(Arc<Change>, usize)>,
    bytes: usize,
    /// How many bytes all rings take.
    held: Arc<AtomicUsize>,
    newest: Option<PassedChange>,
}

/// What a ring has behind a change.
#[derive(Debug)]
pub enum Next {
    /// Nothing: that was the newest.
    Nothing,
    /// These changes, the next ones.
    Changes(Vec<Arc<Change>>),
    /// The next one is no longer in the ring.
    Gone,
}

impl Ring {
    /// An empty ring, behind a change that is the newest.
    pub fn behind(newest: Option<PassedChange>, held: Arc<AtomicUsize>) -> Self {
        Self {
            changes: VecDeque::new(),
            bytes: 0,
            held,
            newest,
        }
    }

    /// The newest change that is known.
    pub fn newest(&self) -> Option<PassedChange> {
        self.newest
    }

    /// Adds the next change, for which older ones may have to go.
    pub fn push(&mut self, change: Change) {
        self.newest = Some(PassedChange {
            revision: change.revision,
            request_id: change.request_id,
        });
        let bytes = weight(&change);
        self.bytes += bytes;
        self.held.fetch_add(bytes, Ordering::Relaxed);
        self.changes.push_back((Arc::new(change), bytes));
        while self.bytes > RING_BYTES || self.held.load(Ordering::Relaxed) > ALL_BYTES {
            let Some((_, bytes)) = self.changes.pop_front() else {
                return;
            };
            self.give_back(bytes);
        }
    }

    /// Goes on behind a change that is newer than the next one.
    pub fn skip_to(&mut self, newest: Option<PassedChange>) {
        self.changes.clear();
        self.give_back(self.bytes);
        self.newest = newest;
    }

    fn give_back(&mut self, bytes: usize) {
        self.bytes -= bytes;
        self.held.fetch_sub(bytes, Ordering::Relaxed);
    }

    /// The next changes behind one, some at a time.
    pub fn after(&self, passed: Option<Revision>) -> Next {
        let next = passed.map_or(Revision::FIRST, Revision::next);
        if self.newest.is_none_or(|newest| newest.revision < next) {
            return Next::Nothing;
        }
        let first = self.changes.front().map(|(first, _)| first.revision);
        let Some(first) = first.filter(|first| *first <= next) else {
            return Next::Gone;
        };
        let passed = usize::try_from(next.get() - first.get()).unwrap_or(usize::MAX);
        let behind = self.changes.iter().skip(passed).take(TAKEN_AT_ONCE);
        Next::Changes(behind.map(|(change, _)| Arc::clone(change)).collect())
    }
}

impl Drop for Ring {
    fn drop(&mut self) {
        self.held.fetch_sub(self.bytes, Ordering::Relaxed);
    }
}

/// How many bytes a change takes, about.
pub fn weight(change: &Change) -> usize {
    let effects = change.effects.iter().map(|effect| match &effect.kind {
        EffectKind::Tags { removed, set } => {
            let removed = removed.iter().map(|(key, value)| weight_of(key, value));
            let set = set.iter().map(|tag| {
                let old = tag.old.as_ref().map_or(0, |old| old.as_str().len());
                weight_of(&tag.key, &tag.new) + old
            });
            removed.sum::<usize>() + set.sum::<usize>()
        }
        EffectKind::Created(user) | EffectKind::Deleted(user) | EffectKind::Restored(user) => {
            weight_of_user(user)
        }
        EffectKind::Updated { before, after } => weight_of_user(before) + weight_of_user(after),
    });
    // What a change and an effect take by themselves.
    256 + effects.map(|effect| 96 + effect).sum::<usize>()
}

/// How many bytes a user takes, about.
pub fn weight_of_user(user: &User) -> usize {
    let tags = user.resource.tags().iter();
    512 + tags
        .map(|(key, value)| weight_of(key, value))
        .sum::<usize>()
}

fn weight_of(key: &TagKey, value: &TagValue) -> usize {
    64 + key.as_str().len() + value.as_str().len()
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use super::*;
    use crate::domain::{Action, Caller, Effect, RequestId, ResourceId, Timestamp};

    fn change(revision: u64, users: usize) -> Change {
        let tag = |number: usize| {
            let key = TagKey::parse(format!("key-{number}")).unwrap();
            (key, TagValue::parse("v".repeat(100)).unwrap())
        };
        let effect = |user: usize| Effect {
            resource_id: ResourceId::parse(user.to_string()).unwrap(),
            kind: EffectKind::Tags {
                removed: (0..20).map(tag).collect(),
                set: Vec::new(),
            },
        };
        Change {
            revision: Revision::new(revision).unwrap(),
            request_id: RequestId::now(),
            time: Timestamp::from_millis(0),
            caller: Caller::anonymous(),
            source_ip: Ipv4Addr::LOCALHOST.into(),
            action: Action::UntagResources,
            client_token: None,
            effects: (0..users).map(effect).collect(),
        }
    }

    /// What comes behind a revision: those of the changes, or why there are none.
    fn after(ring: &Ring, passed: u64) -> Result<Vec<u64>, &'static str> {
        match ring.after(Revision::new(passed)) {
            Next::Nothing => Err("nothing"),
            Next::Gone => Err("gone"),
            Next::Changes(changes) => {
                Ok(changes.iter().map(|change| change.revision.get()).collect())
            }
        }
    }

    #[test]
    fn a_ring_has_all_changes_behind_its_first_and_tells_what_is_gone() {
        let held = Arc::new(AtomicUsize::new(0));
        let mut ring = Ring::behind(None, Arc::clone(&held));
        assert_eq!(after(&ring, 0), Err("nothing"));
        for revision in 1..=3 {
            ring.push(change(revision, 1));
        }
        assert_eq!(after(&ring, 0), Ok(vec![1, 2, 3]));
        assert_eq!(after(&ring, 2), Ok(vec![3]));
        assert_eq!(after(&ring, 3), Err("nothing"));
        // A watch may have read further than its hub.
        assert_eq!(after(&ring, 7), Err("nothing"));
        for revision in 4..=200 {
            ring.push(change(revision, 50));
        }
        assert!(ring.bytes <= RING_BYTES && held.load(Ordering::Relaxed) == ring.bytes);
        assert_eq!(after(&ring, 3), Err("gone"));
        assert_eq!(after(&ring, 199), Ok(vec![200]));
        assert_eq!(after(&ring, 195).map(|all| all[0]), Ok(196));
        drop(ring);
        assert_eq!(held.load(Ordering::Relaxed), 0);
    }

    #[test]
    fn all_rings_together_have_a_bound() {
        let held = Arc::new(AtomicUsize::new(ALL_BYTES));
        let newest = PassedChange {
            revision: Revision::new(6).unwrap(),
            request_id: RequestId::now(),
        };
        let mut ring = Ring::behind(Some(newest), Arc::clone(&held));
        ring.push(change(7, 1));
        assert_eq!(held.load(Ordering::Relaxed), ALL_BYTES);
        assert_eq!(after(&ring, 6), Err("gone"));
        assert_eq!(after(&ring, 7), Err("nothing"));
    }
}
