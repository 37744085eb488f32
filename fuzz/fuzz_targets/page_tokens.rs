//! Any bytes as a token that goes on with a list, and as a position of a watch: what is taken is where the request goes on.

#![no_main]

use libfuzzer_sys::fuzz_target;
use prost::Message;
use untag::domain::{AccountId, HistoryPosition, WatchStart};
use untag::grpc::proto::watch_changes_request::Start;
use untag::grpc::proto::{HistoryPosition as Position, WatchChangesRequest};
use untag::grpc::{fuzzing, parse_watch};

fuzz_target!(|bytes: &[u8]| {
    fuzzing::page_tokens(bytes);
    if let Ok(request) = WatchChangesRequest::decode(bytes)
        && let Some(position) = position(request)
    {
        let again = WatchChangesRequest {
            start: Some(Start::After(message(&position))),
        };
        assert_eq!(self::position(again), Some(position));
    }
});

/// The position that a watch begins behind; every fault has to name its field.
fn position(request: WatchChangesRequest) -> Option<HistoryPosition> {
    let account = AccountId::parse("1").expect("digits are an account id");
    let start = request.start.clone();
    match parse_watch(request, Ok(account)) {
        Ok(query) => {
            let is_after = matches!(start, Some(Start::After(_)));
            match query.start {
                WatchStart::After(position) => {
                    assert!(is_after);
                    Some(position)
                }
                _ => {
                    assert!(!is_after);
                    None
                }
            }
        }
        Err(faults) => {
            assert!(!faults.is_empty());
            assert!(faults.iter().all(|fault| !fault.field.is_empty()));
            None
        }
    }
}

fn message(position: &HistoryPosition) -> Position {
    let last = position.last.as_ref();
    Position {
        history_id: position.history.to_string(),
        revision: last.map_or(0, |last| last.revision.get().cast_signed()),
        request_id: last.map_or_else(String::new, |last| last.request_id.to_string()),
    }
}
