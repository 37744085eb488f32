//! An import: chunks of users that are sent, and answers that come, by one stream.

use std::time::Duration;

use futures_util::stream;
use prost::Message as _;
use tokio::sync::mpsc;
use tokio::time::timeout;
use tonic::{Status, Streaming};

use super::connection::Connection;
use super::error::CallError;
use super::outcome::Effect;
use crate::domain::{AccountId, ImportMode, RequestId, Resource};
use crate::grpc::proto::user::v1::import_users_request::Part;
use crate::grpc::proto::user::v1::user_service_client::UserServiceClient;
use crate::grpc::proto::user::v1::{
    ImportChunk as ChunkMessage, ImportLine, ImportMode as ModeMessage,
    ImportSettings as SettingsMessage, ImportUsersRequest, ImportUsersResponse, User,
};

/// How many chunks wait to be sent.
const WAITING_CHUNKS: usize = 2;

/// What an import is to do.
#[derive(Debug, Clone)]
pub struct ImportSettings {
    /// What becomes of users that are there already.
    pub mode: ImportMode,
    /// Whether it only checks, and changes nothing.
    pub dry_run: bool,
    /// The token by which the service knows chunks that are sent again.
    pub token: String,
}

/// A user to import, as it is sent.
#[derive(Debug)]
pub struct Line(ImportLine);

/// What became of a chunk.
#[derive(Debug)]
pub struct ChunkAnswer {
    /// The RequestId of the change.
    pub request_id: String,
    /// The revision, where something was changed or could be.
    pub revision: Option<i64>,
    /// The first and the last line.
    pub lines: (u64, u64),
    /// How many users were created, or would be.
    pub created: u64,
    /// How many users were changed, or would be.
    pub updated: u64,
    /// How many users were as their lines say.
    pub unchanged: u64,
    /// The lines that were refused.
    pub refused: Vec<RefusedLine>,
    /// The line to go on from after a break.
    pub resume_line: u64,
}

/// A line that was refused.
#[derive(Debug)]
pub struct RefusedLine {
    /// Its number.
    pub number: u64,
    /// The id of its user.
    pub id: String,
    /// The code of the error.
    pub code: String,
    /// What is wrong, and what to do.
    pub message: String,
}

impl Line {
    /// A user with the number of its line.
    pub fn new(number: u64, user: &Resource) -> Self {
        let tags = user.tags().iter();
        let tags = tags.map(|(key, value)| (key.to_string(), value.as_str().to_owned()));
        Self(ImportLine {
            number: i64::try_from(number).unwrap_or(i64::MAX),
            user: Some(User {
                resource_id: user.id.to_string(),
                principal_name: user.principal_name.to_string(),
                tags: tags.collect(),
                ..User::default()
            }),
        })
    }

    /// How many bytes of a message it takes.
    pub fn bytes(&self) -> usize {
        // A tag and a length of up to three bytes before it.
        self.0.encoded_len() + 4
    }
}

/// An import under way.
pub struct ImportStream {
    chunks: Option<mpsc::Sender<ImportUsersRequest>>,
    answers: Streaming<ImportUsersResponse>,
    /// By this the service's log has the stream.
    name: RequestId,
    patience: Duration,
}

/// Begins an import into an account.
///
/// # Errors
/// [`CallError`].
pub async fn import(
    connection: &Connection,
    account: &AccountId,
    settings: &ImportSettings,
) -> Result<ImportStream, CallError> {
    let (chunks, waiting) = mpsc::channel(WAITING_CHUNKS);
    let first = ImportUsersRequest {
        part: Some(Part::Settings(SettingsMessage {
            mode: match settings.mode {
                ImportMode::Merge => ModeMessage::Merge,
                ImportMode::ReplaceTags => ModeMessage::ReplaceTags,
                ImportMode::CreateOnly => ModeMessage::CreateOnly,
            }
            .into(),
            validate_only: settings.dry_run,
            client_token: settings.token.clone(),
        })),
    };
    let next = |(first, mut waiting): (Option<_>, mpsc::Receiver<_>)| async {
        let message = match first {
            Some(first) => first,
            None => waiting.recv().await?,
        };
        Some((message, (None, waiting)))
    };
    let messages = stream::unfold((Some(first), waiting), next);
    let name = RequestId::now();
    let connection = connection.of_account(account);
    let request = connection.request(messages, &name);
    let request = request.map_err(CallError::unsent)?;
    let mut client = UserServiceClient::new(connection.channel.clone());
    let patience = connection.timeout;
    let failed = |status| CallError::of_status(&status, Effect::Read, name.as_str(), patience);
    let begun = timeout(patience, client.import_users(request)).await;
    let begun = begun.unwrap_or_else(|_| Err(late()));
    Ok(ImportStream {
        chunks: Some(chunks),
        answers: begun.map_err(failed)?.into_inner(),
        name,
        patience,
    })
}

impl ImportStream {
    /// The sender of chunks, which may be used beside [`ImportStream::answer`]. The import ends when it is gone.
    pub fn sender(&mut self) -> Option<ChunkSender> {
        self.chunks.take().map(ChunkSender)
    }

    /// Waits for the next answer; `None` at the end.
    ///
    /// # Errors
    /// [`CallError`]: a chunk that has no answer may have been imported.
    pub async fn answer(&mut self) -> Result<Option<ChunkAnswer>, CallError> {
        let answer = self.answers.message().await;
        answer
            .map(|answer| answer.map(ChunkAnswer::of))
            .map_err(|status| self.failed(&status))
    }

    /// The error of a stream that was waited for in vain.
    pub fn late(&self) -> CallError {
        self.failed(&late())
    }

    /// How long an answer may take.
    pub fn patience(&self) -> Duration {
        self.patience
    }

    fn failed(&self, status: &Status) -> CallError {
        CallError::of_status(status, Effect::Once, self.name.as_str(), self.patience)
    }
}

fn late() -> Status {
    Status::cancelled("no answer came in time")
}

/// The sender of the chunks of an import.
pub struct ChunkSender(mpsc::Sender<ImportUsersRequest>);

impl ChunkSender {
    /// Sends a chunk, whose lines are taken once there is room. Returns whether the stream still takes any.
    pub async fn send(&self, lines: impl FnOnce() -> Vec<Line>) -> bool {
        let Ok(room) = self.0.reserve().await else {
            return false;
        };
        let lines = lines().into_iter().map(|Line(line)| line).collect();
        room.send(ImportUsersRequest {
            part: Some(Part::Chunk(ChunkMessage { lines })),
        });
        true
    }
}

impl ChunkAnswer {
    fn of(answer: ImportUsersResponse) -> Self {
        let number = |number: i64| u64::try_from(number).unwrap_or_default();
        let count = |count: i32| u64::try_from(count).unwrap_or_default();
        let refused = answer.refused_lines.into_iter().map(|line| RefusedLine {
            number: number(line.number),
            id: line.resource_id,
            code: line.code,
            message: line.message,
        });
        Self {
            request_id: answer.request_id,
            revision: answer.revision,
            lines: (number(answer.first_line), number(answer.last_line)),
            created: count(answer.created_users),
            updated: count(answer.updated_users),
            unchanged: count(answer.unchanged_users),
            refused: refused.collect(),
            resume_line: number(answer.resume_line),
        }
    }
}
