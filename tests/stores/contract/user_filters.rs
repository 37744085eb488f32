//! Lists of users by the beginning of the name and by tags.

use std::sync::Arc;

use untag::domain::{
    DeletedUsers, NamePrefix, Resource, TagCondition, TagFilter, TagKey, TagValue, UserListQuery,
};
use untag::store::Store as _;

use super::Backend;
use super::fixtures::*;
use super::user_fixtures::*;

fn everybody() -> UserListQuery {
    user_list(START, DeletedUsers::Hide)
}

/// A list of those whose name begins like this.
pub fn named(prefix: &str, query: UserListQuery) -> UserListQuery {
    UserListQuery {
        name_prefix: Some(NamePrefix::parse(prefix).unwrap()),
        ..query
    }
}

/// A list of those who carry this tag, with any value where there is none.
pub fn carrying(key: &str, value: Option<&str>, query: UserListQuery) -> UserListQuery {
    let filter = TagFilter {
        key: TagKey::parse(key).unwrap(),
        value: value.map(|value| TagValue::parse(value).unwrap()),
    };
    UserListQuery {
        tags: TagCondition::Carries(filter),
        ..query
    }
}

pub fn untagged(query: UserListQuery) -> UserListQuery {
    UserListQuery {
        tags: TagCondition::Untagged,
        ..query
    }
}

/// The ids of a list, which is the same whatever the size of its pages.
async fn ids_of(backend: &impl Backend, query: UserListQuery) -> Vec<String> {
    let mut lists = Vec::new();
    for size in [1, 2, 100] {
        let query = UserListQuery {
            page_size: page_size(size),
            ..query.clone()
        };
        let users = backend.user_pages(query).await;
        lists.push(users.into_iter().map(|user| user.id).collect::<Vec<_>>());
    }
    assert!(lists.iter().all(|list| *list == lists[0]), "{lists:?}");
    lists.swap_remove(0)
}

fn people() -> Vec<Resource> {
    vec![
        user("1", "Alice@Example.com", &[("env", "prod"), ("team", "a")]),
        user("2", "al@example.com", &[("env", "")]),
        user("3", "alan_x@example.com", &[("Env", "prod")]),
        user("4", "bob@example.com", &[("env", "prod")]),
        user("5", "ali-@example.com", &[]),
        user_of(OTHER_ACCOUNT, "6", "alice@example.com", &[("env", "prod")]),
    ]
}

pub async fn users_are_listed_by_the_beginning_of_their_names<B: Backend>() {
    let backend = B::start(people()).await;
    for (prefix, expected) in [
        ("al", &["1", "2", "3", "5"][..]),
        ("ALI", &["1", "5"]),
        ("alice@EXAMPLE.com", &["1"]),
        ("alice@example.comx", &[]),
        // None of these is a wildcard.
        ("al_", &[]),
        ("al.", &[]),
        ("alan_", &["3"]),
        ("al@", &["2"]),
        ("lice", &[]),
    ] {
        let found = ids_of(&backend, named(prefix, everybody())).await;
        assert_eq!(found, expected, "{prefix}");
    }
    backend
        .change(START, [rename("4", "ALex@x")])
        .await
        .unwrap();
    backend
        .change(START, [rename("1", "carl@x")])
        .await
        .unwrap();
    let found = ids_of(&backend, named("al", everybody())).await;
    assert_eq!(found, ["2", "3", "4", "5"]);
}

pub async fn users_are_listed_by_a_tag_and_by_having_none<B: Backend>() {
    let backend = B::start(people()).await;
    for (key, value, expected) in [
        ("env", None, &["1", "2", "4"][..]),
        ("env", Some("prod"), &["1", "4"]),
        ("env", Some(""), &["2"]),
        ("env", Some("Prod"), &[]),
        ("Env", None, &["3"]),
        ("team", Some("a"), &["1"]),
        ("other", None, &[]),
    ] {
        let found = ids_of(&backend, carrying(key, value, everybody())).await;
        assert_eq!(found, expected, "{key} {value:?}");
    }
    assert_eq!(ids_of(&backend, untagged(everybody())).await, ["5"]);
    // What is removed and set counts at once.
    let command = untag(ids(["1", "4"]), keys(["env"]));
    backend.untag(command).await.unwrap();
    let command = tag(ids(["5"]), &[("env", "值\"\\")]);
    backend.tag(command).await.unwrap();
    let found = ids_of(&backend, carrying("env", None, everybody())).await;
    assert_eq!(found, ["2", "5"]);
    let found = ids_of(&backend, carrying("env", Some("值\"\\"), everybody())).await;
    assert_eq!(found, ["5"]);
    assert_eq!(ids_of(&backend, untagged(everybody())).await, ["4"]);
}

pub async fn users_who_are_deleted_are_listed_by_what_they_had<B: Backend>() {
    let backend = B::start(people()).await;
    // One that has lost a tag just before, and one that has none.
    let command = untag(ids(["1"]), keys(["env"]));
    backend.untag(command).await.unwrap();
    let gone = ["1", "4", "5"].map(delete);
    backend.change(START, gone).await.unwrap();
    let all = || user_list(START, DeletedUsers::Show);
    for (query, expected, there) in [
        (
            named("al", all()),
            &["1", "2", "3", "5"][..],
            &["2", "3"][..],
        ),
        (carrying("env", Some("prod"), all()), &["4"], &[]),
        (carrying("team", None, all()), &["1"], &[]),
        (untagged(all()), &["5"], &[]),
        (named("ali", untagged(all())), &["5"], &[]),
        (named("al", carrying("env", None, all())), &["2"], &["2"]),
    ] {
        assert_eq!(ids_of(&backend, query.clone()).await, expected, "{query:?}");
        let hidden = UserListQuery {
            deleted: DeletedUsers::Hide,
            ..query
        };
        assert_eq!(ids_of(&backend, hidden).await, there);
    }
}

pub async fn users_who_are_rare_are_reached_among_more_than_a_page_looks_at<B: Backend>() {
    const FIRST: usize = 100_000;
    const COUNT: usize = 40_010;
    // On the first and the last user, on both sides of where a page ends, and between.
    let rare = [0, 7, 19_998, 19_999, 20_000, 30_000, 39_999, 40_000, 40_009];
    let users = (0..COUNT).map(|number| {
        let own: &[_] = if rare.contains(&number) {
            &[("rare", "x")]
        } else {
            &[("common", "y")]
        };
        numbered_user(FIRST + number, own)
    });
    let backend = B::start(users.collect()).await;
    let expected: Vec<_> = rare.map(|number| (FIRST + number).to_string()).to_vec();
    for size in [2, 100] {
        let mut query = carrying("rare", None, everybody());
        query.page_size = page_size(size);
        let users = backend.user_pages(query).await;
        let found: Vec<_> = users.into_iter().map(|user| user.id).collect();
        assert_eq!(found, expected, "pages of {size}");
    }
    // A page that finds nobody looks at so many users and no more.
    for query in [
        untagged(everybody()),
        named("nobody", user_list(START, DeletedUsers::Show)),
    ] {
        let page = backend.store().list_users(Arc::new(query.clone())).await;
        let page = page.unwrap();
        assert_eq!(page.users, []);
        assert_eq!(page.next, Some(id(&(FIRST + 19_999).to_string()).into()));
        assert_eq!(backend.user_pages(query).await, []);
    }
}
