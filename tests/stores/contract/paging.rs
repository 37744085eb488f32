//! Going through a list page by page.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use untag::domain::{ListQuery, Resource, TagPage, TagSelection};
use untag::store::Store as _;

use super::Backend;
use super::fixtures::*;

/// Users `10` to `15` with 0 to 5 tags, `key-0` to `key-4`: 15 tags in all.
fn stairs() -> Vec<Resource> {
    let tags = numbered_tags("key-", 5, "x");
    (0..6)
        .map(|count| numbered_user(10 + count, &borrowed(&tags)[..count]))
        .collect()
}

fn all_stairs() -> Vec<(String, String, String)> {
    let tag = |user: usize, tag: usize| {
        (
            (10 + user).to_string(),
            format!("key-{tag}"),
            "x".to_owned(),
        )
    };
    (0..6)
        .flat_map(|user| (0..user).map(move |number| tag(user, number)))
        .collect()
}

fn everybody() -> ListQuery {
    list(Some(ids((10..16).map(|id| id.to_string()))), &[])
}

fn page_of(mut query: ListQuery, size: usize) -> ListQuery {
    query.page_size = page_size(size);
    query
}

/// The query for what comes after a page.
fn behind(page: &TagPage, mut query: ListQuery) -> ListQuery {
    query.after.clone_from(&page.next);
    assert!(query.after.is_some(), "the list goes on");
    query
}

fn texts(page: &TagPage) -> Vec<(String, String, String)> {
    page.tags.iter().map(as_texts).collect()
}

pub async fn paging_yields_the_same_list_for_every_page_size<B: Backend>() {
    let backend = B::start(stairs()).await;
    let mut with_keys_1_and_2 = all_stairs();
    with_keys_1_and_2
        .retain(|(id, key, _)| id.as_str() >= "13" && ["key-1", "key-2"].contains(&key.as_str()));
    for size in 1..=16 {
        let query = page_of(everybody(), size);
        assert_eq!(
            backend.listed(query).await,
            Ok(all_stairs()),
            "pages of {size}"
        );
        let query = page_of(list(None, &[("key-1", None), ("key-2", None)]), size);
        assert_eq!(
            backend.listed(query).await,
            Ok(with_keys_1_and_2.clone()),
            "pages of {size}"
        );
    }
}

pub async fn paging_ends_with_a_page_that_is_just_full<B: Backend>() {
    let backend = B::start(stairs()).await;
    let query = page_of(everybody(), 5);
    let first = backend.page(query.clone()).await.unwrap();
    let second = backend.page(behind(&first, query.clone())).await.unwrap();
    let third = backend.page(behind(&second, query)).await.unwrap();
    assert_eq!(
        [first.tags.len(), second.tags.len(), third.tags.len()],
        [5, 5, 5]
    );
    assert_eq!(third.next, None);
}

pub async fn paging_goes_on_behind_a_tag_that_is_gone<B: Backend>() {
    // Pages of 7 end inside user 14, pages of 6 end with user 13: the place to go on loses its tag in both.
    for (size, last_user) in [(7, "14"), (6, "13")] {
        let backend = B::start(stairs()).await;
        let query = page_of(everybody(), size);
        let first = backend.page(query.clone()).await.unwrap();
        assert_eq!(texts(&first), all_stairs()[..size]);
        assert_eq!(first.tags[size - 1].resource_id.as_str(), last_user);
        backend
            .untag(untag(ids([last_user]), TagSelection::All))
            .await
            .unwrap();

        let rest = backend.listed(behind(&first, query)).await.unwrap();
        let mut expected = all_stairs().split_off(size);
        expected.retain(|(id, _, _)| id != last_user);
        assert_eq!(rest, expected);
    }
}

pub async fn paging_shows_what_was_added_behind_the_last_page_only<B: Backend>() {
    let backend = B::start(stairs()).await;
    let query = page_of(everybody(), 7);
    let first = backend.page(query.clone()).await.unwrap();
    assert_eq!(texts(&first), all_stairs()[..7]);
    // `key-` sorts before the place, `key-00` right behind it, and both do so on users before and behind.
    let command = tag(
        ids(["10", "14", "15"]),
        &[("key-", "new"), ("key-00", "new")],
    );
    backend.tag(command).await.unwrap();

    let rest = backend.listed(behind(&first, query)).await.unwrap();
    let new = |id: &str, key: &str| (id.to_owned(), key.to_owned(), "new".to_owned());
    let mut expected = all_stairs().split_off(7);
    expected.extend([new("14", "key-00"), new("15", "key-"), new("15", "key-00")]);
    expected.sort();
    assert_eq!(rest, expected);
}

pub async fn paging_reaches_rare_tags_among_more_users_than_a_request_looks_at<B: Backend>() {
    const FIRST: usize = 100_000;
    const COUNT: usize = 40_010;
    // On the first and the last user, on both sides of where a request of 20,000 users ends, and between.
    let rare = [
        0, 7, 19_998, 19_999, 20_000, 20_001, 30_000, 39_998, 39_999, 40_000, 40_009,
    ];
    let users = (0..COUNT).map(|number| {
        let own: &[_] = if rare.contains(&number) {
            &[("common", "y"), ("rare", "x")]
        } else {
            &[("common", "y")]
        };
        numbered_user(FIRST + number, own)
    });
    let backend = B::start(users.collect()).await;
    let expected: Vec<_> = rare
        .iter()
        .map(|number| {
            (
                (FIRST + number).to_string(),
                "rare".to_owned(),
                "x".to_owned(),
            )
        })
        .collect();
    for size in [2, 100] {
        let query = page_of(list(None, &[("rare", None)]), size);
        assert_eq!(
            backend.listed(query).await,
            Ok(expected.clone()),
            "pages of {size}"
        );
    }
    assert_eq!(
        backend.listed(list(None, &[("common", Some("no"))])).await,
        Ok(listing(&[]))
    );
}

pub async fn paging_shows_one_state_on_a_page_however_many_users_it_looks_at<B: Backend>() {
    const BETWEEN: usize = 5_000;
    const PAGES: usize = 60;
    const CHANGES: usize = 16;
    // Two users that always get a tag together and lose it together, as far apart as a store may read in parts.
    let users = (0..BETWEEN).map(|number| numbered_user(100_000 + number, &[("common", "y")]));
    let backend = B::start(users.collect()).await;
    let pair = || ids(["100000".to_owned(), (100_000 + BETWEEN - 1).to_string()]);
    let (reading, done) = (Arc::new(AtomicBool::new(true)), Arc::default());
    let (store, goes_on, changes) = (
        backend.store().clone(),
        Arc::clone(&reading),
        Arc::<AtomicUsize>::clone(&done),
    );
    let write = tokio::spawn(async move {
        while goes_on.load(Ordering::Relaxed) {
            let set = tag(pair(), &[("pair", "x")]);
            store.tag(Arc::new(set), origin()).await.unwrap();
            let remove = untag(pair(), keys(["pair"]));
            store.untag(Arc::new(remove), origin()).await.unwrap();
            changes.fetch_add(2, Ordering::Relaxed);
        }
    });
    let mut pages = 0;
    while pages < PAGES || done.load(Ordering::Relaxed) < CHANGES {
        assert!(!write.is_finished(), "{:?}", write.await);
        let page = backend.page(list(None, &[("pair", None)])).await.unwrap();
        assert!([0, 2].contains(&page.tags.len()), "{:?}", texts(&page));
        pages += 1;
    }
    reading.store(false, Ordering::Relaxed);
    write.await.unwrap();
}
