//! `untag users add`.

use super::arguments::AddArguments;
use super::row::say_changed;
use crate::cli::client::{Exit, Failure, connect};
use crate::cli::process::end_on_signals;
use crate::client::{self, Draft};
use crate::domain::{TagKey, TagValue};

pub async fn run(arguments: &AddArguments) -> Result<Exit, Failure> {
    let tags = arguments.tags.iter().map(|text| tag(text));
    let draft = Draft {
        id: arguments.id.clone(),
        principal_name: arguments.name.clone(),
        display_name: arguments.display_name.clone(),
        comments: arguments.comments.clone(),
        tags: tags.collect::<Result<_, _>>().map_err(Failure::Usage)?,
    };
    let connection = connect(&arguments.client).await?;
    end_on_signals().map_err(Failure::Failed)?;
    let created = client::create_user(&connection, &draft).await?;
    let id = created.user.as_ref().map_or("", |user| &user.resource_id);
    let what = format!("created the user {} with the id {id}", draft.principal_name);
    say_changed(arguments.client.output(), &what, &created)
}

/// A key and a value. What is wrong is said without the value.
fn tag(text: &str) -> Result<(TagKey, TagValue), String> {
    let (key, value) = text
        .split_once('=')
        .ok_or_else(|| format!("--tag: {text:?} has no =; give KEY=VALUE"))?;
    let parsed = TagKey::parse(key).map_err(|error| format!("--tag: the key {key:?} {error}"))?;
    let value = TagValue::parse(value);
    let value = value.map_err(|error| format!("--tag: the value of {key:?} {error}"))?;
    Ok((parsed, value))
}
