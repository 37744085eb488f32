//! What the store answers when readiness asks whether it takes changes.

use std::time::Instant;

use futures_util::FutureExt as _;
use futures_util::stream::{FuturesUnordered, StreamExt as _};
use rusqlite::Connection;
use untag::store::sqlite::{Options, SqliteStore};
use untag::store::{Store as _, StoreError};

use super::harness::{Data, untag_command};
use crate::support::{PATIENCE, origin};

/// A number that changes with each commit that another connection writes.
fn data_version(connection: &Connection) -> i64 {
    let version = connection.pragma_query_value(None, "data_version", |row| row.get(0));
    version.unwrap()
}

#[tokio::test]
async fn sqlite_check_writes_until_a_commit_that_wrote_has_succeeded() {
    let data = Data::with_users(2);
    let options = Options::default();
    let store = SqliteStore::open(data.path(), options, Vec::new()).unwrap();
    store.untag(untag_command(1001), origin()).await.unwrap();
    let other = data.connect();
    let fail =
        "CREATE TRIGGER fail BEFORE INSERT ON tombstone BEGIN SELECT RAISE(ABORT, 'no'); END";
    other.execute_batch(fail).unwrap();
    let failed = store.untag(untag_command(1000), origin()).await;
    assert!(matches!(failed, Err(StoreError::Broken(_))), "{failed:?}");

    // There is nothing to remove and nothing to write: that it succeeds says nothing of the disk.
    let nothing = store.untag(untag_command(1001), origin()).await.unwrap();
    assert_eq!(nothing.tags, Some(0));
    let before = data_version(&other);
    store.check().await.unwrap();
    let written = data_version(&other);
    assert_ne!(written, before, "the check has not tried to write");
    // That has shown it, and nothing needs to be written any more.
    store.check().await.unwrap();
    assert_eq!(data_version(&other), written, "the check has written again");
}

#[tokio::test]
async fn sqlite_check_passes_what_is_queued() {
    const QUEUED: u32 = 20;
    let data = Data::with_users(QUEUED as usize);
    let options = Options {
        batch: 1,
        ..Options::default()
    };
    let store = SqliteStore::open(data.path(), options, Vec::new()).unwrap();
    let other = data.connect();
    // Each change waits two seconds for the lock, and is refused.
    other.execute_batch("BEGIN IMMEDIATE").unwrap();
    let mut untags: FuturesUnordered<_> = (1000..1000 + QUEUED)
        .map(|id| store.untag(untag_command(id), origin()))
        .collect();
    assert!(untags.next().now_or_never().is_none());
    let asked = Instant::now();
    let mut check = Box::pin(store.check());
    let mut refused = 0;
    let answer = loop {
        tokio::select! {
            answer = &mut check => break answer,
            Some(answer) = untags.next() => {
                assert!(answer.is_err(), "{answer:?}");
                refused += 1;
            }
        }
        assert!(asked.elapsed() < PATIENCE, "no answer to the check");
    };
    assert!(
        matches!(answer, Err(StoreError::Unavailable { .. })),
        "{answer:?}"
    );
    assert!(refused <= 3, "the check came behind {refused} changes");
    other.execute_batch("ROLLBACK").unwrap();
    while untags.next().await.is_some() {}
    store.check().await.unwrap();
}
