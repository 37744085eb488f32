//! What a change does, and what one of its calls came to, for people and for programs.

use serde::Serialize;

use super::source::people;
use super::user_file::Chunk;
use crate::client::{Answer, Mode};

/// The work of a change, in words.
pub struct Work {
    /// What stands beside the progress bar, such as "removing tags".
    pub label: &'static str,
    /// What a call has done, such as "removed the tag env of".
    pub done: String,
    /// What stands behind the users of that sentence.
    pub exception: &'static str,
    /// Whether it is made.
    pub mode: Mode,
}

/// The result of a call, as programs get it.
#[derive(Serialize)]
pub struct Done<'a> {
    request_id: &'a str,
    users: usize,
    #[serde(skip_serializing_if = "Option::is_none")]
    changed_tags: Option<u64>,
    dry_run: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    first_line: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    last_line: Option<u64>,
}

impl Work {
    /// What was done for so many users, or what a dry run has found, with how many tags would go if the service tells.
    pub fn sentence(&self, users: usize, tags: Option<u64>) -> String {
        match self.mode {
            Mode::Make => format!("{} {}{}", self.done, people(users), self.exception),
            Mode::DryRun => {
                let would_go = match tags {
                    None => String::new(),
                    Some(1) => " and would remove 1 tag".to_owned(),
                    Some(tags) => format!(" and would remove {tags} tags"),
                };
                format!(
                    "a dry run: the call for {} is good{would_go}, and nothing was changed",
                    people(users)
                )
            }
        }
    }

    /// What a call for so many users came to, and for which lines of a file.
    pub fn done<'a>(&self, answer: &'a Answer, users: usize, lines: Option<&Chunk>) -> Done<'a> {
        Done {
            request_id: &answer.request_id,
            users,
            changed_tags: answer.changed_tags,
            dry_run: self.mode == Mode::DryRun,
            first_line: lines.map(|chunk| chunk.first_line),
            last_line: lines.map(|chunk| chunk.last_line),
        }
    }
}

/// Keys, for a sentence.
pub fn keys<'a>(keys: impl Iterator<Item = &'a str>) -> String {
    let keys: Vec<&str> = keys.collect();
    let tags = if keys.len() == 1 { "tag" } else { "tags" };
    format!("the {tags} {}", keys.join(", "))
}
