//! Changes of users that come again with the same client token.

use std::sync::Arc;

use futures_util::future::join_all;
use untag::domain::{Action, ChangeKey, Origin, Revision, UserChange, UsersChanged};
use untag::store::{Store, StoreError};

use super::Backend;
use super::concurrency::some_users;
use super::fixtures::*;
use super::history::{newest, with_token};
use super::replay;
use super::user_fixtures::*;

fn repeatable(action: Action, token: &str, content: u8) -> Arc<Origin> {
    Arc::new(Origin {
        action,
        ..Origin::clone(&with_token(token, content))
    })
}

async fn send<B: Backend>(
    backend: &B,
    changes: &[UserChange],
    origin: Arc<Origin>,
) -> Result<UsersChanged, StoreError> {
    let command = command(ACCOUNT, START, changes.to_vec());
    let store = backend.store();
    store.change_users(Arc::new(command), origin).await
}

/// Checks that a repetition is answered as the first was, by another request.
fn assert_replayed(first: &UsersChanged, origin: &Origin, again: &UsersChanged) {
    assert_eq!(
        *again,
        UsersChanged {
            request_id: Some(origin.request_id),
            is_replay: true,
            ..first.clone()
        }
    );
    assert_eq!(seen(first), seen(again));
}

/// The users of an answer with all that equality does not compare.
fn seen(answer: &UsersChanged) -> Vec<Seen> {
    answer.users.iter().map(Seen::of).collect()
}

pub async fn repeated_changes_of_users_are_answered_as_they_were<B: Backend>() {
    let backend = B::start(Vec::new()).await;
    let mut alice = new_user("1", "Alice@Example.com", &[("env", "x"), ("键", "")]);
    alice.comments = Some(untag::domain::Comments::parse("评").unwrap());
    let bob = create("2", "bob@example.com");
    let steps = [
        (
            Action::CreateUser,
            vec![UserChange::Create(alice), bob],
            rename("1", "al@x"),
        ),
        (
            Action::UpdateUser,
            vec![show_as("1", "Al"), rename("2", "b@x")],
            rename("1", "a@x"),
        ),
        (Action::DeleteUser, vec![delete("1")], restore("1")),
        // Its user is deleted before.
        (
            Action::UndeleteUser,
            vec![restore_as("1", "alice@x")],
            rename("1", "c@x"),
        ),
    ];
    for (at, (action, changes, later)) in steps.iter().enumerate() {
        if *action == Action::UndeleteUser {
            backend.change(START, [delete("1")]).await.unwrap();
        }
        let before = newest(&backend).await;
        let origin = repeatable(*action, "a", 1);
        let first = send(&backend, changes, Arc::clone(&origin)).await.unwrap();
        assert_eq!(first.revision, Revision::new(before + 1), "{at}");
        assert_eq!(
            (first.changed, first.users.len()),
            (changes.len(), changes.len())
        );
        assert!(!first.is_replay && first.request_id.is_none());
        backend.change(START + 1, [later.clone()]).await.unwrap();

        let again = send(&backend, changes, repeatable(*action, "a", 1)).await;
        assert_replayed(&first, &origin, &again.unwrap());
        let other = send(&backend, changes, repeatable(*action, "a", 2)).await;
        assert!(matches!(other, Err(StoreError::TokenMismatch)), "{other:?}");
        assert_eq!(newest(&backend).await, before + 2);
        let key = ChangeKey::RequestId(origin.request_id);
        let entry = backend.store().change(account(ACCOUNT), key).await.unwrap();
        let token = entry.unwrap().client_token.unwrap();
        assert_eq!(token.as_str(), "a");
    }
    replay::check(&backend, &[]).await;
}

pub async fn repeated_changes_of_users_that_changed_nothing_change_nothing_later<B: Backend>() {
    let backend = B::start(vec![user("1", "a@x", &[])]).await;
    let same = [rename("1", "a@x")];
    let origin = repeatable(Action::UpdateUser, "a", 1);
    let first = send(&backend, &same, Arc::clone(&origin)).await.unwrap();
    assert_eq!((first.changed, first.revision), (0, None));
    backend.change(START, [rename("1", "b@x")]).await.unwrap();
    let again = send(&backend, &same, repeatable(Action::UpdateUser, "a", 1)).await;
    assert_replayed(&first, &origin, &again.unwrap());
    assert_eq!(backend.by_id(START, "1").await.unwrap().name, "b@x");
    let unchanged = send(&backend, &[rename("1", "b@x")], with_token("c", 1)).await;
    assert_eq!(unchanged.unwrap().revision, Some(Revision::FIRST));

    // One that was refused leaves no record.
    let create_two = [create("2", "B@x")];
    let refused = send(
        &backend,
        &create_two,
        repeatable(Action::CreateUser, "b", 1),
    )
    .await;
    assert!(
        matches!(refused, Err(StoreError::NameTaken(_))),
        "{refused:?}"
    );
    let free = [create("2", "c@x")];
    let made = send(&backend, &free, repeatable(Action::CreateUser, "b", 2)).await;
    assert_eq!(made.unwrap().changed, 1);
}

pub async fn repeated_changes_of_users_at_once_are_made_once<B: Backend>() {
    let users = some_users(1, &[]);
    let backend = B::start(users.clone()).await;
    let create_once = |task: usize| {
        let (store, number) = (backend.store().clone(), task % 8);
        let id = (100 + number).to_string();
        let changes = vec![create(&id, &format!("new-{number}@x"))];
        let origin = repeatable(Action::CreateUser, &id, 1);
        async move {
            let command = command(ACCOUNT, START, changes);
            let request_id = origin.request_id;
            let answer = store.change_users(Arc::new(command), origin).await.unwrap();
            let request_id = answer.request_id.unwrap_or(request_id);
            (answer.revision.unwrap().get(), request_id, answer.is_replay)
        }
    };
    let answers = join_all((0..64).map(|task| tokio::spawn(create_once(task)))).await;
    let mut made = Vec::new();
    for (revision, request_id, is_replay) in answers.into_iter().map(Result::unwrap) {
        let key = ChangeKey::RequestId(request_id);
        let entry = backend.store().change(account(ACCOUNT), key).await.unwrap();
        assert_eq!(entry.unwrap().revision.get(), revision);
        if !is_replay {
            made.push(revision);
        }
    }
    made.sort_unstable();
    assert_eq!(made, (1..=8).collect::<Vec<_>>());
    replay::check(&backend, &users).await;
}
