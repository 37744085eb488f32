//! What is true of users who come and go in the embedded store alone.

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use rusqlite::Connection;
use untag::domain::{Resource, Timestamp, UserChange, UserCommand, UsersChanged};
use untag::store::sqlite::{self, Options, SqliteStore};
use untag::store::{BulkSettings, Store as _, StoreError};

use super::fixtures::{
    ACCOUNT, account, bulk_lines, contents, ids, keys, numbered_user, origin, untag,
};
use super::sqlite::export;
use super::user_fixtures::*;

fn open(directory: &Path, users: &[Resource]) -> SqliteStore {
    let options = Options {
        now: || Timestamp::from_millis(START + KEPT),
        ..Options::default()
    };
    SqliteStore::open(directory, options, users.to_vec()).unwrap()
}

fn close(store: SqliteStore) {
    let closing = store.closing();
    drop(store);
    assert!(closing.wait(Duration::from_secs(30)));
}

async fn change(
    store: &SqliteStore,
    time: i64,
    changes: impl Into<Vec<UserChange>>,
) -> Result<UsersChanged, StoreError> {
    let time = Timestamp::from_millis(time);
    let command = UserCommand::new(account(ACCOUNT), time, changes.into());
    store
        .change_users(Arc::new(command.unwrap()), origin())
        .await
}

/// The rows of a table of users, as `1=a` with their numbers and ids.
fn rows(directory: &Path, table: &str) -> Vec<String> {
    let connection = Connection::open(directory.join("untag.db")).unwrap();
    let select = format!("SELECT number || '=' || resource_id FROM {table} ORDER BY number");
    let mut statement = connection.prepare(&select).unwrap();
    let rows = statement.query_map([], |row| row.get(0)).unwrap();
    rows.map(Result::unwrap).collect()
}

#[tokio::test]
async fn sqlite_users_keep_the_numbers_of_their_rows_and_nobody_else_gets_them() {
    let directory = tempfile::tempdir().unwrap();
    let users = [1, 2, 3].map(|number| numbered_user(number, &[("a", "1"), ("b", "2")]));
    let store = open(directory.path(), &users);
    let untag_a = untag(ids(["2"]), keys(["a"]));
    store.untag(Arc::new(untag_a), origin()).await.unwrap();
    change(
        &store,
        START + 1,
        [delete("2"), delete("3"), create("4", "d@x")],
    )
    .await
    .unwrap();
    // Whoever is refused has had no number.
    let refused = change(&store, START + 1, [create("5", "e@x"), create("6", "D@x")]).await;
    assert!(
        matches!(refused, Err(StoreError::NameTaken(_))),
        "{refused:?}"
    );
    change(&store, START + 1, [create("7", "f@x"), delete("4")])
        .await
        .unwrap();
    assert_eq!(rows(directory.path(), "resource"), ["1=1", "5=7"]);
    assert_eq!(
        rows(directory.path(), "deleted_user"),
        ["2=2", "3=3", "4=4"]
    );
    close(store);

    let store = open(directory.path(), &[]);
    let restored = change(&store, START + 2, [restore("2"), create("8", "g@x")]);
    let restored = restored.await.unwrap();
    // The tag that was removed before does not come back.
    let kept: Vec<_> = restored.users[0].resource.tags().keys().collect();
    assert!(kept.len() == 1 && kept[0].as_str() == "b", "{kept:?}");
    assert_eq!(
        rows(directory.path(), "resource"),
        ["1=1", "2=2", "5=7", "6=8"]
    );
    assert_eq!(rows(directory.path(), "deleted_user"), ["3=3", "4=4"]);
}

#[tokio::test]
async fn sqlite_deleted_users_who_have_expired_are_removed_and_their_numbers_stay_given() {
    let directory = tempfile::tempdir().unwrap();
    // More than one transaction removes.
    let users: Vec<_> = (1..=1300)
        .map(|number| numbered_user(number, &[]))
        .collect();
    let store = open(directory.path(), &users);
    let all: Vec<_> = (2..=1300)
        .map(|number| delete(&number.to_string()))
        .collect();
    let (expired, kept) = all.split_at(all.len() - 1);
    for part in expired.chunks(1000) {
        change(&store, START, part).await.unwrap();
    }
    change(&store, START + 1, kept).await.unwrap();
    // As readiness asks each second.
    while rows(directory.path(), "deleted_user") != ["1300=1300"] {
        store.check().await.unwrap();
    }
    assert_eq!(rows(directory.path(), "resource"), ["1=1"]);
    change(&store, START + KEPT, [create("2", "a@x"), delete("1")])
        .await
        .unwrap();
    assert_eq!(rows(directory.path(), "resource"), ["1301=2"]);
    // One that has expired gives way where its id is created, also before it is removed.
    change(
        &store,
        START + KEPT + 1,
        [create("1300", "b@x"), delete("2")],
    )
    .await
    .unwrap();
    assert_eq!(rows(directory.path(), "resource"), ["1302=1300"]);
    change(&store, START + KEPT + 1, [delete("1300")])
        .await
        .unwrap();
    close(store);

    // All that were given are gone, and the largest of them as the next one is.
    let connection = Connection::open(directory.path().join("untag.db")).unwrap();
    connection
        .execute_batch("UPDATE deleted_user SET delete_time = 0")
        .unwrap();
    drop(connection);
    let store = open(directory.path(), &[]);
    change(&store, START, [create("1300", "c@x")])
        .await
        .unwrap();
    assert_eq!(rows(directory.path(), "resource"), ["1303=1300"]);
    change(&store, START, [delete("1300")]).await.unwrap();
    while !rows(directory.path(), "deleted_user").is_empty() {
        store.check().await.unwrap();
    }
    close(store);
    let store = open(directory.path(), &[numbered_user(7, &[])]);
    assert_eq!(rows(directory.path(), "resource"), ["1304=7"]);
    close(store);
}

#[tokio::test]
async fn sqlite_import_refuses_deleted_users_until_they_have_expired() {
    let directory = tempfile::tempdir().unwrap();
    let users = [1, 2].map(|number| numbered_user(number, &[("a", "1")]));
    let store = open(directory.path(), &users);
    let now = Timestamp::from(SystemTime::now()).millis();
    change(&store, now, [delete("2")]).await.unwrap();
    close(store);
    let left = contents(&users[..1]);
    assert_eq!(contents(&export(directory.path())), left);

    let again = [3, 2, 1].map(|number| numbered_user(number, &[("b", "2")]));
    let lines = || bulk_lines(again.clone());
    let import = || sqlite::import(directory.path(), BulkSettings::REPLACE, lines());
    let refused = import().unwrap_err().to_string();
    for word in ["user 2 of account", "was deleted", "restore it first"] {
        assert!(refused.contains(word), "{word:?} is not in {refused}");
    }
    assert_eq!(contents(&export(directory.path())), left);

    let connection = Connection::open(directory.path().join("untag.db")).unwrap();
    let long_ago = "UPDATE deleted_user SET delete_time = delete_time - ?1";
    connection.execute(long_ago, [KEPT]).unwrap();
    drop(connection);
    // Of several with one id the last is taken, and each user counts once.
    let twice = bulk_lines(again.iter().chain(&again).cloned());
    let imported = sqlite::import(directory.path(), BulkSettings::REPLACE, twice).unwrap();
    assert_eq!(imported.counts.users(), 3);
    assert_eq!(contents(&export(directory.path())), contents(&again));
    assert_eq!(rows(directory.path(), "resource"), ["1=1", "3=3", "4=2"]);
    assert!(rows(directory.path(), "deleted_user").is_empty());
}
