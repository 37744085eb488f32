//! A user, as it is printed.

use std::collections::BTreeMap;

use serde::Serialize;

use crate::cli::client::{Exit, Failure, Output, rfc3339};
use crate::client::{ChangedUser, User};

/// A user, as programs get it.
#[derive(Serialize)]
pub struct Row<'a> {
    resource_id: &'a str,
    principal_name: &'a str,
    #[serde(skip_serializing_if = "str::is_empty")]
    display_name: &'a str,
    #[serde(skip_serializing_if = "str::is_empty")]
    comments: &'a str,
    tags: &'a BTreeMap<String, String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    create_time: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    update_time: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    delete_time: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    expire_time: Option<String>,
}

/// The result of a change, as programs get it.
#[derive(Serialize)]
struct Done<'a> {
    request_id: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    revision: Option<i64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    user: Option<Row<'a>>,
}

impl<'a> Row<'a> {
    /// The heads of a list of users.
    pub const HEADS: [&'static str; 4] = ["USER", "NAME", "DISPLAY NAME", "TAGS"];

    /// The row of a user.
    pub fn of(user: &'a User) -> Self {
        Self {
            resource_id: &user.resource_id,
            principal_name: &user.principal_name,
            display_name: &user.display_name,
            comments: &user.comments,
            tags: &user.tags,
            create_time: user.create_time.and_then(rfc3339),
            update_time: user.update_time.and_then(rfc3339),
            delete_time: user.delete_time.and_then(rfc3339),
            expire_time: user.expire_time.and_then(rfc3339),
        }
    }

    /// The cells of the user's line in a list.
    pub fn cells(&self) -> [String; 4] {
        let tags = self.tags.iter();
        let tags: Vec<_> = tags.map(|(key, value)| format!("{key}={value}")).collect();
        let deleted = self.delete_time.as_ref().map_or("", |_| " (deleted)");
        [
            self.resource_id.to_owned(),
            format!("{}{deleted}", self.principal_name),
            self.display_name.to_owned(),
            tags.join(" "),
        ]
    }

    /// What there is to say of the user, as lines of a table.
    pub fn lines(&self) -> Vec<[String; 2]> {
        let given =
            |name: &str, text: &str| (!text.is_empty()).then(|| [name.to_owned(), text.to_owned()]);
        let moment = |name: &str, time: &Option<String>| given(name, time.as_deref()?);
        let described = [
            given("id", self.resource_id),
            given("name", self.principal_name),
            given("display name", self.display_name),
            given("comments", self.comments),
            moment("created", &self.create_time),
            moment("updated", &self.update_time),
            moment("deleted", &self.delete_time),
            moment("gone for good", &self.expire_time),
        ];
        let tags = self.tags.iter();
        let tags = tags.map(|(key, value)| [format!("tag {key}"), value.clone()]);
        described.into_iter().flatten().chain(tags).collect()
    }
}

/// Says what a change has done: `what`, such as "deleted the user a@b".
///
/// # Errors
/// Where that can't be written.
pub fn say_changed(mut output: Output, what: &str, changed: &ChangedUser) -> Result<Exit, Failure> {
    let done = Done {
        request_id: &changed.request_id,
        revision: changed.revision,
        user: changed.user.as_ref().map(Row::of),
    };
    let sentence = format!("{what} (RequestId {})", changed.request_id);
    output.result(&sentence, &done)?;
    Ok(Exit::Done)
}
