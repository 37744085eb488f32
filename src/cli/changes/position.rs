//! A position in a history, as it is typed and printed: the history, the revision and the RequestId with `/` between them.

use crate::cli::values::revision;
use crate::domain::{HistoryId, HistoryPosition, PassedChange, RequestId, WatchStart};

/// The text of a position.
pub fn text(position: &HistoryPosition) -> String {
    let history = position.history;
    match position.last {
        None => format!("{history}/0"),
        Some(PassedChange {
            revision,
            request_id,
        }) => format!("{history}/{}/{request_id}", revision.get()),
    }
}

/// Reads where a watch begins.
///
/// # Errors
/// What to give.
pub fn watch_start(text: &str) -> Result<WatchStart, &'static str> {
    match text {
        "now" => Ok(WatchStart::Now),
        "beginning" => Ok(WatchStart::Beginning),
        "snapshot" => Ok(WatchStart::Snapshot),
        position => parse(position).map(WatchStart::After).ok_or(
            "give now, beginning, snapshot, or a position as a watch names it: HISTORY_ID/REVISION/REQUEST_ID, or HISTORY_ID/0",
        ),
    }
}

fn parse(text: &str) -> Option<HistoryPosition> {
    let (history, passed) = text.split_once('/')?;
    let last = match passed.split_once('/') {
        None if passed == "0" => None,
        None => return None,
        Some((number, request_id)) => Some(PassedChange {
            revision: revision(number).ok()?,
            request_id: RequestId::parse(request_id)?,
        }),
    };
    Some(HistoryPosition {
        history: HistoryId::parse(history)?,
        last,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const ID: &str = "6AC79B74-9A78-58E2-818B-1D38EDC64D67";

    #[test]
    fn a_position_is_read_as_it_is_printed() {
        for written in [format!("{ID}/0"), format!("{ID}/12/{ID}")] {
            let WatchStart::After(position) = watch_start(&written).unwrap() else {
                panic!("{written}");
            };
            assert_eq!(text(&position), written);
        }
        for bad in [
            "",
            "later",
            ID,
            "x/0",
            &format!("{ID}/1"),
            &format!("{ID}/0/{ID}"),
            &format!("{ID}/1/x"),
        ] {
            assert!(watch_start(bad).is_err(), "{bad}");
        }
    }
}
