//! `untag tags set`.

use serde::Serialize;

use super::arguments::SetArguments;
use super::change;
use super::look::tags_of_each;
use super::source::{Source, people};
use super::work::{self, Work};
use crate::cli::client::{Exit, Failure, Output, Table, User, connect};
use crate::cli::process::end_on_signals;
use crate::client::{self, Connection, Mode, UserTag};
use crate::domain::{TagKey, TagValue, Targets, limits};

/// Keys and their values, in the order of the command line.
type Tags = Vec<(TagKey, TagValue)>;

/// A tag that would change, as programs get it.
#[derive(Serialize)]
struct Difference {
    user: String,
    tag_key: String,
    /// None where the user does not carry the key.
    tag_value: Option<String>,
    new_tag_value: String,
}

pub async fn run(arguments: &SetArguments) -> Result<Exit, Failure> {
    let (users, tags) = sort(&arguments.words).map_err(Failure::Usage)?;
    if users.is_empty() != arguments.file.from_file.is_some() {
        return Err(Failure::Usage(
            "give users, or a file of them with --from-file, and not both".to_owned(),
        ));
    }
    let source = Source::of(&users, &arguments.file).map_err(Failure::Usage)?;
    let connection = connect(&arguments.client).await?;
    let output = arguments.client.output();
    if arguments.dry_run {
        end_on_signals().map_err(Failure::Failed)?;
        return look(&connection, &source, &tags, output).await;
    }
    let keys = work::keys(tags.iter().map(|(key, _)| key.as_str()));
    let work = Work {
        label: "setting tags",
        done: format!("set {keys} on"),
        exception: "",
        mode: Mode::Make,
    };
    let call = async |users: &Targets| client::tag(&connection, users, &tags).await;
    change::make(&source, &work, output, call).await
}

/// The users and the tags among the words: no user has a = in its id or name. What is wrong is said without a tag's value.
fn sort(words: &[String]) -> Result<(Vec<User>, Tags), String> {
    let (mut users, mut tags) = (Vec::new(), Vec::new());
    for word in words {
        let Some((key, value)) = word.split_once('=') else {
            let user = word.parse();
            users.push(user.map_err(|error: String| {
                format!("{word:?} is no user: {error}; a tag is KEY=VALUE")
            })?);
            continue;
        };
        let parsed = TagKey::parse(key).map_err(|error| format!("the key {key:?} {error}"))?;
        let value = TagValue::parse(value);
        tags.push((
            parsed,
            value.map_err(|error| format!("the value of {key:?} {error}"))?,
        ));
    }
    if tags.is_empty() {
        return Err("there is no tag to set: give at least one KEY=VALUE".to_owned());
    }
    Ok((users, tags))
}

/// Shows what the tags would change, as far as that can be seen now.
async fn look(
    connection: &Connection,
    source: &Source,
    tags: &[(TagKey, TagValue)],
    mut output: Output,
) -> Result<Exit, Failure> {
    let mut table = Table::new(["USER", "KEY", "NOW", "NEW"]);
    let mut exit = Exit::Done;
    for users in source.calls() {
        for (user, now) in tags_of_each(connection, users).await? {
            let Some(now) = now else {
                eprintln!("untag: the user {user} does not exist: the call would be refused");
                exit = Exit::Failed;
                continue;
            };
            let rows = differences(&user, &now, tags);
            let added = rows.iter().filter(|row| row.tag_value.is_none()).count();
            output.rows(&mut table, &rows, Difference::cells)?;
            if now.len() + added > limits::TAGS_OF_A_USER {
                eprintln!(
                    "untag: the user {user} would carry {} tags, over {}: the call would be refused",
                    now.len() + added,
                    limits::TAGS_OF_A_USER
                );
                exit = Exit::Failed;
            }
        }
    }
    let what = if table.is_empty() && output.is_table() {
        "nothing would change"
    } else {
        "a look, and no promise: nothing was changed"
    };
    eprintln!("{what} ({})", people(source.count()));
    Ok(exit)
}

fn differences(user: &str, now: &[UserTag], tags: &[(TagKey, TagValue)]) -> Vec<Difference> {
    let difference = |(key, value): &(TagKey, TagValue)| {
        let present = now.iter().find(|tag| tag.key == key.as_str());
        let present = present.map(|tag| tag.value.clone());
        (present.as_deref() != Some(value.as_str())).then(|| Difference {
            user: user.to_owned(),
            tag_key: key.to_string(),
            tag_value: present,
            new_tag_value: value.as_str().to_owned(),
        })
    };
    tags.iter().filter_map(difference).collect()
}

impl Difference {
    fn cells(&self) -> [String; 4] {
        let now = self.tag_value.clone();
        [
            self.user.clone(),
            self.tag_key.clone(),
            now.unwrap_or_else(|| "(none)".to_owned()),
            self.new_tag_value.clone(),
        ]
    }
}
