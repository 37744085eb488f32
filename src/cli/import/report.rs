//! What an import came to, in words and for programs.

use serde::Serialize;

use crate::client::{ChunkAnswer, RefusedLine};

/// How many users an import has had.
#[derive(Debug, Clone, Copy, Default)]
pub struct Totals {
    pub created: u64,
    pub updated: u64,
    pub unchanged: u64,
    pub refused: u64,
}

impl Totals {
    /// Adds what became of a chunk.
    pub fn add(&mut self, answer: &ChunkAnswer) {
        self.created += answer.created;
        self.updated += answer.updated;
        self.unchanged += answer.unchanged;
        self.refused += answer.refused.len() as u64;
    }

    /// All of it as a sentence. `place` says where the users went, such as "into PostgreSQL".
    pub fn sentence(&self, dry_run: bool, place: &str) -> String {
        let Self {
            created,
            updated,
            unchanged,
            refused,
        } = self;
        let users = created + updated + unchanged;
        let refused = match refused {
            0 => String::new(),
            1 => "; 1 line was refused".to_owned(),
            refused => format!("; {refused} lines were refused"),
        };
        if dry_run {
            return format!(
                "a dry run: {users} users would be imported {place}: {created} created, {updated} changed, {unchanged} \
                 unchanged{refused}; nothing was changed"
            );
        }
        format!(
            "imported {users} users {place}: {created} created, {updated} changed, {unchanged} unchanged{refused}"
        )
    }
}

/// What became of a chunk, as programs get it.
#[derive(Serialize)]
pub struct ChunkRow<'a> {
    request_id: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    revision: Option<i64>,
    dry_run: bool,
    first_line: u64,
    last_line: u64,
    created_users: u64,
    updated_users: u64,
    unchanged_users: u64,
    refused_lines: Vec<RefusedRow<'a>>,
}

/// A line that was refused, as programs get it.
#[derive(Serialize)]
struct RefusedRow<'a> {
    number: u64,
    resource_id: &'a str,
    code: &'a str,
    message: &'a str,
}

impl<'a> ChunkRow<'a> {
    pub fn of(answer: &'a ChunkAnswer, dry_run: bool) -> Self {
        let refused = answer.refused.iter().map(|line| RefusedRow {
            number: line.number,
            resource_id: &line.id,
            code: &line.code,
            message: &line.message,
        });
        Self {
            request_id: &answer.request_id,
            revision: answer.revision,
            dry_run,
            first_line: answer.lines.0,
            last_line: answer.lines.1,
            created_users: answer.created,
            updated_users: answer.updated,
            unchanged_users: answer.unchanged,
            refused_lines: refused.collect(),
        }
    }
}

/// A line that was refused, for people.
pub fn refused(line: &RefusedLine) -> String {
    let RefusedLine {
        number,
        id,
        code,
        message,
    } = line;
    format!("line {number}, user {id}: {message} ({code})")
}
