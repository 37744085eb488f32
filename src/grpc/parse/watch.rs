//! The parser of requests to follow changes.

use super::faults::{Faults, quoted};
use super::proto;
use crate::domain::{
    AccountId, Fault, FaultCode, HistoryId, HistoryPosition, PassedChange, RequestId, Revision,
    WatchQuery, WatchStart,
};
use proto::WatchStart as StartAt;
use proto::watch_changes_request::Start;

/// Parses `WatchChanges`.
///
/// # Errors
/// Every fault of the request, at least one.
pub fn watch(
    request: proto::WatchChangesRequest,
    account: Result<AccountId, Fault>,
) -> Result<WatchQuery, Vec<Fault>> {
    let mut faults = Faults::default();
    let account = faults.take(account);
    let start = match request.start {
        None => Some(WatchStart::Now),
        Some(Start::StartAt(number)) => start_at(number, &mut faults),
        Some(Start::After(position)) => after(&position, &mut faults).map(WatchStart::After),
    };
    match (account, start) {
        (Some(account), Some(start)) if faults.0.is_empty() => Ok(WatchQuery { account, start }),
        _ => Err(faults.0),
    }
}

fn start_at(number: i32, faults: &mut Faults) -> Option<WatchStart> {
    match StartAt::try_from(number) {
        Ok(StartAt::Unspecified | StartAt::Now) => Some(WatchStart::Now),
        Ok(StartAt::Beginning) => Some(WatchStart::Beginning),
        Ok(StartAt::Snapshot) => Some(WatchStart::Snapshot),
        Err(_) => {
            let description = format!("{number} is none of the values of WatchStart");
            faults.add(FaultCode::InvalidStartAt, "start_at", description);
            None
        }
    }
}

fn after(position: &proto::HistoryPosition, faults: &mut Faults) -> Option<HistoryPosition> {
    let mut wrong = |field: &str, description: String| {
        faults.add(
            FaultCode::InvalidPosition,
            format!("after.{field}"),
            description,
        );
    };
    let proto::HistoryPosition {
        history_id,
        revision,
        request_id,
    } = position;
    let history = HistoryId::parse(history_id);
    if history.is_none() {
        let description = format!("{} must be a UUID: that of a position", quoted(history_id));
        wrong("history_id", description);
    }
    let Ok(number) = u64::try_from(*revision) else {
        let description = format!("{revision} must be a revision, or 0 before the first");
        wrong("revision", description);
        return None;
    };
    let last = match (Revision::new(number), RequestId::parse(request_id)) {
        (Some(revision), Some(request_id)) => Some(PassedChange {
            revision,
            request_id,
        }),
        (None, None) if request_id.is_empty() => None,
        (Some(_), None) => {
            let description = format!("{} must be the UUID of the position", quoted(request_id));
            wrong("request_id", description);
            return None;
        }
        (None, _) => {
            let description = format!("{} must be empty at the revision 0", quoted(request_id));
            wrong("request_id", description);
            return None;
        }
    };
    Some(HistoryPosition {
        history: history?,
        last,
    })
}
