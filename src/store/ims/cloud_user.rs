//! Users as the cloud answers with them.

use std::collections::BTreeMap;

use serde::Deserialize;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use crate::domain::{
    AccountId, Comments, DisplayName, PrincipalName, Resource, ResourceId, TagKey, TagValue,
    Timestamp, User, limits,
};

/// A user of the cloud, with what the contract has of it.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct CloudUser {
    user_id: String,
    user_principal_name: String,
    display_name: Option<String>,
    comments: Option<String>,
    create_date: Option<String>,
    update_date: Option<String>,
    recycle_date: Option<String>,
    tags: Option<Tags>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Tags {
    tag: Vec<Tag>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Tag {
    tag_key: String,
    tag_value: Option<String>,
}

impl CloudUser {
    /// The user in the contract's form, if its id and its name have one. Tags that have none are left out, and texts that other APIs of
    /// the cloud allow to be longer are cut.
    pub fn read(self, account: &AccountId) -> Option<User> {
        let id = ResourceId::parse(self.user_id).ok()?;
        let name = PrincipalName::parse(self.user_principal_name).ok()?;
        let tags = self.tags.map(|tags| tags.tag).into_iter().flatten();
        let tags: BTreeMap<_, _> = tags
            .filter_map(Tag::read)
            .take(limits::TAGS_OF_A_USER)
            .collect();
        let display_name = cut(self.display_name, limits::DISPLAY_NAME);
        Some(User {
            resource: Resource::new(account.clone(), id, name, tags).ok()?,
            display_name: display_name.and_then(|text| DisplayName::parse(text).ok()),
            comments: cut(self.comments, limits::COMMENTS)
                .and_then(|text| Comments::parse(text).ok()),
            create_time: moment(self.create_date.as_deref()),
            update_time: moment(self.update_date.as_deref()),
            delete_time: moment(self.recycle_date.as_deref()),
        })
    }
}

impl Tag {
    fn read(self) -> Option<(TagKey, TagValue)> {
        let key = TagKey::parse(self.tag_key).ok()?;
        let value = TagValue::parse(self.tag_value.unwrap_or_default()).ok()?;
        Some((key, value))
    }
}

fn cut(text: Option<String>, longest: usize) -> Option<String> {
    text.map(|text| text.chars().take(longest).collect())
}

fn moment(date: Option<&str>) -> Option<Timestamp> {
    let time = OffsetDateTime::parse(date?, &Rfc3339).ok()?;
    let millis = time.unix_timestamp_nanos().div_euclid(1_000_000);
    i64::try_from(millis).ok().map(Timestamp::from_millis)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(json: &str) -> Option<User> {
        let user: CloudUser = serde_json::from_str(json).unwrap();
        user.read(&AccountId::parse("1").unwrap())
    }

    #[test]
    fn a_user_is_read_and_what_has_no_form_is_left_out_or_cut() {
        let long = "名".repeat(129);
        let user = read(&format!(
            r#"{{"UserId":"7","UserPrincipalName":"a@b","DisplayName":"{long}","Comments":"{long}","Email":"",
                "CreateDate":"2020-10-12T09:12:00Z","UpdateDate":"soon","LastLoginDate":"",
                "Tags":{{"Tag":[{{"TagKey":"env","TagValue":""}},{{"TagKey":"acs:own","TagValue":"x"}}]}}}}"#
        ));
        let user = user.unwrap();
        assert_eq!(user.display_name.unwrap().as_str().chars().count(), 24);
        assert_eq!(user.comments.unwrap().as_str().chars().count(), 128);
        assert_eq!(user.create_time.unwrap().millis(), 1_602_493_920_000);
        assert_eq!((user.update_time, user.delete_time), (None, None));
        assert_eq!(user.resource.tags().len(), 1);

        let plain = read(r#"{"UserId":"7","UserPrincipalName":"a@b","Comments":""}"#).unwrap();
        assert_eq!((plain.display_name, plain.comments), (None, None));
        assert!(read(r#"{"UserId":"x","UserPrincipalName":"a@b"}"#).is_none());
        assert!(read(r#"{"UserId":"7","UserPrincipalName":"a"}"#).is_none());
    }
}
