//! Removing tags.

use untag::domain::TagSelection;

use super::Backend;
use super::fixtures::*;

fn three_users() -> Vec<untag::domain::Resource> {
    vec![
        user(
            "1",
            "Alice@Example.com",
            &[("env", "prod"), ("team", "payments"), ("tier", "")],
        ),
        user(
            "2",
            "bob@example.com",
            &[("env", "test"), ("team", "search")],
        ),
        user("3", "carol@example.com", &[]),
    ]
}

pub async fn untag_removes_only_the_named_keys<B: Backend>() {
    let backend = B::start(three_users()).await;
    let command = untag(ids(["1", "2"]), keys(["env", "tier"]));
    assert_eq!(backend.untag(command).await, Ok(changed(2, 3)));
    let expected = [
        user("1", "Alice@Example.com", &[("team", "payments")]),
        user("2", "bob@example.com", &[("team", "search")]),
        user("3", "carol@example.com", &[]),
    ];
    assert_eq!(backend.contents().await, contents(&expected));
}

pub async fn untag_removes_every_tag_when_all_is_selected<B: Backend>() {
    let backend = B::start(three_users()).await;
    let command = untag(ids(["3", "1"]), TagSelection::All);
    assert_eq!(backend.untag(command).await, Ok(changed(2, 3)));
    let expected = [
        user("1", "Alice@Example.com", &[]),
        user(
            "2",
            "bob@example.com",
            &[("env", "test"), ("team", "search")],
        ),
        user("3", "carol@example.com", &[]),
    ];
    assert_eq!(backend.contents().await, contents(&expected));
}

pub async fn untag_skips_keys_that_are_not_carried<B: Backend>() {
    let backend = B::start(three_users()).await;
    let command = untag(ids(["1", "2", "3"]), keys(["absent", "tier"]));
    assert_eq!(backend.untag(command).await, Ok(changed(3, 1)));
    let mut expected = three_users();
    expected[0] = user(
        "1",
        "Alice@Example.com",
        &[("env", "prod"), ("team", "payments")],
    );
    assert_eq!(backend.contents().await, contents(&expected));
}

pub async fn untag_tells_keys_apart_by_case<B: Backend>() {
    let backend = B::start(vec![user("1", "a@b", &[("Env", "x"), ("env", "y")])]).await;
    assert_eq!(
        backend.untag(untag(ids(["1"]), keys(["ENV"]))).await,
        Ok(changed(1, 0))
    );
    assert_eq!(
        backend.untag(untag(ids(["1"]), keys(["Env"]))).await,
        Ok(changed(1, 1))
    );
    assert_eq!(
        backend.contents().await,
        contents(&[user("1", "a@b", &[("env", "y")])])
    );
}

pub async fn untag_can_be_repeated<B: Backend>() {
    let backend = B::start(three_users()).await;
    let command = untag(ids(["1", "2"]), keys(["env"]));
    assert_eq!(backend.untag(command.clone()).await, Ok(changed(2, 2)));
    let after_first = backend.contents().await;
    assert_eq!(backend.untag(command).await, Ok(changed(2, 0)));
    assert_eq!(backend.contents().await, after_first);
}

pub async fn untag_finds_users_by_name_without_case_and_keeps_the_name_as_given<B: Backend>() {
    let backend = B::start(three_users()).await;
    let command = untag(
        names(&["BOB@example.COM", "aLICE@eXAMPLE.com"]),
        keys(["env"]),
    );
    assert_eq!(backend.untag(command).await, Ok(changed(2, 2)));
    let expected = [
        user(
            "1",
            "Alice@Example.com",
            &[("team", "payments"), ("tier", "")],
        ),
        user("2", "bob@example.com", &[("team", "search")]),
        user("3", "carol@example.com", &[]),
    ];
    assert_eq!(backend.contents().await, contents(&expected));
}

pub async fn untag_tells_ids_apart_by_every_digit<B: Backend>() {
    // A store that takes ids for numbers would mix up the first two, and could not hold the last two apart.
    let longest = [
        "12345678901234567890123456789012",
        "12345678901234567890123456789013",
    ];
    let all = ["7", "007", longest[0], longest[1]];
    let users = |without: &[&str]| -> Vec<_> {
        let tags = |id: &str| {
            if without.contains(&id) {
                &[][..]
            } else {
                &[("env", "x")][..]
            }
        };
        all.iter()
            .map(|id| user(id, &format!("user-{id}@b"), tags(id)))
            .collect()
    };
    let backend = B::start(users(&[])).await;
    let command = untag(ids(["007", longest[1]]), TagSelection::All);
    assert_eq!(backend.untag(command).await, Ok(changed(2, 2)));
    assert_eq!(
        backend.contents().await,
        contents(&users(&["007", longest[1]]))
    );
    assert_eq!(
        backend.untag(untag(ids(["0007"]), TagSelection::All)).await,
        Err(Refused::Missing(vec![0]))
    );
}

pub async fn untag_takes_wildcards_and_quotes_as_they_are<B: Backend>() {
    let strange = [
        "%", "_", "*", "'", "\"", "\\", "{}", "a,b", "[x]", "$1", "?", "--", " ", "\n", "NULL",
    ];
    let tags: Vec<_> = strange
        .iter()
        .map(|key| (*key, *key))
        .chain([("z", "%")])
        .collect();
    let backend = B::start(vec![
        user("1", "a_b@example.com", &tags),
        user("2", "axb@example.com", &[("_", "stays"), ("z", "stays")]),
    ])
    .await;
    // As a pattern the name would match both users, and the keys would match `z`.
    let command = untag(names(&["a_b@example.com"]), keys(strange));
    assert_eq!(backend.untag(command).await, Ok(changed(1, strange.len())));
    let expected = [
        user("1", "a_b@example.com", &[("z", "%")]),
        user("2", "axb@example.com", &[("_", "stays"), ("z", "stays")]),
    ];
    assert_eq!(backend.contents().await, contents(&expected));
}

pub async fn untag_keeps_the_longest_tags_whole<B: Backend>() {
    // 128 characters of four bytes each: no tag that the contract allows is longer.
    let longest = |last: char| "🏷".repeat(127) + &last.to_string();
    let (kept, removed, value) = (longest('🅰'), longest('🅱'), longest('🆎'));
    let backend = B::start(vec![user(
        "1",
        "a@b",
        &[(&kept, &value), (&removed, &value)],
    )])
    .await;
    assert_eq!(
        backend.untag(untag(ids(["1"]), keys([removed]))).await,
        Ok(changed(1, 1))
    );
    assert_eq!(
        backend.contents().await,
        contents(&[user("1", "a@b", &[(&kept, &value)])])
    );
}

pub async fn untag_of_the_largest_request_removes_all_of_it<B: Backend>() {
    let tags = numbered_tags("key-", 20, "value");
    let users = |tags: &[(&str, &str)]| {
        (100..150)
            .map(|n| numbered_user(n, tags))
            .collect::<Vec<_>>()
    };
    let backend = B::start(users(&borrowed(&tags))).await;
    let everybody = ids((100..150).map(|number| number.to_string()));
    let command = untag(everybody, keys(tags.iter().map(|(key, _)| key)));
    assert_eq!(backend.untag(command).await, Ok(changed(50, 1000)));
    assert_eq!(backend.contents().await, contents(&users(&[])));
}

pub async fn untag_names_every_missing_id_and_changes_nothing<B: Backend>() {
    let backend = B::start(three_users()).await;
    let command = untag(ids(["9", "1", "8", "2", "7"]), TagSelection::All);
    assert_eq!(
        backend.untag(command).await,
        Err(Refused::Missing(vec![0, 2, 4]))
    );
    assert_eq!(backend.contents().await, contents(&three_users()));
}

pub async fn untag_names_every_missing_name_and_changes_nothing<B: Backend>() {
    let backend = B::start(three_users()).await;
    let command = untag(
        names(&["alice@example.com", "x@b", "bob@example.com", "y@b"]),
        keys(["env"]),
    );
    assert_eq!(
        backend.untag(command).await,
        Err(Refused::Missing(vec![1, 3]))
    );
    assert_eq!(backend.contents().await, contents(&three_users()));
}

pub async fn untag_skips_missing_users_where_that_is_allowed<B: Backend>() {
    let backend = B::start(three_users()).await;
    let mut command = untag(ids(["9", "1", "8"]), keys(["env"]));
    command.allow_missing = true;
    assert_eq!(backend.untag(command.clone()).await, Ok(changed(1, 1)));
    let mut expected = three_users();
    expected[0] = user(
        "1",
        "Alice@Example.com",
        &[("team", "payments"), ("tier", "")],
    );
    assert_eq!(backend.contents().await, contents(&expected));

    command.targets = names(&["nobody@example.com"]);
    assert_eq!(backend.untag(command).await, Ok(changed(0, 0)));
    assert_eq!(backend.contents().await, contents(&expected));
}

pub async fn untag_that_validates_answers_as_the_change_would_and_changes_nothing<B: Backend>() {
    let backend = B::start(three_users()).await;
    let mut command = untag(ids(["1", "2", "9"]), keys(["env", "absent"]));
    command.allow_missing = true;
    command.validate_only = true;
    assert_eq!(backend.untag(command.clone()).await, Ok(changed(2, 2)));
    assert_eq!(backend.contents().await, contents(&three_users()));
    command.validate_only = false;
    assert_eq!(backend.untag(command).await, Ok(changed(2, 2)));
}

pub async fn untag_that_validates_names_every_missing_user<B: Backend>() {
    let backend = B::start(three_users()).await;
    let mut command = untag(names(&["x@b", "bob@example.com", "y@b"]), TagSelection::All);
    command.validate_only = true;
    assert_eq!(
        backend.untag(command).await,
        Err(Refused::Missing(vec![0, 2]))
    );
    assert_eq!(backend.contents().await, contents(&three_users()));
}

pub async fn untag_acts_on_its_own_account_only<B: Backend>() {
    let tags = [("env", "prod")];
    let others = [
        user_of(OTHER_ACCOUNT, "1", "alice@example.com", &tags),
        user_of(OTHER_ACCOUNT, "2", "bob@example.com", &tags),
        user_of(OTHER_ACCOUNT, "3", "only-there@example.com", &tags),
    ];
    let users = |tags: &[(&str, &str)]| {
        let own = [
            user("1", "alice@example.com", tags),
            user("2", "bob@example.com", tags),
        ];
        [&own[..], &others[..]].concat()
    };
    let backend = B::start(users(&tags)).await;
    assert_eq!(
        backend
            .untag(untag(ids(["1", "3"]), TagSelection::All))
            .await,
        Err(Refused::Missing(vec![1]))
    );
    assert_eq!(
        backend
            .untag(untag(names(&["only-there@example.com"]), TagSelection::All))
            .await,
        Err(Refused::Missing(vec![0]))
    );
    assert_eq!(backend.contents().await, contents(&users(&tags)));

    assert_eq!(
        backend.untag(untag(ids(["1"]), TagSelection::All)).await,
        Ok(changed(1, 1))
    );
    assert_eq!(
        backend
            .untag(untag(names(&["bob@example.com"]), keys(["env"])))
            .await,
        Ok(changed(1, 1))
    );
    assert_eq!(backend.contents().await, contents(&users(&[])));
}
