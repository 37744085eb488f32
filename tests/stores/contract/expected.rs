//! Untags that expect values.

use std::sync::Arc;

use untag::domain::{OnMismatch, Resource, UntagCommand};
use untag::store::Store;

use super::Backend;
use super::fixtures::*;

fn three_users() -> Vec<Resource> {
    vec![
        user(
            "1",
            "alice@example.com",
            &[("env", "prod"), ("team", "payments")],
        ),
        user("2", "bob@example.com", &[("env", "test"), ("x", "")]),
        user("3", "carol@example.com", &[("team", "search")]),
    ]
}

fn untag_expecting(
    users: &[&str],
    removed: &[&str],
    values: &[(&str, &str)],
    on_mismatch: OnMismatch,
) -> UntagCommand {
    UntagCommand {
        expected: Some(expected(values, on_mismatch)),
        ..untag(ids(users), keys(removed))
    }
}

pub async fn expected_values_let_go_what_has_them<B: Backend>() {
    let backend = B::start(three_users()).await;
    // Whoever does not carry a key has no other value of it.
    let values = [("team", "payments"), ("x", "")];
    let command = untag_expecting(
        &["2", "1"],
        &["x", "team", "env"],
        &values,
        OnMismatch::Fail,
    );
    let answer = backend.untag(command).await;
    assert_eq!(answer, Ok(changed(2, 4).of_users(2)));
    let mut left = three_users();
    left[0] = user("1", "alice@example.com", &[]);
    left[1] = user("2", "bob@example.com", &[]);
    assert_eq!(backend.contents().await, contents(&left));
}

pub async fn expected_values_refuse_an_untag_with_every_tag_that_has_another<B: Backend>() {
    let backend = B::start(three_users()).await;
    let values = [("env", "prod"), ("team", "Payments"), ("x", "y")];
    for on in [false, true] {
        let command = UntagCommand {
            validate_only: on,
            ..untag_expecting(
                &["3", "2", "1"],
                &["env", "x", "team"],
                &values,
                OnMismatch::Fail,
            )
        };
        let mismatched = mismatches(&[(0, 1), (1, 0), (1, 2), (2, 1)]);
        let answer = backend.untag(command).await;
        assert_eq!(answer, Err(Refused::Mismatched(mismatched)));
        assert_eq!(backend.contents().await, contents(&three_users()));
    }
}

pub async fn expected_values_leave_what_has_another_where_that_is_skipped<B: Backend>() {
    let backend = B::start(three_users()).await;
    let by_name = UntagCommand {
        targets: names(&["Carol@Example.com", "bob@example.com", "nobody@x"]),
        allow_missing: true,
        validate_only: true,
        ..untag_expecting(
            &["1"],
            &["env", "team", "x"],
            &[("env", "prod"), ("team", "search")],
            OnMismatch::Skip,
        )
    };
    let told = changed(2, 2).of_users(2).without(&[(1, 0)]);
    assert_eq!(backend.untag(by_name.clone()).await, Ok(told.clone()));
    assert_eq!(backend.contents().await, contents(&three_users()));
    let made = UntagCommand {
        validate_only: false,
        ..by_name
    };
    assert_eq!(backend.untag(made.clone()).await, Ok(told));
    let mut left = three_users();
    left[1] = user("2", "bob@example.com", &[("env", "test")]);
    left[2] = user("3", "carol@example.com", &[]);
    assert_eq!(backend.contents().await, contents(&left));
    // What is gone has no value any more.
    let again = changed(2, 0).of_users(0).without(&[(1, 0)]);
    assert_eq!(backend.untag(made).await, Ok(again));
}

pub async fn expected_values_are_asked_for_once_all_users_are_there<B: Backend>() {
    let backend = B::start(three_users()).await;
    for on_mismatch in [OnMismatch::Fail, OnMismatch::Skip] {
        let command = untag_expecting(&["1", "9"], &["env"], &[("env", "x")], on_mismatch);
        assert_eq!(backend.untag(command).await, Err(Refused::Missing(vec![1])));
    }
    assert_eq!(backend.contents().await, contents(&three_users()));
}

pub async fn expected_values_of_the_largest_request_are_all_compared<B: Backend>() {
    let tags = numbered_tags("键", 20, "值");
    let users: Vec<_> = (0..50)
        .map(|n| numbered_user(n, &borrowed(&tags)))
        .collect();
    let backend = B::start(users.clone()).await;
    let all = || ids((0..50).map(|number| number.to_string()));
    let keys = || keys(tags.iter().map(|(key, _)| key));
    let others: Vec<_> = tags
        .iter()
        .map(|(key, _)| (key.as_str(), "other"))
        .collect();
    let command = |values: &[(&str, &str)], on_mismatch| UntagCommand {
        expected: Some(expected(values, on_mismatch)),
        ..untag(all(), keys())
    };
    let pairs: Vec<_> = (0..50)
        .flat_map(|user| (0..20).map(move |key| (user, key)))
        .collect();
    let answer = backend.untag(command(&others, OnMismatch::Fail)).await;
    assert_eq!(answer, Err(Refused::Mismatched(mismatches(&pairs))));
    let answer = backend.untag(command(&others, OnMismatch::Skip)).await;
    assert_eq!(answer, Ok(changed(50, 0).of_users(0).without(&pairs)));
    assert_eq!(backend.contents().await, contents(&users));
    let answer = backend
        .untag(command(&borrowed(&tags), OnMismatch::Fail))
        .await;
    assert_eq!(answer, Ok(changed(50, 1000).of_users(50)));
}

pub async fn expected_values_never_let_a_newer_value_go<B: Backend>() {
    let backend = B::start(vec![numbered_user(1, &[])]).await;
    let store = backend.store();
    let mut refused = 0;
    for round in 0..60 {
        let (old, new) = (format!("old-{round}"), format!("new-{round}"));
        let set = |value: &str| Arc::new(tag(ids(["1"]), &[("env", value)]));
        store.tag(set(&old), origin()).await.unwrap();
        let expected = [("env", old.as_str())];
        let untag = untag_expecting(&["1"], &["env"], &expected, OnMismatch::Fail);
        let (untagged, tagged) = tokio::join!(
            store.untag(Arc::new(untag), origin()),
            store.tag(set(&new), origin())
        );
        tagged.unwrap();
        match answer(untagged) {
            Ok(count) => assert_eq!(count, changed(1, 1)),
            Err(error) => {
                assert_eq!(error, Refused::Mismatched(mismatches(&[(0, 0)])));
                refused += 1;
            }
        }
        let left = numbered_user(1, &[("env", &new)]);
        assert_eq!(backend.contents().await, contents(&[left]));
    }
    println!("{refused} of 60 untags came after the newer value");
}
