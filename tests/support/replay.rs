//! The change log replayed: from what a store held at first, its entries lead to what it holds now, each with the values that were
//! there before.

use std::collections::BTreeMap;

use untag::domain::{
    AccountId, Change, ChangesQuery, Direction, Effect, EffectKind, Resource, ResourceId, Revision,
    TagKey, TagValue, User,
};

type Place = (AccountId, ResourceId);

/// The query for all changes of an account, from a revision on.
pub fn changes_from(account: &AccountId, from: u64, direction: Direction) -> ChangesQuery {
    ChangesQuery {
        account: account.clone(),
        from: Revision::new(from).unwrap(),
        direction,
        user: None,
        most: usize::MAX,
        most_effects: usize::MAX,
    }
}

/// Users as the entries of a log leave them: those that are there, and those that are deleted.
pub struct Replay {
    there: BTreeMap<Place, User>,
    deleted: BTreeMap<Place, User>,
}

impl Replay {
    /// What a store holds that was filled with these.
    pub fn new(resources: &[Resource]) -> Self {
        let user = |resource: &Resource| {
            let place = (resource.account.clone(), resource.id.clone());
            let user = User {
                resource: resource.clone(),
                display_name: None,
                comments: None,
                create_time: None,
                update_time: None,
                delete_time: None,
            };
            (place, user)
        };
        Self {
            there: resources.iter().map(user).collect(),
            deleted: BTreeMap::new(),
        }
    }

    /// The users that are there, in order of account and id.
    pub fn users(&self) -> impl Iterator<Item = &User> {
        self.there.values()
    }

    /// All users of an account, with whether each is there or deleted.
    pub fn all_users(&self, account: &AccountId) -> impl Iterator<Item = (&User, bool)> {
        let there = self.there.iter().map(|(place, user)| (place, user, true));
        let deleted = self.deleted.iter();
        let all = there.chain(deleted.map(|(place, user)| (place, user, false)));
        all.filter(move |((owner, _), ..)| owner == account)
            .map(|(_, user, is_there)| (user, is_there))
    }

    /// Applies all changes of an account, whose revisions have no gap.
    pub fn apply(&mut self, account: &AccountId, changes: &[Change]) {
        for (at, change) in changes.iter().enumerate() {
            assert_eq!(change.revision.get(), at as u64 + 1, "{account}");
            assert!(!change.effects.is_empty(), "{change:?}");
            for effect in &change.effects {
                self.apply_effect(account, effect, change);
            }
        }
    }

    fn apply_effect(&mut self, account: &AccountId, effect: &Effect, change: &Change) {
        let place = (account.clone(), effect.resource_id.clone());
        match &effect.kind {
            EffectKind::Tags { removed, set } => {
                assert!(!removed.is_empty() || !set.is_empty(), "{change:?}");
                let there = self
                    .there
                    .get_mut(&place)
                    .expect("tags are of who is there");
                let mut tags = there.resource.tags().clone();
                for (key, value) in removed {
                    // Values hide from messages.
                    assert!(
                        tags.remove(key).as_ref() == Some(value),
                        "{key}: {change:?}"
                    );
                }
                for set in set {
                    let before = tags.insert(set.key.clone(), set.new.clone());
                    assert!(before == set.old, "{}: {change:?}", set.key);
                    assert!(before.as_ref() != Some(&set.new), "{change:?}");
                }
                there.resource = with_tags(&there.resource, tags);
            }
            EffectKind::Created(created) => {
                let before = self.there.insert(place.clone(), User::clone(created));
                assert_eq!(before, None, "{change:?}");
                self.deleted.remove(&place);
            }
            EffectKind::Updated { before, after } => {
                let found = self.there.insert(place, User::clone(after));
                assert!(
                    found.is_some_and(|found| found.is_same(before)),
                    "{change:?}"
                );
                assert!(!before.is_same(after), "{change:?}");
            }
            EffectKind::Deleted(before) => {
                let found = self.there.remove(&place).expect("it was there");
                assert!(found.is_same(before), "{change:?}");
                self.deleted.insert(place, found);
            }
            EffectKind::Restored(after) => {
                let found = self.deleted.remove(&place).expect("it was deleted");
                assert!(found.resource.tags() == after.resource.tags(), "{change:?}");
                assert_eq!(self.there.insert(place, User::clone(after)), None);
            }
        }
    }
}

/// The same user with other tags.
pub fn with_tags(resource: &Resource, tags: BTreeMap<TagKey, TagValue>) -> Resource {
    let name = resource.principal_name.clone();
    Resource::new(resource.account.clone(), resource.id.clone(), name, tags).unwrap()
}
