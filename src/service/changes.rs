//! The use cases of the history of an account: one change, and lists of changes.

use std::sync::Arc;

use super::authorisation::{Values, authorise};
use super::feed::{Feed, Times};
use super::{Audit, explain};
use crate::auth::Authority;
use crate::domain::{
    AccountId, Action, Call, Change, ChangeKey, ChangeListQuery, ChangePage, ChangeQuery,
    ChangesQuery, Direction, Error, History, RequestId, Revision,
};
use crate::store::{Store, StoreError};

/// The most changes that one request may look at, so that a filter that matches nothing can't hold a connection. A page that is not
/// full then ends early (AIP-158).
const SCAN_LIMIT: usize = 1_000;
/// How many changes are read at a time, each with all its effects: what a page holds in memory beside its own changes.
const READ_AT_ONCE: usize = 20;

/// The change service, which reads the history of accounts, reverts changes and follows them.
#[derive(Debug, Clone)]
pub struct ChangeService<S> {
    pub(super) store: Arc<S>,
    pub(super) authority: Authority,
    pub(super) audit: Audit,
    pub(super) feed: Arc<Feed<S>>,
}

impl<S: Store> ChangeService<S> {
    /// A service over a store, for the callers whom the authority allows it.
    pub(super) fn new(store: Arc<S>, authority: Authority, audit: Audit) -> Self {
        let feed = Feed::new(Arc::clone(&store), Times::default());
        Self {
            store,
            authority,
            audit,
            feed: Arc::new(feed),
        }
    }

    /// Reads one change with all its effects.
    ///
    /// # Errors
    /// [`Error::NoPermission`], [`Error::NoChange`], [`Error::Compacted`], [`Error::Unsupported`], or what the store says.
    pub async fn get(&self, call: &Call, query: &ChangeQuery) -> Result<(Change, Values), Error> {
        authorise(&self.authority, call, Action::GetChange, &query.account)?;
        let found = self.store.change(query.account.clone(), query.key).await;
        let Some(change) = found.map_err(failed)? else {
            return Err(self.absent(&query.account, query.key).await?);
        };
        Ok((change, Values::of(&self.authority, call, &query.account)))
    }

    /// Reads a page of changes.
    ///
    /// # Errors
    /// [`Error::NoPermission`], [`Error::Compacted`], [`Error::Unsupported`], or what the store says.
    pub async fn list(
        &self,
        call: &Call,
        query: &ChangeListQuery,
    ) -> Result<(ChangePage, Values), Error> {
        authorise(&self.authority, call, Action::ListChanges, &query.account)?;
        let history = self.store.history(query.account.clone()).await;
        let history = history.map_err(failed)?;
        let end = match query.direction {
            Direction::Forwards => history.oldest,
            Direction::Backwards => history.newest,
        };
        let mut page = ChangePage {
            changes: Vec::new(),
            // Where nothing can be read, nothing is listed.
            next: history.oldest.and(query.from.or(end)),
            history,
        };
        let mut left = SCAN_LIMIT;
        while let Some(from) = page.next
            && page.changes.len() < query.page_size.get()
            && left > 0
        {
            let found = self.read(query, from, &history).await?;
            left = left.saturating_sub(found.len());
            page.next = match found.last() {
                Some(last) if found.len() == READ_AT_ONCE => {
                    behind(last.revision, query.direction, &history)
                }
                _ => None,
            };
            take(&mut page, found, query);
        }
        Ok((page, Values::of(&self.authority, call, &query.account)))
    }

    /// Reads the next changes of a list, those that its filter does not select too.
    async fn read(
        &self,
        query: &ChangeListQuery,
        from: Revision,
        history: &History,
    ) -> Result<Vec<Change>, Error> {
        let is_beginning = query.from.is_none() && history.oldest == Some(from);
        let mut next = ChangesQuery {
            account: query.account.clone(),
            from,
            direction: query.direction,
            user: query.filter.user.clone(),
            most: READ_AT_ONCE,
            most_effects: usize::MAX,
        };
        loop {
            match self.store.changes(Arc::new(next.clone())).await {
                Ok(found) => return Ok(found),
                Err(StoreError::Compacted { oldest }) => match (query.direction, oldest) {
                    // The list ends where the history begins.
                    (Direction::Backwards, _) | (_, None) => return Ok(Vec::new()),
                    // It has been compacted since the list began to be read.
                    (Direction::Forwards, Some(oldest)) if is_beginning => {
                        next.from = oldest;
                    }
                    (Direction::Forwards, oldest) => return Err(Error::Compacted(oldest)),
                },
                Err(error) => return Err(failed(error)),
            }
        }
    }

    /// Why there is no such change.
    pub(super) async fn absent(&self, account: &AccountId, key: ChangeKey) -> Result<Error, Error> {
        let ChangeKey::RequestId(request_id) = key else {
            return Ok(Error::NoChange(key));
        };
        let history = self.store.history(account.clone()).await.map_err(failed)?;
        let is_gone = match history.oldest {
            // Nothing is gone.
            Some(Revision::FIRST) => false,
            None => history.newest.is_some(),
            Some(oldest) => self.is_before(account, request_id, oldest).await?,
        };
        Ok(if is_gone {
            Error::Compacted(history.oldest)
        } else {
            Error::NoChange(key)
        })
    }

    /// Whether a RequestId says that its request came before the oldest change there is.
    async fn is_before(
        &self,
        account: &AccountId,
        request_id: RequestId,
        oldest: Revision,
    ) -> Result<bool, Error> {
        let Some(made) = request_id.time() else {
            return Ok(false);
        };
        let key = ChangeKey::Revision(oldest);
        match self.store.change(account.clone(), key).await {
            Ok(change) => Ok(change.is_some_and(|change| made < change.time)),
            // Gone too, by now.
            Err(StoreError::Compacted { .. }) => Ok(true),
            Err(error) => Err(failed(error)),
        }
    }
}

/// The error for the caller of a failure of the store. No users are named, and so none can be missing.
pub(super) fn failed(error: StoreError) -> Error {
    explain(error, |_| Vec::new())
}

/// The revision behind this one in a list; none at the end of the history.
fn behind(revision: Revision, direction: Direction, history: &History) -> Option<Revision> {
    match direction {
        Direction::Forwards => {
            let is_last = history.newest.is_none_or(|newest| revision >= newest);
            (!is_last).then(|| revision.next())
        }
        Direction::Backwards => {
            let previous = revision.previous();
            previous.filter(|previous| history.oldest.is_some_and(|oldest| *previous >= oldest))
        }
    }
}

/// Puts those changes on a page that its filter selects, until it is full.
fn take(page: &mut ChangePage, found: Vec<Change>, query: &ChangeListQuery) {
    for change in found {
        if !query.filter.matches(&change) {
            continue;
        }
        if page.changes.len() == query.page_size.get() {
            page.next = Some(change.revision);
            return;
        }
        page.changes.push(change);
    }
}
