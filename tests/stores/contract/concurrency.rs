//! Many commands at once.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use futures_util::FutureExt as _;
use futures_util::future::join_all;
use untag::domain::{Changed, Resource, TagSelection, Targets};
use untag::store::{Store, StoreError};

use super::Backend;
use super::fixtures::*;

/// Starts every future on a task of its own, and waits for all.
pub async fn all_at_once<F>(futures: impl IntoIterator<Item = F>) -> Vec<F::Output>
where
    F: Future<Output: Send> + Send + 'static,
{
    let tasks: Vec<_> = futures.into_iter().map(tokio::spawn).collect();
    join_all(tasks)
        .await
        .into_iter()
        .map(Result::unwrap)
        .collect()
}

/// An untag on a task of its own.
pub fn untag_with<S: Store>(
    store: &S,
    targets: Targets,
    selection: TagSelection,
) -> impl Future<Output = Result<Changed, StoreError>> + Send + use<S> {
    let (store, command) = (store.clone(), Arc::new(untag(targets, selection)));
    async move { store.untag(command, origin()).await }
}

/// A tag on a task of its own.
pub fn tag_with<S: Store>(
    store: &S,
    targets: Targets,
    tags: &[(&str, &str)],
) -> impl Future<Output = Result<Changed, StoreError>> + Send + use<S> {
    let (store, command) = (store.clone(), Arc::new(tag(targets, tags)));
    async move { store.tag(command, origin()).await }
}

pub fn some_users(count: usize, tags: &[(&str, &str)]) -> Vec<Resource> {
    (0..count)
        .map(|number| numbered_user(number, tags))
        .collect()
}

pub async fn concurrent_untags_of_different_users_all_apply<B: Backend>() {
    let backend = B::start(some_users(300, &[("env", "x"), ("team", "y")])).await;
    let store = backend.store();
    let untag_one = |number: usize| untag_with(store, ids([number.to_string()]), keys(["env"]));
    for answer in all_at_once((0..300).map(untag_one)).await {
        assert_eq!(self::answer(answer), Ok(changed(1, 1)));
    }
    let expected = contents(&some_users(300, &[("team", "y")]));
    assert_eq!(backend.contents().await, expected);
}

pub async fn concurrent_untags_of_the_same_tags_remove_each_tag_once<B: Backend>() {
    let tags = numbered_tags("key-", 20, "x");
    let backend = B::start(some_users(10, &borrowed(&tags))).await;
    let store = backend.store();
    // Six tasks for each key, and each of them names all users.
    let untag_key = |task: usize| {
        let everybody = ids((0..10).map(|number| number.to_string()));
        untag_with(store, everybody, keys([format!("key-{}", task % 20)]))
    };
    let answers = all_at_once((0..120).map(untag_key)).await;
    // The cloud does not count them.
    let removed: Option<usize> = answers.into_iter().map(|answer| answer.unwrap().tags).sum();
    assert!(removed.is_none_or(|removed| removed == 200), "{removed:?}");
    assert_eq!(backend.contents().await, contents(&some_users(10, &[])));
}

pub async fn concurrent_untags_of_overlapping_users_count_each_tag_once<B: Backend>() {
    let tags = numbered_tags("key-", 20, "x");
    let backend = B::start(some_users(12, &borrowed(&tags))).await;
    let store = backend.store();
    // Each names three neighbours, in turns by id, by name, with a user that is missing, and all of their tags.
    let run = |task: usize| {
        let users = (0..3).map(|place| (task * 5 + place) % 12);
        let by_id = users.clone().map(|number| number.to_string());
        let by_name: Vec<_> = users
            .map(|number| format!("user-{number}@example.com"))
            .collect();
        let by_name: Vec<_> = by_name.iter().map(String::as_str).collect();
        let some = || {
            keys([
                format!("key-{}", task % 14),
                format!("key-{}", task % 3 + 14),
            ])
        };
        match task % 8 {
            0 | 1 => untag_with(store, names(&by_name), some()),
            2 => untag_with(store, ids(by_id.chain(["777".to_owned()])), some()),
            3 if task > 200 => untag_with(store, ids(by_id), TagSelection::All),
            _ => untag_with(store, ids(by_id), some()),
        }
    };
    let mut removed = Some(0);
    for (task, answer) in all_at_once((0..400).map(run)).await.into_iter().enumerate() {
        if let Ok(changed) = &answer {
            assert_eq!(changed.resources, 3, "command {task}");
            // The cloud does not count them.
            removed = removed.zip(changed.tags).map(|(all, more)| all + more);
        }
        let refused = self::answer(answer).err();
        let expected = (task % 8 == 2).then(|| Refused::Missing(vec![3]));
        assert_eq!(refused, expected, "command {task}");
    }
    let contents = backend.contents().await;
    let left: usize = contents.values().map(|(_, tags)| tags.len()).sum();
    assert!(
        removed.is_none_or(|removed| removed == 12 * 20 - left),
        "{removed:?}, {left} left"
    );
}

pub async fn concurrent_commands_are_not_harmed_by_neighbours_that_are_refused<B: Backend>() {
    let full = numbered_tags("key-", 20, "x");
    let mut users = some_users(200, &[("env", "x")]);
    users.push(numbered_user(999, &borrowed(&full)));
    let backend = B::start(users.clone()).await;
    let store = backend.store();
    // Each task has a user of its own; one of three also names a user that is missing, one of three a full one.
    let run = |number: usize| {
        let (store, own) = (store.clone(), number.to_string());
        async move {
            let store = &store;
            match number % 3 {
                0 => untag_with(store, ids([&own]), keys(["env"])).await,
                1 => untag_with(store, ids([&own, "777"]), keys(["env"])).await,
                _ => tag_with(store, ids([&own, "999"]), &[("new", "x")]).await,
            }
        }
    };
    for (number, answer) in all_at_once((0..200).map(run)).await.into_iter().enumerate() {
        let expected = match number % 3 {
            0 => Ok(changed(1, 1)),
            1 => Err(Refused::Missing(vec![1])),
            _ => Err(Refused::TagLimit(Some(vec![1]))),
        };
        assert_eq!(self::answer(answer), expected, "command {number}");
    }
    for number in (0..200).step_by(3) {
        users[number] = numbered_user(number, &[]);
    }
    assert_eq!(backend.contents().await, contents(&users));
}

pub async fn concurrent_tags_never_exceed_the_limit<B: Backend>() {
    let backend = B::start(vec![numbered_user(1, &[("first", "x")])]).await;
    let store = backend.store();
    let tag_one = |key: usize| tag_with(store, ids(["1"]), &[(&format!("key-{key}"), "x")]);
    let answers = all_at_once((0..60).map(tag_one)).await;
    let (mut done, mut refused) = (0, 0);
    for answer in answers {
        match self::answer(answer) {
            Ok(_) => done += 1,
            Err(Refused::TagLimit(positions))
                if positions.as_ref().is_none_or(|all| *all == [0]) =>
            {
                refused += 1;
            }
            other => panic!("{other:?}"),
        }
    }
    assert_eq!((done, refused), (19, 41));
    assert_eq!(
        backend
            .contents()
            .await
            .into_values()
            .next()
            .unwrap()
            .1
            .len(),
        20
    );
}

pub async fn concurrent_commands_on_the_same_users_in_any_order_all_apply<B: Backend>() {
    // A store that locks users in the order of the request would lock itself up here.
    let backend = B::start(some_users(8, &[("env", "x")])).await;
    let store = backend.store();
    let run = |task: usize| {
        let mut order: Vec<_> = (0..8).map(|number| number.to_string()).collect();
        order.rotate_left(task % 8);
        if task.is_multiple_of(2) {
            order.reverse();
        }
        let value = task.to_string();
        tag_with(store, ids(order), &[("env", &value), ("task", &value)])
    };
    for answer in all_at_once((0..160).map(run)).await {
        assert_eq!(self::answer(answer), Ok(changed(8, 16)));
    }
    // Whoever was last was last everywhere.
    let contents = backend.contents().await;
    let mut tags = contents.values().map(|(_, tags)| tags);
    let first = tags.next().unwrap();
    assert_eq!(first["env"], first["task"]);
    assert!(tags.all(|other| other == first), "{contents:?}");
}

/// The values that users 0 to 7 have under the key `pair`.
async fn pair_values<S: Store>(store: &S) -> Vec<String> {
    let query = list(
        Some(ids((0..8).map(|number| number.to_string()))),
        &[("pair", None)],
    );
    let page = store.list(Arc::new(query)).await.unwrap();
    page.tags
        .iter()
        .map(|tag| tag.value.as_str().to_owned())
        .collect()
}

fn all_equal(values: &[String]) -> bool {
    values.windows(2).all(|pair| pair[0] == pair[1])
}

pub async fn concurrent_reads_never_see_half_a_command<B: Backend>() {
    let backend = B::start(some_users(8, &[("pair", "0")])).await;
    let store = backend.store();
    let everybody = || ids((0..8).map(|number| number.to_string()));
    let writing = Arc::new(AtomicBool::new(true));
    let read = |_| {
        let (store, writing) = (store.clone(), Arc::clone(&writing));
        async move {
            let mut seen = 0;
            while writing.load(Ordering::Relaxed) {
                let values = pair_values(&store).await;
                // All carry it or none, and all the same.
                assert!(values.is_empty() || values.len() == 8, "{values:?}");
                assert!(all_equal(&values), "{values:?}");
                seen += 1;
            }
            seen
        }
    };
    let readers: Vec<_> = (0..2).map(read).map(tokio::spawn).collect();
    for round in 0..30 {
        let write = |task: usize| {
            let store = store.clone();
            async move {
                if task == 3 {
                    return untag_with(&store, everybody(), keys(["pair"])).await;
                }
                let value = format!("{round}-{task}");
                tag_with(&store, everybody(), &[("pair", &value)]).await
            }
        };
        for answer in join_all((0..6).map(write)).await {
            answer.unwrap();
        }
    }
    writing.store(false, Ordering::Relaxed);
    for reader in readers {
        assert!(reader.await.unwrap() > 0, "nothing was read meanwhile");
    }
}

pub async fn concurrent_reads_see_every_change_that_was_answered<B: Backend>() {
    let backend = B::start(some_users(16, &[])).await;
    let store = backend.store();
    let live = |number: usize| {
        let (store, id) = (store.clone(), number.to_string());
        async move {
            let own = || ids([&id]);
            let query = Arc::new(list(Some(own()), &[]));
            for round in 0..15 {
                let value = format!("{number}-{round}");
                tag_with(&store, own(), &[("env", &value)]).await.unwrap();
                let seen = store.list(Arc::clone(&query)).await.unwrap().tags;
                let seen: Vec<_> = seen.iter().map(as_texts).collect();
                assert_eq!(seen, listing(&[(&id, "env", &value)]));
                untag_with(&store, own(), TagSelection::All).await.unwrap();
                assert_eq!(store.list(Arc::clone(&query)).await.unwrap().tags, []);
            }
        }
    };
    all_at_once((0..16).map(live)).await;
}

pub async fn dropped_commands_are_applied_whole_or_not_at_all<B: Backend>() {
    let backend = B::start(some_users(8, &[("pair", "0")])).await;
    let store = backend.store();
    let everybody = || ids((0..8).map(|number| number.to_string()));
    for round in 0_u64..150 {
        let value = round.to_string();
        // Neighbours, so that there is a commit to share; they must not notice.
        let neighbours = (0..4).map(|_| tag_with(store, everybody(), &[("other", "x")]));
        let neighbours: Vec<_> = neighbours.map(tokio::spawn).collect();
        let command = tag_with(store, everybody(), &[("pair", &value)]);
        // Dropped unstarted, when it has just been started, or at some point of its way.
        match round % 3 {
            0 => drop(command),
            1 => drop(command.now_or_never()),
            _ => drop(tokio::time::timeout(Duration::from_micros(round * 20), command).await),
        }
        for neighbour in neighbours {
            // The first of all of them has set the tags.
            let told = self::answer(neighbour.await.unwrap());
            let is_whole = [8, 0].map(|tags| Ok(changed(8, tags))).contains(&told);
            assert!(is_whole, "{told:?}");
        }
        let values = pair_values(store).await;
        assert!(values.len() == 8 && all_equal(&values), "{values:?}");
    }
    tag_with(store, everybody(), &[("pair", "last")])
        .await
        .unwrap();
    assert_eq!(pair_values(store).await, ["last"; 8]);
}

pub async fn check_is_ok_while_the_store_works<B: Backend>() {
    let backend = B::start(some_users(1, &[("env", "x")])).await;
    let store = backend.store();
    store.check().await.unwrap();
    // Commands that are refused say nothing against the store.
    let refused = untag_with(store, ids(["9"]), TagSelection::All);
    let done = untag_with(store, ids(["0"]), TagSelection::All);
    let (refused, checked, done) = tokio::join!(refused, store.check(), done);
    assert!(refused.is_err() && done.is_ok());
    checked.unwrap();
    store.check().await.unwrap();
    assert_eq!(backend.contents().await, contents(&some_users(1, &[])));
}
