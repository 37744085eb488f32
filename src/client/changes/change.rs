//! A change, as the service tells of it.

use std::collections::BTreeMap;
use std::time::SystemTime;

use crate::client::users::{User, time};
use crate::grpc::proto::{self, effect::Kind};

/// A change of an account.
#[derive(Clone)]
pub struct Change {
    /// The revision.
    pub revision: i64,
    /// The RequestId of the request that made it.
    pub request_id: String,
    /// When the request came.
    pub time: Option<SystemTime>,
    /// Who made it.
    pub caller: String,
    /// The address that the request came from.
    pub source_ip: String,
    /// The action, as policies name it.
    pub action: String,
    /// The caller's client token; empty where it gave none.
    pub client_token: String,
    /// What it did to each user: to all of them, or to the first ones in a list.
    pub effects: Vec<Effect>,
    /// How many users it changed.
    pub changed_users: usize,
    /// Whether the values of tags are there.
    pub values: Values,
}

/// Whether the service tells the values of tags.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Values {
    /// It does.
    Shown,
    /// It leaves them out, since the caller may not list tags: they are empty.
    Redacted,
}

impl Values {
    pub(super) fn of(are_redacted: bool) -> Self {
        if are_redacted {
            Self::Redacted
        } else {
            Self::Shown
        }
    }
}

/// What a change did to one user.
#[derive(Clone)]
pub struct Effect {
    /// The id of the user.
    pub resource_id: String,
    /// What was done.
    pub kind: EffectKind,
}

/// What was done to a user.
#[derive(Clone)]
pub enum EffectKind {
    /// Tags were removed or set.
    Tags {
        /// Those that were removed, by key, with the values that they had.
        removed: BTreeMap<String, String>,
        /// Those that were set, by key.
        set: BTreeMap<String, SetTag>,
    },
    /// The user was created, and was like this.
    Created(User),
    /// The user was renamed or described anew.
    Updated {
        /// The user before.
        before: User,
        /// The user afterwards.
        after: User,
    },
    /// The user was deleted, and had been like this.
    Deleted(User),
    /// The user was restored, and was like this.
    Restored(User),
    /// Something that this program does not know: the service is newer.
    Unknown,
}

/// A tag that was set.
#[derive(Clone)]
pub struct SetTag {
    /// The value that it had; none where it was not there, and where values are left out.
    pub old_value: Option<String>,
    /// The value that it got.
    pub new_value: String,
    /// Whether the tag was there before.
    pub was_there: bool,
}

impl Change {
    pub(super) fn of(message: proto::Change) -> Self {
        Self {
            revision: message.revision,
            request_id: message.request_id,
            time: message.time.and_then(time),
            caller: message.caller,
            source_ip: message.source_ip,
            action: message.action,
            client_token: message.client_token,
            effects: message.effects.into_iter().map(Effect::of).collect(),
            changed_users: usize::try_from(message.changed_resources).unwrap_or_default(),
            values: Values::of(message.values_redacted),
        }
    }
}

impl Effect {
    pub(super) fn of(message: proto::Effect) -> Self {
        let user = |user: Option<_>| User::of(user.unwrap_or_default());
        let kind = match message.kind {
            Some(Kind::Tags(tags)) => EffectKind::Tags {
                removed: tags.removed.into_iter().collect(),
                set: tags
                    .set
                    .into_iter()
                    .map(|(key, tag)| (key, SetTag::of(tag)))
                    .collect(),
            },
            Some(Kind::Created(created)) => EffectKind::Created(User::of(created)),
            Some(Kind::Updated(update)) => EffectKind::Updated {
                before: user(update.before),
                after: user(update.after),
            },
            Some(Kind::Deleted(deleted)) => EffectKind::Deleted(User::of(deleted)),
            Some(Kind::Restored(restored)) => EffectKind::Restored(User::of(restored)),
            None => EffectKind::Unknown,
        };
        Self {
            resource_id: message.resource_id,
            kind,
        }
    }
}

impl SetTag {
    fn of(message: proto::SetTag) -> Self {
        Self {
            old_value: message.old_value,
            new_value: message.new_value,
            was_there: message.was_there,
        }
    }
}
