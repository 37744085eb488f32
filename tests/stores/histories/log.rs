//! The change log of any store, checked entry by entry.

use untag::domain::{AccountId, Change, EffectKind, Resource};

use crate::support::replay::Replay;

/// Checks that the changes of an account lead from what a store held at first to what it holds now, each with what was there before it.
pub fn check(account: &AccountId, first: &[Resource], changes: &[Change], now: &[Resource]) {
    let mut replay = Replay::new(first);
    replay.apply(account, changes);
    let replayed: Vec<_> = replay.users().map(|user| &user.resource).collect();
    assert_eq!(replayed.len(), now.len());
    for (replayed, now) in replayed.into_iter().zip(now) {
        // Values hide from messages.
        let is_same = replayed.id == now.id && replayed.tags() == now.tags();
        assert!(is_same, "{replayed:?} by the log, and {now:?} in the store");
    }
}

/// The values of a user's tag that came and went, in order.
pub fn values(log: &[Change], user: usize) -> Vec<String> {
    let id = user.to_string();
    let effects = log.iter().flat_map(|change| &change.effects);
    let effects = effects.filter(|effect| effect.resource_id.as_str() == id);
    let text = |kind: &EffectKind| {
        let EffectKind::Tags { removed, set } = kind else {
            panic!("{kind:?}");
        };
        let removed = removed
            .iter()
            .map(|(_, value)| format!("-{}", value.as_str()));
        let set = set.iter().map(|set| format!("+{}", set.new.as_str()));
        removed.chain(set).collect()
    };
    effects.map(|effect| text(&effect.kind)).collect()
}
