//! How users lie in entries of the change log, and with answers that are remembered.

use prost::Message;

use crate::domain::{
    AccountId, Comments, DisplayName, PrincipalName, Resource, ResourceId, TagKey, TagValue,
    Timestamp, User,
};
use crate::store::sqlite::error::CorruptLog;

/// A tag.
#[derive(Clone, PartialEq, Message)]
#[prost(skip_debug)]
pub struct LoggedTag {
    #[prost(string, tag = "1")]
    key: String,
    #[prost(string, tag = "2")]
    value: String,
}

/// A user.
#[derive(Clone, PartialEq, Message)]
#[prost(skip_debug)]
pub struct LoggedUser {
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

#[derive(Clone, PartialEq, Message)]
#[prost(skip_debug)]
struct LoggedUsers {
    #[prost(message, repeated, tag = "1")]
    users: Vec<LoggedUser>,
}

/// Encodes users of one account.
pub fn encode_users(users: &[User]) -> Vec<u8> {
    let users = users.iter().map(LoggedUser::from).collect();
    LoggedUsers { users }.encode_to_vec()
}

/// Decodes users of an account.
pub fn decode_users(bytes: &[u8], account: &AccountId) -> Result<Vec<User>, CorruptLog> {
    let LoggedUsers { users } = LoggedUsers::decode(bytes).map_err(|_| CorruptLog)?;
    parse_all(&users, |user| user.parse(account))
}

pub fn parse<'text, T, E>(
    text: &'text str,
    parse: impl FnOnce(&'text str) -> Result<T, E>,
) -> Result<T, CorruptLog> {
    parse(text).map_err(|_| CorruptLog)
}

pub fn parse_all<L, T>(
    logged: &[L],
    parse: impl FnMut(&L) -> Result<T, CorruptLog>,
) -> Result<Vec<T>, CorruptLog> {
    logged.iter().map(parse).collect()
}

pub fn logged_tags<'tag>(
    tags: impl IntoIterator<Item = (&'tag TagKey, &'tag TagValue)>,
) -> Vec<LoggedTag> {
    let logged = |(key, value): (&TagKey, &TagValue)| LoggedTag {
        key: key.as_str().to_owned(),
        value: value.as_str().to_owned(),
    };
    tags.into_iter().map(logged).collect()
}

impl LoggedTag {
    pub fn parse(&self) -> Result<(TagKey, TagValue), CorruptLog> {
        let key = parse(&self.key, TagKey::parse)?;
        Ok((key, parse(&self.value, TagValue::parse)?))
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
    pub fn parse(&self, account: &AccountId) -> Result<User, CorruptLog> {
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
pub mod generated {
    //! Users at random.

    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;

    pub fn tags() -> impl Strategy<Value = BTreeMap<TagKey, TagValue>> {
        proptest::collection::btree_map("[a-d键]{1,3}", "[x-z]{0,2}", 0..4).prop_map(|map| {
            let parse = |(key, value): (String, String)| {
                (TagKey::parse(key).unwrap(), TagValue::parse(value).unwrap())
            };
            map.into_iter().map(parse).collect()
        })
    }

    pub fn user() -> impl Strategy<Value = Box<User>> {
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

    pub fn account() -> AccountId {
        AccountId::parse("1").unwrap()
    }

    proptest! {
        #[test]
        fn users_come_back_from_their_bytes(users in proptest::collection::vec(user(), 0..4)) {
            let users: Vec<User> = users.into_iter().map(|user| *user).collect();
            prop_assert_eq!(decode_users(&encode_users(&users), &account()).unwrap(), users);
        }
    }
}
