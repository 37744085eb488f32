//! A watch of changes, which goes on by itself from its position when the service or the connection has gone.

use std::time::Duration;

use tokio::time::{Instant, sleep, timeout};
use tonic::{Status, Streaming};
use tonic_types::StatusExt as _;

use super::change::Change;
use super::position;
use crate::client::connection::Connection;
use crate::client::error::CallError;
use crate::client::outcome::{Effect, Outcome};
use crate::client::users::User;
use crate::domain::{HistoryPosition, RequestId, WatchStart};
use crate::grpc::proto::change_service_client::ChangeServiceClient;
use crate::grpc::proto::watch_changes_request::Start;
use crate::grpc::proto::watch_changes_response::Event as Message;
use crate::grpc::proto::{WatchChangesRequest, WatchChangesResponse, WatchStart as ProtoStart};

/// How long a watch may be silent: a service sends something every 10 seconds.
const LONGEST_SILENCE: Duration = Duration::from_secs(20);

/// The pause before a watch goes on where the service names none.
const PAUSE: Duration = Duration::from_secs(1);

/// What a watch tells.
#[derive(Clone)]
pub enum WatchEvent {
    /// A change, whole.
    Change(Change),
    /// Nothing has happened since the event before.
    Checkpoint,
    /// A snapshot begins: what was told of users before does not count any more.
    SnapshotBegin,
    /// Users of the snapshot.
    Users {
        /// The users.
        users: Vec<User>,
        /// With the last ones: the revision from which the snapshot is consistent.
        consistent_revision: Option<i64>,
    },
    /// The watch has ended for this reason, and goes on by itself.
    Ended(String),
}

/// A watch of the changes of an account.
pub struct Watch<'a> {
    connection: &'a Connection,
    start: WatchStart,
    position: Option<HistoryPosition>,
    stream: Option<Streaming<WatchChangesResponse>>,
    /// The client's name of the stream, for the service's log.
    name: RequestId,
    /// The parts so far of a change that comes in several messages.
    parts: Option<Change>,
    /// When the service was last heard of.
    heard: Instant,
    /// How often the watch has ended since then.
    ends: u32,
    /// How long to wait before it goes on.
    pause: Duration,
}

/// Begins to watch the changes of an account.
#[must_use]
pub fn watch(connection: &Connection, start: WatchStart) -> Watch<'_> {
    Watch {
        connection,
        start,
        position: match start {
            WatchStart::After(position) => Some(position),
            WatchStart::Now | WatchStart::Beginning | WatchStart::Snapshot => None,
        },
        stream: None,
        name: RequestId::now(),
        parts: None,
        heard: Instant::now(),
        ends: 0,
        pause: Duration::ZERO,
    }
}

impl Watch<'_> {
    /// The position behind what the watch has told, once it has one.
    #[must_use]
    pub fn position(&self) -> Option<HistoryPosition> {
        self.position
    }

    /// The next event. The wait for it may be given up at any time.
    ///
    /// # Errors
    /// Why the watch can't go on. A service that can't be reached is waited for as long as a call may take.
    pub async fn next(&mut self) -> Result<WatchEvent, CallError> {
        loop {
            let event = match &mut self.stream {
                Some(stream) => match message(stream).await {
                    Ok(message) => Ok(self.take(message)),
                    Err(status) => Err(self.error_of(&status)),
                },
                None => self.begin().await,
            };
            match event {
                Ok(Some(event)) => return Ok(event),
                Err(error) if !self.goes_on(&error) => return Err(error),
                Err(error) if self.ends == 1 => return Ok(WatchEvent::Ended(error.to_string())),
                // A part of a change, or an end after one that was told: nothing was heard of the service since.
                Ok(None) | Err(_) => {}
            }
        }
    }

    /// Opens the stream, and tells where a snapshot begins with it.
    async fn begin(&mut self) -> Result<Option<WatchEvent>, CallError> {
        sleep(self.pause).await;
        self.parts = None;
        self.name = RequestId::now();
        let start = self.position.map_or(self.start, WatchStart::After);
        let message = WatchChangesRequest {
            start: Some(match &start {
                WatchStart::Now => Start::StartAt(ProtoStart::Now.into()),
                WatchStart::Beginning => Start::StartAt(ProtoStart::Beginning.into()),
                WatchStart::Snapshot => Start::StartAt(ProtoStart::Snapshot.into()),
                WatchStart::After(position) => Start::After(position::message(position)),
            }),
        };
        let request = self.connection.request(message, &self.name);
        let request = request.map_err(CallError::unsent)?;
        let most = self.connection.timeout;
        let mut client = ChangeServiceClient::new(self.connection.channel.clone());
        let begun = timeout(most, client.watch_changes(request)).await;
        let silent = |_| Status::unavailable(format!("no answer within {most:?}"));
        let begun = begun.map_err(silent).flatten();
        self.stream = Some(begun.map_err(|status| self.error_of(&status))?.into_inner());
        Ok((start == WatchStart::Snapshot).then_some(WatchEvent::SnapshotBegin))
    }

    /// The event of a message; none of a part of a change that is not the last one.
    fn take(&mut self, message: WatchChangesResponse) -> Option<WatchEvent> {
        (self.heard, self.ends) = (Instant::now(), 0);
        let event = match message.event? {
            Message::Change(part) => {
                let change = self.join(Change::of(part));
                if message.has_more_effects {
                    self.parts = Some(change);
                    return None;
                }
                WatchEvent::Change(change)
            }
            Message::Checkpoint(_) => WatchEvent::Checkpoint,
            Message::SnapshotUsers(page) => WatchEvent::Users {
                users: page.users.into_iter().map(User::of).collect(),
                consistent_revision: page.is_last.then_some(page.consistent_revision),
            },
        };
        let position = message.position.as_ref().and_then(position::read);
        self.position = position.or(self.position);
        Some(event)
    }

    /// The parts so far of a change, and one more.
    fn join(&mut self, part: Change) -> Change {
        match self.parts.take() {
            Some(mut change) => {
                change.effects.extend(part.effects);
                change
            }
            None => part,
        }
    }

    /// The error of a status. One of a watch that has told no position may have it.
    fn error_of(&mut self, status: &Status) -> CallError {
        let details = status.get_error_details();
        let told = details.error_info().map(|info| &info.metadata);
        self.position = self
            .position
            .or_else(|| told.and_then(position::of_metadata));
        CallError::of_status(
            status,
            Effect::Read,
            self.name.as_str(),
            self.connection.timeout,
        )
    }

    /// Whether the watch goes on after an error that has ended its stream.
    fn goes_on(&mut self, error: &CallError) -> bool {
        self.stream = None;
        self.ends += 1;
        let named = error.pause(self.ends);
        self.pause = named.unwrap_or(PAUSE);
        let passes = named.is_some() || error.outcome() == Outcome::Unavailable;
        passes && self.heard.elapsed() <= self.connection.timeout
    }
}

/// The next message of a stream, which does not end by itself.
async fn message(
    stream: &mut Streaming<WatchChangesResponse>,
) -> Result<WatchChangesResponse, Status> {
    match timeout(LONGEST_SILENCE, stream.message()).await {
        Ok(Ok(Some(message))) => Ok(message),
        Ok(Ok(None)) => Err(Status::unavailable("the service has ended the watch")),
        Ok(Err(status)) => Err(status),
        Err(_) => Err(Status::unavailable(format!(
            "nothing was heard for {LONGEST_SILENCE:?}"
        ))),
    }
}
