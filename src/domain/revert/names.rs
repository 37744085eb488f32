//! The names that a revert gives back: each has one user in the state after it.

use std::collections::HashMap;

use super::user::Inverse;
use super::{ConflictReason, Revert};
use crate::domain::ResourceId;
use crate::domain::effect_names::taken;

/// The revert that is made of these inverses, without those whose name somebody else has afterwards, by who has the names now.
pub fn settle(mut inverses: Vec<Inverse>, holders: &HashMap<String, ResourceId>) -> Revert {
    loop {
        let effects = inverses.iter().enumerate();
        let effects = effects.filter_map(|(at, inverse)| Some((at, inverse.effect.as_ref()?)));
        let taken: Vec<usize> = taken(effects, holders).iter().map(|one| one.at).collect();
        // Each one that is left out keeps the name that it has, which another may have wanted.
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
