//! One user of the past.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::domain::{
    AccountId, Change, EffectKind, PrincipalName, ResourceId, TagKey, TagValue, Timestamp, User,
    UserKey, UserQuery,
};
use crate::store::{Store, StoreError};

/// A user that is there now.
pub async fn present(
    store: &impl Store,
    account: &AccountId,
    by: UserKey,
) -> Result<Option<User>, StoreError> {
    let query = UserQuery {
        account: account.clone(),
        by,
        // Then all who are deleted by now are gone for good. What they were stands in the change that deleted them.
        time: Timestamp::from_millis(i64::MAX),
    };
    store.get_user(Arc::new(query)).await
}

/// A user as the changes that are taken back have left it.
#[derive(Debug)]
pub struct PastUser {
    /// The id of the user.
    pub id: ResourceId,
    /// What it was; `None` where it was not there, or deleted.
    was: Option<State>,
}

#[derive(Debug)]
struct State {
    name: PrincipalName,
    tags: BTreeMap<TagKey, TagValue>,
}

impl From<&User> for State {
    fn from(user: &User) -> Self {
        Self {
            name: user.resource.principal_name.clone(),
            tags: user.resource.tags().clone(),
        }
    }
}

impl PastUser {
    /// The user as it is now.
    pub fn new(id: ResourceId, now: Option<&User>) -> Self {
        let was = now.map(State::from);
        Self { id, was }
    }

    /// Whether the user was there and had this name.
    pub fn is_named(&self, name: &PrincipalName) -> bool {
        self.was.as_ref().is_some_and(|was| was.name == *name)
    }

    /// Its id and the tags that it carried; `None` where it was not there.
    pub fn into_record(self) -> Option<(ResourceId, Vec<(TagKey, TagValue)>)> {
        let tags = self.was?.tags.into_iter();
        Some((self.id, tags.collect()))
    }

    /// Takes a change back: behind this, the user is as it was before. It does not matter whether the user was read before the change or
    /// behind it.
    pub fn take_back(&mut self, change: &Change) {
        let effects = change.effects.iter();
        for effect in effects.filter(|effect| effect.resource_id == self.id) {
            self.was = take_back(&effect.kind, self.was.take());
        }
    }
}

/// What there was before an effect.
fn take_back(effect: &EffectKind, was: Option<State>) -> Option<State> {
    match effect {
        EffectKind::Created(_) | EffectKind::Restored(_) => None,
        EffectKind::Deleted(before) | EffectKind::Updated { before, .. } => {
            Some(State::from(&**before))
        }
        EffectKind::Tags { removed, set } => {
            // Where it is not there, it has been created or restored since it was read: an older change tells.
            let mut was = was?;
            for tag in set {
                match &tag.old {
                    Some(old) => was.tags.insert(tag.key.clone(), old.clone()),
                    None => was.tags.remove(&tag.key),
                };
            }
            was.tags.extend(removed.iter().cloned());
            Some(was)
        }
    }
}
