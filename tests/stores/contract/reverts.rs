//! Reverts: the inverse of each effect of a change, what is in conflict, and reverts of reverts.

use std::sync::Arc;

use futures_util::future::join_all;
use untag::domain::{
    AccountId, Action, Change, ChangeKey, Changed, ConflictReason, OnConflict, Origin, Present,
    PresentUsers, Resource, Revert, RevertCommand, RevertConflict, Reverted, Revision,
    TagSelection, Timestamp,
};
use untag::store::{Store, StoreError};

use super::Backend;
use super::concurrency::some_users;
use super::fixtures::*;
use super::history::with_token;
use super::random;
use super::random_users::{change_step, import_step};
use super::replay;
use super::user_fixtures::*;
use crate::support::replay::Replay;

/// A moment after those of the other changes.
const LATER: i64 = START + 1_000;

fn revert_of(change: &Change, on_conflict: OnConflict) -> RevertCommand {
    RevertCommand {
        account: account(ACCOUNT),
        time: Timestamp::from_millis(LATER),
        effects: Some(change.effects.clone()),
        on_conflict,
        validate_only: false,
    }
}

fn revert_origin() -> Arc<Origin> {
    Arc::new(Origin {
        action: Action::RevertChange,
        ..Origin::clone(&origin())
    })
}

async fn revert<B: Backend>(
    backend: &B,
    change: &Change,
    on_conflict: OnConflict,
) -> Result<Reverted, StoreError> {
    let command = Arc::new(revert_of(change, on_conflict));
    backend.store().revert(command, revert_origin()).await
}

/// The newest change.
async fn newest<B: Backend>(backend: &B) -> Change {
    let account = account(ACCOUNT);
    let history = backend.store().history(account.clone()).await.unwrap();
    let key = ChangeKey::Revision(history.newest.unwrap());
    backend.store().change(account, key).await.unwrap().unwrap()
}

/// The users that were at first, by a revert of the newest change that finds no conflict.
async fn undo<B: Backend>(backend: &B) -> Reverted {
    let change = newest(backend).await;
    let reverted = revert(backend, &change, OnConflict::Fail).await.unwrap();
    assert_eq!(reverted.conflicts, []);
    assert_eq!(reverted.revision, Some(change.revision.next()));
    assert_eq!(reverted.changed_resources, reverted.effects.len());
    let made = newest(backend).await;
    assert_eq!(made.action, Action::RevertChange);
    let mut effects = [made.effects, reverted.effects.clone()];
    for effects in &mut effects {
        effects.sort_by(|one, other| one.resource_id.cmp(&other.resource_id));
    }
    assert_eq!(effects[0], effects[1]);
    reverted
}

pub async fn reverts_bring_removed_tags_back_and_take_set_ones_away<B: Backend>() {
    let users = vec![
        numbered_user(1, &[("env", "x"), ("team", "y"), ("free", "")]),
        numbered_user(2, &[("env", "z")]),
    ];
    let backend = B::start(users.clone()).await;
    backend
        .untag(untag(ids(["1", "2"]), keys(["env", "free"])))
        .await
        .unwrap();
    let undone = undo(&backend).await;
    assert_eq!((undone.changed_resources, undone.changed_tags), (2, 3));
    assert_eq!(backend.contents().await, contents(&users));

    backend
        .tag(tag(ids(["1", "2"]), &[("env", "x"), ("new", "n")]))
        .await
        .unwrap();
    let undone = undo(&backend).await;
    assert_eq!((undone.changed_resources, undone.changed_tags), (2, 3));
    assert_eq!(backend.contents().await, contents(&users));

    // A revert is a change, and can be reverted; and that one too.
    let tagged = contents(&[
        numbered_user(
            1,
            &[("env", "x"), ("team", "y"), ("free", ""), ("new", "n")],
        ),
        numbered_user(2, &[("env", "x"), ("new", "n")]),
    ]);
    undo(&backend).await;
    assert_eq!(backend.contents().await, tagged);
    undo(&backend).await;
    assert_eq!(backend.contents().await, contents(&users));
    replay::check(&backend, &users).await;
}

pub async fn reverts_bring_users_back_and_take_them_away<B: Backend>() {
    let users = vec![numbered_user(1, &[("env", "x")]), numbered_user(2, &[])];
    let backend = B::start(users.clone()).await;
    let texts = |seen: Option<Seen>| seen.map(|seen| (seen.name, seen.comments, seen.tags));

    backend
        .change(START, vec![delete("1"), create("3", "three@example.com")])
        .await
        .unwrap();
    undo(&backend).await;
    assert_eq!(backend.contents().await, contents(&users));
    undo(&backend).await;
    assert_eq!(
        backend.by_id(LATER, "1").await.unwrap().delete_time,
        Some(LATER)
    );
    assert_eq!(
        backend
            .by_name(LATER, "three@example.com")
            .await
            .unwrap()
            .id,
        "3"
    );
    undo(&backend).await;
    assert_eq!(backend.contents().await, contents(&users));
    let restored = backend.by_id(LATER, "1").await.unwrap();
    assert_eq!(restored.update_time, Some(LATER));

    let swap = vec![
        rename("1", "user-2@example.com"),
        rename("2", "User-1@example.com"),
    ];
    backend.change(START, swap).await.unwrap();
    let swapped = texts(backend.by_id(START, "1").await);
    undo(&backend).await;
    assert_eq!(backend.contents().await, contents(&users));
    undo(&backend).await;
    assert_eq!(texts(backend.by_id(START, "1").await), swapped);
    undo(&backend).await;

    backend
        .change(START, vec![comment("1", "first"), show_as("2", "Two")])
        .await
        .unwrap();
    undo(&backend).await;
    assert_eq!(backend.by_id(LATER, "1").await.unwrap().comments, None);
    assert_eq!(backend.by_id(LATER, "2").await.unwrap().display_name, None);
    replay::check(&backend, &users).await;
}

/// A store whose first change was made, and much of it changed again.
async fn with_conflicts<B: Backend>() -> (B, Vec<Resource>, Change) {
    let full = numbered_tags("k", 20, "x");
    let users = vec![
        numbered_user(1, &[("a", "1"), ("b", "2"), ("c", "3")]),
        numbered_user(2, &[("a", "1")]),
        numbered_user(3, &borrowed(&full)),
        numbered_user(4, &[("a", "1")]),
    ];
    let backend = B::start(users.clone()).await;
    let gone = untag(ids(["1", "2", "3", "4"]), keys(["a", "b", "k0", "k1"]));
    backend.untag(gone).await.unwrap();
    let change = newest(&backend).await;
    backend
        .tag(tag(ids(["1"]), &[("b", "other"), ("a", "1")]))
        .await
        .unwrap();
    backend.change(START, vec![delete("2")]).await.unwrap();
    backend.tag(tag(ids(["3"]), &[("new", "n")])).await.unwrap();
    (backend, users, change)
}

fn reasons(conflicts: &[RevertConflict]) -> Vec<(String, String, ConflictReason)> {
    let mut reasons: Vec<_> = conflicts
        .iter()
        .map(|conflict| {
            let key = conflict.tag_key.as_ref().map_or("", |key| key.as_str());
            (conflict.user.to_string(), key.to_owned(), conflict.reason)
        })
        .collect();
    reasons.sort();
    reasons
}

fn expected_reasons() -> Vec<(String, String, ConflictReason)> {
    [
        ("1", "b", ConflictReason::TagSetAgain),
        ("2", "", ConflictReason::UserMissing),
        ("3", "k1", ConflictReason::TagLimit),
    ]
    .map(|(user, key, reason)| (user.to_owned(), key.to_owned(), reason))
    .into()
}

pub async fn reverts_with_conflicts_name_them_all_and_change_nothing<B: Backend>() {
    let (backend, users, change) = with_conflicts::<B>().await;
    let before = (backend.contents().await, newest(&backend).await);
    match revert(&backend, &change, OnConflict::Fail).await {
        Err(StoreError::Conflicts(conflicts)) => {
            assert_eq!(reasons(&conflicts), expected_reasons());
        }
        other => panic!("{other:?}"),
    }
    for on_conflict in [OnConflict::Fail, OnConflict::Skip] {
        let command = RevertCommand {
            validate_only: true,
            ..revert_of(&change, on_conflict)
        };
        let checked = backend
            .store()
            .revert(Arc::new(command), revert_origin())
            .await;
        let checked = checked.unwrap();
        assert_eq!(reasons(&checked.conflicts), expected_reasons());
        assert_eq!((checked.changed_resources, checked.changed_tags), (2, 2));
        assert_eq!((checked.effects.len(), checked.revision), (2, None));
    }
    assert_eq!((backend.contents().await, newest(&backend).await), before);
    replay::check(&backend, &users).await;
}

pub async fn reverts_leave_out_what_is_in_conflict_where_that_is_skipped<B: Backend>() {
    let (backend, users, change) = with_conflicts::<B>().await;
    let mut wanted = backend.contents().await;
    let skipped = revert(&backend, &change, OnConflict::Skip).await.unwrap();
    assert_eq!(reasons(&skipped.conflicts), expected_reasons());
    assert_eq!((skipped.changed_resources, skipped.changed_tags), (2, 2));
    let place = |id: &str| (ACCOUNT.to_owned(), id.to_owned());
    let mut put = |id: &str, key: &str, value: &str| {
        let (_, tags) = wanted.get_mut(&place(id)).unwrap();
        tags.insert(key.to_owned(), value.to_owned());
    };
    put("4", "a", "1");
    put("3", "k0", "x");
    assert_eq!(backend.contents().await, wanted);
    // Where nothing is left to do, there is no entry.
    let nothing = revert(&backend, &change, OnConflict::Skip).await.unwrap();
    assert_eq!(
        (nothing.changed_resources, nothing.revision),
        (0, skipped.revision)
    );
    replay::check(&backend, &users).await;
}

pub async fn reverts_of_users_that_were_changed_again_are_in_conflict<B: Backend>() {
    let users = vec![
        numbered_user(1, &[]),
        numbered_user(2, &[]),
        numbered_user(3, &[("a", "1")]),
        numbered_user(4, &[]),
        numbered_user(5, &[]),
    ];
    let backend = B::start(users.clone()).await;
    let changes = vec![
        rename("1", "renamed@example.com"),
        delete("2"),
        delete("3"),
        create("6", "six@example.com"),
        create("7", "seven@example.com"),
        rename("4", "four@example.com"),
        rename("5", "five@example.com"),
    ];
    backend.change(START, changes).await.unwrap();
    let change = newest(&backend).await;
    let again = vec![
        rename("1", "again@example.com"),
        create("8", "USER-2@example.com"),
        restore_as("3", "restored@example.com"),
        rename("6", "other@example.com"),
        delete("4"),
        create("9", "user-5@example.com"),
    ];
    backend.change(START + 1, again).await.unwrap();
    backend.tag(tag(ids(["7"]), &[("a", "1")])).await.unwrap();
    let before = backend.contents().await;
    let skipped = revert(&backend, &change, OnConflict::Skip).await.unwrap();
    assert_eq!(
        reasons(&skipped.conflicts),
        [
            ("1", "", ConflictReason::UserChanged),
            ("2", "", ConflictReason::NameTaken),
            ("3", "", ConflictReason::UserExists),
            ("4", "", ConflictReason::UserMissing),
            ("5", "", ConflictReason::NameTaken),
            ("6", "", ConflictReason::UserChanged),
            ("7", "a", ConflictReason::TagChanged),
        ]
        .map(|(user, key, reason)| (user.to_owned(), key.to_owned(), reason))
    );
    assert_eq!(skipped.effects, []);
    assert_eq!(backend.contents().await, before);
    replay::check(&backend, &users).await;
}

pub async fn reverts_with_a_token_are_made_once<B: Backend>() {
    let (backend, users, change) = with_conflicts::<B>().await;
    let command = Arc::new(revert_of(&change, OnConflict::Skip));
    let origin = |content| origin_with("t", content);
    let store = backend.store();
    let first_origin = origin(1);
    let first = store
        .revert(Arc::clone(&command), Arc::clone(&first_origin))
        .await
        .unwrap();
    // What it has done is changed again; and without the token it would be done again.
    backend
        .untag(untag(ids(["4"]), TagSelection::All))
        .await
        .unwrap();
    let gone = RevertCommand {
        effects: None,
        ..RevertCommand::clone(&command)
    };
    for command in [command, Arc::new(gone)] {
        let again = store.revert(command, origin(1)).await.unwrap();
        let repeated = Reverted {
            effects: Vec::new(),
            request_id: Some(first_origin.request_id),
            is_replay: true,
            ..first.clone()
        };
        assert_eq!(again, repeated);
    }
    let other = store
        .revert(Arc::new(revert_of(&change, OnConflict::Skip)), origin(2))
        .await;
    assert!(matches!(other, Err(StoreError::TokenMismatch)), "{other:?}");
    // Of a change that is gone nothing else is known.
    let gone = RevertCommand {
        effects: None,
        ..revert_of(&change, OnConflict::Skip)
    };
    let gone = store.revert(Arc::new(gone), revert_origin()).await;
    assert!(
        matches!(
            gone,
            Err(StoreError::Compacted {
                oldest: Some(Revision::FIRST)
            })
        ),
        "{gone:?}"
    );
    check_that_a_refused_revert_leaves_its_token_free(store, &change).await;
    replay::check(&backend, &users).await;
}

async fn check_that_a_refused_revert_leaves_its_token_free(store: &impl Store, change: &Change) {
    let refused = store
        .revert(
            Arc::new(revert_of(change, OnConflict::Fail)),
            origin_with("u", 1),
        )
        .await;
    assert!(
        matches!(refused, Err(StoreError::Conflicts(_))),
        "{refused:?}"
    );
    let made = store
        .revert(
            Arc::new(revert_of(change, OnConflict::Skip)),
            origin_with("u", 1),
        )
        .await;
    assert_eq!(made.unwrap().changed_tags, 1);
}

fn origin_with(token: &str, content: u8) -> Arc<Origin> {
    Arc::new(Origin {
        action: Action::RevertChange,
        ..Origin::clone(&with_token(token, content))
    })
}

/// Another task may have deleted the user.
fn there_or_missing(result: &Result<Changed, StoreError>) {
    assert!(
        matches!(result, Ok(_) | Err(StoreError::Missing(_))),
        "{result:?}"
    );
}

pub async fn reverts_beside_other_changes_happen_one_after_another<B: Backend>() {
    let users = some_users(4, &[("env", "x")]);
    let backend = B::start(users.clone()).await;
    let store = backend.store();
    let change = |task: usize| {
        let store = store.clone();
        async move {
            for round in 0..15 {
                let targets = || ids([((task + round) % 4).to_string()]);
                let value = format!("{task}-{round}");
                match (task + round) % 4 {
                    0 => {
                        let command = untag(targets(), TagSelection::All);
                        there_or_missing(&store.untag(Arc::new(command), origin()).await);
                    }
                    1 => {
                        let command = tag(targets(), &[("env", &value), ("only", "x")]);
                        there_or_missing(&store.tag(Arc::new(command), origin()).await);
                    }
                    2 => {
                        let id = (round % 4).to_string();
                        let changes = vec![if task.is_multiple_of(2) {
                            delete(&id)
                        } else {
                            restore(&id)
                        }];
                        let command = command(ACCOUNT, START, changes);
                        // Whoever is gone or there already is refused.
                        let _ = store.change_users(Arc::new(command), origin()).await;
                    }
                    _ => {
                        let account = account(ACCOUNT);
                        let newest = store.history(account.clone()).await.unwrap().newest;
                        let Some(newest) = newest else { continue };
                        let key = ChangeKey::Revision(newest);
                        let change = store.change(account, key).await.unwrap().unwrap();
                        let command = revert_of(&change, OnConflict::Skip);
                        store
                            .revert(Arc::new(command), revert_origin())
                            .await
                            .unwrap();
                    }
                }
            }
        }
    };
    for done in join_all((0..8).map(|task| tokio::spawn(change(task)))).await {
        done.unwrap();
    }
    replay::check(&backend, &users).await;
}

/// A revert of any entry does what the log, replayed up to now, says that it has to do.
pub async fn random_reverts_do_what_the_log_says<B: Backend>() {
    use proptest::prelude::*;
    let steps = prop_oneof![
        2 => random::untag_step(),
        2 => random::tag_step(),
        3 => change_step(),
        2 => import_step(),
    ];
    let steps = proptest::collection::vec(steps, 4..30);
    random::for_each::<B, _, _>(steps, |steps| async move {
        let backend = B::start(random::users()).await;
        let account = account(ACCOUNT);
        for (now, step) in (START..).zip(&steps) {
            step.ask(&backend, now).await;
            let changes = replay::all_changes(&backend, &account).await;
            if changes.is_empty() || now % 2 == 0 {
                continue;
            }
            let change = &changes[usize::try_from(now * 7919).unwrap() % changes.len()];
            let mut replay = Replay::new(&random::users());
            replay.apply(&account, &changes);
            let expected = Revert::of(
                &change.effects,
                &present(&replay, &account),
                Timestamp::from_millis(LATER),
            );
            let reverted = revert(&backend, change, OnConflict::Skip).await.unwrap();
            prop_assert_eq!(&reverted.conflicts, &expected.conflicts);
            prop_assert_eq!(&reverted.effects, &expected.effects);
        }
        replay::check(&backend, &random::users()).await;
        Ok(())
    });
}

/// What there is of the users of an account, by its log.
fn present(replay: &Replay, account: &AccountId) -> PresentUsers {
    let mut present = PresentUsers::default();
    for (user, is_there) in replay.all_users(account) {
        let id = user.resource.id.clone();
        let user = Box::new(user.clone());
        if is_there {
            let name = user.resource.principal_name.folded();
            present.holders.insert(name, id.clone());
            present.users.insert(id, Present::There(user));
        } else {
            present.users.insert(id, Present::Deleted(user));
        }
    }
    present
}
