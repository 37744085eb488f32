//! The use case of a revert: the inverse of a change, for who may do what it takes.

use std::borrow::Borrow;
use std::sync::Arc;

use super::audit::Requested;
use super::authorisation::{Values, authorise};
use super::changes::{ChangeService, failed};
use super::count_replay;
use crate::domain::{
    Action, Call, ChangeKey, Changed, Effect, Error, Origin, Repeat, RevertCommand, RevertRequest,
    Reverted,
};
use crate::store::Store;

/// What came of a revert, and whether the caller may see values of tags.
#[derive(Debug, Clone)]
pub struct RevertAnswer {
    /// The revert. That of a repetition has the effects of then, unless they are gone from the history.
    pub reverted: Reverted,
    /// Whether the values of tags are shown.
    pub values: Values,
    /// The same as the audit and the log know it.
    pub changed: Changed,
}

impl Borrow<Changed> for RevertAnswer {
    fn borrow(&self) -> &Changed {
        &self.changed
    }
}

impl RevertAnswer {
    fn new(reverted: Reverted, values: Values) -> Self {
        let changed = Changed {
            changed_resources: Some(reverted.changed_resources),
            revision: reverted.revision,
            request_id: reverted.request_id,
            is_replay: reverted.is_replay,
            ..Changed::count(reverted.changed_resources, reverted.changed_tags)
        };
        Self {
            reverted,
            values,
            changed,
        }
    }
}

impl<S: Store> ChangeService<S> {
    /// Reverts a change. `Ok` means that the revert is on durable storage.
    ///
    /// # Errors
    /// [`Error::NoPermission`] for the revert, or for an action that it takes; [`Error::NoChange`], [`Error::Compacted`],
    /// [`Error::Conflicts`], [`Error::TokenMismatch`], [`Error::Unsupported`], or what the store says.
    pub async fn revert(
        &self,
        call: &Call,
        request: RevertRequest,
        repeat: Option<Repeat>,
    ) -> Result<RevertAnswer, Error> {
        let effects = self
            .effects_to_revert(call, &request, repeat.as_ref())
            .await;
        let named = effects.as_ref().ok().and_then(Option::as_ref);
        let users = named.into_iter().flatten();
        let users = users.map(|effect| effect.resource_id.clone()).collect();
        let requested = Requested::Revert(request.clone(), users);
        let entry = self.audit.begin(call, requested).await?;
        let origin = Arc::new(Origin::of(call, Action::RevertChange, repeat));
        let values = Values::of(&self.authority, call, &request.account);
        let (store, account) = (Arc::clone(&self.store), request.account.clone());
        let change = async move {
            let command = RevertCommand {
                account: request.account,
                time: origin.time,
                effects: effects?,
                on_conflict: request.on_conflict,
                validate_only: request.validate_only,
            };
            let reverted = store.revert(Arc::new(command), origin).await;
            let answer = RevertAnswer::new(reverted.map_err(failed)?, values);
            count_replay(&answer.changed);
            Ok(answer)
        };
        let mut answer = entry.of(change).await?;
        if let Some(first) = answer.reverted.request_id {
            let made = self
                .store
                .change(account, ChangeKey::RequestId(first))
                .await;
            answer.reverted.effects = made
                .ok()
                .flatten()
                .map_or_else(Vec::new, |change| change.effects);
        }
        Ok(answer)
    }

    /// The effects of the change that is to be reverted, for who may do what that takes. `None` where it is gone from the history, and
    /// the request may be the repetition of one that was carried out.
    async fn effects_to_revert(
        &self,
        call: &Call,
        request: &RevertRequest,
        repeat: Option<&Repeat>,
    ) -> Result<Option<Vec<Effect>>, Error> {
        let account = &request.account;
        authorise(&self.authority, call, Action::RevertChange, account)?;
        let key = ChangeKey::RequestId(request.change);
        let found = self.store.change(account.clone(), key).await;
        let Some(change) = found.map_err(failed)? else {
            return match self.absent(account, key).await? {
                Error::Compacted(_) if repeat.is_some() => Ok(None),
                error => Err(error),
            };
        };
        let mut asked = Vec::new();
        for action in change.effects.iter().flat_map(Effect::actions_of_revert) {
            if !asked.contains(&action) {
                authorise(&self.authority, call, action, account)?;
                asked.push(action);
            }
        }
        Ok(Some(change.effects))
    }
}
