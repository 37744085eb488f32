//! The change log of a database, checked entry by entry.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use untag::domain::{AccountId, Change, ChangesQuery, Direction, EffectKind, Resource, Revision};
use untag::store::postgres::{self, ConnectionString, Options, PostgresStore};
use untag::store::{AuditUse, Retention, Store as _, StoreError};

use super::harness::ACCOUNT;
use crate::support::replay::Replay;

/// A store that compacts nothing by itself.
pub async fn open(url: &str) -> PostgresStore {
    let connection = ConnectionString::parse(url, None).unwrap();
    let options = Options {
        queue: 64,
        connections: 3,
        reload_interval: Duration::from_secs(10),
        retention: Retention {
            age: Duration::from_hours(24 * 365 * 100),
            bytes: 1 << 40,
        },
        audit: AuditUse::None,
    };
    PostgresStore::open(&connection, options).await.unwrap()
}

pub fn account() -> AccountId {
    AccountId::parse(ACCOUNT).unwrap()
}

/// The changes from a revision on.
pub async fn changes(store: &PostgresStore, from: u64) -> Result<Vec<Change>, StoreError> {
    let query = ChangesQuery {
        account: account(),
        from: Revision::new(from).unwrap(),
        direction: Direction::Forwards,
        user: None,
        most: usize::MAX,
        most_effects: usize::MAX,
    };
    store.changes(Arc::new(query)).await
}

/// What a database holds.
pub async fn resources(url: &str) -> Vec<Resource> {
    let connection = ConnectionString::parse(url, None).unwrap();
    let mut resources = Vec::new();
    let keep = |resource| -> Result<(), Infallible> {
        resources.push(resource);
        Ok(())
    };
    postgres::export(&connection, keep).await.unwrap();
    resources
}

/// Checks that the log leads from what the database held at first to what it holds now, each entry with what was there before it.
/// Returns its changes.
pub async fn check(url: &str, first: &[Resource]) -> Vec<Change> {
    let changes = changes(&open(url).await, 1).await.unwrap();
    let mut replay = Replay::new(first);
    replay.apply(&account(), &changes);
    let now = resources(url).await;
    let replayed: Vec<_> = replay.users().map(|user| &user.resource).collect();
    assert_eq!(replayed.len(), now.len());
    for (replayed, now) in replayed.into_iter().zip(&now) {
        // Values hide from messages.
        let is_same = replayed.id == now.id && replayed.tags() == now.tags();
        assert!(is_same, "{replayed:?} by the log, and {now:?} in the table");
    }
    changes
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
