//! Positions in a history, as messages and errors have them.

use std::collections::HashMap;

use crate::domain::{HistoryId, HistoryPosition, PassedChange, RequestId, Revision};
use crate::grpc::proto;

/// The position of a message; none where it is malformed.
pub(super) fn read(message: &proto::HistoryPosition) -> Option<HistoryPosition> {
    let revision = u64::try_from(message.revision).ok()?;
    position(&message.history_id, revision, &message.request_id)
}

/// The position that the metadata of an error have, if they have one.
pub(super) fn of_metadata(metadata: &HashMap<String, String>) -> Option<HistoryPosition> {
    let revision = metadata.get("revision")?.parse().ok()?;
    let request_id = metadata.get("request_id")?;
    position(metadata.get("history_id")?, revision, request_id)
}

/// The message of a position.
pub(super) fn message(position: &HistoryPosition) -> proto::HistoryPosition {
    let last = position.last;
    proto::HistoryPosition {
        history_id: position.history.to_string(),
        revision: last.map_or(0, |last| last.revision.get().cast_signed()),
        request_id: last.map_or_else(String::new, |last| last.request_id.to_string()),
    }
}

fn position(history: &str, revision: u64, request_id: &str) -> Option<HistoryPosition> {
    let last = match Revision::new(revision) {
        None => None,
        Some(revision) => Some(PassedChange {
            revision,
            request_id: RequestId::parse(request_id)?,
        }),
    };
    Some(HistoryPosition {
        history: HistoryId::parse(history)?,
        last,
    })
}
