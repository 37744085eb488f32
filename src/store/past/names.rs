//! Who had a principal name: found among the changes since then, where the present does not tell.

use crate::domain::{
    Change, Effect, EffectKind, Fault, FaultCode, PrincipalName, ResourceId, Revision, User,
};
use crate::store::StoreError;

/// How many changes are looked through, about.
pub const MOST_CHANGES: usize = 20_000;

/// The holders of names at a revision.
#[derive(Debug, Default)]
pub struct Holders {
    /// Those that are found, by the positions of their names.
    found: Vec<(usize, ResourceId)>,
    /// The positions of names that nobody had.
    missing: Vec<usize>,
    /// The names that are looked for.
    wanted: Vec<(usize, PrincipalName)>,
}

impl Holders {
    /// Adds a name to those that are looked for.
    pub fn look_for(&mut self, position: usize, name: &PrincipalName) {
        self.wanted.push((position, name.clone()));
    }

    /// Whether there are names to look for.
    pub fn is_looking(&self) -> bool {
        !self.wanted.is_empty()
    }

    /// Looks at the next change behind the revision. The first that is about a name tells: whoever gives it up there has had it, and
    /// where somebody only takes it, nobody has.
    pub fn look_at(&mut self, change: &Change) {
        let effects = &change.effects;
        let Self {
            found,
            missing,
            wanted,
        } = self;
        wanted.retain(|(position, name)| {
            if let Some(holder) = effects.iter().find(|effect| gives_up(effect, name)) {
                found.push((*position, holder.resource_id.clone()));
                return false;
            }
            let is_taken = effects.iter().any(|effect| takes(effect, name));
            if is_taken {
                missing.push(*position);
            }
            !is_taken
        });
    }

    /// The holders by the positions of their names, and the positions of names that nobody had: those too that no change was about.
    pub fn finish(mut self) -> (Vec<(usize, ResourceId)>, Vec<usize>) {
        let left = self.wanted.into_iter();
        self.missing.extend(left.map(|(position, _)| position));
        (self.found, self.missing)
    }

    /// The error where there are too many changes to look through.
    pub fn too_far_back(&self, revision: Revision) -> StoreError {
        let (position, name) = match self.wanted.first() {
            Some((position, name)) => (*position, name.as_str()),
            None => (0, ""),
        };
        StoreError::Invalid(Fault {
            code: FaultCode::InvalidResourcePrincipalName,
            field: format!("resource_principal_names.values[{position}]"),
            description: format!(
                "who was {name} at revision {} does not stand in the {MOST_CHANGES} changes behind it; name the user by id",
                revision.get()
            ),
        })
    }
}

fn is_named(user: &User, name: &PrincipalName) -> bool {
    user.resource.principal_name == *name
}

fn gives_up(effect: &Effect, name: &PrincipalName) -> bool {
    match &effect.kind {
        EffectKind::Deleted(before) => is_named(before, name),
        EffectKind::Updated { before, after } => is_named(before, name) && !is_named(after, name),
        EffectKind::Tags { .. } | EffectKind::Created(_) | EffectKind::Restored(_) => false,
    }
}

fn takes(effect: &Effect, name: &PrincipalName) -> bool {
    match &effect.kind {
        EffectKind::Created(after) | EffectKind::Restored(after) => is_named(after, name),
        EffectKind::Updated { before, after } => is_named(after, name) && !is_named(before, name),
        EffectKind::Tags { .. } | EffectKind::Deleted(_) => false,
    }
}
