//! The write-ahead log: how long it gets, and what is left of it.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use futures_util::future::join_all;
use untag::grpc::proto::tag_resources_request::Resources;
use untag::grpc::proto::{ResourceIds, Tag, TagResourcesRequest};

use super::harness::{Client, Data, exported_keys};
use crate::support::{PATIENCE, Server, wait_until};

/// The length past which the log has to begin anew, and the most that it may take.
const LIMIT: u64 = 64 << 20;
const MOST: u64 = 2 * LIMIT;
const USERS: usize = 2_000;
const USERS_OF_A_CALL: usize = 50;

fn wal_of(directory: &Path) -> PathBuf {
    directory.join("untag.db-wal")
}

/// How long a file is, 0 where there is none.
fn length(path: &Path) -> u64 {
    path.metadata().map_or(0, |file| file.len())
}

/// Sets tags on users, 50 a call and 8 calls in flight, until as much is written that the log without an end would be so long.
/// Returns the most that the log took.
async fn write(server: &Server, directory: &Path, bytes: u64) -> u64 {
    // Of each row at least: a page for about three of them.
    const BYTES_OF_A_ROW: u64 = 1_300;
    let calls = bytes / BYTES_OF_A_ROW / USERS_OF_A_CALL as u64;
    let next = Arc::new(AtomicU64::new(0));
    let tasks = (0..8).map(|_| {
        let next = Arc::clone(&next);
        async move {
            let mut client = server.client().await;
            let mut longest = 0;
            loop {
                let call = next.fetch_add(1, Ordering::Relaxed);
                if call >= calls {
                    return longest;
                }
                client.tag_resources(tag_of(call)).await.unwrap();
                longest = longest.max(length(&wal_of(directory)));
            }
        }
    });
    join_all(tasks).await.into_iter().max().unwrap_or_default()
}

/// Sets ten long tags on users that lie all over the table.
fn tag_of(call: u64) -> TagResourcesRequest {
    let call = usize::try_from(call).unwrap();
    let user = |place: usize| 1000 + (call * 37 + place * (USERS / USERS_OF_A_CALL)) % USERS;
    let values = (0..USERS_OF_A_CALL).map(|place| user(place).to_string());
    TagResourcesRequest {
        resources: Some(Resources::ResourceIds(ResourceIds {
            values: values.collect(),
        })),
        tags: (0..10)
            .map(|key| Tag {
                key: format!("key{key}"),
                value: format!("{call:0>120}"),
            })
            .collect(),
        ..TagResourcesRequest::default()
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sqlite_wal_is_bounded_and_truncated_when_nobody_writes() {
    let data = Data::with_users(USERS);
    let server = data.serve();
    let longest = write(&server, data.path(), MOST + LIMIT / 2).await;
    assert!(longest > LIMIT / 2, "only {longest} bytes were written");
    assert!(longest <= MOST, "the log took {longest} bytes");
    wait_until("the log is empty", || length(&wal_of(data.path())) == 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sqlite_reader_that_stalls_is_named_and_the_wal_is_truncated_after_it() {
    let data = Data::with_users(USERS);
    let server = data.serve();
    let other = data.connect();
    let snapshot = other.unchecked_transaction().unwrap();
    let count = "SELECT count(*) FROM resource";
    snapshot
        .query_one(count, [], |row| row.get::<_, i64>(0))
        .unwrap();

    let longest = write(&server, data.path(), MOST + LIMIT / 2).await;
    assert!(longest > MOST, "only {longest} bytes were written");
    let line = server.wait_for_log_where(
        "a reader keeps the write-ahead log from beginning anew; end it",
        |line| line["level"] == "WARN",
    );
    let process = format!("process {} (", std::process::id());
    let readers = line["readers"].as_str().unwrap();
    assert!(readers.contains(&process), "{line}");
    assert!(line["bytes"].as_u64().unwrap() > MOST, "{line}");

    drop(snapshot);
    drop(other);
    wait_until("the log is empty", || length(&wal_of(data.path())) == 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sqlite_stop_leaves_everything_in_the_database_and_no_other_file() {
    let data = Data::with_users(USERS);
    let mut server = data.serve();
    let client = Client::of(&server).await;
    write(&server, data.path(), LIMIT / 2).await;
    for id in 1000..1100 {
        client.untag(&id.to_string()).await.unwrap();
    }
    let expected = data.keys();
    assert_eq!(expected["1000"].len(), 11);
    server.signal("TERM");
    assert!(server.wait(PATIENCE).success());
    for file in ["untag.db-wal", "untag.db-shm"] {
        assert!(!data.path().join(file).exists(), "{file} is left");
    }
    let copy = tempfile::tempdir().unwrap();
    std::fs::copy(data.database(), copy.path().join("untag.db")).unwrap();
    assert!(
        exported_keys(copy.path()) == expected,
        "untag.db alone lacks changes"
    );
}

#[tokio::test]
async fn sqlite_stop_that_cannot_empty_the_wal_says_so() {
    let data = Data::with_users(10);
    let mut server = data.serve();
    let other = data.connect();
    let snapshot = other.unchecked_transaction().unwrap();
    let count = "SELECT count(*) FROM resource";
    snapshot
        .query_one(count, [], |row| row.get::<_, i64>(0))
        .unwrap();
    Client::of(&server).await.untag("1000").await.unwrap();
    server.signal("TERM");
    assert!(server.wait(PATIENCE).success());
    let message = "the database is not whole without its write-ahead log";
    let line = server.wait_for_log(message);
    let said = line["error"].as_str().unwrap();
    let process = format!("it is read by process {} (", std::process::id());
    assert!(
        said.contains("untag.db-wal") && said.contains(&process),
        "{line}"
    );
    drop(snapshot);
    drop(other);
    assert_eq!(data.keys()["1000"], ["kept"]);
}

#[tokio::test]
async fn sqlite_export_after_a_crash_leaves_everything_in_the_database() {
    let data = Data::with_users(10);
    let mut server = data.serve();
    Client::of(&server).await.untag("1000").await.unwrap();
    server.kill();
    assert!(length(&wal_of(data.path())) > 0);
    assert_eq!(data.keys()["1000"], ["kept"]);
    assert!(!wal_of(data.path()).exists());
}
