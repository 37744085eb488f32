//! The messages of an import as they come in.

use tokio::time::timeout;
use tonic::{Status, Streaming};

use crate::domain::Error;
use crate::grpc::proto::user::v1::ImportUsersRequest;
use crate::grpc::stream_host::StreamHost;

/// Why no more messages are taken.
pub enum Stop {
    /// The import has to end, and why.
    Ended(&'static str),
    /// A message can't be read.
    Broken(Status),
    /// A chunk can't be imported.
    Failed(Error),
}

impl From<Error> for Stop {
    fn from(error: Error) -> Self {
        Self::Failed(error)
    }
}

/// Waits for the next message; `None` at the end. Safe to drop: no message is lost.
pub async fn next(
    messages: &mut Streaming<ImportUsersRequest>,
    host: &StreamHost,
    gone: impl Future<Output = ()>,
) -> Result<Option<ImportUsersRequest>, Stop> {
    tokio::select! {
        biased;
        reason = host.peer.left() => Err(Stop::Ended(reason)),
        () = gone => Err(Stop::Ended("the client has gone")),
        message = timeout(host.patience, messages.message()) => match message {
            Ok(message) => message.map_err(Stop::Broken),
            Err(_) => Err(Stop::Ended("the next message did not come in time")),
        },
    }
}
