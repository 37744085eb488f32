//! Other processes that use the data directory.

use futures_util::future::join_all;
use tonic_health::pb::health_check_response::ServingStatus;
use untag::domain::Applied;
use untag::store::sqlite::{Options, SqliteStore};
use untag::store::{Store, StoreError};

use super::harness::{Client, Data, assert_unavailable, untag_command, wait_for_health};
use crate::support::origin;

const LOCKED: &str = "locked by another program";
const UNCHANGED: &str = "nothing was changed";

#[tokio::test]
async fn sqlite_directory_in_use_is_refused_to_a_second_service_and_to_import() {
    let data = Data::with_users(2);
    let server = data.serve();
    let import = data.subcommand("import", &["/dev/null"]).unwrap_err();
    for said in [data.serve_refused(), import] {
        assert!(said.contains("in use by another untag process"), "{said}");
        assert!(said.contains(data.path().to_str().unwrap()), "{said}");
    }
    // The one that has it does not notice, and export may look at it.
    Client::of(&server).await.untag("1000").await.unwrap();
    assert_eq!(data.keys()["1000"], ["kept"]);
}

#[tokio::test]
async fn sqlite_directory_is_free_again_when_the_service_has_crashed() {
    let data = Data::with_users(2);
    let mut server = data.serve();
    Client::of(&server).await.untag("1000").await.unwrap();
    server.kill();
    let server = data.serve();
    assert_eq!(Client::of(&server).await.keys("1000").await, ["kept"]);
}

#[test]
fn sqlite_file_that_another_program_has_for_itself_is_refused() {
    let data = Data::with_users(1);
    let other = data.connect();
    // It keeps every lock that it takes from now on.
    other
        .pragma_update(None, "locking_mode", "exclusive")
        .unwrap();
    other.execute_batch("BEGIN EXCLUSIVE; COMMIT").unwrap();
    let said = data.serve_refused();
    assert!(said.contains(LOCKED) && said.contains("untag.db"), "{said}");
}

#[tokio::test]
async fn sqlite_lock_of_another_program_makes_untags_unavailable_until_it_is_gone() {
    let data = Data::with_users(50);
    let server = data.serve();
    let client = Client::of(&server).await;
    let other = data.connect();
    other.execute_batch("BEGIN EXCLUSIVE").unwrap();

    // As many as would take longer than a request may, if each of them waited for the lock after the other.
    let untags = (1000..1050).map(|id| {
        let client = client.clone();
        async move { client.untag(&id.to_string()).await }
    });
    for answer in join_all(untags).await {
        assert_unavailable(&answer.unwrap_err(), LOCKED, UNCHANGED);
    }
    wait_for_health(&server, ServingStatus::NotServing).await;
    assert_eq!(client.keys("1000").await, ["gone", "kept"], "reads go on");

    other.execute_batch("ROLLBACK").unwrap();
    wait_for_health(&server, ServingStatus::Serving).await;
    client.untag("1000").await.unwrap();
    assert_eq!(data.keys()["1000"], ["kept"]);
    assert_eq!(data.keys()["1001"], ["gone", "kept"]);
}

#[tokio::test]
async fn sqlite_queue_that_is_full_refuses_what_does_not_fit_and_carries_out_the_rest() {
    let data = Data::with_users(50);
    let options = Options {
        queue: 4,
        readers: 1,
        batch: 1024,
        ..Options::default()
    };
    let store = SqliteStore::open(data.path(), options, Vec::new()).unwrap();
    let other = data.connect();
    other.execute_batch("BEGIN IMMEDIATE").unwrap();

    let untag = |id: u32| {
        let store = store.clone();
        tokio::spawn(async move { (id, store.untag(untag_command(id), origin()).await) })
    };
    // The writer waits for the lock with one batch, at most four more find a place.
    let tasks: Vec<_> = (1000..1050).map(untag).collect();
    let mut busy = Vec::new();
    for task in tasks {
        match task.await.unwrap() {
            (id, Err(StoreError::Busy)) => busy.push(id),
            (_, Err(StoreError::Unavailable { applied, .. })) => assert_eq!(applied, Applied::No),
            (id, answer) => panic!("{id}: {answer:?}"),
        }
    }
    assert!(!busy.is_empty(), "nothing was refused");
    other.execute_batch("ROLLBACK").unwrap();

    let (_, again) = untag(busy[0]).await.unwrap();
    assert_eq!(again.unwrap().tags, Some(1));
    let changed = data
        .keys()
        .into_iter()
        .filter(|(_, keys)| keys == &["kept"]);
    assert_eq!(
        changed.map(|(id, _)| id).collect::<Vec<_>>(),
        [busy[0].to_string()]
    );
}
