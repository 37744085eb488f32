//! Random commands among users that come and go, on the store and on the model.

use proptest::collection::{btree_set, vec};
use proptest::prelude::*;
use untag::domain::{DeletedUsers, ImportMode, NewUser, UserChange, UserKey};

use super::Backend;
use super::fixtures::*;
use super::random::{
    NAMED, Step, USERS, accounts, for_each, list_step, run_steps, some_keys, tag_step, untag_step,
    value,
};
use super::user_filters::{carrying, named, untagged};
use super::user_fixtures::*;

/// Changes of users: mostly of one or two, since one that is refused refuses the whole command.
pub fn change_step() -> impl Strategy<Value = Step> {
    let number = prop_oneof![4 => 0..USERS, 1 => USERS..NAMED];
    let count = prop_oneof![4 => 1..=1_usize, 3 => 2..=2_usize, 1 => 3..=5_usize];
    let numbers = count.prop_flat_map(move |count| {
        btree_set(number.clone(), 1..=count)
            .prop_map(Vec::from_iter)
            .prop_shuffle()
    });
    let some = numbers.prop_flat_map(|numbers| {
        let changes: Vec<_> = numbers.into_iter().map(change_of).collect();
        changes
    });
    // Names that go round, which random ones hardly ever do.
    let round = btree_set(0..USERS, 2..USERS).prop_map(|numbers| {
        let numbers = Vec::from_iter(numbers);
        let next = numbers.iter().cycle().skip(1);
        let pairs = numbers.iter().zip(next);
        let name = |other: &usize| format!("USER-{other}@example.com");
        pairs
            .map(|(number, other)| rename(&number.to_string(), &name(other)))
            .collect()
    });
    let changes = prop_oneof![5 => some, 1 => round];
    (accounts(), changes).prop_map(|(account, changes)| Step::Change(account, changes))
}

fn change_of(number: usize) -> impl Strategy<Value = UserChange> {
    let kind = 0..7_usize;
    // Its own name at first, or that of another one.
    let named = prop_oneof![3 => Just(number), 1 => 0..NAMED];
    let own = tags_of_new_user();
    (kind, named, own).prop_map(move |(kind, named, tags)| {
        let (id, name) = (number.to_string(), format!("user-{named}@example.com"));
        match kind {
            0 => UserChange::Create(new_user(&id, &name, &borrowed(&tags))),
            1 => rename(&id, &name),
            2 => show_as(&id, &name[..6]),
            3 => comment(&id, "x"),
            4 => restore(&id),
            5 => restore_as(&id, &name),
            _ => delete(&id),
        }
    })
}

/// Imports: names of others are wanted more often than in changes, and tags that are there.
pub fn import_step() -> impl Strategy<Value = Step> {
    let numbers = btree_set(0..NAMED, 1..=NAMED);
    let numbers = numbers.prop_map(Vec::from_iter).prop_shuffle();
    let users = numbers.prop_flat_map(|numbers| {
        let users: Vec<_> = numbers.into_iter().map(imported_user).collect();
        users
    });
    let mode = proptest::sample::select(ImportMode::ALL.to_vec());
    (accounts(), mode, users, proptest::bool::weighted(0.2))
        .prop_map(|(account, mode, users, dry)| Step::Import(account, mode, users, dry))
}

fn imported_user(number: usize) -> impl Strategy<Value = NewUser> {
    let named = prop_oneof![1 => Just(number), 1 => 0..NAMED];
    let loud = any::<bool>();
    (named, loud, tags_of_new_user()).prop_map(move |(named, loud, tags)| {
        let name = format!("user-{named}@example.com");
        let name = if loud { name.to_uppercase() } else { name };
        let few = tags.len().min(1 + number * 3);
        new_user(&number.to_string(), &name, &borrowed(&tags)[..few])
    })
}

fn tags_of_new_user() -> impl Strategy<Value = Vec<(String, String)>> {
    (some_keys(20), vec(value(), 20)).prop_map(|(keys, values)| {
        let pairs = keys.into_iter().zip(values);
        pairs.map(|(key, value)| (key, value.to_owned())).collect()
    })
}

fn get_step() -> impl Strategy<Value = Step> {
    (accounts(), 0..NAMED, any::<bool>()).prop_map(|(account, number, by_name)| {
        let key = if by_name {
            UserKey::Name(name(&format!("uSER-{number}@example.com")))
        } else {
            UserKey::Id(id(&number.to_string()))
        };
        let mut query = user_query(0, key);
        query.account = self::account(account);
        Step::Get(query)
    })
}

fn list_users_step() -> impl Strategy<Value = Step> {
    let deleted = prop_oneof![Just(DeletedUsers::Hide), Just(DeletedUsers::Show)];
    let prefix = proptest::option::weighted(0.2, 0..USERS);
    let tag = (0..3_usize, some_keys(1), proptest::option::of(value()));
    let filters = (prefix, tag);
    (accounts(), 1..5_usize, deleted, filters).prop_map(|(account, size, deleted, filters)| {
        let mut query = user_list(0, deleted);
        query.account = self::account(account);
        query.page_size = page_size(size);
        let (prefix, (kind, keys, value)) = filters;
        if let Some(number) = prefix {
            query = named(&format!("uSER-{number}"), query);
        }
        Step::ListUsers(match (kind, keys.first()) {
            (0, Some(key)) => carrying(key, value, query),
            (1, _) => untagged(query),
            _ => query,
        })
    })
}

fn count_step() -> impl Strategy<Value = Step> {
    (accounts(), proptest::option::of(some_keys(1))).prop_map(|(account, key)| {
        match key.and_then(|key| key.first().cloned()) {
            None => Step::Keys(account),
            Some(key) => Step::Values(account, key),
        }
    })
}

fn steps_with_users() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        3 => untag_step(),
        2 => tag_step(),
        2 => list_step(),
        8 => change_step(),
        4 => import_step(),
        2 => get_step(),
        2 => list_users_step(),
        1 => count_step(),
        1 => (0..40_i64).prop_map(Step::Wait),
    ];
    vec(step, 1..60)
}

pub async fn random_users_come_and_go_as_in_the_model<B: Backend>() {
    for_each::<B, _, _>(steps_with_users(), run_steps::<B>);
}
