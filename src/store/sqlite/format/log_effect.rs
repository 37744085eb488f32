//! How the effects of a change lie in its entry of the change log, see `log_entry.rs`.

use prost::Message;

use super::log_user::{LoggedTag, LoggedUser, logged_tags, parse, parse_all};
use super::tags::TagMask;
use crate::domain::{AccountId, Effect, EffectKind, ResourceId, SetTag, TagKey, TagValue, User};
use crate::store::sqlite::error::CorruptLog;

/// What an entry did to the user that has, or had, the row of this number.
#[derive(Clone, PartialEq, Message)]
#[prost(skip_debug)]
pub struct LoggedEffect {
    #[prost(int64, tag = "1")]
    pub number: i64,
    /// The positions of the removed tags in the row as it was then.
    #[prost(uint32, tag = "2")]
    pub removed: TagMask,
    /// Anything else: then there are no positions.
    #[prost(message, optional, boxed, tag = "3")]
    detail: Option<Box<LoggedDetail>>,
}

#[derive(Clone, PartialEq, Message)]
#[prost(skip_debug)]
struct LoggedDetail {
    #[prost(string, tag = "1")]
    resource_id: String,
    #[prost(message, repeated, tag = "2")]
    removed: Vec<LoggedTag>,
    #[prost(message, repeated, tag = "3")]
    set: Vec<LoggedSetTag>,
    #[prost(enumeration = "UserEffect", tag = "4")]
    user_effect: i32,
    #[prost(message, optional, boxed, tag = "5")]
    before: Option<Box<LoggedUser>>,
    #[prost(message, optional, boxed, tag = "6")]
    after: Option<Box<LoggedUser>>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, prost::Enumeration)]
enum UserEffect {
    None = 0,
    Created = 1,
    Updated = 2,
    Deleted = 3,
    Restored = 4,
}

#[derive(Clone, PartialEq, Message)]
#[prost(skip_debug)]
struct LoggedSetTag {
    #[prost(string, tag = "1")]
    key: String,
    #[prost(string, optional, tag = "2")]
    old: Option<String>,
    #[prost(string, tag = "3")]
    new: String,
}

impl LoggedEffect {
    /// An effect on tags that still lie in the row.
    pub fn removed(number: i64, removed: TagMask) -> Self {
        Self {
            number,
            removed,
            detail: None,
        }
    }

    /// Any other effect on the user of the row of this number.
    pub fn new(number: i64, effect: &Effect) -> Self {
        let resource_id = effect.resource_id.as_str().to_owned();
        let mut detail = LoggedDetail {
            resource_id,
            ..LoggedDetail::default()
        };
        let user = |user: &User| Some(Box::new(LoggedUser::from(user)));
        match &effect.kind {
            EffectKind::Tags { removed, set } => {
                detail.removed = logged_tags(removed.iter().map(|(key, value)| (key, value)));
                detail.set = set.iter().map(LoggedSetTag::from).collect();
            }
            EffectKind::Created(created) => {
                detail.set_user_effect(UserEffect::Created);
                detail.after = user(created);
            }
            EffectKind::Updated { before, after } => {
                detail.set_user_effect(UserEffect::Updated);
                (detail.before, detail.after) = (user(before), user(after));
            }
            EffectKind::Deleted(deleted) => {
                detail.set_user_effect(UserEffect::Deleted);
                detail.before = user(deleted);
            }
            EffectKind::Restored(restored) => {
                detail.set_user_effect(UserEffect::Restored);
                detail.after = user(restored);
            }
        }
        Self {
            number,
            removed: 0,
            detail: Some(Box::new(detail)),
        }
    }

    /// The effect, where it is not on tags that lie in a row.
    pub fn detailed(&self, account: &AccountId) -> Option<Result<Effect, CorruptLog>> {
        let detail = self.detail.as_deref()?;
        Some(detail.effect(account))
    }
}

impl LoggedDetail {
    fn effect(&self, account: &AccountId) -> Result<Effect, CorruptLog> {
        let user = |user: &Option<Box<LoggedUser>>| {
            let user = user.as_ref().ok_or(CorruptLog)?;
            user.parse(account).map(Box::new)
        };
        let effect = UserEffect::try_from(self.user_effect).map_err(|_| CorruptLog)?;
        let kind = match effect {
            UserEffect::None => EffectKind::Tags {
                removed: parse_all(&self.removed, LoggedTag::parse)?,
                set: parse_all(&self.set, LoggedSetTag::parse)?,
            },
            UserEffect::Created => EffectKind::Created(user(&self.after)?),
            UserEffect::Updated => EffectKind::Updated {
                before: user(&self.before)?,
                after: user(&self.after)?,
            },
            UserEffect::Deleted => EffectKind::Deleted(user(&self.before)?),
            UserEffect::Restored => EffectKind::Restored(user(&self.after)?),
        };
        Ok(Effect {
            resource_id: parse(&self.resource_id, ResourceId::parse)?,
            kind,
        })
    }
}

impl From<&SetTag> for LoggedSetTag {
    fn from(SetTag { key, old, new }: &SetTag) -> Self {
        Self {
            key: key.as_str().to_owned(),
            old: old.as_ref().map(|old| old.as_str().to_owned()),
            new: new.as_str().to_owned(),
        }
    }
}

impl LoggedSetTag {
    fn parse(&self) -> Result<SetTag, CorruptLog> {
        let old = self.old.as_deref();
        Ok(SetTag {
            key: parse(&self.key, TagKey::parse)?,
            old: old.map(|old| parse(old, TagValue::parse)).transpose()?,
            new: parse(&self.new, TagValue::parse)?,
        })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::log_user::generated::{account, tags, user};
    use super::*;

    fn kind() -> impl Strategy<Value = EffectKind> {
        let set = tags().prop_map(|tags| {
            let set = |(at, (key, new)): (usize, (TagKey, TagValue))| SetTag {
                key,
                old: (at % 2 == 0).then(|| TagValue::parse("old").unwrap()),
                new,
            };
            tags.into_iter().enumerate().map(set).collect()
        });
        prop_oneof![
            (tags(), set).prop_map(|(removed, set)| EffectKind::Tags {
                removed: removed.into_iter().collect(),
                set
            }),
            user().prop_map(EffectKind::Created),
            (user(), user()).prop_map(|(before, after)| EffectKind::Updated { before, after }),
            user().prop_map(EffectKind::Deleted),
            user().prop_map(EffectKind::Restored),
        ]
    }

    proptest! {
        #[test]
        fn effects_come_back_from_their_bytes(number in any::<i64>(), id in "[0-9]{1,32}", kind in kind()) {
            let effect = Effect { resource_id: ResourceId::parse(id).unwrap(), kind };
            let bytes = LoggedEffect::new(number, &effect).encode_to_vec();
            let decoded = LoggedEffect::decode(bytes.as_slice()).unwrap();
            prop_assert_eq!((decoded.number, decoded.removed), (number, 0));
            prop_assert_eq!(decoded.detailed(&account()).unwrap().unwrap(), effect);
        }
    }
}
