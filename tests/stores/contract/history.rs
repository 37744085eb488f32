//! The change log: what is recorded of a change, and what of a change that changes nothing.

use std::sync::Arc;

use futures_util::future::join_all;
use untag::domain::{
    Action, Caller, ChangeKey, Changed, ClientToken, Direction, EffectKind, Fingerprint, Origin,
    Repeat, RequestId, Revision, TagSelection, UntagCommand,
};
use untag::store::{Store, StoreError};

use super::Backend;
use super::concurrency::some_users;
use super::fixtures::*;
use super::replay;
use super::user_fixtures::*;
use crate::support::replay::changes_from;

fn origin_of(action: Action, caller: &str) -> Origin {
    Origin {
        caller: Caller::recorded(caller),
        action,
        ..Origin::clone(&origin())
    }
}

/// The origin of an untag with this token, whose content this stands for.
pub fn with_token(token: &str, content: u8) -> Arc<Origin> {
    Arc::new(Origin {
        repeat: Some(Repeat {
            token: ClientToken::parse(token).unwrap(),
            fingerprint: Fingerprint([content; 16]),
        }),
        ..origin_of(Action::UntagResources, "jwt:a")
    })
}

fn untag_env(id: &str) -> Arc<UntagCommand> {
    Arc::new(untag(ids([id]), keys(["env"])))
}

/// The newest revision of [`ACCOUNT`], 0 where nothing was ever changed.
pub async fn newest<B: Backend>(backend: &B) -> u64 {
    let history = backend.store().history(account(ACCOUNT)).await.unwrap();
    history.newest.map_or(0, Revision::get)
}

pub async fn history_records_where_a_change_comes_from<B: Backend>() {
    let backend = B::start(vec![numbered_user(1, &[("env", "x"), ("team", "y")])]).await;
    let untag_origin = with_token("a token", 1);
    let answer = backend
        .store()
        .untag(untag_env("1"), Arc::clone(&untag_origin))
        .await;
    let revision = answer.unwrap().revision.unwrap();
    assert_eq!(revision, Revision::FIRST);
    let tag_origin = Arc::new(origin_of(Action::TagResources, "dns:b"));
    let command = Arc::new(tag(ids(["1"]), &[("env", "z"), ("team", "y")]));
    let answer = backend.store().tag(command, Arc::clone(&tag_origin)).await;
    assert_eq!(answer.unwrap().revision, Some(revision.next()));

    let changes = replay::all_changes(&backend, &account(ACCOUNT)).await;
    for (change, origin) in changes.iter().zip([untag_origin, tag_origin]) {
        assert_eq!(change.request_id, origin.request_id);
        assert_eq!(change.time, origin.time);
        assert_eq!(change.caller, origin.caller);
        assert_eq!(change.source_ip, origin.source_ip);
        assert_eq!(change.action, origin.action);
        let token = origin.repeat.as_ref().map(|repeat| repeat.token.clone());
        assert_eq!(change.client_token, token);
    }
    // What is set to the value that it has is no effect.
    let EffectKind::Tags { set, .. } = &changes[1].effects[0].kind else {
        panic!("{changes:?}");
    };
    assert_eq!(set.len(), 1);
    assert_eq!(set[0].key.as_str(), "env");
}

pub async fn history_has_no_entry_of_what_changes_nothing<B: Backend>() {
    let backend = B::start(vec![numbered_user(1, &[("env", "x")])]).await;
    let store = backend.store();
    let unchanged = |answer: Result<Changed, StoreError>, revision: u64| {
        let answer = answer.unwrap();
        assert_eq!(answer.changed_resources, Some(0));
        assert_eq!(answer.revision, Revision::new(revision));
    };
    let absent = || Arc::new(untag(ids(["1"]), keys(["absent"])));
    unchanged(store.untag(absent(), origin()).await, 0);
    let same = || Arc::new(tag(ids(["1"]), &[("env", "x")]));
    unchanged(store.tag(same(), origin()).await, 0);
    store.untag(untag_env("1"), origin()).await.unwrap();
    unchanged(store.untag(untag_env("1"), origin()).await, 1);
    unchanged(store.untag(absent(), origin()).await, 1);
    let missing = store.untag(untag_env("2"), origin()).await;
    assert!(
        matches!(missing, Err(StoreError::Missing(_))),
        "{missing:?}"
    );
    let show = || vec![rename("1", "user-1@example.com")];
    backend.change(START, show()).await.unwrap();
    assert_eq!(newest(&backend).await, 1);

    let account = account(ACCOUNT);
    for key in [
        ChangeKey::Revision(Revision::new(2).unwrap()),
        ChangeKey::RequestId(RequestId::now()),
    ] {
        let found = store.change(account.clone(), key).await.unwrap();
        assert_eq!(found, None);
    }
    let query = changes_from(&account, 2, Direction::Forwards);
    let found = store.changes(Arc::new(query)).await.unwrap();
    assert_eq!(found, []);
}

pub async fn history_of_an_account_is_its_own<B: Backend>() {
    let users =
        [ACCOUNT, OTHER_ACCOUNT].map(|account| user_of(account, "1", "a@b", &[("env", "x")]));
    let backend = B::start(users.to_vec()).await;
    let store = backend.store();
    let first = origin();
    store
        .untag(untag_env("1"), Arc::clone(&first))
        .await
        .unwrap();
    let other = account(OTHER_ACCOUNT);
    let key = ChangeKey::RequestId(first.request_id);
    assert_eq!(store.change(other.clone(), key).await.unwrap(), None);
    let mut command = untag(ids(["1"]), TagSelection::All);
    command.account = other.clone();
    let answer = store.untag(Arc::new(command), origin()).await.unwrap();
    assert_eq!(answer.revision, Some(Revision::FIRST));
    let histories = [
        store.history(account(ACCOUNT)).await.unwrap(),
        store.history(other).await.unwrap(),
    ];
    assert_eq!(histories[0].id, histories[1].id);
    replay::check(&backend, &users).await;
}

pub async fn history_has_concurrent_changes_in_the_order_of_their_revisions<B: Backend>() {
    let users = some_users(4, &[("env", "x")]);
    let backend = B::start(users.clone()).await;
    let store = backend.store();
    let change = |task: usize| {
        let store = store.clone();
        async move {
            let mut answered = Vec::new();
            for round in 0..20 {
                let targets = ids([((task + round) % 4).to_string(), (round % 4).to_string()]
                    .into_iter()
                    .collect::<std::collections::BTreeSet<_>>());
                let origin = origin();
                let id = origin.request_id;
                let value = format!("{task}-{round}");
                let answer = match (task + round) % 3 {
                    0 => {
                        store
                            .untag(Arc::new(untag(targets, TagSelection::All)), origin)
                            .await
                    }
                    1 => {
                        store
                            .untag(Arc::new(untag(targets, keys(["env"]))), origin)
                            .await
                    }
                    _ => {
                        let command = tag(targets, &[("env", &value), ("only", "x")]);
                        store.tag(Arc::new(command), origin).await
                    }
                };
                answered.push((id, answer.unwrap()));
            }
            answered
        }
    };
    let answered = join_all((0..8).map(|task| tokio::spawn(change(task)))).await;
    replay::check(&backend, &users).await;
    let account = account(ACCOUNT);
    for answered in answered {
        let mut last = 0;
        for (request_id, answer) in answered.unwrap() {
            let revision = answer.revision.map_or(0, Revision::get);
            assert!(revision >= last, "a later answer has no earlier revision");
            last = revision;
            let key = ChangeKey::RequestId(request_id);
            let entry = store.change(account.clone(), key).await.unwrap();
            let effects = entry.as_ref().map_or(0, |entry| entry.effects.len());
            assert_eq!(answer.changed_resources, Some(effects));
            if let Some(entry) = entry {
                assert_eq!(Some(entry.revision), answer.revision);
            }
        }
    }
}

pub async fn repeated_requests_are_answered_as_they_were<B: Backend>() {
    let users = vec![numbered_user(1, &[("env", "x"), ("team", "y")])];
    let backend = B::start(users.clone()).await;
    let store = backend.store();
    let first = store
        .untag(untag_env("1"), with_token("a", 1))
        .await
        .unwrap();
    assert_eq!(first.revision, Some(Revision::FIRST));
    backend
        .tag(tag(ids(["1"]), &[("env", "newer")]))
        .await
        .unwrap();
    let again = with_token("a", 1);
    let repeated = store
        .untag(untag_env("1"), Arc::clone(&again))
        .await
        .unwrap();
    let request_id = repeated.request_id.unwrap();
    assert_ne!(request_id, again.request_id);
    let entry = store.change(account(ACCOUNT), ChangeKey::RequestId(request_id));
    assert_eq!(entry.await.unwrap().unwrap().revision, Revision::FIRST);
    assert_eq!(
        repeated,
        Changed {
            request_id: Some(request_id),
            is_replay: true,
            ..first
        }
    );
    // The newer tag is there still.
    assert_eq!(newest(&backend).await, 2);
    replay::check(&backend, &users).await;

    let other = store.untag(untag_env("1"), with_token("a", 2)).await;
    assert!(matches!(other, Err(StoreError::TokenMismatch)), "{other:?}");
    let mut caller = Origin::clone(&with_token("a", 2));
    caller.caller = Caller::recorded("jwt:other");
    let answer = store.untag(untag_env("1"), Arc::new(caller)).await.unwrap();
    assert_eq!(answer.revision, Revision::new(3));
}

pub async fn repeated_requests_that_changed_nothing_change_nothing_later<B: Backend>() {
    let backend = B::start(vec![numbered_user(1, &[])]).await;
    let store = backend.store();
    let first = store
        .untag(untag_env("1"), with_token("a", 1))
        .await
        .unwrap();
    assert_eq!((first.changed_resources, first.revision), (Some(0), None));
    backend
        .tag(tag(ids(["1"]), &[("env", "newer")]))
        .await
        .unwrap();
    let repeated = store
        .untag(untag_env("1"), with_token("a", 1))
        .await
        .unwrap();
    assert_eq!(
        (repeated.changed_resources, repeated.revision),
        (Some(0), None)
    );
    assert_eq!(newest(&backend).await, 1);
    // One that was refused leaves no record.
    let missing = store.untag(untag_env("2"), with_token("b", 1)).await;
    assert!(
        matches!(missing, Err(StoreError::Missing(_))),
        "{missing:?}"
    );
    backend
        .change(START, vec![create("2", "two@example.com")])
        .await
        .unwrap();
    store
        .untag(untag_env("2"), with_token("b", 2))
        .await
        .unwrap();
}

pub async fn repeated_requests_at_once_are_carried_out_once<B: Backend>() {
    let users = some_users(8, &[("env", "x")]);
    let backend = B::start(users.clone()).await;
    let store = backend.store();
    let send = |task: usize| {
        let (store, id) = (store.clone(), (task % 8).to_string());
        async move {
            store
                .untag(untag_env(&id), with_token(&id, 1))
                .await
                .unwrap()
        }
    };
    let answers = join_all((0..64).map(|task| tokio::spawn(send(task)))).await;
    let mut revisions: Vec<_> = answers
        .into_iter()
        .map(|answer| {
            let answer = answer.unwrap();
            assert_eq!(answer.changed_resources, Some(1));
            answer.revision.unwrap().get()
        })
        .collect();
    revisions.sort_unstable();
    revisions.dedup();
    assert_eq!(revisions, (1..=8).collect::<Vec<_>>());
    replay::check(&backend, &users).await;
}
