//! The change log of a database, checked entry by entry.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use untag::domain::{AccountId, Change, Direction, Resource};
use untag::store::postgres::{self, ConnectionString, Options, PostgresStore};
use untag::store::{AuditUse, Retention, Store, StoreError};

use super::harness::ACCOUNT;
use crate::histories::log;
use crate::support::replay::changes_from;

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

/// The changes that a store has from a revision on.
pub async fn changes(store: &impl Store, from: u64) -> Result<Vec<Change>, StoreError> {
    let query = changes_from(&account(), from, Direction::Forwards);
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
    log::check(&account(), first, &changes, &resources(url).await);
    changes
}
