//! What became of the lines of a chunk.

use super::ImportLine;
use super::waiting::WaitingLine;
use crate::domain::{Call, Fault, FaultCode, ImportRefusal, Imported, RequestId, Revision};

/// The report of a chunk: each line of it is done, refused, or waits.
#[derive(Debug)]
pub struct ChunkReport {
    /// The request of the change.
    pub request_id: RequestId,
    /// The revision of the change; the newest one of the account where nothing was changed.
    pub revision: Option<Revision>,
    /// The first and the last line.
    pub lines: (u64, u64),
    /// How many users were created, or would be.
    pub created: usize,
    /// How many users were changed, or would be.
    pub updated: usize,
    /// How many users were as the lines say.
    pub unchanged: usize,
    /// Which lines were refused, those that have waited too.
    pub refused: Vec<RefusedLine>,
    /// The line to go on from after a break: all before it are done or refused.
    pub resume_line: u64,
    /// Whether this is the answer to an earlier chunk with the same token.
    pub is_replay: bool,
}

/// A line that was refused.
#[derive(Debug)]
pub struct RefusedLine {
    /// Its number.
    pub number: u64,
    /// The id of its user, as it is given.
    pub id: String,
    /// The code of the error.
    pub code: &'static str,
    /// What is wrong, and what to do.
    pub message: String,
}

/// How many faults of a line are told.
const MOST_FAULTS: usize = 3;
const EXISTS: &str = "EntityAlreadyExists.User";
const NAME_TAKEN: &str = "EntityAlreadyExists.User.PrincipalName";

impl RefusedLine {
    /// The refusal of a second line of a user.
    pub const TWICE: (&'static str, &'static str) = (
        "InvalidParameter.ResourceId",
        "a line before it in the same message has the same user; give each user once in a message",
    );

    /// The refusal of a line that waits when another line of its user comes.
    pub const SUPERSEDED: (&'static str, &'static str) = (
        NAME_TAKEN,
        "another user has the principal name, and a later line has the same user",
    );
}

impl ChunkReport {
    /// The report of lines of which nothing is known yet.
    pub(super) fn of(call: &Call, lines: &[ImportLine]) -> Self {
        Self::between(call, lines.iter().map(|line| line.number))
    }

    /// The report of lines that have waited until the end.
    pub(super) fn at_end(call: &Call, lines: &[WaitingLine]) -> Self {
        Self::between(call, lines.iter().map(|line| line.number))
    }

    fn between(call: &Call, numbers: impl Iterator<Item = u64> + Clone) -> Self {
        let first = numbers.clone().min().unwrap_or_default();
        let last = numbers.max().unwrap_or_default();
        Self {
            request_id: call.request_id,
            revision: None,
            lines: (first, last),
            created: 0,
            updated: 0,
            unchanged: 0,
            refused: Vec::new(),
            resume_line: last.saturating_add(1),
            is_replay: false,
        }
    }

    /// Takes what the change came to, apart from who is refused.
    pub fn take(&mut self, imported: &Imported) {
        self.request_id = imported.request_id.unwrap_or(self.request_id);
        self.revision = imported.revision;
        (self.created, self.updated) = (imported.created, imported.updated);
        self.unchanged = imported.unchanged;
        self.is_replay = imported.is_replay;
    }

    /// Goes back to the first line that waits.
    pub fn resume_at(&mut self, waiting: Option<u64>) {
        if let Some(first) = waiting {
            self.resume_line = self.resume_line.min(first);
        }
    }

    /// Refuses a line.
    pub fn refuse(&mut self, line: &WaitingLine, (code, message): (&'static str, &str)) {
        self.refused.push(RefusedLine {
            number: line.number,
            id: line.user.id.to_string(),
            code,
            message: message.to_owned(),
        });
    }

    /// Refuses a line whose user the store has refused.
    pub fn refuse_for(&mut self, line: &WaitingLine, why: &ImportRefusal) {
        match why {
            ImportRefusal::Exists => self.refuse(
                line,
                (EXISTS, "the user is there already, and the mode is create-only"),
            ),
            ImportRefusal::Deleted => self.refuse(
                line,
                (
                    EXISTS,
                    "the user was deleted less than 30 days ago, and its id is kept for it; restore it first, or leave it out",
                ),
            ),
            ImportRefusal::TagLimit => self.refuse(
                line,
                (
                    "LimitExceeded.User.Tag",
                    "the user would carry more than 20 tags; remove some first, or replace them all",
                ),
            ),
            ImportRefusal::NameTaken(holder) => {
                let name = &line.user.principal_name;
                let message = format!(
                    "the user {holder} has the principal name {name}; give each user its own"
                );
                self.refuse(line, (NAME_TAKEN, &message));
            }
        }
    }

    /// Refuses a line that is no user.
    pub fn refuse_faults(&mut self, number: u64, id: String, faults: &[Fault]) {
        let code = faults
            .first()
            .map_or(FaultCode::MalformedRequest, |fault| fault.code);
        let messages = faults.iter().take(MOST_FAULTS);
        let mut messages: Vec<_> = messages
            .map(|fault| format!("{}: {}", fault.field, fault.description))
            .collect();
        if let Some(more @ 1..) = faults.len().checked_sub(MOST_FAULTS) {
            messages.push(format!("and {more} more"));
        }
        self.refused.push(RefusedLine {
            number,
            id,
            code: code.as_str(),
            message: messages.join("; "),
        });
    }
}
