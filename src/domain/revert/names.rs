//! The names that a revert gives back: each has one user in the state after it.

use std::collections::{HashMap, HashSet};

use super::user::Inverse;
use super::{ConflictReason, Revert};
use crate::domain::{Effect, EffectKind, PrincipalName, ResourceId};

/// The revert that is made of these inverses, without those whose name somebody else has afterwards, by who has the names now.
pub fn settle(mut inverses: Vec<Inverse>, holders: &HashMap<String, ResourceId>) -> Revert {
    loop {
        // Each one that is left out keeps the name that it has, which another may have wanted.
        let taken = taken(&inverses, holders);
        if taken.is_empty() {
            break;
        }
        for at in taken {
            if let Some(effect) = &inverses[at].effect {
                inverses[at] = Inverse::conflict(&effect.resource_id, ConflictReason::NameTaken);
            }
        }
    }
    let mut revert = Revert::default();
    for inverse in inverses {
        revert.effects.extend(inverse.effect);
        revert.conflicts.extend(inverse.conflicts);
    }
    revert
}

/// The positions of those that give their users names which other users have then.
fn taken(inverses: &[Inverse], holders: &HashMap<String, ResourceId>) -> Vec<usize> {
    let effects = || {
        let all = inverses.iter().enumerate();
        all.filter_map(|(at, inverse)| Some((at, inverse.effect.as_ref()?)))
    };
    let leaving: HashSet<_> = effects()
        .filter(|(_, effect)| gives_up_name(effect))
        .map(|(_, effect)| &effect.resource_id)
        .collect();
    let mut given = HashSet::new();
    let (mut taken, mut twice) = (Vec::new(), Vec::new());
    for (at, effect) in effects() {
        let Some(name) = new_name(effect) else {
            continue;
        };
        let folded = name.folded();
        let holder = holders.get(&folded);
        let another = holder.filter(|holder| **holder != effect.resource_id);
        if another.is_some_and(|holder| !leaving.contains(holder)) {
            taken.push(at);
        } else if !given.insert(folded) {
            twice.push(at);
        }
    }
    if taken.is_empty() { twice } else { taken }
}

/// The name that an effect gives its user, if it gives it one.
fn new_name(effect: &Effect) -> Option<&PrincipalName> {
    match &effect.kind {
        EffectKind::Created(user) | EffectKind::Restored(user) => {
            Some(&user.resource.principal_name)
        }
        EffectKind::Updated { before, after } => {
            let (old, new) = (
                &before.resource.principal_name,
                &after.resource.principal_name,
            );
            (old.as_str() != new.as_str()).then_some(new)
        }
        EffectKind::Tags { .. } | EffectKind::Deleted(_) => None,
    }
}

/// Whether a user has another name than now, or none, after an effect.
fn gives_up_name(effect: &Effect) -> bool {
    match &effect.kind {
        EffectKind::Deleted(_) => true,
        EffectKind::Updated { before, after } => {
            before.resource.principal_name != after.resource.principal_name
        }
        EffectKind::Created(_) | EffectKind::Restored(_) | EffectKind::Tags { .. } => false,
    }
}
