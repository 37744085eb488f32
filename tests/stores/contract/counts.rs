//! Counts of the keys and of the values that users carry.

use std::collections::BTreeMap;
use std::sync::Arc;

use untag::domain::{ResourceId, TagKey, TagKeysQuery, TagValuesQuery};
use untag::store::Store as _;

use super::Backend;
use super::fixtures::*;
use super::user_fixtures::*;

/// How many users a page is made of, and how many different keys or values end it.
const USERS: usize = 10_000;
const DIFFERENT: usize = 1_000;

/// Each text with how many users carry it.
pub type Counts = BTreeMap<String, usize>;

/// A page as texts, and where the list goes on.
type Page = (Vec<(String, usize)>, Option<ResourceId>);

pub fn counts(all: &[(&str, usize)]) -> Counts {
    let owned = |(text, count): &(&str, usize)| ((*text).to_owned(), *count);
    all.iter().map(owned).collect()
}

/// Asks the store of a backend for counts.
pub trait AskCounts: Backend {
    async fn key_page(&self, account: &str, after: Option<ResourceId>) -> Page {
        let account = self::account(account);
        let query = TagKeysQuery { account, after };
        let page = self.store().tag_keys(Arc::new(query)).await.unwrap();
        let counts = page.counts.into_iter();
        let counts = counts.map(|(key, count)| (key.to_string(), count));
        (counts.collect(), page.next)
    }

    async fn value_page(&self, account: &str, key: &str, after: Option<ResourceId>) -> Page {
        let query = TagValuesQuery {
            account: self::account(account),
            key: TagKey::parse(key).unwrap(),
            after,
        };
        let page = self.store().tag_values(Arc::new(query)).await.unwrap();
        let counts = page.counts.into_iter();
        let counts = counts.map(|(value, count)| (value.as_str().to_owned(), count));
        (counts.collect(), page.next)
    }

    /// The sums of all pages of keys.
    async fn keys(&self, account: &str) -> Counts {
        sum(async |after| self.key_page(account, after).await).await
    }

    /// The sums of all pages of values.
    async fn values(&self, account: &str, key: &str) -> Counts {
        sum(async |after| self.value_page(account, key, after).await).await
    }
}

impl<B: Backend> AskCounts for B {}

async fn sum(page: impl AsyncFn(Option<ResourceId>) -> Page) -> Counts {
    let (mut sums, mut after) = (Counts::new(), None);
    loop {
        let (found, next) = page(after.clone()).await;
        assert!(
            found.is_sorted_by(|one, other| one.0 < other.0),
            "{found:?}"
        );
        for (text, count) in found {
            assert!(count > 0, "nobody carries {text}");
            *sums.entry(text).or_default() += count;
        }
        if next.is_none() {
            return sums;
        }
        assert!(after < next, "the list goes back");
        after = next;
    }
}

pub async fn counts_are_of_the_tags_that_users_carry_now<B: Backend>() {
    let backend = B::start(vec![
        user("1", "a@x", &[("env", "prod"), ("Env", "x"), ("team", "a")]),
        user("2", "b@x", &[("env", "prod"), ("team", "")]),
        user("3", "c@x", &[("env", "Prod"), ("键", "值")]),
        user("4", "d@x", &[]),
        user_of(OTHER_ACCOUNT, "1", "a@x", &[("env", "prod"), ("other", "")]),
    ])
    .await;
    let all = [("env", 3), ("Env", 1), ("team", 2), ("键", 1)];
    assert_eq!(backend.keys(ACCOUNT).await, counts(&all));
    let values = backend.values(ACCOUNT, "env").await;
    assert_eq!(values, counts(&[("prod", 2), ("Prod", 1)]));
    let values = backend.values(ACCOUNT, "team").await;
    assert_eq!(values, counts(&[("a", 1), ("", 1)]));
    assert_eq!(backend.values(ACCOUNT, "ENV").await, counts(&[]));
    let other = backend.keys(OTHER_ACCOUNT).await;
    assert_eq!(other, counts(&[("env", 1), ("other", 1)]));
    assert_eq!(backend.keys("3").await, counts(&[]));
    assert_eq!(backend.values("3", "env").await, counts(&[]));

    let command = untag(ids(["1"]), keys(["env", "team"]));
    backend.untag(command).await.unwrap();
    let command = tag(ids(["4"]), &[("env", "new")]);
    backend.tag(command).await.unwrap();
    backend.change(START, [delete("3")]).await.unwrap();
    let all = [("env", 2), ("Env", 1), ("team", 1)];
    assert_eq!(backend.keys(ACCOUNT).await, counts(&all));
    let values = backend.values(ACCOUNT, "env").await;
    assert_eq!(values, counts(&[("prod", 1), ("new", 1)]));
    backend.change(START, [restore("3")]).await.unwrap();
    let values = backend.values(ACCOUNT, "键").await;
    assert_eq!(values, counts(&[("值", 1)]));
}

pub async fn counts_look_at_so_many_users_on_a_page<B: Backend>() {
    const FIRST: usize = 100_000;
    let name = |number: usize| (FIRST + number).to_string();
    for (users, pages) in [(USERS, 1), (USERS + 1, 2), (2 * USERS + 5, 3)] {
        let users = (0..users).map(|number| {
            let value = if number % 2 == 0 { "even" } else { "odd" };
            numbered_user(FIRST + number, &[("parity", value)])
        });
        let all = users.len();
        let backend = B::start(users.collect()).await;
        let (mut after, mut found) = (None, Vec::new());
        for page in 1..=pages {
            let (keys, next) = backend.key_page(ACCOUNT, after.clone()).await;
            let (values, same) = backend.value_page(ACCOUNT, "parity", after).await;
            assert_eq!(next, same);
            let goes_on = (page < pages).then(|| id(&name(page * USERS - 1)));
            assert_eq!(next, goes_on, "page {page} of {pages}");
            let of_values: usize = values.iter().map(|(_, count)| count).sum();
            assert_eq!(keys, [("parity".to_owned(), of_values)]);
            found.push(of_values);
            after = next;
        }
        assert!(found.iter().all(|count| *count <= USERS), "{found:?}");
        assert_eq!(found.iter().sum::<usize>(), all);
    }
}

pub async fn counts_end_a_page_where_it_has_many_different_ones<B: Backend>() {
    const FIRST: usize = 100_000;
    const COUNT: usize = 2 * DIFFERENT + 100;
    // One key with another value on each user, and on some of them nineteen keys that no other has.
    let users = (0..COUNT).map(|number| {
        let own = numbered_tags(&format!("own-{number}-"), 19, "x");
        let own = if number < 200 {
            borrowed(&own)
        } else {
            Vec::new()
        };
        let value = format!("v{number}");
        let tags = [own, vec![("each", value.as_str())]].concat();
        numbered_user(FIRST + number, &tags)
    });
    let backend = B::start(users.collect()).await;
    let (values, next) = backend.value_page(ACCOUNT, "each", None).await;
    assert_eq!(values.len(), DIFFERENT);
    assert_eq!(next, Some(id(&(FIRST + DIFFERENT - 1).to_string())));
    let values = backend.values(ACCOUNT, "each").await;
    assert_eq!(values.len(), COUNT);
    assert!(values.values().all(|count| *count == 1));

    // The user that has the last of them is counted whole: 1 + 53 * 19.
    let (page, next) = backend.key_page(ACCOUNT, None).await;
    assert_eq!(page.len(), 1_008);
    assert_eq!(next, Some(id(&(FIRST + 52).to_string())));
    let keys = backend.keys(ACCOUNT).await;
    assert_eq!(keys.len(), 200 * 19 + 1);
    assert_eq!(keys["each"], COUNT);
    assert!(keys.iter().all(|(key, count)| key == "each" || *count == 1));
}
