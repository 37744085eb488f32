//! What the fuzz targets expect of the bytes that lie on the disk, whatever they are.

use std::collections::{HashMap, HashSet};

use prost::Message as _;

use super::log_entry::{FoundEntry, LoggedAccounts, LoggedCommit};
use super::{LoggedEffect, decode_users, encode_users, tags};
use crate::domain::{AccountId, TagKey, TagSelection, TagValue, Timestamp};

/// Checks that a `tags` column is corrupt or behaves as the tags that it decodes to: the first four bytes are the positions that are removed.
///
/// # Panics
/// Where that does not hold.
pub fn tags_column(bytes: &[u8]) {
    let Some((mask, encoded)) = bytes.split_first_chunk::<4>() else {
        return;
    };
    let removed = u32::from_le_bytes(*mask);
    let Ok(all) = tags::decode(encoded, 0) else {
        return;
    };
    let sorted = all.is_sorted_by(|(one, _), (next, _)| one < next);
    assert_eq!(tags::keys(encoded).is_ok(), sorted);
    assert_eq!(
        tags::encode(all.iter().map(|(key, value)| (key, value))),
        encoded,
        "the bytes are not the only ones of their tags"
    );
    let is_removed = |at: &usize| removed & (1 << at) != 0;
    let left: Vec<_> = (0..all.len()).filter(|at| !is_removed(at)).collect();
    let left: Vec<_> = left.into_iter().map(|at| all[at].clone()).collect();
    assert_eq!(tags::decode(encoded, removed).as_ref(), Ok(&left));
    let without = tags::without(encoded, removed).expect("it was decoded");
    assert_eq!(tags::decode(&without, 0).as_ref(), Ok(&left));
    let gone = tags::at(encoded, removed).expect("it was decoded");
    assert_eq!(without.len() + gone.len(), encoded.len());
    let selected = tags::selected(encoded, removed, &TagSelection::All);
    let selected = selected.expect("it was decoded");
    assert_eq!(selected & removed, 0);
    assert_eq!(usize::try_from(selected.count_ones()), Ok(left.len()));
    if sorted {
        set_again(encoded, removed, &left);
    }
}

/// Checks that tags that are set as they are change nothing, and that all of them can be removed and set again.
fn set_again(encoded: &[u8], removed: tags::TagMask, left: &[(TagKey, TagValue)]) {
    assert_eq!(tags::changed(encoded, removed, left), Ok(Vec::new()));
    assert_eq!(
        tags::mismatched(encoded, removed, left),
        Ok((0, Vec::new()))
    );
    let without = tags::without(encoded, removed);
    let (merged, count) = tags::with(encoded, removed, left).expect("it was decoded");
    assert_eq!((Ok(merged), count), (without, left.len()));
    let (merged, _) = tags::with(encoded, tags::TagMask::MAX, left).expect("it was decoded");
    assert_eq!(tags::decode(&merged, 0).as_deref(), Ok(left));
}

/// Checks that a row of `change_log` is corrupt or is read as what is written of it.
///
/// # Panics
/// Where that does not hold.
pub fn log_entries(bytes: &[u8]) {
    let Ok(commit) = LoggedCommit::decode(bytes) else {
        return;
    };
    let accounts = LoggedAccounts::decode(bytes).expect("the commit was decoded");
    assert!(accounts.accounts == commit.accounts);
    let again = LoggedCommit::decode(commit.encode_to_vec().as_slice());
    assert!(again.is_ok_and(|again| again == commit));
    let ids: HashSet<_> = commit.accounts.iter().map(|account| &account.id).collect();
    let mut last = HashMap::new();
    for found in commit.each().flatten() {
        let before = last.insert(found.account, found.revision.get());
        // Two accounts of one id have a revision each.
        if let Some(before) = before
            && ids.len() == commit.accounts.len()
        {
            assert_eq!(found.revision.get(), before + 1);
        }
        entry(&found);
    }
}

fn entry(found: &FoundEntry<'_>) {
    let account = AccountId::parse("1").expect("digits are an account id");
    let time = Timestamp::from_millis(1_800_000_000_000);
    if let Ok(recorded) = found.recorded(time) {
        assert_eq!(recorded.request_id, found.entry.request_id());
        let token = recorded.client_token.map(|token| token.as_str().len());
        assert!(token.is_none_or(|length| (1..=64).contains(&length)));
    }
    for logged in &found.entry.effects {
        let Some(Ok(effect)) = logged.detailed(&account) else {
            continue;
        };
        let written = LoggedEffect::new(logged.number, &effect).encode_to_vec();
        let again = LoggedEffect::decode(written.as_slice()).expect("it was encoded");
        assert_eq!((again.number, again.removed), (logged.number, 0));
        assert!(matches!(again.detailed(&account), Some(Ok(again)) if again == effect));
    }
}

/// Checks that users who are remembered with an answer are corrupt or are read as what is written of them.
///
/// # Panics
/// Where that does not hold.
pub fn remembered_users(bytes: &[u8]) {
    let account = AccountId::parse("1").expect("digits are an account id");
    let Ok(users) = decode_users(bytes, &account) else {
        return;
    };
    assert!(decode_users(&encode_users(&users), &account).is_ok_and(|again| again == users));
}
