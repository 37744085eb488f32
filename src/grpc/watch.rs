//! A watch as a stream of messages.

use std::sync::Arc;

use futures_util::stream::{self, BoxStream, StreamExt as _};
use parking_lot::Mutex;
use tonic::Status;

use super::change_message::{self, Part};
use super::peer::Peer;
use super::proto::{self, watch_changes_response::Event as Message};
use super::status;
use super::stream_host::{Follower, Follows, StreamHost};
use super::tag_service::revision;
use super::user_message::user;
use crate::domain::{Call, Change, Error, HistoryPosition, RequestId, Revision};
use crate::service::{CallerWatch, Event, RETRY_AFTER, SnapshotPage, Values};
use crate::store::Store;

/// The messages of a watch.
pub type Messages = BoxStream<'static, Result<proto::WatchChangesResponse, Status>>;

/// Makes the messages of a watch, which end when its connection has to. They have one who follows what of them is sent.
pub fn messages<S: Store>(
    watch: CallerWatch<S>,
    call: Arc<Call>,
    host: &StreamHost,
) -> (Messages, Follower) {
    let progress = Arc::new(Progress {
        request_id: call.request_id,
        positions: Mutex::new([watch.resume(); 2]),
    });
    let maker = Maker {
        watch,
        call,
        peer: Arc::clone(&host.peer),
        progress: Arc::clone(&progress),
        unsent: None,
    };
    let next = |maker: Option<Maker<S>>| async {
        let mut maker = maker?;
        Some(match maker.next().await {
            Ok(message) => (Ok(message), Some(maker)),
            Err(error) => (Err(status::from_error(&error, maker.call.request_id)), None),
        })
    };
    (
        stream::unfold(Some(maker), next).boxed(),
        Follower(progress),
    )
}

/// How much of a watch is made, and how much is sent.
struct Progress {
    request_id: RequestId,
    /// The positions behind what is made and behind what is sent.
    positions: Mutex<[Option<HistoryPosition>; 2]>,
}

impl Follows for Progress {
    fn sent(&self) {
        let [made, sent] = &mut *self.positions.lock();
        *sent = *made;
    }

    fn cut(&self) -> Status {
        let [_, position] = *self.positions.lock();
        let error = ended("the connection does not take its answers", position);
        status::from_error(&error, self.request_id)
    }
}

fn ended(reason: &'static str, position: Option<HistoryPosition>) -> Error {
    Error::WatchEnded {
        reason,
        position,
        retry_after: RETRY_AFTER,
    }
}

/// The maker of the messages of a watch.
struct Maker<S> {
    watch: CallerWatch<S>,
    call: Arc<Call>,
    peer: Arc<Peer>,
    progress: Arc<Progress>,
    /// The change of which parts are still to be sent.
    unsent: Option<Unsent>,
}

/// A change of which so many effects are sent.
struct Unsent {
    change: Arc<Change>,
    passed: usize,
    values: Values,
}

impl<S: Store> Maker<S> {
    async fn next(&mut self) -> Result<proto::WatchChangesResponse, Error> {
        let peer = Arc::clone(&self.peer);
        let message = tokio::select! {
            biased;
            reason = peer.left() => {
                let [position, _] = *self.progress.positions.lock();
                return Err(ended(reason, position));
            }
            message = self.message() => message?,
        };
        Ok(proto::WatchChangesResponse {
            request_id: self.call.request_id.to_string(),
            ..message
        })
    }

    async fn message(&mut self) -> Result<proto::WatchChangesResponse, Error> {
        if let Some(unsent) = self.unsent.take() {
            return Ok(self.part(unsent));
        }
        let (event, values) = self.watch.next().await?;
        let message = match event {
            Event::Change(change) => {
                return Ok(self.part(Unsent {
                    change,
                    passed: 0,
                    values,
                }));
            }
            Event::Checkpoint => Message::Checkpoint(proto::Checkpoint {}),
            Event::Users(page) => {
                let is_last = page.end.is_some();
                let message = Message::SnapshotUsers(users(&page, values));
                if !is_last {
                    return Ok(of(message, None));
                }
                message
            }
        };
        Ok(of(message, self.position()))
    }

    /// The next part of a change. The last one has the position behind it.
    fn part(&mut self, unsent: Unsent) -> proto::WatchChangesResponse {
        let Unsent {
            change,
            passed,
            values,
        } = unsent;
        let Part {
            change: message,
            passed,
        } = change_message::part(&change, passed, usize::MAX, values);
        let message = Message::Change(message);
        match passed {
            Some(passed) => {
                self.unsent = Some(Unsent {
                    change,
                    passed,
                    values,
                });
                proto::WatchChangesResponse {
                    has_more_effects: true,
                    ..of(message, None)
                }
            }
            None => of(message, self.position()),
        }
    }

    /// The position behind what the watch has told, which is all made now.
    fn position(&self) -> Option<proto::HistoryPosition> {
        let position = self.watch.resume();
        self.progress.positions.lock()[0] = position;
        position.map(proto_position)
    }
}

fn of(event: Message, position: Option<proto::HistoryPosition>) -> proto::WatchChangesResponse {
    proto::WatchChangesResponse {
        event: Some(event),
        position,
        ..proto::WatchChangesResponse::default()
    }
}

fn users(page: &SnapshotPage, values: Values) -> proto::SnapshotUsers {
    let consistent = page.end.as_ref().and_then(|end| end.consistent);
    proto::SnapshotUsers {
        users: page.users.iter().map(|one| user(one, values)).collect(),
        is_last: page.end.is_some(),
        consistent_revision: number(consistent),
    }
}

fn proto_position(position: HistoryPosition) -> proto::HistoryPosition {
    let last = position.last;
    proto::HistoryPosition {
        history_id: position.history.to_string(),
        revision: number(last.map(|last| last.revision)),
        request_id: last.map_or_else(String::new, |last| last.request_id.to_string()),
    }
}

/// The number of a revision, 0 where there is none.
fn number(of: Option<Revision>) -> i64 {
    of.map_or(0, revision)
}
