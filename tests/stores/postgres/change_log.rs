//! The change log in the database: what becomes of changes whose answers are lost, retention, and imports.

use std::sync::Arc;
use std::time::{Duration, Instant};

use untag::domain::{
    Applied, ChangesQuery, ClientToken, Direction, Fingerprint, History, Origin, Repeat,
    ResourceId, Revision, TagCommand, TagKey, TagSelection, TagValue, Targets, UntagCommand,
};
use untag::store::postgres::PostgresStore;
use untag::store::{Store as _, StoreError};

use super::harness::{
    ACCOUNT, database_with, import, serve, session, set, user_line, wait_for_lock_wait,
};
use super::log_check::{account, changes, open};
use crate::histories::cutting_proxy::CuttingProxy;
use crate::histories::log::values;
use crate::support::postgres::Database;
use crate::support::{PATIENCE, origin};

fn target(user: usize) -> Targets {
    Targets::Ids(vec![ResourceId::parse(user.to_string()).unwrap()])
}

fn untag_env(user: usize) -> Arc<UntagCommand> {
    Arc::new(UntagCommand {
        account: account(),
        targets: target(user),
        selection: TagSelection::Keys(vec![TagKey::parse("env").unwrap()]),
        expected: None,
        allow_missing: false,
        validate_only: false,
    })
}

fn tag_env(user: usize, value: &str) -> Arc<TagCommand> {
    let tag = (
        TagKey::parse("env").unwrap(),
        TagValue::parse(value).unwrap(),
    );
    Arc::new(TagCommand {
        account: account(),
        targets: target(user),
        tags: vec![tag],
    })
}

async fn history(store: &PostgresStore) -> History {
    store.history(account()).await.unwrap()
}

/// Sends a change until it is made: again only where the store says that it was not.
async fn make<F>(change: impl Fn(Arc<Origin>) -> F) -> usize
where
    F: Future<Output = Result<(), StoreError>>,
{
    let mut refused = 0;
    loop {
        match change(origin()).await {
            Ok(()) => return refused,
            Err(StoreError::Unavailable {
                applied: Applied::No,
                ..
            }) => refused += 1,
            Err(error) => panic!("{error:?}"),
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn postgres_log_has_each_change_once_however_often_connections_are_cut() {
    const USERS: usize = 6;
    const CUTS: usize = 1_000;
    let database = database_with(&[&[][..]; USERS]);
    let proxy = CuttingProxy::start(database.port).await;
    let behind = Database {
        port: proxy.port,
        name: database.name.clone(),
    };
    let store = open(&behind.url()).await;
    proxy.begin_cutting();
    let change = |user: usize| {
        let (store, proxy) = (store.clone(), proxy.clone());
        async move {
            let (mut rounds, mut refused) = (0, 0);
            while proxy.cuts() < CUTS {
                let value = rounds.to_string();
                refused += make(async |origin| {
                    let answer = store.tag(tag_env(user, &value), origin).await?;
                    assert_eq!(answer.changed_resources, Some(1));
                    Ok(())
                })
                .await;
                refused += make(async |origin| {
                    let answer = store.untag(untag_env(user), origin).await?;
                    assert_eq!(answer.changed_resources, Some(1), "a tag was lost");
                    Ok(())
                })
                .await;
                rounds += 1;
            }
            (rounds, refused)
        }
    };
    let start = Instant::now();
    let tasks: Vec<_> = (1..=USERS).map(|user| tokio::spawn(change(user))).collect();
    let (mut made, mut refused) = (0, 0);
    let mut rounds_of = Vec::new();
    for task in tasks {
        let (rounds, of_user) = task.await.unwrap();
        rounds_of.push(rounds);
        made += 2 * rounds;
        refused += of_user;
    }
    let cuts = proxy.cuts();
    println!(
        "{cuts} cuts, {made} changes, {refused} that were not made, in {:?}",
        start.elapsed()
    );
    proxy.end();
    let store = open(&database.url()).await;
    let entries = changes(&store, 1).await.unwrap();
    assert_eq!(entries.len(), made);
    for (user, rounds) in (1..=USERS).zip(rounds_of) {
        let expected: Vec<_> = (0..rounds)
            .flat_map(|round| [format!("+{round}"), format!("-{round}")])
            .collect();
        assert_eq!(values(&entries, user), expected, "user {user}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn postgres_log_lets_no_try_through_that_nobody_waits_for_any_more() {
    let database = database_with(&[&[("env", "prod")]]);
    let client = session(&database).await;
    let id = "00000000-0000-7000-8000-000000000001";
    let try_it = |attempt: i32| {
        format!(
            "SELECT changed FROM untag_remove_alone('{ACCOUNT}', true, false, ARRAY['1'], '{{env}}', '{{}}', '{{}}', false, {attempt}, \
             ROW('{id}', 1, 'a', '::1', 'ram:UntagResources', NULL, NULL, false, NULL, NULL)::untag_origin)"
        )
    };
    let find_out = format!("SELECT revision FROM untag_find_out('{ACCOUNT}', '{id}', 1, 1)");
    assert!(client.query(&find_out, &[]).await.unwrap().is_empty());
    let late = client.query(&try_it(1), &[]).await.unwrap_err();
    assert_eq!(late.code().unwrap().code(), "57014");
    assert_eq!(
        database.sql("SELECT tags FROM resource"),
        "{\"env\": \"prod\"}"
    );
    let again = client.query_one(&try_it(2), &[]).await.unwrap();
    assert_eq!(again.get::<_, i64>(0), 1);
    let found = client.query_one(&find_out, &[]).await.unwrap();
    assert_eq!(found.get::<_, i64>(0), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn postgres_log_of_a_user_is_found_while_the_user_is_restored() {
    let database = database_with(&[&[("env", "prod")]]);
    let store = open(&database.url()).await;
    store.untag(untag_env(1), origin()).await.unwrap();
    let columns = "account_id, resource_type, resource_id, principal_name, tags, last_change";
    let delete = format!(
        "WITH gone AS (DELETE FROM resource RETURNING {columns}) \
         INSERT INTO deleted_user ({columns}, delete_time) SELECT {columns}, 1 FROM gone"
    );
    database.sql(&delete);
    // The lock stops who reads the deleted users, and has not read the others by then, or has.
    let client = session(&database).await;
    let restore = format!(
        "BEGIN; LOCK TABLE deleted_user IN ACCESS EXCLUSIVE MODE; \
         WITH back AS (DELETE FROM deleted_user RETURNING {columns}) \
         INSERT INTO resource ({columns}) SELECT {columns} FROM back"
    );
    client.batch_execute(&restore).await.unwrap();
    let query = ChangesQuery {
        account: account(),
        from: Revision::LAST,
        direction: Direction::Backwards,
        user: Some(ResourceId::parse("1".to_owned()).unwrap()),
        most: 10,
        most_effects: 10,
    };
    let reading = tokio::spawn({
        let store = store.clone();
        async move { store.changes(Arc::new(query)).await }
    });
    wait_for_lock_wait(&database).await;
    client.batch_execute("COMMIT").await.unwrap();
    let found = reading.await.unwrap().unwrap();
    assert_eq!(found.len(), 1);
}

/// Makes so many changes.
async fn make_changes(store: &PostgresStore, count: usize) {
    for number in 0..count {
        let value = number.to_string();
        store.tag(tag_env(1, &value), origin()).await.unwrap();
    }
}

/// Compacts the log, and says how many entries were deleted.
fn compact(database: &Database, age: i64, bytes: i64, most: i64) -> usize {
    // What `origin` says is the time of changes.
    let now = 1_700_000_000_000_i64 + 100_000;
    let sql =
        format!("SELECT deleted FROM untag_compact({now}, {age}, {bytes}, {most}, 1000000, 0)");
    database.sql(&sql).parse().unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn postgres_log_is_compacted_from_its_beginning_and_keeps_the_newest_entry() {
    let database = database_with(&[&[]]);
    let store = open(&database.url()).await;
    make_changes(&store, 20).await;
    assert_eq!(compact(&database, 200_000, 1 << 30, 100), 0);
    assert_eq!(compact(&database, 99_000, 1 << 30, 5), 5);
    let extent = history(&store).await;
    assert_eq!(extent.oldest, Revision::new(6));
    assert_eq!(changes(&store, 6).await.unwrap().len(), 15);
    for from in [1, 5] {
        let gone = changes(&store, from).await;
        assert!(
            matches!(gone, Err(StoreError::Compacted { oldest }) if oldest == Revision::new(6)),
            "{gone:?}"
        );
    }
    // By its bytes, of which entries take about 300.
    let deleted = compact(&database, 200_000, 2_000, 100);
    assert!((5..=12).contains(&deleted), "{deleted}");
    let left = 15 - deleted;
    assert_eq!(compact(&database, 0, 0, 100), left - 1);
    let extent = history(&store).await;
    assert_eq!(
        (extent.oldest, extent.newest),
        (Revision::new(20), Revision::new(20))
    );
    make_changes(&store, 1).await;
    assert_eq!(history(&store).await.newest, Revision::new(21));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn postgres_log_is_compacted_as_the_flags_say() {
    let database = database_with(&[&[]]);
    let server = serve(&database.url(), &[]);
    let mut client = server.client().await;
    for value in ["a", "b", "c"] {
        set(&mut client, &[1], &[("env", value)]).await.unwrap();
    }
    drop(server);
    assert_eq!(database.sql("SELECT count(*) FROM change"), "3");
    // Those of the last minute stay.
    database.sql(
        "UPDATE change SET at = at - 120000; UPDATE account SET oldest_at = oldest_at - 120000",
    );
    let _server = serve(&database.url(), &["--history-retention", "0"]);
    let start = Instant::now();
    while database.sql("SELECT count(*) FROM change") != "1" {
        assert!(start.elapsed() < PATIENCE, "the log is not compacted");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn postgres_log_refuses_new_tokens_where_there_are_too_many() {
    let database = database_with(&[&[("env", "prod")], &[("env", "prod")]]);
    let store = open(&database.url()).await;
    let with_token = |token: &str| {
        Arc::new(Origin {
            repeat: Some(Repeat {
                token: ClientToken::parse(token).unwrap(),
                fingerprint: Fingerprint([1; 16]),
            }),
            ..Origin::clone(&origin())
        })
    };
    let first = store.untag(untag_env(1), with_token("a")).await.unwrap();
    database.sql("SELECT deleted FROM untag_compact(1700000000000, 100000, 1000000, 10, 1, 0)");
    let refused = store.untag(untag_env(2), with_token("b")).await;
    assert!(
        matches!(refused, Err(StoreError::TokensFull)),
        "{refused:?}"
    );
    let known = store.untag(untag_env(1), with_token("a")).await.unwrap();
    assert_eq!(known.revision, first.revision);
    store.untag(untag_env(2), origin()).await.unwrap();
    // A day later the token is forgotten.
    database.sql("SELECT deleted FROM untag_compact(1700086400000, 100000000, 1000000, 10, 1, 0)");
    assert_eq!(database.sql("SELECT count(*) FROM client_token"), "0");
    store.untag(untag_env(1), with_token("b")).await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn postgres_log_begins_a_new_history_with_an_import() {
    let database = database_with(&[&[]]);
    let store = open(&database.url()).await;
    make_changes(&store, 2).await;
    let before = history(&store).await;
    assert_eq!(before.newest, Revision::new(2));
    import(&database.url(), &user_line(1, &[("team", "a")]));
    let after = history(&store).await;
    assert_ne!(after.id, before.id);
    assert_eq!((after.newest, after.oldest), (None, None));
    make_changes(&store, 1).await;
    let query = ChangesQuery {
        account: account(),
        from: Revision::FIRST,
        direction: Direction::Forwards,
        user: Some(ResourceId::parse("1").unwrap()),
        most: 10,
        most_effects: usize::MAX,
    };
    assert_eq!(store.changes(Arc::new(query)).await.unwrap().len(), 1);
}
