//! What a store's change log has to tell: what led from what it held at first to what it holds now.

use std::sync::Arc;

use untag::domain::{AccountId, Change, ChangeKey, Direction, EffectKind, Resource, Revision};
use untag::store::Store as _;

use super::Backend;
use super::fixtures::*;
use crate::support::replay::{Replay, changes_from};

/// All changes of an account, from the first.
pub async fn all_changes<B: Backend>(backend: &B, account: &AccountId) -> Vec<Change> {
    let query = changes_from(account, 1, Direction::Forwards);
    backend.store().changes(Arc::new(query)).await.unwrap()
}

/// Checks that the log of a store that held these resources at first tells what it holds now, where the store keeps a log.
pub async fn check<B: Backend>(backend: &B, resources: &[Resource]) {
    if !B::KEEPS_USERS {
        return;
    }
    let mut replay = Replay::new(resources);
    for id in ACCOUNTS {
        let account = account(id);
        let changes = all_changes(backend, &account).await;
        let history = backend.store().history(account.clone()).await.unwrap();
        let newest = changes.last().map(|change| change.revision);
        assert_eq!(history.newest, newest);
        let first = newest.map(|_| Revision::FIRST);
        assert_eq!(history.oldest, first);
        replay.apply(&account, &changes);
        check_reads(backend, &account, &changes).await;
    }
    let users: Vec<_> = replay.users().map(|user| user.resource.clone()).collect();
    assert_eq!(contents(&users), backend.contents().await);
}

/// Checks that each way to read changes finds the same.
async fn check_reads<B: Backend>(backend: &B, account: &AccountId, changes: &[Change]) {
    let store = backend.store();
    let backwards = changes_from(account, u64::MAX >> 1, Direction::Backwards);
    let found = store.changes(Arc::new(backwards)).await.unwrap();
    assert!(found.iter().eq(changes.iter().rev()), "{found:?}");
    for change in changes {
        for key in [
            ChangeKey::Revision(change.revision),
            ChangeKey::RequestId(change.request_id),
        ] {
            let found = store.change(account.clone(), key).await.unwrap();
            assert_eq!(found.as_ref(), Some(change));
        }
    }
    let ids = changes.iter().flat_map(|change| &change.effects);
    let mut ids: Vec<_> = ids.map(|effect| effect.resource_id.clone()).collect();
    ids.sort();
    ids.dedup();
    for id in ids {
        let effects = |change: &&Change| {
            let mut effects = change.effects.clone();
            effects.retain(|effect| effect.resource_id == id);
            effects
        };
        let has = |change: &&Change, is_it: fn(&EffectKind) -> bool| {
            effects(change).iter().any(|effect| is_it(&effect.kind))
        };
        let mut of_user = changes_from(account, 1, Direction::Forwards);
        of_user.user = Some(id.clone());
        let found = store.changes(Arc::new(of_user)).await.unwrap();
        let mut expected: Vec<_> = changes.iter().filter(|c| !effects(c).is_empty()).collect();
        // Whoever is created with the id of one who is gone for good is another user.
        let is_created =
            |change: &&Change| has(change, |kind| matches!(kind, EffectKind::Created(_)));
        if let Some(at) = expected.iter().rposition(is_created) {
            expected.drain(..at);
        }
        let is_deleted = |change| has(change, |kind| matches!(kind, EffectKind::Deleted(_)));
        let may_be_gone = expected.last().is_some_and(is_deleted);
        if !(may_be_gone && found.is_empty()) {
            assert!(found.iter().eq(expected), "{id}: {found:?}");
        }
    }
}
