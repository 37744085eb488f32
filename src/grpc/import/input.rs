//! The messages of an import as they come in.

use std::future::Future;

use tokio::time::timeout;
use tonic::{Status, Streaming};

use crate::grpc::proto::user::v1::ImportUsersRequest;
use crate::grpc::stream_host::StreamHost;

/// What comes next.
pub enum Next {
    Message(ImportUsersRequest),
    /// The client has nothing more to import.
    End,
    /// The import has to end, and why.
    Stop(&'static str),
    /// A message can't be read.
    Broken(Status),
}

/// Waits for what comes next. Safe to drop: no message is lost.
pub async fn next(
    messages: &mut Streaming<ImportUsersRequest>,
    host: &StreamHost,
    gone: impl Future<Output = ()>,
) -> Next {
    tokio::select! {
        biased;
        reason = host.peer.left() => Next::Stop(reason),
        () = gone => Next::Stop("the client has gone"),
        message = timeout(host.patience, messages.message()) => match message {
            Ok(Ok(Some(message))) => Next::Message(message),
            Ok(Ok(None)) => Next::End,
            Ok(Err(status)) => Next::Broken(status),
            Err(_) => Next::Stop("the next message did not come in time"),
        },
    }
}
