//! Lists of the past: they answer what they would have answered then.

use std::collections::BTreeMap;
use std::sync::Arc;

use futures_util::future::join_all;
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::Index;
use proptest::test_runner::TestCaseError;
use untag::domain::{Direction, ListQuery, Revision, TagSelection};
use untag::store::{Store as _, StoreError};

use super::Backend;
use super::concurrency::some_users;
use super::fixtures::*;
use super::model::Model;
use super::random::{Step, for_each, list_step, tag_step, untag_step, users};
use super::random_users::{change_step, import_step};
use super::user_fixtures::{AskUsers as _, START, command, create, delete, rename, restore};
use crate::support::replay::changes_from;

fn at(revision: u64, query: ListQuery) -> ListQuery {
    ListQuery {
        revision: Revision::new(revision),
        ..query
    }
}

fn steps_that_change() -> impl Strategy<Value = Vec<Step>> {
    vec(
        prop_oneof![3 => untag_step(), 3 => tag_step(), 4 => change_step(), 2 => import_step()],
        1..40,
    )
}

/// A list of named users, at one of the revisions that its account will have.
fn past_list() -> impl Strategy<Value = (Index, ListQuery)> {
    let query = list_step().prop_map(|step| {
        let Step::List(query) = step else {
            unreachable!("it is a list")
        };
        ListQuery {
            targets: query.targets.or_else(|| Some(ids(["0", "1"]))),
            ..query
        }
    });
    (any::<Index>(), query)
}

pub async fn past_lists_answer_as_they_did_then<B: Backend>() {
    let lists = vec(past_list(), B::PAST_LISTS);
    for_each::<B, _, _>((steps_that_change(), lists), run::<B>);
}

async fn run<B: Backend>(
    (steps, lists): (Vec<Step>, Vec<(Index, ListQuery)>),
) -> Result<(), TestCaseError> {
    let backend = B::start(users()).await;
    let mut model = Model::new(&users());
    // What there was at each revision of each account, from 1 on.
    let mut states: BTreeMap<&str, Vec<Model>> = BTreeMap::new();
    for (now, step) in (START..).zip(steps) {
        let expected = step.expected(&mut model, now);
        prop_assert_eq!(step.ask(&backend, now).await, expected, "{:?}", step);
        for account in ACCOUNTS {
            let history = backend.store().history(self::account(account)).await;
            let newest = history.unwrap().newest.map_or(0, Revision::get);
            let states = states.entry(account).or_default();
            if newest > states.len() as u64 {
                states.push(model.clone());
            }
            prop_assert_eq!(states.len() as u64, newest);
        }
    }
    for (index, query) in lists {
        let states = &states[query.account.as_str()];
        if states.is_empty() {
            continue;
        }
        let position = index.index(states.len());
        let expected = states[position].list(&query);
        let query = at(position as u64 + 1, query);
        prop_assert_eq!(backend.listed(query.clone()).await, expected, "{:?}", query);
    }
    Ok(())
}

pub async fn past_lists_stay_as_they_are_beside_changes<B: Backend>() {
    let backend = B::start(some_users(4, &[("env", "x"), ("team", "y")])).await;
    backend
        .tag(tag(ids(["0", "1"]), &[("env", "z")]))
        .await
        .unwrap();
    let query = || at(1, list(Some(ids(["0", "1", "2", "3"])), &[]));
    let expected = backend.listed(query()).await;
    assert_eq!(expected.as_ref().map(Vec::len), Ok(8));
    let change = |task: usize| {
        let (store, user) = (backend.store().clone(), task.to_string());
        async move {
            for round in 0..20 {
                let users = || ids([&user]);
                let value = round.to_string();
                let tags = tag(users(), &[("env", &value), ("new", &value)]);
                store.tag(Arc::new(tags), origin()).await.unwrap();
                let all = untag(users(), TagSelection::All);
                store.untag(Arc::new(all), origin()).await.unwrap();
                for changes in [vec![delete(&user)], vec![restore(&user)]] {
                    let users = command(ACCOUNT, START + round, changes);
                    store.change_users(Arc::new(users), origin()).await.unwrap();
                }
            }
        }
    };
    let changing = join_all((0..4).map(|task| tokio::spawn(change(task))));
    let listing = async {
        for _ in 0..40 {
            assert_eq!(backend.listed(query()).await, expected);
        }
    };
    let (changed, ()) = futures_util::future::join(changing, listing).await;
    changed.into_iter().for_each(Result::unwrap);
    assert_eq!(backend.listed(query()).await, expected);
}

pub async fn past_lists_find_who_had_a_name<B: Backend>() {
    let backend = B::start(vec![
        user("1", "ann@x", &[("who", "1")]),
        user("2", "bob@x", &[("who", "2")]),
        user("3", "carol@x", &[("who", "3")]),
    ])
    .await;
    // Revision 1 changes nothing of names. Then two swap theirs, one goes and another takes its name.
    backend.tag(tag(ids(["1"]), &[("a", "b")])).await.unwrap();
    let swap = vec![rename("1", "bob@x"), rename("2", "ann@x")];
    backend.change(START, swap).await.unwrap();
    backend.change(START, vec![delete("3")]).await.unwrap();
    let create = vec![create("4", "CAROL@x")];
    backend.change(START, create).await.unwrap();
    let of = |revision, name| at(revision, list(Some(names(&[name])), &[("who", None)]));
    let who = |number| Ok(listing(&[(number, "who", number)]));
    for (revision, name, expected) in [
        (1, "ann@x", who("1")),
        (1, "BOB@x", who("2")),
        (1, "carol@x", who("3")),
        (2, "ann@x", who("2")),
        (2, "bob@x", who("1")),
        (3, "carol@x", Err(Refused::Missing(vec![0]))),
        (4, "carol@x", Ok(listing(&[]))),
        (4, "nobody@x", Err(Refused::Missing(vec![0]))),
    ] {
        assert_eq!(
            backend.listed(of(revision, name)).await,
            expected,
            "{revision} {name}"
        );
    }
}

pub async fn past_lists_end_with_the_newest_revision<B: Backend>() {
    let backend = B::start(vec![user("1", "ann@x", &[("env", "x")])]).await;
    let list_at = |revision| {
        let query = at(revision, list(Some(ids(["1"])), &[]));
        backend.store().list(Arc::new(query))
    };
    let refused = |answer| match answer {
        Err(StoreError::NotYet { newest }) => newest.map(Revision::get),
        other => panic!("{other:?}"),
    };
    assert_eq!(refused(list_at(1).await), None);
    backend.tag(tag(ids(["1"]), &[("env", "y")])).await.unwrap();
    assert_eq!(list_at(1).await.unwrap().tags.len(), 1);
    assert_eq!(refused(list_at(2).await), Some(1));
    // Of everybody nobody keeps who was there.
    let of_all = at(1, list(None, &[("env", None)]));
    let refused = backend.store().list(Arc::new(of_all)).await;
    assert!(
        matches!(refused, Err(StoreError::Invalid(_))),
        "{refused:?}"
    );
}

pub async fn pages_of_changes_end_with_enough_effects<B: Backend>() {
    let backend = B::start(some_users(6, &[("env", "x")])).await;
    for round in 0..6 {
        let users = (0..=round).map(|user: usize| user.to_string());
        let value = round.to_string();
        let command = tag(ids(users), &[("env", &value)]);
        backend.tag(command).await.unwrap();
    }
    let of_user = |user: Option<&str>| user.map(id);
    for (direction, from) in [(Direction::Forwards, 1), (Direction::Backwards, 6)] {
        for (user, most_effects, most) in [
            (None, 1, 100),
            (None, 5, 100),
            (None, 100, 4),
            (Some("0"), 5, 100),
            (Some("3"), 5, 2),
        ] {
            let mut query = changes_from(&account(ACCOUNT), from, direction);
            query.user = of_user(user);
            let all = backend.store().changes(Arc::new(query.clone())).await;
            let all = all.unwrap();
            (query.most_effects, query.most) = (most_effects, most);
            let (mut paged, mut next) = (Vec::new(), Some(query));
            while let Some(query) = next {
                let page = backend.store().changes(Arc::new(query.clone())).await;
                let page = page.unwrap();
                let sizes = page.iter().map(|change| change.effects.len());
                let but_last: usize = sizes.clone().rev().skip(1).sum();
                assert!(page.len() <= most && but_last < most_effects.max(1));
                next = query.next(&page);
                paged.extend(page);
            }
            assert_eq!(paged, all, "{direction:?} {user:?} {most_effects} {most}");
        }
    }
}
