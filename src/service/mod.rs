//! The use cases: authorise the caller, apply a command through the store, audit it and say what came of it.

mod audit;
mod authorisation;
mod changes;
mod feed;
mod imports;
mod reverts;
mod users;
mod watches;

use std::sync::Arc;
use std::time::Duration;

pub use audit::{Audit, Follower, Refused};
pub use authorisation::Values;
pub use changes::ChangeService;
pub use feed::{Event, Hold, SnapshotPage};
pub use imports::{
    BegunChunk, ChunkReport, Import, ImportChunk, ImportLine, ImportSettings, MadeChunk,
    RefusedLine,
};
pub use reverts::RevertAnswer;
pub use users::UserService;
pub use watches::CallerWatch;

use crate::auth::Authority;
use crate::domain::{
    Action, Call, Changed, Error, ListQuery, NamedResource, Origin, Repeat, TagCommand, TagKeyPage,
    TagKeysQuery, TagPage, TagValuePage, TagValuesQuery, UntagCommand,
};
use crate::store::{Store, StoreError};
use crate::telemetry::metrics::{Throttle, metrics};
use audit::Requested;
use authorisation::authorise;

/// When to repeat a request that was refused for a limit or found no store.
pub const RETRY_AFTER: Duration = Duration::from_millis(500);

/// The services that a server offers, over one store, for the callers whom one authority allows it.
#[derive(Debug)]
pub struct UseCases<S> {
    /// The tag service.
    pub tags: TagService<S>,
    /// The change service.
    pub changes: ChangeService<S>,
    /// The user service.
    pub users: UserService<S>,
}

impl<S: Store> UseCases<S> {
    /// The services over a store.
    pub fn new(store: S, authority: Authority, audit: Audit) -> Self {
        let store = Arc::new(store);
        let changes = ChangeService::new(Arc::clone(&store), authority.clone(), audit.clone());
        let users = UserService::new(Arc::clone(&store), authority.clone(), audit.clone());
        let tags = TagService {
            store,
            authority,
            audit,
        };
        Self {
            tags,
            changes,
            users,
        }
    }
}

/// The tag service, which carries out commands.
#[derive(Debug, Clone)]
pub struct TagService<S> {
    /// The store, shared with changes whose callers have gone.
    store: Arc<S>,
    authority: Authority,
    audit: Audit,
}

impl<S: Store> TagService<S> {
    /// Removes tags. `Ok` means that the change is on durable storage. With `repeat`, a repetition of the request is answered as the
    /// first was.
    ///
    /// # Errors
    /// [`Error::NoPermission`], [`Error::NotFound`] with every resource that does not exist, [`Error::Mismatched`],
    /// [`Error::TokenMismatch`], [`Error::Throttled`],
    /// [`Error::Unavailable`] or [`Error::Internal`].
    pub async fn untag(
        &self,
        call: &Call,
        command: Arc<UntagCommand>,
        repeat: Option<Repeat>,
    ) -> Result<Changed, Error> {
        let requested = Requested::Untag(Arc::clone(&command));
        let entry = self.audit.begin(call, requested).await?;
        let allowed = self.authorise_untag(call, &command);
        let origin = Arc::new(Origin::of(call, Action::UntagResources, repeat));
        let store = Arc::clone(&self.store);
        let change = async move {
            allowed?;
            let result = store.untag(Arc::clone(&command), origin).await;
            result.inspect(count_replay).map_err(|error| match error {
                StoreError::Mismatched(mismatches) => Error::Mismatched(command, mismatches),
                error => explain(error, |positions| command.targets.named(positions)),
            })
        };
        entry.of(change).await
    }

    /// Sets tags. `Ok` means that the change is on durable storage.
    ///
    /// # Errors
    /// Those of [`TagService::untag`], and [`Error::TagLimit`] with every resource that would carry too many tags.
    pub async fn tag(
        &self,
        call: &Call,
        command: Arc<TagCommand>,
        repeat: Option<Repeat>,
    ) -> Result<Changed, Error> {
        let requested = Requested::Tag(Arc::clone(&command));
        let entry = self.audit.begin(call, requested).await?;
        let allowed = authorise(
            &self.authority,
            call,
            Action::TagResources,
            &command.account,
        );
        let origin = Arc::new(Origin::of(call, Action::TagResources, repeat));
        let store = Arc::clone(&self.store);
        let change = async move {
            allowed?;
            let result = store.tag(Arc::clone(&command), origin).await;
            result
                .inspect(count_replay)
                .map_err(|error| explain(error, |positions| command.targets.named(positions)))
        };
        entry.of(change).await
    }

    /// Reads a page of tags.
    ///
    /// # Errors
    /// Those of [`TagService::untag`].
    pub async fn list(&self, call: &Call, query: Arc<ListQuery>) -> Result<TagPage, Error> {
        authorise(
            &self.authority,
            call,
            Action::ListTagResources,
            &query.account,
        )?;
        let result = self.store.list(Arc::clone(&query)).await;
        // Where no targets are named, none can be missing.
        let named = |positions: &[usize]| {
            let targets = query.targets.as_ref();
            targets.map_or_else(Vec::new, |all| all.named(positions))
        };
        result.map_err(|error| explain(error, named))
    }

    /// Counts the keys of the tags that users carry.
    ///
    /// # Errors
    /// [`Error::NoPermission`], [`Error::Unsupported`], [`Error::Throttled`], [`Error::Unavailable`] or [`Error::Internal`].
    pub async fn tag_keys(
        &self,
        call: &Call,
        query: Arc<TagKeysQuery>,
    ) -> Result<TagKeyPage, Error> {
        authorise(&self.authority, call, Action::ListTagKeys, &query.account)?;
        let page = self.store.tag_keys(query).await;
        page.map_err(|error| explain(error, |_| Vec::new()))
    }

    /// Counts the values that the tags with a key have.
    ///
    /// # Errors
    /// Those of [`TagService::tag_keys`].
    pub async fn tag_values(
        &self,
        call: &Call,
        query: Arc<TagValuesQuery>,
    ) -> Result<TagValuePage, Error> {
        authorise(&self.authority, call, Action::ListTagValues, &query.account)?;
        let page = self.store.tag_values(query).await;
        page.map_err(|error| explain(error, |_| Vec::new()))
    }

    /// An untag that expects values would tell who may not list tags what they are.
    fn authorise_untag(&self, call: &Call, command: &UntagCommand) -> Result<(), Error> {
        authorise(
            &self.authority,
            call,
            Action::UntagResources,
            &command.account,
        )?;
        match command.expected {
            None => Ok(()),
            Some(_) => authorise(
                &self.authority,
                call,
                Action::ListTagResources,
                &command.account,
            ),
        }
    }
}

fn count_replay(changed: &Changed) {
    metrics().server.replays.inc_by(changed.is_replay.into());
}

/// The error for the caller of a failure of the store, whose cause goes to the log and nowhere else.
/// `named` has the users at these positions of the command.
fn explain(error: StoreError, named: impl Fn(&[usize]) -> Vec<NamedResource>) -> Error {
    match error {
        StoreError::Missing(positions) => Error::NotFound(named(&positions)),
        StoreError::TagLimit(positions) => Error::TagLimit(named(&positions)),
        StoreError::UserExists(positions) => Error::UserExists(named(&positions)),
        StoreError::NameTaken(positions) => Error::NameTaken(named(&positions)),
        StoreError::Unsupported { what } => Error::Unsupported(what),
        // Only an untag expects values, and it tells its own.
        StoreError::Mismatched(_) => Error::Internal,
        StoreError::Conflicts(conflicts) => Error::Conflicts(conflicts),
        StoreError::TokenMismatch => Error::TokenMismatch,
        StoreError::TokensFull => {
            metrics().server.throttled(Throttle::StoreQueue);
            Error::Throttled {
                reason: "too many answers to requests with client tokens are remembered",
                retry_after: RETRY_AFTER,
            }
        }
        StoreError::Compacted { oldest } => Error::Compacted(oldest),
        StoreError::NotYet { newest } => Error::NotYet(newest),
        StoreError::Invalid(fault) => Error::Invalid(vec![fault]),
        StoreError::Refused(refusal) => Error::Refused(refusal),
        StoreError::Busy => {
            metrics().server.throttled(Throttle::StoreQueue);
            Error::Throttled {
                reason: "too many requests are waiting for the store",
                retry_after: RETRY_AFTER,
            }
        }
        StoreError::Unavailable {
            reason,
            applied,
            source,
        } => {
            let cause = source.map(|source| source.to_string());
            tracing::warn!(reason, cause, "the store is unavailable");
            Error::Unavailable {
                reason,
                applied,
                retry_after: RETRY_AFTER,
            }
        }
        StoreError::Broken(cause) => {
            tracing::error!(%cause, "the store is broken");
            Error::Internal
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::{AccountId, ResourceId, Timestamp, UserChange, UserCommand};

    #[test]
    fn what_users_are_refused_for_is_told_with_their_ids() {
        let delete = |id: &str| UserChange::Delete {
            id: ResourceId::parse(id).unwrap(),
        };
        let account = AccountId::parse("1").unwrap();
        let changes = ["5", "6", "7"].map(delete).to_vec();
        let command = UserCommand::new(account, Timestamp::from_millis(0), changes).unwrap();
        let told = |error| explain(error, |positions| command.named(positions)).to_string();
        assert_eq!(
            told(StoreError::Missing(vec![0])),
            "users that do not exist: 5; nothing was changed"
        );
        assert_eq!(
            told(StoreError::UserExists(vec![0, 2])),
            "users that exist already or can be restored: 5, 7; nothing was changed"
        );
        assert_eq!(
            told(StoreError::NameTaken(vec![1])),
            "principal names that other users have: 6; nothing was changed"
        );
        let what = "change users";
        assert_eq!(
            told(StoreError::Unsupported { what }),
            "this server's store can't change users; nothing was changed"
        );
    }
}
