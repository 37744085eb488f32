//! The `next_token` of a change's effects and of a list of changes.

use super::page_token::{Fingerprint, open, seal};
use crate::domain::{ChangeKey, ChangeListQuery, ChangeQuery, Direction, Revision};

/// The version of a token with the number of effects that were answered.
const EFFECTS: u8 = 3;
/// The version of a token with the revision that a list goes on with.
const REVISION: u8 = 4;

/// Writes the token behind so many effects of a change.
pub fn write_passed(passed: usize, query: &ChangeQuery) -> String {
    seal(EFFECTS, &of_change(query), &passed.to_string())
}

/// Reads how many effects of a change were answered, or `None` where the token is none or belongs to another query.
pub fn read_passed(token: &str, query: &ChangeQuery) -> Option<usize> {
    match open(token, &of_change(query))? {
        (EFFECTS, passed) => passed.parse().ok(),
        _ => None,
    }
}

/// Writes the token of a list that goes on with a revision.
pub fn write_revision(next: Revision, query: &ChangeListQuery) -> String {
    seal(REVISION, &of_list(query), &next.get().to_string())
}

/// Reads the revision that a list goes on with, or `None` where the token is none or belongs to another query.
pub fn read_revision(token: &str, query: &ChangeListQuery) -> Option<Revision> {
    match open(token, &of_list(query))? {
        (REVISION, next) => next.parse().ok().and_then(Revision::new),
        _ => None,
    }
}

fn of_change(query: &ChangeQuery) -> Fingerprint {
    let mut fingerprint = Fingerprint::default();
    fingerprint.add(query.account.as_str());
    fingerprint.add(&match query.key {
        ChangeKey::RequestId(id) => id.to_string(),
        ChangeKey::Revision(revision) => revision.get().to_string(),
    });
    fingerprint
}

fn of_list(query: &ChangeListQuery) -> Fingerprint {
    let filter = &query.filter;
    let mut fingerprint = Fingerprint::default();
    fingerprint.add(query.account.as_str());
    fingerprint.add(match query.direction {
        Direction::Forwards => "forwards",
        Direction::Backwards => "backwards",
    });
    fingerprint.add(filter.user.as_ref().map_or("", |user| user.as_str()));
    fingerprint.add(filter.tag_key.as_ref().map_or("", |key| key.as_str()));
    fingerprint.add(filter.caller.as_ref().map_or("", |caller| caller.as_str()));
    fingerprint.add(filter.action.map_or("", |action| action.as_str()));
    for time in [filter.start, filter.end] {
        fingerprint.add(&time.map_or_else(String::new, |time| time.millis().to_string()));
    }
    fingerprint
}
