//! Imports against a model: a few users and a few names.

use std::collections::{BTreeMap, HashMap, HashSet};

use proptest::prelude::*;

use super::*;
use crate::domain::{EffectKind, Present, PresentUsers, Resource, TagKey, TagValue, User, limits};

const TIME: i64 = 7;

fn account() -> AccountId {
    AccountId::parse("1").unwrap()
}

fn id(number: usize) -> ResourceId {
    ResourceId::parse(number.to_string()).unwrap()
}

fn name(number: usize) -> PrincipalName {
    // Two cases of each letter are one name.
    let letters = ["a", "A", "b", "B", "c", "d"];
    PrincipalName::parse(format!("{}@x", letters[number])).unwrap()
}

fn tags(tags: &BTreeMap<usize, usize>) -> BTreeMap<TagKey, TagValue> {
    let tag = |(key, value): (&usize, &usize)| {
        let key = TagKey::parse(format!("k{key:02}")).unwrap();
        (key, TagValue::parse(value.to_string()).unwrap())
    };
    tags.iter().map(tag).collect()
}

fn there(number: usize, name: PrincipalName, tags: BTreeMap<TagKey, TagValue>) -> User {
    User {
        resource: Resource::new(account(), id(number), name, tags).unwrap(),
        display_name: None,
        comments: None,
        create_time: None,
        update_time: None,
        delete_time: None,
    }
}

/// The users that are there, with at most one for each name, and those that are deleted.
fn present() -> impl Strategy<Value = (Vec<User>, HashSet<usize>)> {
    let tags_of = || proptest::collection::btree_map(0..30_usize, 0..2_usize, 0..=20);
    let names = proptest::sample::subsequence(vec![0, 2, 4, 5], 0..=4);
    let users = (names, proptest::collection::vec(tags_of(), 4));
    let users = users.prop_map(|(names, all)| {
        let users = names.into_iter().zip(all).enumerate();
        let users = users.map(|(at, (number, of))| there(at, name(number), tags(&of)));
        users.collect::<Vec<_>>()
    });
    (users, proptest::collection::hash_set(4..6_usize, 0..=1))
}

/// The lines of a chunk: the number of a user, of a name, and tags.
fn lines() -> impl Strategy<Value = Vec<NewUser>> {
    let line = (
        0..6_usize,
        proptest::collection::btree_map(0..30_usize, 0..2_usize, 0..=3),
    );
    proptest::collection::vec(line, 6).prop_flat_map(|of| {
        proptest::sample::subsequence((0..6_usize).collect::<Vec<_>>(), 1..=6).prop_map(
            move |users| {
                let users = users.into_iter().zip(&of);
                let users = users.map(|(user, (number, given))| {
                    NewUser::new(id(user), name(*number), tags(given)).unwrap()
                });
                users.collect()
            },
        )
    })
}

/// The users after the effects of a plan.
fn after(plan: &ImportPlan, before: &[User]) -> HashMap<ResourceId, User> {
    let users = before.iter().cloned();
    let mut users: HashMap<_, _> = users.map(|user| (user.resource.id.clone(), user)).collect();
    for effect in &plan.effects {
        let found = users.remove(&effect.resource_id);
        let user = match &effect.kind {
            EffectKind::Created(user) => {
                assert_eq!(found, None);
                User::clone(user)
            }
            EffectKind::Updated { before, after } => {
                assert!(found.is_some_and(|found| found.is_same(before)));
                assert!(!before.is_described_as(after));
                User::clone(after)
            }
            EffectKind::Tags { .. } => {
                let mut user = found.unwrap();
                let name = user.resource.principal_name.clone();
                let tags = effect.tags_after(user.resource.tags());
                assert!(tags != *user.resource.tags());
                user.resource = user.resource.with(name, tags).unwrap();
                user
            }
            other => panic!("{other:?}"),
        };
        users.insert(effect.resource_id.clone(), user);
    }
    users
}

/// Whether a user is as a line of the mode makes it.
fn is_made(line: &NewUser, mode: ImportMode, user: &User, before: Option<&User>) -> bool {
    let mut expected = match (mode, before) {
        (ImportMode::Merge, Some(before)) => before.resource.tags().clone(),
        _ => BTreeMap::new(),
    };
    expected.extend(line.tags().clone());
    user.resource.principal_name.as_str() == line.principal_name.as_str()
        && *user.resource.tags() == expected
}

proptest! {
    #[test]
    fn each_line_is_done_or_refused_for_a_reason_that_holds_afterwards(
        (there, deleted) in present(),
        lines in lines(),
        mode in proptest::sample::select(ImportMode::ALL.to_vec()),
    ) {
        let mut now = PresentUsers::default();
        for user in &there {
            let (id, name) = (user.resource.id.clone(), user.resource.principal_name.folded());
            now.users.insert(id.clone(), Present::There(Box::new(user.clone())));
            now.holders.insert(name, id);
        }
        for number in &deleted {
            let gone = super::tests::there(*number, name(0), BTreeMap::new());
            now.users.insert(id(*number), Present::Deleted(Box::new(gone)));
        }
        let time = Timestamp::from_millis(TIME);
        let command = ImportCommand::new(account(), time, mode, lines.clone()).unwrap();
        let plan = ImportPlan::of(&command, &now);
        let after = after(&plan, &there);
        let names: HashSet<_> = after.values().map(|user| user.resource.principal_name.folded()).collect();
        prop_assert_eq!(names.len(), after.len(), "each name has one user");
        let before = |id: &ResourceId| there.iter().find(|user| user.resource.id == *id);
        for (position, line) in lines.iter().enumerate() {
            let refused = plan.refused.iter().find(|refused| refused.position == position);
            let user = after.get(&line.id);
            let Some(refused) = refused else {
                prop_assert!(user.is_some_and(|user| is_made(line, mode, user, before(&line.id))));
                continue;
            };
            // It stays as it was.
            prop_assert_eq!(user, before(&line.id));
            match &refused.why {
                ImportRefusal::Exists => prop_assert!(user.is_some() && mode == ImportMode::CreateOnly),
                ImportRefusal::Deleted => prop_assert!(deleted.iter().any(|number| id(*number) == line.id)),
                ImportRefusal::TagLimit => {
                    let mut all = user.unwrap().resource.tags().clone();
                    all.extend(line.tags().clone());
                    prop_assert!(mode == ImportMode::Merge && all.len() > limits::TAGS_OF_A_USER);
                }
                ImportRefusal::NameTaken(holder) => {
                    prop_assert!(*holder != line.id);
                    prop_assert!(after[holder].resource.principal_name == line.principal_name);
                }
            }
        }
        let imported = plan.answer();
        let told = imported.created + imported.updated + imported.unchanged + imported.refused.len();
        prop_assert_eq!(told, lines.len());
        prop_assert_eq!(imported.created + imported.updated, plan.effects.len());
    }
}
