//! The inverse of what a change did to one user.

use std::collections::BTreeMap;

use super::{ConflictReason, Present, RevertConflict};
use crate::domain::{
    Edit, Effect, EffectKind, ResourceId, SetTag, TagKey, TagValue, Timestamp, User, UserUpdate,
    changed_tags, limits,
};

/// The inverse of an effect: what to do, if anything, and what is in conflict.
#[derive(Debug, Default)]
pub struct Inverse {
    pub effect: Option<Effect>,
    pub conflicts: Vec<RevertConflict>,
}

impl Inverse {
    fn effect(user: &ResourceId, kind: EffectKind) -> Self {
        Self {
            effect: Some(Effect {
                resource_id: user.clone(),
                kind,
            }),
            conflicts: Vec::new(),
        }
    }

    /// A conflict of the user as a whole.
    pub fn conflict(user: &ResourceId, reason: ConflictReason) -> Self {
        Self {
            effect: None,
            conflicts: vec![RevertConflict {
                user: user.clone(),
                tag_key: None,
                reason,
            }],
        }
    }
}

/// The inverse of an effect on a user that is like this now.
pub fn inverse(effect: &Effect, now: &Present, time: Timestamp) -> Inverse {
    let id = &effect.resource_id;
    match (&effect.kind, now) {
        (EffectKind::Tags { removed, set }, Present::There(user)) => {
            of_tags(id, removed, set, user.resource.tags())
        }
        (EffectKind::Updated { before, after }, Present::There(user)) => {
            of_update(id, (before, after), user, time)
        }
        (EffectKind::Tags { .. } | EffectKind::Updated { .. }, _)
        | (EffectKind::Deleted(_), Present::Absent) => {
            Inverse::conflict(id, ConflictReason::UserMissing)
        }
        (EffectKind::Created(made) | EffectKind::Restored(made), Present::There(user)) => {
            let conflicts = differences(made, user);
            if conflicts.is_empty() {
                Inverse::effect(id, EffectKind::Deleted(user.clone()))
            } else {
                Inverse {
                    effect: None,
                    conflicts,
                }
            }
        }
        // It is not there, as before the change.
        (EffectKind::Created(_) | EffectKind::Restored(_), _) => Inverse::default(),
        (EffectKind::Deleted(before), Present::Deleted(user)) => {
            let conflicts = differences(before, user);
            if conflicts.is_empty() {
                Inverse::effect(id, EffectKind::Restored(Box::new(restored(user, time))))
            } else {
                Inverse {
                    effect: None,
                    conflicts,
                }
            }
        }
        (EffectKind::Deleted(before), Present::There(user)) => {
            if differences(before, user).is_empty() {
                Inverse::default()
            } else {
                Inverse::conflict(id, ConflictReason::UserExists)
            }
        }
    }
}

fn restored(deleted: &User, time: Timestamp) -> User {
    User {
        delete_time: None,
        update_time: Some(time),
        ..deleted.clone()
    }
}

/// What makes a user another one than it was, apart from times.
fn differences(then: &User, now: &User) -> Vec<RevertConflict> {
    let id = &now.resource.id;
    let name = |user: &User| user.resource.principal_name.as_str().to_owned();
    let is_same = name(then) == name(now)
        && then.display_name == now.display_name
        && then.comments == now.comments;
    let of_user = (!is_same).then(|| RevertConflict {
        user: id.clone(),
        tag_key: None,
        reason: ConflictReason::UserChanged,
    });
    let (then, now) = (then.resource.tags(), now.resource.tags());
    let keys = then
        .keys()
        .chain(now.keys().filter(|key| !then.contains_key(*key)));
    let changed = keys.filter(|key| then.get(*key) != now.get(*key));
    let of_tags = changed.map(|key| RevertConflict {
        user: id.clone(),
        tag_key: Some(key.clone()),
        reason: ConflictReason::TagChanged,
    });
    of_user.into_iter().chain(of_tags).collect()
}

/// The inverse of a change of tags, on a user that carries these now.
fn of_tags(
    user: &ResourceId,
    removed: &[(TagKey, TagValue)],
    set: &[SetTag],
    now: &BTreeMap<TagKey, TagValue>,
) -> Inverse {
    let gone = removed
        .iter()
        .map(|(key, value)| (key, Some(value), None, ConflictReason::TagSetAgain));
    let set = set.iter().map(|tag| {
        let (old, new) = (tag.old.as_ref(), Some(&tag.new));
        (&tag.key, old, new, ConflictReason::TagChanged)
    });
    let mut all: Vec<_> = gone.chain(set).collect();
    all.sort_by_key(|(key, ..)| *key);
    let (mut goes, mut returns, mut conflicts) = (Vec::new(), Vec::new(), Vec::new());
    for (key, before, after, reason) in all {
        let found = now.get(key);
        if found == before {
            continue;
        }
        match (found == after, before) {
            (false, _) => conflicts.push(conflict(user, key, reason)),
            (true, None) => goes.extend(found.map(|value| (key.clone(), value.clone()))),
            (true, Some(before)) => returns.push(SetTag {
                key: key.clone(),
                old: found.cloned(),
                new: before.clone(),
            }),
        }
    }
    // Those that find no room stay away, the last keys first.
    let mut room = (limits::TAGS_OF_A_USER + goes.len()).saturating_sub(now.len());
    returns.retain(|tag| {
        if tag.old.is_some() {
            return true;
        }
        let fits = room > 0;
        room = room.saturating_sub(1);
        if !fits {
            conflicts.push(conflict(user, &tag.key, ConflictReason::TagLimit));
        }
        fits
    });
    conflicts.sort_by(|one, other| one.tag_key.cmp(&other.tag_key));
    let kind = EffectKind::Tags {
        removed: goes,
        set: returns,
    };
    let changes =
        !matches!(&kind, EffectKind::Tags { removed, set } if removed.is_empty() && set.is_empty());
    Inverse {
        conflicts,
        ..if changes {
            Inverse::effect(user, kind)
        } else {
            Inverse::default()
        }
    }
}

fn conflict(user: &ResourceId, key: &TagKey, reason: ConflictReason) -> RevertConflict {
    RevertConflict {
        user: user.clone(),
        tag_key: Some(key.clone()),
        reason,
    }
}

/// The inverse of an update, on a user that is like this now.
fn of_update(
    id: &ResourceId,
    (before, after): (&User, &User),
    now: &User,
    time: Timestamp,
) -> Inverse {
    let (removed, set) = changed_tags(before.resource.tags(), after.resource.tags());
    let tags = of_tags(id, &removed, &set, now.resource.tags());
    let name = |user: &User| user.resource.principal_name.as_str().to_owned();
    let names = back(&name(before), &name(after), &name(now));
    let display_names = back(&before.display_name, &after.display_name, &now.display_name);
    let comments = back(&before.comments, &after.comments, &now.comments);
    let states = [names, display_names, comments];
    if states.contains(&Back::Conflict) {
        let mut all = Inverse::conflict(id, ConflictReason::UserChanged);
        all.conflicts.extend(tags.conflicts);
        return Inverse {
            effect: tags.effect,
            ..all
        };
    }
    if !states.contains(&Back::Returns) {
        return tags;
    }
    let mut then = now.clone();
    if names == Back::Returns {
        then.resource.principal_name = before.resource.principal_name.clone();
    }
    if display_names == Back::Returns {
        then.display_name.clone_from(&before.display_name);
    }
    if comments == Back::Returns {
        then.comments.clone_from(&before.comments);
    }
    then.update_time = Some(time);
    if let Some(effect) = &tags.effect {
        let name = then.resource.principal_name.clone();
        let tags = effect.tags_after(now.resource.tags());
        // The inverse keeps to the limit.
        if let Ok(resource) = then.resource.with(name, tags) {
            then.resource = resource;
        }
    }
    let (before, after) = (Box::new(now.clone()), Box::new(then));
    Inverse {
        conflicts: tags.conflicts,
        ..Inverse::effect(id, EffectKind::Updated { before, after })
    }
}

/// What becomes of one value of a user.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Back {
    /// It is as it was before, or the change has not changed it.
    Stays,
    /// It goes back to what it was before.
    Returns,
    /// It was changed again.
    Conflict,
}

fn back<T: PartialEq>(before: &T, after: &T, now: &T) -> Back {
    if before == after || now == before {
        Back::Stays
    } else if now == after {
        Back::Returns
    } else {
        Back::Conflict
    }
}

/// The update that makes a user like this.
pub fn update(before: &User, after: &User) -> UserUpdate {
    fn edit<T: Clone + PartialEq>(before: Option<&T>, after: Option<&T>) -> Edit<T> {
        match after {
            _ if before == after => Edit::Keep,
            None => Edit::Clear,
            Some(after) => Edit::Set(after.clone()),
        }
    }
    let [old, new] = [before, after].map(|user| &user.resource.principal_name);
    UserUpdate {
        id: after.resource.id.clone(),
        principal_name: (old.as_str() != new.as_str()).then(|| new.clone()),
        display_name: edit(before.display_name.as_ref(), after.display_name.as_ref()),
        comments: edit(before.comments.as_ref(), after.comments.as_ref()),
        tags: {
            let [old, new] = [before, after].map(|user| user.resource.tags());
            (old != new).then(|| new.clone())
        },
    }
}
