//! Users that come and go beside commands and queries about tags: every answer is one that some order of the commands explains.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use futures_util::future::join_all;
use untag::domain::UserChange;
use untag::store::{Store, StoreError};

use super::Backend;
use super::concurrency::{all_at_once, some_users, tag_with, untag_with};
use super::fixtures::*;
use super::replay;
use super::user_fixtures::*;

/// Changes of users of [`ACCOUNT`] on a task of their own.
fn change_with<S: Store>(
    store: &S,
    changes: Vec<UserChange>,
) -> impl Future<Output = Result<Vec<Seen>, Refused>> + Send + use<S> {
    let (store, command) = (store.clone(), Arc::new(command(ACCOUNT, START, changes)));
    async move { answer(store.change_users(command, origin()).await) }
}

/// How many users of its own a command creates, so that it takes its time.
const OWN: usize = 100;

pub async fn concurrent_creates_of_one_id_or_name_have_one_winner<B: Backend>() {
    let backend = B::start(Vec::new()).await;
    let store = backend.store();
    let own = |round: usize, task: usize| {
        (0..OWN).map(move |number| {
            let id = format!("{round}000{task}000{number}");
            create(&id, &format!("own-{id}@x"))
        })
    };
    for round in 0..10 {
        let id = |task: usize| format!("{round}0{task}");
        let by_name = |task: usize| {
            let name = format!("round-{round}@x");
            let named = create(&id(task), &name);
            change_with(store, own(2 * round, task).chain([named]).collect())
        };
        let answers = all_at_once((0..16).map(by_name)).await;
        let won = answers.iter().filter(|answer| answer.is_ok()).count();
        assert_eq!(won, 1, "{answers:?}");
        let taken = Err(Refused::NameTaken(vec![OWN]));
        assert!(
            answers
                .iter()
                .all(|answer| answer.is_ok() || *answer == taken)
        );

        // Each has a name of its own, and all have a user in common.
        let by_id = |task: usize| {
            let common = create(&format!("9{round}"), &format!("{round}-{task}@x"));
            change_with(store, own(2 * round + 1, task).chain([common]).collect())
        };
        let answers = all_at_once((0..16).map(by_id)).await;
        let won = answers.iter().filter(|answer| answer.is_ok()).count();
        assert_eq!(won, 1, "{answers:?}");
        let exists = Err(Refused::UserExists(vec![OWN]));
        assert!(
            answers
                .iter()
                .all(|answer| answer.is_ok() || *answer == exists)
        );
        // Whoever was refused has made nobody.
        assert_eq!(backend.contents().await.len(), (round + 1) * 2 * (OWN + 1));
    }
}

fn name_of(number: usize) -> String {
    format!("user-{number}@example.com")
}

/// Has names go round among all of eight users, and among neighbours.
async fn swap_names<S: Store>(store: S, task: usize) {
    for round in 0..20 {
        let first = (task + round) % 4;
        let count = if round % 5 == 0 { 8 } else { 2 };
        let all: Vec<_> = (first..first + count).map(|number| number % 8).collect();
        let next = all.iter().cycle().skip(1 + task % (count - 1));
        let renames = all.iter().zip(next);
        let renames = renames.map(|(one, other)| rename(&one.to_string(), &name_of(*other)));
        // The names of these may be at others by now.
        let answer = change_with(&store, renames.collect()).await;
        assert!(
            matches!(answer, Ok(_) | Err(Refused::NameTaken(_))),
            "{answer:?}"
        );
    }
}

/// Asks by two names that somebody always has, as long as `is_on`. Returns how often.
async fn ask_by_names<S: Store>(store: S, task: usize, is_on: Arc<AtomicBool>) -> usize {
    let mut asked = 0;
    while is_on.load(Ordering::Relaxed) {
        let all = [name_of(task % 8), name_of((task + 3) % 8)];
        let targets = || names(&[all[0].as_str(), all[1].as_str()]);
        let answered = match task % 3 {
            0 => untag_with(&store, targets(), keys(["env"])).await.map(drop),
            1 => tag_with(&store, targets(), &[("env", "y")]).await.map(drop),
            _ => {
                let query = Arc::new(list(Some(targets()), &[]));
                store.list(query).await.map(drop)
            }
        };
        match answered {
            Ok(()) => asked += 1,
            // It came upon swaps again and again.
            Err(StoreError::Unavailable { .. }) => {}
            Err(other) => panic!("{other:?}"),
        }
    }
    asked
}

pub async fn concurrent_swaps_end_in_a_permutation_and_no_name_is_ever_missing<B: Backend>() {
    let backend = B::start(some_users(8, &[("env", "x")])).await;
    let store = backend.store();
    let is_on = Arc::new(AtomicBool::new(true));
    let ask = |task| tokio::spawn(ask_by_names(store.clone(), task, Arc::clone(&is_on)));
    let asking: Vec<_> = (0..6).map(ask).collect();
    all_at_once((0..4).map(|task| swap_names(store.clone(), task))).await;
    is_on.store(false, Ordering::Relaxed);
    for asked in join_all(asking).await {
        assert!(asked.unwrap() > 0, "nothing was answered meanwhile");
    }
    let contents = backend.contents().await;
    let mut found: Vec<_> = contents.into_values().map(|(name, _)| name).collect();
    found.sort();
    assert_eq!(found, (0..8).map(name_of).collect::<Vec<_>>());
}

pub async fn concurrent_untags_see_a_command_of_users_as_a_whole<B: Backend>() {
    let backend = B::start(some_users(8, &[("env", "x")])).await;
    let store = backend.store();
    let all: Vec<_> = (0..8).map(|number| number.to_string()).collect();
    let old = |id: &String| format!("user-{id}@example.com");
    let new = |id: &String| format!("other-{id}@example.com");
    let both: Vec<_> = all.iter().map(old).chain(all.iter().map(new)).collect();
    let both: Vec<_> = both.iter().map(String::as_str).collect();
    let is_changing = Arc::new(AtomicBool::new(true));
    let ask = |task: usize| {
        let (store, is_changing) = (store.clone(), Arc::clone(&is_changing));
        let (by_id, by_name) = (ids(&all), names(&both));
        async move {
            let mut seen = [0, 0];
            while is_changing.load(Ordering::Relaxed) {
                let targets = if task.is_multiple_of(2) {
                    &by_id
                } else {
                    &by_name
                };
                let mut command = untag(targets.clone(), keys(["env"]));
                command.allow_missing = true;
                command.validate_only = task == 3;
                let found = match store.untag(Arc::new(command), origin()).await {
                    Ok(changed) => changed.resources,
                    // It came upon changes again and again.
                    Err(StoreError::Unavailable { .. }) => continue,
                    Err(other) => panic!("{other:?}"),
                };
                assert!(found == 0 || found == 8, "{found} of 8 users");
                seen[found / 8] += 1;
            }
            seen
        }
    };
    let asking: Vec<_> = (0..4).map(ask).map(tokio::spawn).collect();
    let every = |change: &dyn Fn(&String) -> UserChange| all.iter().map(change).collect();
    for _ in 0..40 {
        let changes: [Vec<_>; 4] = [
            every(&|id| delete(id)),
            every(&|id| restore(id)),
            every(&|id| rename(id, &new(id))),
            every(&|id| rename(id, &old(id))),
        ];
        for changes in changes {
            change_with(store, changes).await.unwrap();
        }
    }
    is_changing.store(false, Ordering::Relaxed);
    let mut seen = [0, 0];
    for asked in join_all(asking).await {
        let asked = asked.unwrap();
        seen = [seen[0] + asked[0], seen[1] + asked[1]];
    }
    assert!(seen[0] > 0 && seen[1] > 0, "{seen:?} found none and all");
}

pub async fn concurrent_changes_of_tags_happen_before_a_delete_or_not_at_all<B: Backend>() {
    let backend = B::start(some_users(8, &[("env", "x")])).await;
    let store = backend.store();
    let live = |number: usize| {
        let (store, id) = (store.clone(), number.to_string());
        async move {
            for round in 0..20 {
                let own = || ids([&id]);
                let value = format!("{round}");
                tag_with(&store, own(), &[("env", &value)]).await.unwrap();
                let commands = (
                    tokio::spawn(untag_with(&store, own(), keys(["env"]))),
                    tokio::spawn(tag_with(&store, own(), &[("new", &value)])),
                    tokio::spawn(change_with(&store, vec![delete(&id)])),
                );
                let (untagged, tagged, deleted) = tokio::join!(commands.0, commands.1, commands.2);
                let (untagged, tagged) = (answer(untagged.unwrap()), answer(tagged.unwrap()));
                let deleted = deleted.unwrap().unwrap();
                // After the answer to the delete, nobody finds it.
                let missing = Err(Refused::Missing(vec![0]));
                let late = answer(untag_with(&store, own(), keys(["new"])).await);
                assert_eq!(late, missing);
                assert!(
                    untagged == missing || untagged == Ok(changed(1, 1)),
                    "{untagged:?}"
                );
                assert!(
                    tagged == missing || tagged == Ok(changed(1, 1)),
                    "{tagged:?}"
                );
                let back = change_with(&store, vec![restore(&id)]).await.unwrap();
                assert_eq!(back[0].tags, deleted[0].tags);
                // What was answered before the delete comes back, and what was not does not.
                let has = |key: &str| back[0].tags.get(key) == Some(&value);
                assert_eq!(has("env"), untagged == missing, "{untagged:?} {back:?}");
                assert_eq!(has("new"), tagged != missing, "{tagged:?} {back:?}");
            }
        }
    };
    all_at_once((0..8).map(live)).await;
}

/// A user that is created, deleted, and restored by another name again and again: what it is asked for fits what it is then.
async fn live<S: Store>(store: S, number: usize) {
    let id = (100 + number).to_string();
    let own = || ids([&id]);
    let query = Arc::new(list(Some(own()), &[("own", None)]));
    for round in 0..12 {
        let (name, value) = (format!("{number}-{round}@x"), format!("{number}-{round}"));
        if round == 0 {
            let new = new_user(&id, &name, &[("own", &value)]);
            let new = vec![UserChange::Create(new)];
            change_with(&store, new).await.unwrap();
        } else {
            let back = vec![restore_as(&id, &name)];
            change_with(&store, back).await.unwrap();
            tag_with(&store, own(), &[("own", &value)]).await.unwrap();
        }
        let listed = store.list(Arc::clone(&query)).await.unwrap().tags;
        let listed: Vec<_> = listed.iter().map(as_texts).collect();
        assert_eq!(listed, listing(&[(&id, "own", &value)]));
        let named = names(&[name.as_str()]);
        let tagged = tag_with(&store, named.clone(), &[("shared", &value)]).await;
        assert_eq!(answer(tagged), Ok(changed(1, 1)));
        change_with(&store, vec![delete(&id)]).await.unwrap();
        for targets in [own(), named] {
            let late = untag_with(&store, targets, keys(["own"])).await;
            assert_eq!(answer(late), Err(Refused::Missing(vec![0])));
        }
        let listed = answer(store.list(Arc::clone(&query)).await);
        assert_eq!(listed.err(), Some(Refused::Missing(vec![0])));
    }
}

/// Commands that meet the others as long as `is_on`, and do not mind who is there.
async fn pass_by<S: Store>(store: S, task: usize, is_on: Arc<AtomicBool>) {
    let all: Vec<_> = (0..8).chain(100..116).map(|id| id.to_string()).collect();
    while is_on.load(Ordering::Relaxed) {
        let targets = match task {
            0 => ids(&all),
            1 => ids(&all[9..12]),
            _ => {
                let query = Arc::new(list(None, &[("own", None)]));
                let page = store.list(query).await.unwrap();
                assert!(page.tags.len() <= 16);
                continue;
            }
        };
        let mut command = untag(targets, keys(["shared"]));
        command.allow_missing = true;
        match store.untag(Arc::new(command), origin()).await {
            // It came upon users again and again.
            Ok(_) | Err(StoreError::Unavailable { .. }) => {}
            Err(other) => panic!("{other:?}"),
        }
    }
}

pub async fn concurrent_users_come_and_go_beside_untags_tags_and_lists<B: Backend>() {
    let backend = B::start(some_users(8, &[("env", "x")])).await;
    let store = backend.store();
    let is_on = Arc::new(AtomicBool::new(true));
    let pass = |task| tokio::spawn(pass_by(store.clone(), task, Arc::clone(&is_on)));
    let passing: Vec<_> = (0..3).map(pass).collect();
    all_at_once((0..16).map(|number| live(store.clone(), number))).await;
    is_on.store(false, Ordering::Relaxed);
    for passed in join_all(passing).await {
        passed.unwrap();
    }
    assert_eq!(
        backend.contents().await,
        contents(&some_users(8, &[("env", "x")]))
    );
    replay::check(&backend, &some_users(8, &[("env", "x")])).await;
}
