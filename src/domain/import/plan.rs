//! What an import does to each user, by what there is of it.

use std::collections::{BTreeMap, HashMap};

use super::{ImportCommand, ImportMode, ImportRefusal, Imported, RefusedUser};
use crate::domain::effect_names::{new_name, taken};
use crate::domain::{
    Effect, EffectKind, NewUser, Present, PresentUsers, TooManyTags, User, changed_tags,
};

/// What an import does, and whom it refuses.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ImportPlan {
    /// Its effects, each of another user, in the order of the command.
    pub effects: Vec<Effect>,
    /// Who is refused, in the order of the command.
    pub refused: Vec<RefusedUser>,
    /// How many users are there already as they are given.
    unchanged: usize,
}

/// What becomes of one user.
enum Outcome {
    Changes(Effect),
    Unchanged,
    Refused(ImportRefusal),
}

impl ImportPlan {
    /// The plan of a command, by what there is of its users. `present.holders` has who has the names of the command.
    #[must_use]
    pub fn of(command: &ImportCommand, present: &PresentUsers) -> Self {
        let users = command.users().iter();
        let mut outcomes: Vec<Outcome> = users
            .map(|user| {
                let now = present.users.get(&user.id).unwrap_or(&Present::Absent);
                outcome(user, command, now)
            })
            .collect();
        loop {
            let effects = outcomes.iter().enumerate();
            let effects = effects.filter_map(|(at, outcome)| match outcome {
                Outcome::Changes(effect) => Some((at, effect)),
                _ => None,
            });
            let taken = taken(effects, &present.holders);
            let taken: Vec<_> = taken.iter().map(|one| (one.at, one.by.clone())).collect();
            // Each one that is left out keeps the name that it has, which another may have wanted.
            if taken.is_empty() {
                break;
            }
            for (at, by) in taken {
                outcomes[at] = Outcome::Refused(ImportRefusal::NameTaken(by));
            }
        }
        let mut plan = Self::default();
        for (position, outcome) in outcomes.into_iter().enumerate() {
            match outcome {
                Outcome::Changes(effect) => plan.effects.push(effect),
                Outcome::Unchanged => plan.unchanged += 1,
                Outcome::Refused(why) => plan.refused.push(RefusedUser { position, why }),
            }
        }
        plan.name_holders(command, present);
        plan
    }

    /// The answer to the import, before it has a revision.
    #[must_use]
    pub fn answer(&self) -> Imported {
        let new_users = self.effects.iter().filter_map(|effect| match &effect.kind {
            EffectKind::Created(user) => Some(user),
            _ => None,
        });
        let created = new_users.clone().count();
        let given: usize = new_users.map(|user| user.resource.tags().len()).sum();
        let changed: usize = self.effects.iter().map(Effect::changed_tags).sum();
        Imported {
            created,
            updated: self.effects.len() - created,
            unchanged: self.unchanged,
            changed_tags: given + changed,
            refused: self.refused.clone(),
            ..Imported::default()
        }
    }

    /// Names who has the names of users who are refused for them: whoever was to get one may have been refused later.
    fn name_holders(&mut self, command: &ImportCommand, present: &PresentUsers) {
        let given = self.effects.iter();
        let given = given.filter_map(|effect| Some((new_name(effect)?.folded(), effect)));
        let given: HashMap<_, _> = given.collect();
        for RefusedUser { position, why } in &mut self.refused {
            if let ImportRefusal::NameTaken(by) = why {
                let name = command.users()[*position].principal_name.folded();
                let holder = given.get(&name).map(|effect| &effect.resource_id);
                if let Some(holder) = holder.or_else(|| present.holders.get(&name)) {
                    by.clone_from(holder);
                }
            }
        }
    }
}

fn outcome(user: &NewUser, command: &ImportCommand, now: &Present) -> Outcome {
    match now {
        Present::Absent => {
            let created = user.created(command.account(), command.time());
            changes(user, EffectKind::Created(Box::new(created)))
        }
        Present::Deleted(_) => Outcome::Refused(ImportRefusal::Deleted),
        Present::There(_) if command.mode() == ImportMode::CreateOnly => {
            Outcome::Refused(ImportRefusal::Exists)
        }
        Present::There(before) => match after(user, command, before) {
            Ok(after) => updated(user, before, after),
            Err(TooManyTags { .. }) => Outcome::Refused(ImportRefusal::TagLimit),
        },
    }
}

/// The user that an import makes of one that is there.
fn after(user: &NewUser, command: &ImportCommand, before: &User) -> Result<User, TooManyTags> {
    let mut tags = match command.mode() {
        ImportMode::Merge => before.resource.tags().clone(),
        ImportMode::ReplaceTags | ImportMode::CreateOnly => BTreeMap::default(),
    };
    let given = user.tags().iter();
    tags.extend(given.map(|(key, value)| (key.clone(), value.clone())));
    let mut after = before.clone();
    after.resource = before.resource.with(user.principal_name.clone(), tags)?;
    let given = (&user.display_name, &user.comments);
    after.display_name = given.0.clone().or(after.display_name);
    after.comments = given.1.clone().or(after.comments);
    if !after.is_described_as(before) {
        after.update_time = Some(command.time());
    }
    Ok(after)
}

fn updated(user: &NewUser, before: &User, after: User) -> Outcome {
    if !after.is_described_as(before) {
        let (before, after) = (Box::new(before.clone()), Box::new(after));
        return changes(user, EffectKind::Updated { before, after });
    }
    let (removed, set) = changed_tags(before.resource.tags(), after.resource.tags());
    if removed.is_empty() && set.is_empty() {
        return Outcome::Unchanged;
    }
    changes(user, EffectKind::Tags { removed, set })
}

fn changes(user: &NewUser, kind: EffectKind) -> Outcome {
    Outcome::Changes(Effect {
        resource_id: user.id.clone(),
        kind,
    })
}
