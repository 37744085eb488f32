//! Short ways to write users, commands and what is expected of them.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::sync::Arc;

use untag::domain::{
    AccountId, Changed, Continuation, Expected, ListQuery, ListedTag, Mismatch, OnMismatch,
    PageSize, Position, PrincipalName, RefusalKind, Resource, ResourceId, TagCommand, TagFilter,
    TagKey, TagPage, TagSelection, TagValue, Targets, UntagCommand,
};
use untag::store::{BulkLine, Store, StoreError};

use super::Backend;
pub use crate::support::origin;

/// The account of most cases, and one whose users must stay as they are.
pub const ACCOUNT: &str = "1000000000000001";
pub const OTHER_ACCOUNT: &str = "1000000000000002";
/// Those two and a third, which has no users.
pub const ACCOUNTS: [&str; 3] = [ACCOUNT, OTHER_ACCOUNT, "3"];

/// A user of [`ACCOUNT`].
pub fn user(id: &str, name: &str, tags: &[(&str, &str)]) -> Resource {
    user_of(ACCOUNT, id, name, tags)
}

pub fn user_of(account: &str, id: &str, name: &str, tags: &[(&str, &str)]) -> Resource {
    let name = PrincipalName::parse(name).unwrap();
    let tags = parse_tags(tags).into_iter().collect();
    Resource::new(self::account(account), self::id(id), name, tags).unwrap()
}

/// A user whose name nobody asks for.
pub fn numbered_user(number: usize, tags: &[(&str, &str)]) -> Resource {
    user(
        &number.to_string(),
        &format!("user-{number}@example.com"),
        tags,
    )
}

pub fn account(text: &str) -> AccountId {
    AccountId::parse(text).unwrap()
}

pub fn id(text: &str) -> ResourceId {
    ResourceId::parse(text).unwrap()
}

pub fn parse_tags(tags: &[(&str, &str)]) -> Vec<(TagKey, TagValue)> {
    let parse = |(key, value): &(&str, &str)| {
        (
            TagKey::parse(*key).unwrap(),
            TagValue::parse(*value).unwrap(),
        )
    };
    tags.iter().map(parse).collect()
}

/// Tags `prefix0` and so on, all with the same value.
pub fn numbered_tags(prefix: &str, count: usize, value: &str) -> Vec<(String, String)> {
    (0..count)
        .map(|number| (format!("{prefix}{number}"), value.to_owned()))
        .collect()
}

/// Borrows tags, as the other functions take them.
pub fn borrowed(tags: &[(String, String)]) -> Vec<(&str, &str)> {
    tags.iter()
        .map(|(key, value)| (key.as_str(), value.as_str()))
        .collect()
}

pub fn ids<T: AsRef<str>>(texts: impl IntoIterator<Item = T>) -> Targets {
    Targets::Ids(texts.into_iter().map(|text| id(text.as_ref())).collect())
}

pub fn names(texts: &[&str]) -> Targets {
    Targets::Names(
        texts
            .iter()
            .map(|text| PrincipalName::parse(*text).unwrap())
            .collect(),
    )
}

pub fn keys<T: AsRef<str>>(texts: impl IntoIterator<Item = T>) -> TagSelection {
    let parse = |text: T| TagKey::parse(text.as_ref()).unwrap();
    TagSelection::Keys(texts.into_iter().map(parse).collect())
}

/// An untag in [`ACCOUNT`].
pub fn untag(targets: Targets, selection: TagSelection) -> UntagCommand {
    UntagCommand {
        account: account(ACCOUNT),
        targets,
        selection,
        expected: None,
        allow_missing: false,
        validate_only: false,
    }
}

/// The expectation of these values, in order of key.
pub fn expected(values: &[(&str, &str)], on_mismatch: OnMismatch) -> Expected {
    let mut values = parse_tags(values);
    values.sort();
    Expected {
        values,
        on_mismatch,
    }
}

/// A tag in [`ACCOUNT`].
pub fn tag(targets: Targets, tags: &[(&str, &str)]) -> TagCommand {
    let mut tags = parse_tags(tags);
    tags.sort();
    TagCommand {
        account: account(ACCOUNT),
        targets,
        tags,
    }
}

/// A list in [`ACCOUNT`] of full pages, from the start.
pub fn list(targets: Option<Targets>, filters: &[(&str, Option<&str>)]) -> ListQuery {
    let filter = |(key, value): &(&str, Option<&str>)| TagFilter {
        key: TagKey::parse(*key).unwrap(),
        value: value.map(|value| TagValue::parse(value).unwrap()),
    };
    ListQuery {
        account: account(ACCOUNT),
        targets,
        filters: filters.iter().map(filter).collect(),
        revision: None,
        page_size: page_size(100),
        after: None,
    }
}

pub fn page_size(size: usize) -> PageSize {
    PageSize::parse(i32::try_from(size).unwrap()).unwrap()
}

pub fn changed(resources: usize, tags: usize) -> Counted {
    Counted {
        resources,
        tags: Some(tags),
        changed_resources: None,
        stayed: Vec::new(),
    }
}

/// What a change came to. A count that the store does not have, since the cloud does not tell, equals any.
#[derive(Debug, Clone)]
pub struct Counted {
    resources: usize,
    tags: Option<usize>,
    changed_resources: Option<usize>,
    /// The tags that have stayed, by target and expected value.
    stayed: Vec<Mismatch>,
}

impl Counted {
    /// The same with how many users were changed.
    pub fn of_users(self, changed_resources: usize) -> Self {
        Self {
            changed_resources: Some(changed_resources),
            ..self
        }
    }

    /// The same with tags that have stayed.
    pub fn without(self, stayed: &[(usize, usize)]) -> Self {
        Self {
            stayed: mismatches(stayed),
            ..self
        }
    }
}

/// Mismatches by target and expected value.
pub fn mismatches(all: &[(usize, usize)]) -> Vec<Mismatch> {
    let mismatch = |&(target, key): &(usize, usize)| Mismatch { target, key };
    all.iter().map(mismatch).collect()
}

impl PartialEq for Counted {
    fn eq(&self, other: &Self) -> bool {
        let is_same = |one: Option<usize>, other: Option<usize>| {
            one.is_none() || other.is_none() || one == other
        };
        self.resources == other.resources
            && self.stayed == other.stayed
            && is_same(self.tags, other.tags)
            && is_same(self.changed_resources, other.changed_resources)
    }
}

/// Why a store may refuse a command that it understands: what can be compared of its error.
#[derive(Debug, Clone)]
pub enum Refused {
    Missing(Vec<usize>),
    /// Of nobody in particular where the cloud does not say of whom.
    TagLimit(Option<Vec<usize>>),
    UserExists(Vec<usize>),
    NameTaken(Vec<usize>),
    Mismatched(Vec<Mismatch>),
}

impl PartialEq for Refused {
    fn eq(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Missing(one), Self::Missing(other))
            | (Self::UserExists(one), Self::UserExists(other))
            | (Self::NameTaken(one), Self::NameTaken(other))
            | (Self::TagLimit(Some(one)), Self::TagLimit(Some(other))) => one == other,
            (Self::Mismatched(one), Self::Mismatched(other)) => one == other,
            (Self::TagLimit(_), Self::TagLimit(_)) => true,
            _ => false,
        }
    }
}

/// What is compared of an answer.
pub trait Compare {
    type Compared;
    fn compared(self) -> Self::Compared;
}

impl Compare for Changed {
    type Compared = Counted;
    fn compared(self) -> Counted {
        Counted {
            resources: self.resources,
            tags: self.tags,
            changed_resources: self.changed_resources,
            stayed: self.mismatches,
        }
    }
}

impl Compare for TagPage {
    type Compared = Self;
    fn compared(self) -> Self {
        self
    }
}

/// An answer that can be compared. Any other error fails the test.
pub fn answer<T: Compare>(result: Result<T, StoreError>) -> Result<T::Compared, Refused> {
    result.map(Compare::compared).map_err(|error| match error {
        StoreError::Missing(positions) => Refused::Missing(positions),
        StoreError::TagLimit(positions) => Refused::TagLimit(Some(positions)),
        StoreError::UserExists(positions) => Refused::UserExists(positions),
        StoreError::NameTaken(positions) => Refused::NameTaken(positions),
        StoreError::Mismatched(mismatches) => Refused::Mismatched(mismatches),
        StoreError::Refused(refusal) => match refusal.kind {
            RefusalKind::NotFound(resources) => {
                Refused::Missing(resources.iter().map(|resource| resource.position).collect())
            }
            RefusalKind::TagLimit => Refused::TagLimit(None),
            _ => panic!("the cloud refused: {refusal:?}"),
        },
        other => panic!("the store failed: {other:?}"),
    })
}

/// Sends commands to the store of a backend.
pub trait Ask: Backend {
    async fn untag(&self, command: UntagCommand) -> Result<Counted, Refused> {
        answer(self.store().untag(Arc::new(command), origin()).await)
    }

    async fn tag(&self, command: TagCommand) -> Result<Counted, Refused> {
        answer(self.store().tag(Arc::new(command), origin()).await)
    }

    async fn page(&self, query: ListQuery) -> Result<TagPage, Refused> {
        answer(self.store().list(Arc::new(query)).await)
    }

    /// Reads page after page to the end. Every page has to keep to its size and to lead further.
    async fn pages(&self, mut query: ListQuery) -> Result<Vec<ListedTag>, Refused> {
        let mut all = Vec::new();
        loop {
            let page = self.page(query.clone()).await?;
            assert!(
                page.tags.len() <= query.page_size.get(),
                "a page is too long"
            );
            all.extend(page.tags);
            let Some(next) = page.next else {
                return Ok(all);
            };
            let place = |position: &Position| {
                // A user that is done with comes after each of its tags.
                (
                    position.resource_id.clone(),
                    position.tag_key.is_none(),
                    position.tag_key.clone(),
                )
            };
            let advances = match (&query.after, &next) {
                (Some(Continuation::Behind(after)), Continuation::Behind(next)) => {
                    place(after) < place(next)
                }
                (after, next) => after.as_ref() != Some(next),
            };
            assert!(advances, "{next:?} does not come after {:?}", query.after);
            query.after = Some(next);
        }
    }

    /// The tags of a list as (id, key, value).
    async fn listed(&self, query: ListQuery) -> Result<Vec<(String, String, String)>, Refused> {
        Ok(self.pages(query).await?.iter().map(as_texts).collect())
    }

    async fn contents(&self) -> Contents {
        contents(&self.export().await)
    }
}

impl<B: Backend> Ask for B {}

pub fn as_texts(tag: &ListedTag) -> (String, String, String) {
    let text = |text: &str| text.to_owned();
    (
        text(tag.resource_id.as_str()),
        text(tag.key.as_str()),
        text(tag.value.as_str()),
    )
}

/// What [`Ask::listed`] is compared with.
pub fn listing(tags: &[(&str, &str, &str)]) -> Vec<(String, String, String)> {
    let owned = |(id, key, value): &(&str, &str, &str)| {
        ((*id).to_owned(), (*key).to_owned(), (*value).to_owned())
    };
    tags.iter().map(owned).collect()
}

/// (account, id) -> (name, tags), all as texts: two principal names are equal without regard to case, and values hide
/// from `Debug`, so resources themselves would compare too little and show too little.
pub type Contents = BTreeMap<Place, (String, BTreeMap<String, String>)>;

/// Account and id of a user.
pub type Place = (String, String);

pub fn contents(resources: &[Resource]) -> Contents {
    let text = |text: &str| text.to_owned();
    let entry = |resource: &Resource| {
        let place = (text(resource.account.as_str()), text(resource.id.as_str()));
        let tags = resource.tags().iter();
        let tags = tags
            .map(|(key, value)| (text(key.as_str()), text(value.as_str())))
            .collect();
        (place, (text(resource.principal_name.as_str()), tags))
    };
    resources.iter().map(entry).collect()
}

/// Users as the lines of an import.
pub fn bulk_lines(
    users: impl IntoIterator<Item = Resource>,
) -> impl Iterator<Item = Result<BulkLine, Infallible>> {
    let users = users.into_iter().zip(1..);
    users.map(|(user, number)| Ok(BulkLine { number, user }))
}
