//! Setting tags.

use untag::domain::Resource;

use super::Backend;
use super::fixtures::*;

fn two_users() -> Vec<Resource> {
    vec![
        user(
            "1",
            "Alice@Example.com",
            &[("env", "prod"), ("team", "payments")],
        ),
        user("2", "bob@example.com", &[]),
    ]
}

pub async fn tag_adds_tags_and_overwrites_values<B: Backend>() {
    let backend = B::start(two_users()).await;
    let command = tag(ids(["2", "1"]), &[("env", "test"), ("a", "1"), ("z", "2")]);
    assert_eq!(backend.tag(command).await, Ok(changed(2, 6)));
    let all = [
        ("a", "1"),
        ("env", "test"),
        ("team", "payments"),
        ("z", "2"),
    ];
    let expected = [
        user("1", "Alice@Example.com", &all),
        user(
            "2",
            "bob@example.com",
            &[("a", "1"), ("env", "test"), ("z", "2")],
        ),
    ];
    assert_eq!(backend.contents().await, contents(&expected));
}

pub async fn tag_keeps_an_empty_value<B: Backend>() {
    let backend = B::start(two_users()).await;
    assert_eq!(
        backend
            .tag(tag(ids(["1"]), &[("env", ""), ("on", "")]))
            .await,
        Ok(changed(1, 2))
    );
    let mut expected = two_users();
    let all = [("env", ""), ("on", ""), ("team", "payments")];
    expected[0] = user("1", "Alice@Example.com", &all);
    assert_eq!(backend.contents().await, contents(&expected));
}

pub async fn tag_finds_users_by_name_without_case_and_keeps_the_name_as_given<B: Backend>() {
    let backend = B::start(two_users()).await;
    let command = tag(
        names(&["ALICE@EXAMPLE.COM", "Bob@Example.Com"]),
        &[("env", "x")],
    );
    assert_eq!(backend.tag(command).await, Ok(changed(2, 2)));
    let expected = [
        user(
            "1",
            "Alice@Example.com",
            &[("env", "x"), ("team", "payments")],
        ),
        user("2", "bob@example.com", &[("env", "x")]),
    ];
    assert_eq!(backend.contents().await, contents(&expected));
}

pub async fn tag_names_every_missing_user_and_changes_nothing<B: Backend>() {
    let backend = B::start(two_users()).await;
    for targets in [
        ids(["1", "8", "2", "9"]),
        names(&["bob@example.com", "x@b", "alice@example.com", "y@b"]),
    ] {
        let answer = backend.tag(tag(targets, &[("new", "x")])).await;
        assert_eq!(answer, Err(Refused::Missing(vec![1, 3])));
    }
    assert_eq!(backend.contents().await, contents(&two_users()));
}

/// Users with 20, 19, 1 and 20 tags.
fn full_and_other_users() -> Vec<Resource> {
    let tags = numbered_tags("key-", 20, "old");
    let with = |id, count| numbered_user(id, &borrowed(&tags)[..count]);
    vec![with(1, 20), with(2, 19), with(3, 1), with(4, 20)]
}

pub async fn tag_fills_a_user_up_to_the_limit<B: Backend>() {
    let backend = B::start(full_and_other_users()).await;
    let more = numbered_tags("more-", 19, "new");
    assert_eq!(
        backend.tag(tag(ids(["3"]), &borrowed(&more))).await,
        Ok(changed(1, 19))
    );
    assert_eq!(
        backend.tag(tag(ids(["2"]), &[("one", "new")])).await,
        Ok(changed(1, 1))
    );
    let counts: Vec<_> = backend
        .contents()
        .await
        .into_values()
        .map(|(_, tags)| tags.len())
        .collect();
    assert_eq!(counts, [20, 20, 20, 20]);
}

pub async fn tag_overwrites_on_a_user_that_is_at_the_limit<B: Backend>() {
    let backend = B::start(full_and_other_users()).await;
    let new = numbered_tags("key-", 20, "new");
    // Every key but one is there already, and that one is the last that fits.
    let command = tag(ids(["1", "2"]), &borrowed(&new));
    assert_eq!(backend.tag(command).await, Ok(changed(2, 40)));
    let mut expected = full_and_other_users();
    expected[0] = numbered_user(1, &borrowed(&new));
    expected[1] = numbered_user(2, &borrowed(&new));
    assert_eq!(backend.contents().await, contents(&expected));
}

pub async fn tag_over_the_limit_names_every_such_user_and_changes_nothing<B: Backend>() {
    let backend = B::start(full_and_other_users()).await;
    let command = tag(
        ids(["3", "4", "2", "1"]),
        &[("key-0", "new"), ("one", "new")],
    );
    assert_eq!(
        backend.tag(command).await,
        Err(Refused::TagLimit(Some(vec![1, 3])))
    );
    let command = tag(ids(["3", "2"]), &[("one", "new"), ("two", "new")]);
    assert_eq!(
        backend.tag(command).await,
        Err(Refused::TagLimit(Some(vec![1])))
    );
    assert_eq!(backend.contents().await, contents(&full_and_other_users()));
}

pub async fn tag_names_missing_users_rather_than_users_over_the_limit<B: Backend>() {
    let backend = B::start(full_and_other_users()).await;
    let command = tag(ids(["1", "9", "3"]), &[("one", "new")]);
    assert_eq!(backend.tag(command).await, Err(Refused::Missing(vec![1])));
    assert_eq!(backend.contents().await, contents(&full_and_other_users()));
}

pub async fn tag_acts_on_its_own_account_only<B: Backend>() {
    let others = [
        user_of(
            OTHER_ACCOUNT,
            "1",
            "alice@example.com",
            &[("env", "theirs")],
        ),
        user_of(OTHER_ACCOUNT, "2", "only-there@example.com", &[]),
    ];
    let users = |value| {
        [
            &[user("1", "alice@example.com", &[("env", value)])],
            &others[..],
        ]
        .concat()
    };
    let backend = B::start(users("ours")).await;
    for targets in [
        ids(["1", "2"]),
        names(&["alice@example.com", "only-there@example.com"]),
    ] {
        let answer = backend.tag(tag(targets, &[("env", "wrong")])).await;
        assert_eq!(answer, Err(Refused::Missing(vec![1])));
    }
    assert_eq!(backend.contents().await, contents(&users("ours")));

    assert_eq!(
        backend.tag(tag(ids(["1"]), &[("env", "new")])).await,
        Ok(changed(1, 1))
    );
    assert_eq!(backend.contents().await, contents(&users("new")));
    let command = tag(names(&["alice@example.com"]), &[("env", "newer")]);
    assert_eq!(backend.tag(command).await, Ok(changed(1, 1)));
    assert_eq!(backend.contents().await, contents(&users("newer")));
}
