//! The principal names that effects on users give: each has one user in the state after all of them.

use std::collections::{HashMap, HashSet};

use super::{Effect, EffectKind, PrincipalName, ResourceId};

/// An effect that gives its user the name of another one.
#[derive(Debug, PartialEq, Eq)]
pub struct Taken<'a> {
    /// The position of the effect.
    pub at: usize,
    /// The other user.
    pub by: &'a ResourceId,
}

/// Finds the effects that give their users names which other users have afterwards, by who has the names now. What is left out for
/// that keeps the name that it has: look again without it.
pub fn taken<'a>(
    effects: impl Iterator<Item = (usize, &'a Effect)> + Clone,
    holders: &'a HashMap<String, ResourceId>,
) -> Vec<Taken<'a>> {
    let leaving: HashSet<_> = effects
        .clone()
        .filter(|(_, effect)| gives_up_name(effect))
        .map(|(_, effect)| &effect.resource_id)
        .collect();
    let mut given: HashMap<String, &ResourceId> = HashMap::new();
    let (mut taken, mut twice) = (Vec::new(), Vec::new());
    for (at, effect) in effects {
        let Some(name) = new_name(effect) else {
            continue;
        };
        let folded = name.folded();
        let holder = holders.get(&folded);
        let another = holder.filter(|holder| **holder != effect.resource_id);
        if let Some(by) = another.filter(|holder| !leaving.contains(holder)) {
            taken.push(Taken { at, by });
        } else if let Some(by) = given.get(&folded) {
            twice.push(Taken { at, by });
        } else {
            given.insert(folded, &effect.resource_id);
        }
    }
    if taken.is_empty() { twice } else { taken }
}

/// The name that an effect gives its user, if it gives it one.
#[must_use]
pub fn new_name(effect: &Effect) -> Option<&PrincipalName> {
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
