//! Commands that create, update, delete and restore users. Each is planned in full before anything of it is written.

use std::collections::HashMap;

use crate::domain::{
    AccountId, Effect, EffectKind, NewUser, PrincipalName, ResourceId, Timestamp, User, UserChange,
    UserCommand, UserKey, UserUpdate,
};
use crate::store::StoreError;
use crate::store::sqlite::error::ApplyError;
use crate::store::sqlite::format::tags::{self, TagMask};
use crate::store::sqlite::format::tombstone::Tombstone;
use crate::store::sqlite::format::{LoggedEffect, StoredUser, UserTables};
use crate::store::sqlite::log::changes::RemovedTags;
use crate::store::sqlite::log::{Tombstones, Uncommitted};

/// A plan of a command that can be carried out.
pub struct UserPlan<'command> {
    account: &'command AccountId,
    time: Timestamp,
    steps: Vec<Step<'command>>,
    /// The rows whose names other users of the command get.
    give_up_names: Vec<i64>,
}

/// A change with what there is of its user, where the two fit.
enum Step<'command> {
    Create {
        new: &'command NewUser,
        /// The row of a user with the same id that was deleted, and is gone for good.
        expired: Option<i64>,
    },
    Update {
        before: StoredUser,
        update: &'command UserUpdate,
    },
    Delete {
        before: StoredUser,
    },
    Restore {
        before: StoredUser,
        new_name: Option<&'command PrincipalName>,
    },
}

/// Why a change can't be made of what there is.
enum Conflict {
    Missing,
    Exists,
}

/// What there is of a user before a command.
pub enum Before {
    Absent,
    There(StoredUser),
    Deleted(StoredUser),
    Expired(StoredUser),
}

impl Before {
    /// What there is of a user of an account at this time. `removed` tells which tags the row of a number has lost.
    pub fn read(
        tables: UserTables<'_>,
        (account, time): (&AccountId, Timestamp),
        id: &ResourceId,
        removed: impl FnOnce(i64) -> TagMask,
    ) -> Result<Self, ApplyError> {
        if let Some(user) = tables.find(account, &UserKey::Id(id.clone()), removed)? {
            return Ok(Self::There(user));
        }
        let until = Some(time.newest_expired());
        Ok(match tables.find_deleted(account, id)? {
            Some(deleted) if deleted.user.delete_time <= until => Self::Expired(deleted),
            Some(deleted) => Self::Deleted(deleted),
            None => Self::Absent,
        })
    }
}

impl<'command> Step<'command> {
    fn of(change: &'command UserChange, before: Before) -> Result<Self, Conflict> {
        match (change, before) {
            (UserChange::Create(new), Before::Absent) => Ok(Self::Create { new, expired: None }),
            (UserChange::Create(new), Before::Expired(before)) => Ok(Self::Create {
                new,
                expired: Some(before.number),
            }),
            (UserChange::Update(update), Before::There(before)) => {
                Ok(Self::Update { before, update })
            }
            (UserChange::Delete { .. }, Before::There(before)) => Ok(Self::Delete { before }),
            (UserChange::Restore { new_name, .. }, Before::Deleted(before)) => Ok(Self::Restore {
                before,
                new_name: new_name.as_ref(),
            }),
            (UserChange::Create(_), Before::There(_) | Before::Deleted(_))
            | (UserChange::Restore { .. }, Before::There(_)) => Err(Conflict::Exists),
            _ => Err(Conflict::Missing),
        }
    }

    /// The name that the user gets, if the change gives it one.
    fn new_name(&self) -> Option<&PrincipalName> {
        match self {
            Self::Create { new, .. } => Some(&new.principal_name),
            Self::Update { update, .. } => update.principal_name.as_ref(),
            Self::Delete { .. } => None,
            Self::Restore { before, new_name } => {
                Some(new_name.unwrap_or(&before.user.resource.principal_name))
            }
        }
    }

    /// The row that the user has in the table of those who are there.
    fn row(&self) -> Option<i64> {
        match self {
            Self::Update { before, .. } | Self::Delete { before } => Some(before.number),
            Self::Create { .. } | Self::Restore { .. } => None,
        }
    }

    /// The user after the change.
    fn after(&self, account: &AccountId, time: Timestamp) -> User {
        match self {
            Self::Create { new, .. } => new.created(account, time),
            Self::Update { before, update } => update.updated(&before.user, time),
            Self::Delete { before } => User {
                delete_time: Some(time),
                ..before.user.clone()
            },
            Self::Restore { before, new_name } => {
                let mut user = User {
                    delete_time: None,
                    update_time: Some(time),
                    ..before.user.clone()
                };
                if let Some(name) = *new_name {
                    user.resource.principal_name = name.clone();
                }
                user
            }
        }
    }
}

impl Step<'_> {
    /// What the change does to a user, who is like this afterwards.
    fn effect(&self, after: &User) -> Effect {
        let after_change = || Box::new(after.clone());
        let kind = match self {
            Self::Create { .. } => EffectKind::Created(after_change()),
            Self::Update { before, .. } => EffectKind::Updated {
                before: Box::new(before.user.clone()),
                after: after_change(),
            },
            Self::Delete { before } => EffectKind::Deleted(Box::new(before.user.clone())),
            Self::Restore { .. } => EffectKind::Restored(after_change()),
        };
        Effect {
            resource_id: after.resource.id.clone(),
            kind,
        }
    }
}

impl<'command> UserPlan<'command> {
    /// A plan of changes that fit what there is of their users, and whose names are free once these rows have given up theirs.
    pub fn settled(
        (account, time): (&'command AccountId, Timestamp),
        changes: impl Iterator<Item = (&'command UserChange, Before)>,
        give_up_names: Vec<i64>,
    ) -> Option<Self> {
        let steps = changes.map(|(change, before)| Step::of(change, before).ok());
        Some(Self {
            account,
            time,
            steps: steps.collect::<Option<_>>()?,
            give_up_names,
        })
    }
}

/// Plans a command in the open transaction. `removed` tells which tags the row of a number has lost.
pub fn plan<'command>(
    command: &'command UserCommand,
    tables: UserTables<'_>,
    removed: impl Fn(i64) -> TagMask,
) -> Result<Result<UserPlan<'command>, StoreError>, ApplyError> {
    let mut steps = Vec::with_capacity(command.changes().len());
    let (mut missing, mut existing) = (Vec::new(), Vec::new());
    for (position, change) in command.changes().iter().enumerate() {
        let before = Before::read(
            tables,
            (command.account(), command.time()),
            change.id(),
            &removed,
        )?;
        match Step::of(change, before) {
            Ok(step) => steps.push(step),
            Err(Conflict::Missing) => missing.push(position),
            Err(Conflict::Exists) => existing.push(position),
        }
    }
    if !missing.is_empty() {
        return Ok(Err(StoreError::Missing(missing)));
    }
    if !existing.is_empty() {
        return Ok(Err(StoreError::UserExists(existing)));
    }
    let names = plan_names(command.account(), tables, &steps)?;
    Ok(names.map(|give_up_names| UserPlan {
        account: command.account(),
        time: command.time(),
        steps,
        give_up_names,
    }))
}

/// Checks that each name has one user after the command. Returns the rows whose names other users of the command get.
fn plan_names(
    account: &AccountId,
    tables: UserTables<'_>,
    steps: &[Step<'_>],
) -> rusqlite::Result<Result<Vec<i64>, StoreError>> {
    let mut takers = HashMap::<_, usize>::new();
    for name in steps.iter().filter_map(Step::new_name) {
        *takers.entry(name.folded()).or_default() += 1;
    }
    let with_row = |step| Step::row(step).map(|row| (row, step));
    let rows: HashMap<_, _> = steps.iter().filter_map(with_row).collect();
    let (mut taken, mut give_up) = (Vec::new(), Vec::new());
    for (position, step) in steps.iter().enumerate() {
        let Some(name) = step.new_name() else {
            continue;
        };
        let holder = tables.holder(account, name)?;
        let another = holder.filter(|&holder| step.row() != Some(holder));
        let keeps_it = another.is_some_and(|row| match rows.get(&row) {
            Some(Step::Delete { .. }) => false,
            Some(holder) if holder.new_name().is_some() => {
                give_up.push(row);
                false
            }
            _ => true,
        });
        if keeps_it || takers[&name.folded()] > 1 {
            taken.push(position);
        }
    }
    Ok(if taken.is_empty() {
        Ok(give_up)
    } else {
        Err(StoreError::NameTaken(taken))
    })
}

/// What a command has written: each user as it is then, the removed tags that rows have lost for good, and what its entry says of each
/// user that it has changed.
pub struct WrittenUsers {
    pub users: Vec<User>,
    pub removed: Vec<RemovedTags>,
    pub effects: Vec<LoggedEffect>,
}

impl UserPlan<'_> {
    /// Writes all of it in the open transaction.
    pub fn write(
        self,
        tables: UserTables<'_>,
        changes: &mut Uncommitted,
        in_force: &Tombstones,
    ) -> Result<WrittenUsers, ApplyError> {
        let after = |step: &Step<'_>| step.after(self.account, self.time);
        let users: Vec<_> = self.steps.iter().map(after).collect();
        // A name is free before another user gets it.
        let mut removed = self.delete(&users, tables, changes, in_force)?;
        let mut effects = Vec::new();
        for number in self.give_up_names {
            tables.give_up_name(number)?;
        }
        for (step, user) in self.steps.into_iter().zip(&users) {
            let effect = step.effect(user);
            let number = match step {
                Step::Delete { before } => {
                    effects.push(LoggedEffect::new(before.number, &effect));
                    continue;
                }
                Step::Update { before, .. } => {
                    if !before.user.is_same(user) {
                        let lost = changes.of(before.number, in_force);
                        effects.push(LoggedEffect::new(before.number, &effect));
                        removed.extend(update(before, user, lost, tables, changes)?);
                    }
                    continue;
                }
                Step::Restore { before, .. } => {
                    tables.forget(before.number)?;
                    before.number
                }
                Step::Create { expired, .. } => {
                    // First: the row that goes may have the largest number.
                    let number = changes.take_number(tables.0)?;
                    if let Some(expired) = expired {
                        tables.forget(expired)?;
                    }
                    number
                }
            };
            debug_assert_eq!(
                changes.of(number, in_force),
                0,
                "a row that is not there has no tombstone"
            );
            let tags = tags::encode(user.resource.tags());
            tables.insert(number, user, &tags)?;
            changes.wrote(number, &user.resource, tags);
            effects.push(LoggedEffect::new(number, &effect));
        }
        Ok(WrittenUsers {
            users,
            removed,
            effects,
        })
    }

    /// Moves those who are deleted. Returns the removed tags that their rows have lost for good.
    fn delete(
        &self,
        users: &[User],
        tables: UserTables<'_>,
        changes: &mut Uncommitted,
        in_force: &Tombstones,
    ) -> Result<Vec<RemovedTags>, ApplyError> {
        let mut removed = Vec::new();
        for (step, user) in self.steps.iter().zip(users) {
            if let Step::Delete { before } = step {
                let number = before.number;
                tables.delete(number, user)?;
                let (id, lost) = (user.resource.id.as_str(), changes.of(number, in_force));
                if let Some(tags) = RemovedTags::of(number, id, &before.tags, lost)? {
                    removed.push(tags);
                    changes.add(Tombstone { number, removed: 0 });
                }
                changes.removed(number, &user.resource);
            }
        }
        Ok(removed)
    }
}

/// Writes a user that is updated. Returns the removed tags that its row has lost for good, which has lost these.
fn update(
    before: StoredUser,
    user: &User,
    lost: TagMask,
    tables: UserTables<'_>,
    changes: &mut Uncommitted,
) -> Result<Option<RemovedTags>, ApplyError> {
    let number = before.number;
    tables.update(number, user)?;
    if before.user.resource.tags() == user.resource.tags() {
        changes.wrote(number, &user.resource, before.tags);
        return Ok(None);
    }
    let removed = RemovedTags::of(number, user.resource.id.as_str(), &before.tags, lost)?;
    if lost != 0 {
        changes.add(Tombstone { number, removed: 0 });
    }
    let tags = tags::encode(user.resource.tags());
    tables.set_tags(number, &tags)?;
    changes.wrote(number, &user.resource, tags);
    Ok(removed)
}
