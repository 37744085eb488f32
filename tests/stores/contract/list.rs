//! Listing tags, whatever the size of the pages.

use untag::domain::Resource;

use super::Backend;
use super::fixtures::*;

fn four_users() -> Vec<Resource> {
    vec![
        user(
            "1",
            "Alice@Example.com",
            &[("env", "prod"), ("on-call", ""), ("team", "search")],
        ),
        user(
            "2",
            "bob@example.com",
            &[("env", "test"), ("team", "search")],
        ),
        user("3", "carol@example.com", &[("env", ""), ("on-call", "x")]),
        user("4", "dave@example.com", &[]),
    ]
}

pub async fn list_of_users_is_in_order_of_id_then_key<B: Backend>() {
    let backend = B::start(four_users()).await;
    let expected = listing(&[
        ("1", "env", "prod"),
        ("1", "on-call", ""),
        ("1", "team", "search"),
        ("2", "env", "test"),
        ("2", "team", "search"),
    ]);
    assert_eq!(
        backend.listed(list(Some(ids(["4", "2", "1"])), &[])).await,
        Ok(expected)
    );
}

pub async fn list_orders_ids_and_keys_by_their_bytes<B: Backend>() {
    // Numbers would put 9 before 10, and the rules of a language would mix cases and place `é` beside `e`.
    let keys = [
        " ", "-", "1", "A", "B", "_", "a", "b", "e", "z", "é", "键", "🏷",
    ];
    let tags: Vec<_> = keys.iter().rev().map(|key| (*key, "x")).collect();
    let in_order = ["007", "10", "100", "11", "9"];
    let users = in_order
        .iter()
        .rev()
        .map(|id| user(id, &format!("user-{id}@b"), &tags))
        .collect();
    let backend = B::start(users).await;
    let expected: Vec<_> = in_order
        .iter()
        .flat_map(|id| keys.iter().map(|key| (*id, *key, "x")))
        .collect();
    let query = list(Some(ids(["9", "100", "007", "11", "10"])), &[]);
    assert_eq!(backend.listed(query).await, Ok(listing(&expected)));

    let expected: Vec<_> = in_order.iter().map(|id| (*id, "é", "x")).collect();
    assert_eq!(
        backend.listed(list(None, &[("é", None)])).await,
        Ok(listing(&expected))
    );
}

pub async fn list_finds_users_by_name_without_case<B: Backend>() {
    let backend = B::start(four_users()).await;
    let query = list(Some(names(&["CAROL@example.com", "dave@EXAMPLE.com"])), &[]);
    let expected = listing(&[("3", "env", ""), ("3", "on-call", "x")]);
    assert_eq!(backend.listed(query).await, Ok(expected));
}

pub async fn list_names_every_missing_user<B: Backend>() {
    let backend = B::start(four_users()).await;
    let by_id = list(Some(ids(["8", "1", "9"])), &[]);
    assert_eq!(
        backend.listed(by_id).await,
        Err(Refused::Missing(vec![0, 2]))
    );
    // Also where the filter would show nothing of the others.
    let by_name = list(
        Some(names(&["bob@example.com", "x@b"])),
        &[("absent", None)],
    );
    assert_eq!(
        backend.listed(by_name).await,
        Err(Refused::Missing(vec![1]))
    );
}

pub async fn list_by_key_shows_that_tag_of_everybody<B: Backend>() {
    let backend = B::start(four_users()).await;
    let expected = listing(&[("1", "env", "prod"), ("2", "env", "test"), ("3", "env", "")]);
    assert_eq!(
        backend.listed(list(None, &[("env", None)])).await,
        Ok(expected)
    );
    assert_eq!(
        backend.listed(list(None, &[("ENV", None)])).await,
        Ok(listing(&[]))
    );
}

pub async fn list_by_key_and_value_shows_equal_values_only<B: Backend>() {
    let backend = B::start(four_users()).await;
    let query = |value| list(None, &[("env", Some(value))]);
    assert_eq!(
        backend.listed(query("prod")).await,
        Ok(listing(&[("1", "env", "prod")]))
    );
    for value in ["Prod", "pro", "prod ", "%"] {
        assert_eq!(
            backend.listed(query(value)).await,
            Ok(listing(&[])),
            "{value:?}"
        );
    }
}

pub async fn list_by_an_empty_value_shows_empty_values_only<B: Backend>() {
    let backend = B::start(four_users()).await;
    let expected = listing(&[("1", "on-call", "")]);
    assert_eq!(
        backend.listed(list(None, &[("on-call", Some(""))])).await,
        Ok(expected)
    );
}

pub async fn list_by_several_tags_shows_users_that_have_them_all<B: Backend>() {
    let backend = B::start(four_users()).await;
    let query = list(None, &[("team", Some("search")), ("env", None)]);
    let expected = listing(&[
        ("1", "env", "prod"),
        ("1", "team", "search"),
        ("2", "env", "test"),
        ("2", "team", "search"),
    ]);
    assert_eq!(backend.listed(query).await, Ok(expected));
    let query = list(None, &[("team", Some("search")), ("on-call", Some("x"))]);
    assert_eq!(backend.listed(query).await, Ok(listing(&[])));
}

pub async fn list_by_users_and_tags_shows_what_fits_both<B: Backend>() {
    let backend = B::start(four_users()).await;
    let query = list(Some(ids(["3", "2", "4"])), &[("env", None)]);
    let expected = listing(&[("2", "env", "test"), ("3", "env", "")]);
    assert_eq!(backend.listed(query).await, Ok(expected));
    let query = list(
        Some(names(&["alice@example.com"])),
        &[("env", Some("test"))],
    );
    assert_eq!(backend.listed(query).await, Ok(listing(&[])));
}

pub async fn list_of_nothing_is_an_empty_last_page<B: Backend>() {
    let backend = B::start(four_users()).await;
    for query in [list(Some(ids(["4"])), &[]), list(None, &[("absent", None)])] {
        let page = backend.page(query).await.unwrap();
        assert_eq!((page.tags, page.next), (Vec::new(), None));
    }
}

pub async fn list_shows_its_own_account_only<B: Backend>() {
    let backend = B::start(vec![
        user("2", "bob@example.com", &[("env", "ours")]),
        user_of(
            OTHER_ACCOUNT,
            "1",
            "alice@example.com",
            &[("env", "theirs")],
        ),
        user_of(OTHER_ACCOUNT, "2", "bob@example.com", &[("env", "theirs")]),
        user_of(
            OTHER_ACCOUNT,
            "3",
            "carol@example.com",
            &[("env", "theirs")],
        ),
    ])
    .await;
    let ours = || Ok(listing(&[("2", "env", "ours")]));
    assert_eq!(backend.listed(list(None, &[("env", None)])).await, ours());
    assert_eq!(backend.listed(list(Some(ids(["2"])), &[])).await, ours());
    assert_eq!(
        backend
            .listed(list(Some(names(&["bob@example.com"])), &[]))
            .await,
        ours()
    );
    let missing = || Err(Refused::Missing(vec![0]));
    assert_eq!(backend.listed(list(Some(ids(["1"])), &[])).await, missing());
    assert_eq!(
        backend
            .listed(list(Some(names(&["carol@example.com"])), &[]))
            .await,
        missing()
    );
}
