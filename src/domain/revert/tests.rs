//! Reverts in random histories of users who come and go, against the states of those histories.

use std::collections::{BTreeMap, BTreeSet};

use rand::rngs::StdRng;
use rand::seq::{IndexedRandom as _, IteratorRandom as _};
use rand::{Rng as _, SeedableRng as _};

use super::*;
use crate::domain::{Comments, DisplayName, Resource, SetTag, TagValue, limits};

/// How many histories are tried, unless this variable says it.
const HISTORIES: u64 = 3_000;
const HISTORIES_VARIABLE: &str = "UNTAG_REVERT_HISTORIES";
/// How many changes a history has.
const CHANGES: usize = 14;
const USERS: usize = 5;
/// More than a user may carry.
const KEYS: usize = 23;

/// The users of an account by id: those that are there and those that are deleted.
type State = BTreeMap<ResourceId, Present>;

/// A user without its times.
type Content = (
    String,
    Option<DisplayName>,
    Option<Comments>,
    BTreeMap<TagKey, TagValue>,
);

fn id(number: usize) -> ResourceId {
    ResourceId::parse(number.to_string()).unwrap()
}

fn key(number: usize) -> TagKey {
    TagKey::parse(format!("k{number:02}")).unwrap()
}

fn value(number: usize) -> TagValue {
    TagValue::parse(number.to_string()).unwrap()
}

fn with_tags(user: &User, tags: BTreeMap<TagKey, TagValue>) -> User {
    let (account, name) = (&user.resource.account, &user.resource.principal_name);
    let (account, id, name) = (account.clone(), user.resource.id.clone(), name.clone());
    User {
        resource: Resource::new(account, id, name, tags).unwrap(),
        ..user.clone()
    }
}

fn renamed(user: &User, name: &str) -> User {
    let mut user = user.clone();
    user.resource.principal_name = PrincipalName::parse(name).unwrap();
    user
}

fn content(user: &User) -> Content {
    (
        user.resource.principal_name.as_str().to_owned(),
        user.display_name.clone(),
        user.comments.clone(),
        user.resource.tags().clone(),
    )
}

fn there<'a>(state: &'a State, id: &ResourceId) -> Option<&'a User> {
    match state.get(id) {
        Some(Present::There(user)) => Some(user),
        _ => None,
    }
}

/// Applies effects, each of which has to fit.
fn apply(state: &mut State, effects: &[Effect]) {
    for Effect { resource_id, kind } in effects {
        let now = state.get(resource_id).cloned().unwrap_or(Present::Absent);
        let then = match (kind, now) {
            (EffectKind::Tags { removed, set }, Present::There(user)) => {
                let mut tags = user.resource.tags().clone();
                for (key, value) in removed {
                    assert!(tags.remove(key).as_ref() == Some(value));
                }
                for tag in set {
                    assert!(tags.insert(tag.key.clone(), tag.new.clone()) == tag.old);
                    assert!(tag.old.as_ref() != Some(&tag.new));
                }
                assert!(!removed.is_empty() || !set.is_empty());
                Present::There(Box::new(with_tags(&user, tags)))
            }
            (EffectKind::Created(user), Present::Absent) => Present::There(user.clone()),
            (EffectKind::Updated { before, after }, Present::There(user)) => {
                assert!(user.is_same(before) && !before.is_same(after));
                Present::There(after.clone())
            }
            (EffectKind::Deleted(before), Present::There(user)) => {
                assert!(user.is_same(before));
                Present::Deleted(before.clone())
            }
            (EffectKind::Restored(after), Present::Deleted(user)) => {
                assert!(user.resource.tags() == after.resource.tags());
                Present::There(after.clone())
            }
            (kind, now) => panic!("{kind:?} of {now:?}"),
        };
        state.insert(resource_id.clone(), then);
    }
    let users = || state.keys().filter_map(|id| there(state, id));
    let names: BTreeSet<_> = users()
        .map(|user| user.resource.principal_name.folded())
        .collect();
    assert_eq!(names.len(), users().count(), "a name has one user");
}

/// A random history: the effects of each change, with the states before and after it.
struct History {
    random: StdRng,
    now: State,
    changes: Vec<(Vec<Effect>, State, State)>,
}

impl History {
    fn new(seed: u64) -> Self {
        let mut history = Self {
            random: StdRng::seed_from_u64(seed),
            now: State::new(),
            changes: Vec::new(),
        };
        for number in 0..USERS {
            let count = history.random.random_range(16..=limits::TAGS_OF_A_USER);
            let user = history.new_user(number, &format!("user-{number}@a"), count);
            history
                .now
                .insert(id(number), Present::There(Box::new(user)));
        }
        history
    }

    fn new_user(&mut self, number: usize, name: &str, tags: usize) -> User {
        let keys = (0..KEYS).choose_multiple(&mut self.random, tags);
        let resource = Resource::new(
            AccountId::parse("1").unwrap(),
            id(number),
            PrincipalName::parse(name).unwrap(),
            keys.into_iter()
                .map(|number| (key(number), value(0)))
                .collect(),
        );
        User {
            resource: resource.unwrap(),
            display_name: None,
            comments: None,
            create_time: None,
            update_time: None,
            delete_time: None,
        }
    }

    /// Makes a change of these effects, if there are any.
    fn make(&mut self, effects: Vec<Effect>) {
        if effects.is_empty() {
            return;
        }
        let before = self.now.clone();
        apply(&mut self.now, &effects);
        self.changes.push((effects, before, self.now.clone()));
    }

    /// A few users that are there.
    fn some_users(&mut self) -> Vec<User> {
        let count = self.random.random_range(1..=3);
        let users = self.now.keys().filter_map(|id| there(&self.now, id));
        users.cloned().choose_multiple(&mut self.random, count)
    }

    fn change_tags(&mut self) {
        let users = self.some_users();
        let count = self.random.random_range(1..=4);
        let keys = (0..KEYS).choose_multiple(&mut self.random, count);
        let mut effects = Vec::new();
        for user in users {
            let (mut removed, mut set) = (BTreeMap::new(), Vec::new());
            let mut left = user.resource.tags().len();
            for number in &keys {
                let (key, found) = (key(*number), user.resource.tags().get(&key(*number)));
                if self.random.random_bool(0.5) {
                    removed.extend(found.map(|value| (key, value.clone())));
                    continue;
                }
                let new = value(self.random.random_range(0..3));
                if found != Some(&new) && (found.is_some() || left < limits::TAGS_OF_A_USER) {
                    left += usize::from(found.is_none());
                    let old = found.cloned();
                    set.push(SetTag { key, old, new });
                }
            }
            let removed: Vec<_> = removed.into_iter().collect();
            if !removed.is_empty() || !set.is_empty() {
                set.sort_by(|one, other| one.key.cmp(&other.key));
                effects.push(Effect {
                    resource_id: user.resource.id,
                    kind: EffectKind::Tags { removed, set },
                });
            }
        }
        self.make(effects);
    }

    /// Creates, restores, deletes and renames some users at once; names may pass from one to another.
    fn change_users(&mut self) {
        let mut names: Vec<String> = (0..USERS + 3)
            .map(|number| format!("user-{number}@a"))
            .collect();
        let mut effects = Vec::new();
        let ids: Vec<usize> = (0..USERS + 2).collect();
        let chosen: Vec<usize> = ids.choose_multiple(&mut self.random, 3).copied().collect();
        for state in self.now.values() {
            if let Present::There(user) = state
                && !chosen.iter().any(|number| id(*number) == user.resource.id)
            {
                names.retain(|name| name != user.resource.principal_name.as_str());
            }
        }
        for number in chosen {
            let Some(at) = (0..names.len()).choose(&mut self.random) else {
                break;
            };
            let kind = match self
                .now
                .get(&id(number))
                .cloned()
                .unwrap_or(Present::Absent)
            {
                Present::Absent => {
                    let name = names.remove(at);
                    EffectKind::Created(Box::new(self.new_user(number, &name, 2)))
                }
                Present::Deleted(user) => {
                    EffectKind::Restored(Box::new(renamed(&user, &names.remove(at))))
                }
                Present::There(before) if self.random.random_bool(0.5) => {
                    EffectKind::Deleted(before)
                }
                Present::There(before) => {
                    let mut after = renamed(&before, &names.remove(at));
                    if self.random.random_bool(0.3) {
                        let text = self.random.random_range(0..3).to_string();
                        after.comments = Some(Comments::parse(text).unwrap());
                    }
                    if after.is_same(&before) {
                        after.display_name = Some(DisplayName::parse(format!("{at}x")).unwrap());
                    }
                    if after.is_same(&before) {
                        continue;
                    }
                    EffectKind::Updated {
                        before,
                        after: Box::new(after),
                    }
                }
            };
            let resource_id = id(number);
            effects.push(Effect { resource_id, kind });
        }
        self.make(effects);
    }

    /// Deleted users that have expired are gone for good.
    fn purge(&mut self) {
        self.now
            .retain(|_, user| !matches!(user, Present::Deleted(_)));
    }

    /// The revert of these effects now.
    fn revert_of(&self, effects: &[Effect]) -> Revert {
        let users = self.now.keys().filter_map(|id| there(&self.now, id));
        let holders = users.map(|user| {
            let name = &user.resource.principal_name;
            (name.folded(), user.resource.id.clone())
        });
        let needed: BTreeSet<_> = names_of(effects).map(PrincipalName::folded).collect();
        let present = PresentUsers {
            users: self.now.clone().into_iter().collect(),
            holders: holders.filter(|(name, _)| needed.contains(name)).collect(),
        };
        Revert::of(effects, &present, Timestamp::from_millis(7))
    }

    /// Reverts one of the changes, checks what that has done, and returns what was in conflict.
    fn revert(&mut self) -> Vec<RevertConflict> {
        let Some((effects, before, after)) = self.changes.choose(&mut self.random).cloned() else {
            return Vec::new();
        };
        let now = self.now.clone();
        let revert = self.revert_of(&effects);
        self.make(revert.effects.clone());
        for id in now.keys().chain(self.now.keys()) {
            if !effects.iter().any(|effect| &effect.resource_id == id) {
                assert_eq!(
                    now.get(id),
                    self.now.get(id),
                    "{id} is nobody of the change"
                );
            }
        }
        for Effect {
            resource_id: id,
            kind,
        } in &effects
        {
            let states = [&before, &after, &now, &self.now].map(|state| there(state, id));
            match kind {
                EffectKind::Tags { .. } | EffectKind::Updated { .. } => {
                    check_there(id, states, &revert.conflicts);
                }
                _ => check_presence(id, states, &now, &revert.conflicts),
            }
        }
        revert.conflicts
    }
}

fn is_named(conflicts: &[RevertConflict], user: &ResourceId, key: Option<&TagKey>) -> bool {
    let mut conflicts = conflicts.iter();
    conflicts.any(|conflict| &conflict.user == user && conflict.tag_key.as_ref() == key)
}

/// Checks each value of a user that was there before and after the change.
fn check_there(
    id: &ResourceId,
    [before, after, now, then]: [Option<&User>; 4],
    conflicts: &[RevertConflict],
) {
    let (before, after) = (before.unwrap(), after.unwrap());
    let Some((now, then)) = now.zip(then) else {
        assert!(now == then && is_named(conflicts, id, None));
        return;
    };
    for key in (0..KEYS).map(key) {
        let [before, after, now, then_value] =
            [before, after, now, then].map(|user| user.resource.tags().get(&key));
        let is_conflict = is_named(conflicts, id, Some(&key));
        if before == after || now == before {
            assert!(
                then_value == now && !is_conflict,
                "{key} is as it was before"
            );
        } else if now != after {
            assert!(then_value == now && is_conflict, "{key} was changed again");
        } else if is_conflict {
            let is_full = then.resource.tags().len() == limits::TAGS_OF_A_USER;
            assert!(
                now.is_none() && then_value.is_none() && is_full,
                "{key} finds no room"
            );
        } else {
            assert!(then_value == before, "{key} is as before");
        }
    }
    let texts = |user: &User| {
        let (name, display_name, comments, _) = content(user);
        [
            Some(name),
            display_name.map(|text| text.to_string()),
            comments.map(|text| text.to_string()),
        ]
    };
    let [before, after, now, then] = [before, after, now, then].map(texts);
    if is_named(conflicts, id, None) {
        assert_eq!(now, then);
        return;
    }
    for at in 0..3 {
        let wanted = if before[at] == after[at] {
            &now[at]
        } else {
            &before[at]
        };
        assert_eq!(&then[at], wanted);
    }
}

/// Checks a user that has come or gone with the change.
fn check_presence(
    id: &ResourceId,
    [before, after, now, then]: [Option<&User>; 4],
    present: &State,
    conflicts: &[RevertConflict],
) {
    let is_conflict = conflicts.iter().any(|conflict| &conflict.user == id);
    if is_conflict {
        assert_eq!(now, then, "what is in conflict stays");
    } else {
        assert_eq!(then.map(content), before.map(content), "it is as before");
    }
    // There is a conflict only where something has been changed since.
    let deleted = match present.get(id) {
        Some(Present::Deleted(user)) => Some(content(user)),
        _ => None,
    };
    let reasons = conflicts.iter().filter(|conflict| &conflict.user == id);
    let is_by_name = reasons
        .map(|conflict| conflict.reason)
        .eq([ConflictReason::NameTaken]);
    let is_untouched = now.map(content) == after.map(content)
        && (before.is_none() || deleted == before.map(content));
    assert!(!is_conflict || is_by_name || !is_untouched);
}

#[test]
fn what_a_change_has_made_goes_back_and_nothing_else_in_random_histories() {
    let histories =
        std::env::var(HISTORIES_VARIABLE).map_or(HISTORIES, |text| text.parse().unwrap());
    let mut seen = BTreeSet::new();
    for seed in 0..histories {
        let mut history = History::new(seed);
        while history.changes.len() < CHANGES {
            match history.random.random_range(0..10) {
                0..4 => history.change_tags(),
                4..6 => history.change_users(),
                6 if history.random.random_bool(0.2) => history.purge(),
                _ => {
                    let conflicts = history.revert();
                    seen.extend(conflicts.into_iter().map(|conflict| conflict.reason));
                }
            }
        }
    }
    assert_eq!(seen, BTreeSet::from(ConflictReason::ALL));
}

/// A change that is reverted at once leaves everything as it was, and the revert of the revert as the change had made it.
#[test]
fn a_revert_at_once_undoes_the_change_and_its_own_revert_makes_it_again() {
    for seed in 0..500 {
        let mut history = History::new(seed);
        while history.changes.is_empty() {
            history.change_tags();
            history.change_users();
        }
        let (_, before, after) = history.changes.last().cloned().unwrap();
        for wanted in [before, after] {
            let (effects, ..) = history.changes.last().cloned().unwrap();
            let revert = history.revert_of(&effects);
            assert_eq!(revert.conflicts, []);
            history.make(revert.effects);
            let contents = |state: &State| {
                let users = state.keys().filter_map(|id| there(state, id));
                users.map(content).collect::<Vec<_>>()
            };
            assert_eq!(contents(&history.now), contents(&wanted));
        }
    }
}

#[test]
fn conflicts_come_in_the_order_of_users_whatever_that_of_the_effects_is() {
    let effects = [3, 1, 2].map(|number| Effect {
        resource_id: id(number),
        kind: EffectKind::Tags {
            removed: vec![(key(1), value(1))],
            set: Vec::new(),
        },
    });
    let revert = Revert::of(
        &effects,
        &PresentUsers::default(),
        Timestamp::from_millis(0),
    );
    let users = revert.conflicts.into_iter().map(|conflict| conflict.user);
    assert!(users.eq([1, 2, 3].map(id)));
}
