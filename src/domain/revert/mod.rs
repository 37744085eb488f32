//! Reverts of changes: the inverse of each effect, applied to what its user is like now.
//!
//! What a change has made of a tag or a user goes back to what was there before, where it is still as the change has made it. Where it
//! is as before already, there is nothing to do, and anything else is a conflict.

mod names;
#[cfg(test)]
mod tests;
mod user;

use std::collections::HashMap;

use super::{
    AccountId, Action, Effect, EffectKind, NewUser, PrincipalName, RequestId, ResourceId, Revision,
    SetTag, TagKey, TagValue, Timestamp, User, UserChange, changed_tags,
};

/// What a revert does about conflicts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OnConflict {
    /// The revert is refused.
    Fail,
    /// What is in conflict stays as it is, and the rest is reverted.
    Skip,
}

/// Why something can't be reverted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum ConflictReason {
    /// The user is not there any more, or not deleted where it would be restored.
    UserMissing,
    /// A removed tag is there again with another value.
    TagSetAgain,
    /// A tag that was set is gone, or has another value by now.
    TagChanged,
    /// The user would carry more than 20 tags.
    TagLimit,
    /// The user was renamed or described anew.
    UserChanged,
    /// The user is there, and not deleted.
    UserExists,
    /// Another user has the principal name.
    NameTaken,
}

impl ConflictReason {
    /// All reasons, in their order.
    pub const ALL: [Self; 7] = [
        Self::UserMissing,
        Self::TagSetAgain,
        Self::TagChanged,
        Self::TagLimit,
        Self::UserChanged,
        Self::UserExists,
        Self::NameTaken,
    ];

    /// The reason in words.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::UserMissing => "the user is not there any more",
            Self::TagSetAgain => "the tag is there again with another value",
            Self::TagChanged => "the tag has been changed since",
            Self::TagLimit => "the user would carry more than 20 tags",
            Self::UserChanged => "the user has been changed since",
            Self::UserExists => "the user is there, and not deleted",
            Self::NameTaken => "another user has the principal name",
        }
    }
}

/// Something that can't be reverted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RevertConflict {
    /// The user.
    pub user: ResourceId,
    /// The key of the tag, where it is about a tag.
    pub tag_key: Option<TagKey>,
    /// Why.
    pub reason: ConflictReason,
}

/// A request to revert a change.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RevertRequest {
    /// The account.
    pub account: AccountId,
    /// The request that has made the change.
    pub change: RequestId,
    /// What becomes of the revert where something is in conflict.
    pub on_conflict: OnConflict,
    /// Whether the request only checks, and changes nothing.
    pub validate_only: bool,
}

/// A command that reverts a change.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RevertCommand {
    /// The account.
    pub account: AccountId,
    /// When the revert is asked for. It becomes the time of what it does to users, and says which deleted users are gone for good.
    pub time: Timestamp,
    /// The effects of the change, each of another user; `None` where the change is gone from the history, and only the repetition of a
    /// revert that was made can be answered.
    pub effects: Option<Vec<Effect>>,
    /// What becomes of the revert where something is in conflict.
    pub on_conflict: OnConflict,
    /// Whether the command only checks, and changes nothing.
    pub validate_only: bool,
}

/// The result of a revert.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Reverted {
    /// How many users were changed, or would be.
    pub changed_resources: usize,
    /// How many tags of users were removed or set, or would be.
    pub changed_tags: usize,
    /// What was done, or would be. Empty in the answer to a repetition.
    pub effects: Vec<Effect>,
    /// What was left as it is.
    pub conflicts: Vec<RevertConflict>,
    /// The revision of the revert; the newest one of the account where nothing was changed. `None` where nothing ever was, and where
    /// the command only validates.
    pub revision: Option<Revision>,
    /// The RequestId to answer with, where this is the answer to an earlier request with the same client token.
    pub request_id: Option<RequestId>,
    /// Whether this is such an answer, and nothing was changed now.
    pub is_replay: bool,
}

impl Reverted {
    /// The revision of the entry that the change log has of the revert, if it has one.
    #[must_use]
    pub fn entry(&self) -> Option<Revision> {
        let has_entry = self.changed_resources > 0 && !self.is_replay;
        self.revision.filter(|_| has_entry)
    }
}

/// What there is of a user.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Present {
    /// There never was such a user, or it is gone for good.
    Absent,
    /// The user is there.
    There(Box<User>),
    /// The user is deleted, and can be restored.
    Deleted(Box<User>),
}

/// What there is of the users of a change, as a revert needs to know it.
#[derive(Debug, Clone, Default)]
pub struct PresentUsers {
    /// Each of them; a user that is not here is absent.
    pub users: HashMap<ResourceId, Present>,
    /// Who has the principal names of [`names_of`], by the name in lower case.
    pub holders: HashMap<String, ResourceId>,
}

/// The principal names that a revert of these effects may give to users.
pub fn names_of(effects: &[Effect]) -> impl Iterator<Item = &PrincipalName> {
    effects.iter().filter_map(|effect| match &effect.kind {
        EffectKind::Deleted(before) | EffectKind::Updated { before, .. } => {
            Some(&before.resource.principal_name)
        }
        EffectKind::Tags { .. } | EffectKind::Created(_) | EffectKind::Restored(_) => None,
    })
}

/// What a revert does, and what it can't do.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Revert {
    /// Its effects, each of another user, in order of id.
    pub effects: Vec<Effect>,
    /// What is in conflict, in the same order.
    pub conflicts: Vec<RevertConflict>,
}

impl From<Revert> for Reverted {
    /// The result of a revert, before it has a revision.
    fn from(revert: Revert) -> Self {
        Self {
            changed_resources: revert.effects.len(),
            changed_tags: revert.changed_tags(),
            effects: revert.effects,
            conflicts: revert.conflicts,
            ..Self::default()
        }
    }
}

impl Effect {
    /// The actions that a revert of this effect takes: whoever may not do them may not revert it.
    #[must_use]
    pub fn actions_of_revert(&self) -> Vec<Action> {
        match &self.kind {
            EffectKind::Tags { removed, set } => actions_on_tags(removed, set),
            EffectKind::Created(_) | EffectKind::Restored(_) => vec![Action::DeleteUser],
            EffectKind::Deleted(_) => vec![Action::UndeleteUser],
            EffectKind::Updated { before, after } => {
                let (removed, set) = changed_tags(before.resource.tags(), after.resource.tags());
                let mut actions = actions_on_tags(&removed, &set);
                actions.push(Action::UpdateUser);
                actions
            }
        }
    }

    /// The change of the user that has this effect, where it is one.
    #[must_use]
    pub fn user_change(&self) -> Option<UserChange> {
        let id = self.resource_id.clone();
        match &self.kind {
            EffectKind::Deleted(_) => Some(UserChange::Delete { id }),
            EffectKind::Restored(_) => Some(UserChange::Restore { id, new_name: None }),
            EffectKind::Updated { before, after } => {
                Some(UserChange::Update(user::update(before, after)))
            }
            EffectKind::Created(user) => Some(UserChange::Create(NewUser::of(user))),
            EffectKind::Tags { .. } => None,
        }
    }
}

impl Revert {
    /// The inverse of these effects, in order of their users, at this time, by what there is of these.
    #[must_use]
    pub fn of(effects: &[Effect], present: &PresentUsers, time: Timestamp) -> Self {
        // Each store keeps effects in an order of its own, and callers see which conflicts come first.
        let mut effects: Vec<_> = effects.iter().collect();
        effects.sort_by_key(|effect| &effect.resource_id);
        let inverses = effects.into_iter().map(|effect| {
            let now = present.users.get(&effect.resource_id);
            user::inverse(effect, now.unwrap_or(&Present::Absent), time)
        });
        names::settle(inverses.collect(), &present.holders)
    }

    /// How many tags of users that are there it removes or sets.
    #[must_use]
    pub fn changed_tags(&self) -> usize {
        self.effects.iter().map(Effect::changed_tags).sum()
    }
}

/// The actions that it takes to make these changes of tags undone.
fn actions_on_tags(removed: &[(TagKey, TagValue)], set: &[SetTag]) -> Vec<Action> {
    let brings_back = !removed.is_empty() || set.iter().any(|tag| tag.old.is_some());
    let takes_away = set.iter().any(|tag| tag.old.is_none());
    let tags = brings_back.then_some(Action::TagResources);
    let untags = takes_away.then_some(Action::UntagResources);
    tags.into_iter().chain(untags).collect()
}
