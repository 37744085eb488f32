//! Tags as they were at a revision: the present, from which the changes since then are taken back.
//!
//! The users are read first and the changes behind that, so that a change which comes in between is among those that are taken back:
//! each says what there was before it, whether the user was read before or behind it.

mod names;
mod user;

use std::sync::Arc;

use super::paging::PageBuilder;
use super::{Store, StoreError, position};
use crate::domain::{
    AccountId, Change, ChangesQuery, Direction, Fault, FaultCode, History, ListQuery, Position,
    PrincipalName, ResourceId, Revision, TagPage, Targets, UserKey,
};
use names::Holders;
use user::{PastUser, present};

/// How many changes are read at once, and how many effects: those of one untag are 50 at most, and those of an import 1,000.
const CHANGES_AT_ONCE: usize = 1_024;

/// Reads a page of the tags that named users carried right behind the change of a revision.
///
/// # Errors
/// Those of [`Store::list`].
pub async fn list(
    store: &impl Store,
    query: &ListQuery,
    revision: Revision,
) -> Result<TagPage, StoreError> {
    let targets = query.targets.as_ref().ok_or_else(no_targets)?;
    let after = position(query)?;
    let past = Past {
        store,
        account: &query.account,
        revision,
    };
    past.check_revision().await?;
    let (users, mut missing) = match targets {
        // The first page has found out who was there, and that does not change.
        Targets::Ids(ids) => past.with_ids(ids, after).await?,
        Targets::Names(names) => past.with_names(names).await?,
    };
    // Changes that are gone by now may not have been read.
    past.check_revision().await?;
    let mut records = Vec::new();
    for (position, user) in users {
        match user.into_record() {
            Some(record) => records.push(record),
            None => missing.push(position),
        }
    }
    if !missing.is_empty() {
        missing.sort_unstable();
        return Err(StoreError::Missing(missing));
    }
    PageBuilder::page_of(query, records)
}

fn no_targets() -> StoreError {
    StoreError::Invalid(Fault {
        code: FaultCode::MissingResourceId,
        field: "resources".to_owned(),
        description: "name the users whose tags are listed as they were".to_owned(),
    })
}

/// An account right behind the change of a revision.
struct Past<'a, S> {
    store: &'a S,
    account: &'a AccountId,
    revision: Revision,
}

/// Users by the positions of the targets that they are.
type Users = Vec<(usize, PastUser)>;

impl<S: Store> Past<'_, S> {
    /// Refuses a revision that there is not yet, and one behind which the change log has not all changes.
    async fn check_revision(&self) -> Result<(), StoreError> {
        let History { newest, oldest, .. } = self.store.history(self.account.clone()).await?;
        if newest < Some(self.revision) {
            return Err(StoreError::NotYet { newest });
        }
        let is_whole = oldest.is_some_and(|oldest| oldest <= self.revision.next());
        if newest > Some(self.revision) && !is_whole {
            return Err(StoreError::Compacted { oldest });
        }
        Ok(())
    }

    /// The users with these ids, but for those who are before the page.
    async fn with_ids(
        &self,
        ids: &[ResourceId],
        after: Option<&Position>,
    ) -> Result<(Users, Vec<usize>), StoreError> {
        let mut users = Vec::with_capacity(ids.len());
        for (position, id) in ids.iter().enumerate() {
            if after.is_none_or(|after| *id >= after.resource_id) {
                users.push((position, self.user(id.clone()).await?));
            }
        }
        Ok((users, Vec::new()))
    }

    /// The users that had these names, and the positions of names that nobody had.
    async fn with_names(&self, names: &[PrincipalName]) -> Result<(Users, Vec<usize>), StoreError> {
        let (mut users, mut holders) = (Vec::with_capacity(names.len()), Holders::default());
        for (position, name) in names.iter().enumerate() {
            let key = UserKey::Name(name.clone());
            let holder = present(self.store, self.account, key).await?;
            let user = match holder {
                Some(holder) => Some(self.user(holder.resource.id).await?),
                None => None,
            };
            match user.filter(|user| user.is_named(name)) {
                Some(user) => users.push((position, user)),
                // Somebody else may have had the name.
                None => holders.look_for(position, name),
            }
        }
        self.look_through(&mut holders).await?;
        let (found, missing) = holders.finish();
        for (position, id) in found {
            users.push((position, self.user(id).await?));
        }
        Ok((users, missing))
    }

    /// Looks through the changes behind the revision for names.
    async fn look_through(&self, holders: &mut Holders) -> Result<(), StoreError> {
        let mut next = Some(self.changes(Direction::Forwards, self.revision.next(), None));
        let mut looked_at = 0;
        while let Some(query) = next.filter(|_| holders.is_looking()) {
            if looked_at >= names::MOST_CHANGES {
                return Err(holders.too_far_back(self.revision));
            }
            let page = self.store.changes(Arc::new(query.clone())).await?;
            looked_at += page.len();
            for change in &page {
                holders.look_at(change);
            }
            next = query.next(&page);
        }
        Ok(())
    }

    /// A user as it was.
    async fn user(&self, id: ResourceId) -> Result<PastUser, StoreError> {
        let key = UserKey::Id(id.clone());
        let now = present(self.store, self.account, key).await?;
        let mut user = PastUser::new(id.clone(), now.as_ref());
        let mut next = Some(self.changes(Direction::Backwards, Revision::LAST, Some(id)));
        while let Some(query) = next {
            let page = self.store.changes(Arc::new(query.clone())).await?;
            let is_since = |change: &&Change| change.revision > self.revision;
            let since = page.iter().take_while(is_since);
            since.for_each(|change| user.take_back(change));
            next = query
                .next(&page)
                .filter(|_| page.iter().all(|change| is_since(&change)));
        }
        Ok(user)
    }

    fn changes(
        &self,
        direction: Direction,
        from: Revision,
        user: Option<ResourceId>,
    ) -> ChangesQuery {
        ChangesQuery {
            account: self.account.clone(),
            from,
            direction,
            user,
            most: CHANGES_AT_ONCE,
            most_effects: CHANGES_AT_ONCE,
        }
    }
}
