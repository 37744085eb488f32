//! A primary that dies, and its synchronous standby that takes over.

use std::collections::HashSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use tokio::sync::watch;
use tokio::task::JoinSet;
use tonic::Code;
use tonic_health::pb::health_check_response::ServingStatus;
use untag::grpc::proto::UntagResourcesRequest;

use super::harness::{
    ACCOUNT, Client, assert_says_what_happened, import, ok_on, remove, serve, untag_request,
    user_line, wait_for_health,
};
use super::log_check::{check, resources};
use crate::support::PATIENCE;
use crate::support::postgres::{Cluster, Database, PASSWORD, USER};
use crate::support::watcher::{Pace, Watcher};

const CLIENTS: usize = 6;
const WATCHERS: usize = 6;
const USERS: usize = 3_000;
const KEYS: usize = 20;

/// A primary whose commits wait for its standby.
fn start_pair() -> (Cluster, Cluster) {
    let primary = Cluster::start("wal_level = replica\nsynchronous_commit = on\n");
    let standby = primary.start_standby("standby");
    // Only now, so that the primary could be copied, and so that the copy waits for nobody.
    primary.sql(
        "postgres",
        "ALTER SYSTEM SET synchronous_standby_names = 'standby'",
    );
    primary.sql("postgres", "SELECT pg_reload_conf()");
    let start = Instant::now();
    while primary.sql("postgres", "SELECT sync_state FROM pg_stat_replication") != "sync" {
        assert!(start.elapsed() < PATIENCE, "the standby does not follow");
        std::thread::sleep(Duration::from_millis(50));
    }
    (primary, standby)
}

fn url_of_both(first: &Cluster, second: &Cluster, database: &Database) -> String {
    format!(
        "postgres://{USER}:{PASSWORD}@127.0.0.1:{},127.0.0.1:{}/{}?target_session_attrs=read-write",
        first.port, second.port, database.name
    )
}

fn fill_many(database: &Database) {
    ok_on(&database.url(), &["migrate"]);
    let keys: Vec<String> = (0..KEYS).map(|key| format!("key-{key}")).collect();
    let tags: Vec<_> = keys.iter().map(|key| (key.as_str(), "x")).collect();
    let lines: String = (0..USERS).map(|user| user_line(user, &tags)).collect();
    import(&database.url(), &lines);
}

#[derive(Default)]
struct Progress {
    stop: AtomicBool,
    answered: AtomicUsize,
}

/// Removes one tag after the other, each once, and returns those that were answered and how many failed.
async fn untag_one_by_one(
    mut client: Client,
    number: usize,
    progress: Arc<Progress>,
) -> (Vec<(usize, usize)>, usize) {
    let (mut answered, mut failed) = (Vec::new(), 0);
    let tags = (0..USERS).filter(|user| user % CLIENTS == number);
    for (user, key) in tags.flat_map(|user| (0..KEYS).map(move |key| (user, key))) {
        if progress.stop.load(Ordering::Relaxed) {
            break;
        }
        match remove(&mut client, &[user], &[&format!("key-{key}")]).await {
            Ok(()) => {
                answered.push((user, key));
                progress.answered.fetch_add(1, Ordering::Relaxed);
            }
            Err(failure) => {
                assert_says_what_happened(&failure, &[Code::Unavailable, Code::DeadlineExceeded]);
                failed += 1;
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    (answered, failed)
}

async fn wait_for_answers(progress: &Progress, more: usize) {
    let wanted = progress.answered.load(Ordering::Relaxed) + more;
    let start = Instant::now();
    while progress.answered.load(Ordering::Relaxed) < wanted {
        assert!(start.elapsed() < 2 * PATIENCE, "the service does not go on");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn postgres_failover_loses_nothing_that_was_answered() {
    let (primary, standby) = start_pair();
    let database = primary.database();
    fill_many(&database);
    let first = resources(&database.url()).await;
    let server = serve(
        &url_of_both(&primary, &standby, &database),
        &["--request-timeout", "5"],
    );
    let with_token = || UntagResourcesRequest {
        client_token: "before the primary died".to_owned(),
        ..untag_request(&[USERS - 1], &["key-0"])
    };
    let mut client = server.client().await;
    let made = client.untag_resources(with_token()).await.unwrap();
    let (tell_end, end) = watch::channel(None);
    let mut watching = JoinSet::new();
    for number in 0..WATCHERS {
        let pace = match number % 3 {
            0 => Pace::Stalling(50, Duration::from_millis(100)),
            _ => Pace::Quick,
        };
        watching.spawn(Watcher::new(server.address, pace).run(end.clone()));
    }
    let progress = Arc::new(Progress::default());
    let mut running = Vec::new();
    for number in 0..CLIENTS {
        let client = server.client().await;
        running.push(tokio::spawn(untag_one_by_one(
            client,
            number,
            Arc::clone(&progress),
        )));
    }
    wait_for_answers(&progress, 200).await;
    primary.signal("KILL");
    let died = Instant::now();
    standby.promote();
    println!("promoted {:?} after the primary died", died.elapsed());
    wait_for_answers(&progress, 1).await;
    println!(
        "answering again {:?} after the primary died",
        died.elapsed()
    );
    wait_for_answers(&progress, 200).await;
    let start = Instant::now();
    let again = loop {
        // A connection of the service may still lead to the dead primary.
        match client.untag_resources(with_token()).await {
            Ok(again) => break again,
            Err(failure) => assert!(start.elapsed() < PATIENCE, "{failure:?}"),
        }
    };
    assert_eq!(again.into_inner(), made.into_inner());
    progress.stop.store(true, Ordering::Relaxed);
    let (mut answered, mut failed) = (Vec::new(), 0);
    for client in running {
        let counts = client.await.unwrap();
        answered.extend(counts.0);
        failed += counts.1;
    }

    let sql = format!(
        "SELECT resource_id, key FROM resource, jsonb_object_keys(tags) key WHERE account_id = '{ACCOUNT}'"
    );
    let left = standby.sql(&database.name, &sql);
    let left: HashSet<&str> = left.lines().collect();
    assert!(left.len() < USERS * KEYS, "nothing was removed");
    let is_left =
        |(user, key): &&(usize, usize)| left.contains(format!("{user}|key-{key}").as_str());
    let lost: Vec<_> = answered.iter().filter(is_left).collect();
    println!(
        "{} untags answered, {failed} failed, {} lost",
        answered.len(),
        lost.len()
    );
    assert!(lost.is_empty(), "{lost:?}");
    let promoted = Database {
        port: standby.port,
        name: database.name.clone(),
    };
    let changes = check(&promoted.url(), &first).await;
    assert!(changes.len() > answered.len());
    let logged: Vec<(u64, String)> = changes
        .iter()
        .map(|change| (change.revision.get(), change.request_id.to_string()))
        .collect();
    tell_end.send_replace(logged.last().map(|(newest, _)| *newest));
    let told = tokio::time::timeout(4 * PATIENCE, watching.join_all());
    for watcher in told.await.expect("each watcher gets to the end") {
        assert!(
            watcher.told == logged,
            "another sequence than that of the log"
        );
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn postgres_failover_from_a_primary_that_hangs() {
    let (primary, standby) = start_pair();
    let database = primary.database();
    fill_many(&database);
    let server = serve(
        &url_of_both(&primary, &standby, &database),
        &["--request-timeout", "5"],
    );
    // It accepts connections, by its kernel, and never says a word.
    primary.signal("STOP");
    wait_for_health(&server, ServingStatus::NotServing).await;
    standby.promote();
    wait_for_health(&server, ServingStatus::Serving).await;
    // Other connections may still have to find out.
    let mut client = server.client().await;
    let start = Instant::now();
    while let Err(failure) = remove(&mut client, &[1], &["key-1"]).await {
        assert_says_what_happened(&failure, &[Code::Unavailable, Code::DeadlineExceeded]);
        assert!(start.elapsed() < PATIENCE, "{failure:?}");
    }
    let sql = "SELECT tags ? 'key-1' FROM resource WHERE resource_id = '1'";
    assert_eq!(standby.sql(&database.name, sql), "f");
}
