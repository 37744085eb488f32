//! Reverts of changes.

use serde_json::{Value, json};

use super::error::Failure;
use super::planned::{Made, Planned, Repeated, TRIES};
use super::{Pauses, PostgresStore};
use crate::domain::{
    Change as Entry, OnConflict, Origin, Revert, RevertCommand, Reverted, names_of,
};
use crate::store::{StoreError, conflicts};

impl PostgresStore {
    pub(super) async fn make_revert(
        &self,
        command: &RevertCommand,
        origin: &Origin,
    ) -> Result<Reverted, StoreError> {
        let Some(effects) = &command.effects else {
            return self.repeat_revert(command, origin).await;
        };
        let place = (&command.account, command.time);
        let mut pauses = Pauses::default();
        for _ in 0..TRIES {
            let ids = effects.iter().map(|effect| &effect.resource_id);
            let seen = self.see(place, ids, names_of(effects)).await?;
            let revert = Revert::of(effects, &seen.present, command.time);
            if command.validate_only {
                return Ok(revert.into());
            }
            let is_refused =
                command.on_conflict == OnConflict::Fail && !revert.conflicts.is_empty();
            let mut plan = seen.plan(&revert.effects, revert.changed_tags());
            plan["is_refused"] = is_refused.into();
            let planned = planned(command, origin, plan, &revert);
            match self.make(&planned).await? {
                Made::New(revision) => {
                    return Ok(Reverted {
                        revision,
                        ..revert.into()
                    });
                }
                Made::Found(entry) => return Ok(recorded(*entry, &revert)),
                Made::Repeated(earlier) => return repeated(&earlier),
                Made::Refused => return Err(StoreError::Conflicts(revert.conflicts)),
                Made::Stale => pauses.wait().await,
            }
        }
        Err(StoreError::Busy)
    }

    /// The answer to an earlier request with the same token, where the change itself is gone from the log.
    async fn repeat_revert(
        &self,
        command: &RevertCommand,
        origin: &Origin,
    ) -> Result<Reverted, StoreError> {
        if origin.repeat.is_some() {
            let plan = json!({"seen": [], "holders": {}, "is_refused": true});
            let nothing = Revert::default();
            let planned = planned(command, origin, plan, &nothing);
            match self.make(&planned).await? {
                Made::Repeated(earlier) => return repeated(&earlier),
                Made::Found(entry) => return Ok(recorded(*entry, &nothing)),
                Made::New(_) | Made::Refused | Made::Stale => {}
            }
        }
        let oldest = self.extent(&command.account).await?.oldest;
        Err(StoreError::Compacted { oldest })
    }
}

fn planned<'a>(
    command: &'a RevertCommand,
    origin: &'a Origin,
    plan: Value,
    revert: &Revert,
) -> Planned<'a> {
    Planned {
        account: &command.account,
        time: command.time,
        origin,
        plan,
        to_keep: conflicts::encode(&revert.conflicts),
    }
}

/// The answer to an earlier request with the same token.
fn repeated(earlier: &Repeated) -> Result<Reverted, StoreError> {
    let conflicts = conflicts::decode(&earlier.kept);
    Ok(Reverted {
        changed_resources: earlier.changed,
        changed_tags: earlier.tags,
        conflicts: conflicts.ok_or(Failure::CorruptEntry)?,
        revision: earlier.revision,
        request_id: earlier.request_id,
        is_replay: true,
        ..Reverted::default()
    })
}

/// The result of a revert whose entry was found. Its conflicts are those that it was planned with.
fn recorded(entry: Entry, revert: &Revert) -> Reverted {
    let made = Revert {
        effects: entry.effects,
        conflicts: revert.conflicts.clone(),
    };
    Reverted {
        revision: Some(entry.revision),
        ..made.into()
    }
}
