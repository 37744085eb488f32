//! How the effects of a change lie in its entry of the change log, see `log_entry.rs`.

use prost::Message;

use super::tags::TagMask;
use crate::domain::{
    AccountId, Comments, DisplayName, Effect, EffectKind, PrincipalName, Resource, ResourceId,
    SetTag, TagKey, TagValue, Timestamp, User,
};
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
struct LoggedTag {
    #[prost(string, tag = "1")]
    key: String,
    #[prost(string, tag = "2")]
    value: String,
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

#[derive(Clone, PartialEq, Message)]
#[prost(skip_debug)]
struct LoggedUser {
    #[prost(string, tag = "1")]
    id: String,
    #[prost(string, tag = "2")]
    principal_name: String,
    #[prost(message, repeated, tag = "3")]
    tags: Vec<LoggedTag>,
    #[prost(string, optional, tag = "4")]
    display_name: Option<String>,
    #[prost(string, optional, tag = "5")]
    comments: Option<String>,
    #[prost(sint64, optional, tag = "6")]
    create_time: Option<i64>,
    #[prost(sint64, optional, tag = "7")]
    update_time: Option<i64>,
    #[prost(sint64, optional, tag = "8")]
    delete_time: Option<i64>,
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

fn parse<'text, T, E>(
    text: &'text str,
    parse: impl FnOnce(&'text str) -> Result<T, E>,
) -> Result<T, CorruptLog> {
    parse(text).map_err(|_| CorruptLog)
}

fn parse_all<L, T>(
    logged: &[L],
    parse: impl FnMut(&L) -> Result<T, CorruptLog>,
) -> Result<Vec<T>, CorruptLog> {
    logged.iter().map(parse).collect()
}

fn logged_tags<'tag>(
    tags: impl IntoIterator<Item = (&'tag TagKey, &'tag TagValue)>,
) -> Vec<LoggedTag> {
    let logged = |(key, value): (&TagKey, &TagValue)| LoggedTag {
        key: key.as_str().to_owned(),
        value: value.as_str().to_owned(),
    };
    tags.into_iter().map(logged).collect()
}

impl LoggedTag {
    fn parse(&self) -> Result<(TagKey, TagValue), CorruptLog> {
        let key = parse(&self.key, TagKey::parse)?;
        Ok((key, parse(&self.value, TagValue::parse)?))
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

impl From<&User> for LoggedUser {
    fn from(user: &User) -> Self {
        let millis = |time: Option<Timestamp>| time.map(Timestamp::millis);
        Self {
            id: user.resource.id.as_str().to_owned(),
            principal_name: user.resource.principal_name.as_str().to_owned(),
            tags: logged_tags(user.resource.tags()),
            display_name: user
                .display_name
                .as_ref()
                .map(|name| name.as_str().to_owned()),
            comments: user
                .comments
                .as_ref()
                .map(|comments| comments.as_str().to_owned()),
            create_time: millis(user.create_time),
            update_time: millis(user.update_time),
            delete_time: millis(user.delete_time),
        }
    }
}

impl LoggedUser {
    fn parse(&self, account: &AccountId) -> Result<User, CorruptLog> {
        let time = |millis: Option<i64>| millis.map(Timestamp::from_millis);
        let tags = parse_all(&self.tags, LoggedTag::parse)?;
        let resource = Resource::new(
            account.clone(),
            parse(self.id.as_str(), ResourceId::parse)?,
            parse(self.principal_name.as_str(), PrincipalName::parse)?,
            tags.into_iter().collect(),
        )
        .map_err(|_| CorruptLog)?;
        let display_name = self.display_name.as_deref();
        let comments = self.comments.as_deref();
        Ok(User {
            resource,
            display_name: display_name
                .map(|name| parse(name, DisplayName::parse))
                .transpose()?,
            comments: comments
                .map(|comments| parse(comments, Comments::parse))
                .transpose()?,
            create_time: time(self.create_time),
            update_time: time(self.update_time),
            delete_time: time(self.delete_time),
        })
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;

    fn tags() -> impl Strategy<Value = BTreeMap<TagKey, TagValue>> {
        proptest::collection::btree_map("[a-d键]{1,3}", "[x-z]{0,2}", 0..4).prop_map(|map| {
            let parse = |(key, value): (String, String)| {
                (TagKey::parse(key).unwrap(), TagValue::parse(value).unwrap())
            };
            map.into_iter().map(parse).collect()
        })
    }

    fn user() -> impl Strategy<Value = Box<User>> {
        let texts = (
            proptest::option::of("[a名]{1,24}"),
            proptest::option::of("[b评]{1,128}"),
        );
        let times = proptest::array::uniform3(proptest::option::of(any::<i64>()));
        ("[0-9]{1,32}", "[a-zA-Z]{1,9}@b", tags(), texts, times).prop_map(
            |(id, name, tags, (display_name, comments), times)| {
                let [create_time, update_time, delete_time] =
                    times.map(|time| time.map(Timestamp::from_millis));
                let resource = Resource::new(
                    account(),
                    ResourceId::parse(id).unwrap(),
                    PrincipalName::parse(name).unwrap(),
                    tags,
                );
                Box::new(User {
                    resource: resource.unwrap(),
                    display_name: display_name.map(|name| DisplayName::parse(name).unwrap()),
                    comments: comments.map(|comments| Comments::parse(comments).unwrap()),
                    create_time,
                    update_time,
                    delete_time,
                })
            },
        )
    }

    fn account() -> AccountId {
        AccountId::parse("1").unwrap()
    }

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
