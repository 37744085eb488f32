//! The pages of a list, which are cut from records in order. All stores use it, so that all page alike.

use std::ops::ControlFlow;

use super::{StoreError, position};
use crate::domain::{
    Continuation, ListQuery, ListedTag, Position, ResourceId, TagKey, TagPage, TagValue, User,
    UserListQuery, UserPage,
};

/// The most records that one request may look at. A page that is not full then ends early with a position to go on from, so
/// that a filter that matches nothing among millions can't hold a connection (AIP-158 allows short pages).
pub const SCAN_LIMIT: usize = 20_000;

/// The most users whose tags a page of counts is made of.
pub const COUNTED_USERS: usize = 10_000;

/// As many different keys or values end a page of counts. The user that has the last of them is counted whole, so that a page may have
/// some more.
pub const MOST_COUNTS: usize = 1_000;

/// A builder of one page.
pub struct PageBuilder<'query> {
    query: &'query ListQuery,
    after: Option<&'query Position>,
    page: TagPage,
    scanned: usize,
}

impl<'query> PageBuilder<'query> {
    /// An empty page of a query.
    ///
    /// # Errors
    /// [`StoreError::Invalid`] for a page token of another store.
    pub fn new(query: &'query ListQuery) -> Result<Self, StoreError> {
        Ok(Self {
            query,
            after: position(query)?,
            page: TagPage::default(),
            scanned: 0,
        })
    }

    /// The id from which on records are looked at.
    pub fn from(&self) -> &'query str {
        self.after.map_or("", |after| after.resource_id.as_str())
    }

    /// The page of a request that names its resources, whose records come in any order.
    pub fn page_of(
        query: &'query ListQuery,
        mut records: Vec<(ResourceId, Vec<(TagKey, TagValue)>)>,
    ) -> Result<TagPage, StoreError> {
        records.sort();
        let mut page = Self::new(query)?;
        for (id, tags) in &records {
            if page.add(id, tags).is_break() {
                break;
            }
        }
        Ok(page.finish())
    }

    /// Says which record comes next of those that the store looks at, the first being 1: it has passed over those that have no tag for
    /// this page.
    pub fn go_on_at(&mut self, number: usize) {
        self.scanned = number.saturating_sub(1);
    }

    /// Takes the next record, with its tags in order of key. `Break` when the page needs no more.
    pub fn add(
        &mut self,
        resource_id: &ResourceId,
        tags: &[(TagKey, TagValue)],
    ) -> ControlFlow<()> {
        if self.scanned == SCAN_LIMIT {
            return ControlFlow::Break(());
        }
        self.scanned += 1;
        for (key, value) in self.matching(tags) {
            if self.is_before_the_page(resource_id, key) {
                continue;
            }
            if self.page.tags.len() == self.query.page_size.get() {
                self.page.next = self.page.tags.last().map(|last| {
                    Continuation::Behind(Position {
                        resource_id: last.resource_id.clone(),
                        tag_key: Some(last.key.clone()),
                    })
                });
                return ControlFlow::Break(());
            }
            self.page.tags.push(ListedTag {
                resource_id: resource_id.clone(),
                key: key.clone(),
                value: value.clone(),
            });
        }
        if self.scanned == SCAN_LIMIT {
            self.page.next = Some(Continuation::Behind(Position {
                resource_id: resource_id.clone(),
                tag_key: None,
            }));
        }
        ControlFlow::Continue(())
    }

    /// The finished page.
    pub fn finish(self) -> TagPage {
        self.page
    }

    /// The tags that the filters name, or none where one of the filters matches no tag.
    fn matching<'tags>(&self, tags: &'tags [(TagKey, TagValue)]) -> Vec<&'tags (TagKey, TagValue)> {
        let filters = &self.query.filters;
        if filters.is_empty() {
            return tags.iter().collect();
        }
        let matching: Vec<_> = tags
            .iter()
            .filter(|(key, value)| {
                filters
                    .iter()
                    .any(|filter| filter.matches(key.as_str(), value.as_str()))
            })
            .collect();
        // The keys of the filters differ, and so do those of the tags: as many matches as filters are all of them.
        if matching.len() == filters.len() {
            matching
        } else {
            Vec::new()
        }
    }

    fn is_before_the_page(&self, resource_id: &ResourceId, key: &TagKey) -> bool {
        self.after
            .is_some_and(|after| match resource_id.cmp(&after.resource_id) {
                std::cmp::Ordering::Less => true,
                std::cmp::Ordering::Equal => after.tag_key.as_ref().is_none_or(|last| key <= last),
                std::cmp::Ordering::Greater => false,
            })
    }
}

/// A builder of one page of users.
pub struct UserPageBuilder<'query> {
    query: &'query UserListQuery,
    page: UserPage,
    scanned: usize,
}

impl<'query> UserPageBuilder<'query> {
    /// An empty page of a query.
    pub fn new(query: &'query UserListQuery) -> Self {
        Self {
            query,
            page: UserPage::default(),
            scanned: 0,
        }
    }

    /// Says which user comes next of those that the store looks at, the first being 1: it has passed over those that are not asked for.
    pub fn go_on_at(&mut self, number: usize) {
        self.scanned = number.saturating_sub(1);
    }

    /// Takes the next user, and lists it where it is asked for. `Break` when the page needs no more.
    pub fn add(&mut self, user: User) -> ControlFlow<()> {
        if self.scanned == SCAN_LIMIT {
            return ControlFlow::Break(());
        }
        self.scanned += 1;
        if self.scanned == SCAN_LIMIT {
            self.page.next = Some(user.resource.id.clone().into());
        }
        if !self.query.matches(&user) {
            return ControlFlow::Continue(());
        }
        if self.page.users.len() == self.query.page_size.get() {
            let last = self.page.users.last();
            self.page.next = last.map(|last| last.resource.id.clone().into());
            return ControlFlow::Break(());
        }
        self.page.users.push(user);
        ControlFlow::Continue(())
    }

    /// The finished page.
    pub fn finish(self) -> UserPage {
        self.page
    }
}
