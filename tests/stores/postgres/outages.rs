//! A database that freezes, goes away, or drops its connections.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use tonic::Code;
use tonic_health::pb::health_check_response::ServingStatus;

use super::harness::{
    assert_says_what_happened, database_with, fill, health, hold_users, remove, serve, session,
    set, tags_of, wait_for_health, wait_for_lock_wait,
};
use crate::support::PATIENCE;
use crate::support::postgres::Cluster;

const OUTAGE: [Code; 2] = [Code::DeadlineExceeded, Code::Unavailable];

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn postgres_frozen_database_is_reported_and_comes_back() {
    let cluster = Cluster::start("");
    let database = cluster.database();
    fill(&database, &[&[("env", "prod")]]);
    let server = serve(&database.url(), &["--request-timeout", "1"]);
    let mut client = server.client().await;
    set(&mut client, &[1], &[("team", "a")]).await.unwrap();

    cluster.signal("STOP");
    let frozen = Instant::now();
    wait_for_health(&server, ServingStatus::NotServing).await;
    // Longer than a statement may take, so that connections are given up and new ones are not to be had either.
    while frozen.elapsed() < Duration::from_secs(13) {
        let requests = (0..4).map(|_| {
            let mut client = client.clone();
            tokio::spawn(async move { remove(&mut client, &[1], &["env"]).await })
        });
        for request in requests.collect::<Vec<_>>() {
            let answered = tokio::time::timeout(PATIENCE, request).await;
            let failure = answered
                .expect("it ends at its deadline")
                .unwrap()
                .unwrap_err();
            assert_says_what_happened(&failure, &OUTAGE);
        }
        assert_eq!(health(&server).await, ServingStatus::NotServing);
    }
    cluster.signal("CONT");
    wait_for_health(&server, ServingStatus::Serving).await;
    remove(&mut client, &[1], &["env", "team"]).await.unwrap();
    assert_eq!(tags_of(&mut client, &[1]).await.unwrap(), []);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn postgres_frozen_database_collects_no_more_work_than_the_queue_holds() {
    let cluster = Cluster::start("");
    let database = cluster.database();
    fill(&database, &[&[("env", "prod")]]);
    let server = serve(
        &database.url(),
        &["--request-timeout", "0.3", "--queue-depth", "4"],
    );
    let client = server.client().await;
    cluster.signal("STOP");
    let mut codes = Vec::new();
    for _ in 0..6 {
        // The answer has been given up, but not the work.
        let failure = set(&mut client.clone(), &[1], &[("env", "x")])
            .await
            .unwrap_err();
        codes.push(failure.code());
    }
    assert_eq!(codes[..4], [Code::DeadlineExceeded; 4]);
    assert_eq!(codes[4..], [Code::ResourceExhausted; 2]);
    cluster.signal("CONT");
    wait_for_health(&server, ServingStatus::Serving).await;
    let start = Instant::now();
    while let Err(failure) = remove(&mut client.clone(), &[1], &["env"]).await {
        assert!(
            start.elapsed() < PATIENCE,
            "the queue stays full: {failure:?}"
        );
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn postgres_queue_that_is_full_is_not_a_database_that_is_down() {
    let database = database_with(&[&[("env", "prod")]]);
    let other = session(&database).await;
    let server = serve(&database.url(), &["--queue-depth", "1"]);
    // One request that waits for a lock fills the queue.
    other
        .batch_execute("BEGIN; SELECT FROM resource FOR UPDATE")
        .await
        .unwrap();
    let mut client = server.client().await;
    let waiting = tokio::spawn(async move { remove(&mut client, &[1], &["env"]).await });
    let mut client = server.client().await;
    wait_for_lock_wait(&database).await;
    let refused = tags_of(&mut client, &[1]).await.unwrap_err();
    assert_eq!(refused.code(), Code::ResourceExhausted);
    // Several rounds of the check.
    for _ in 0..30 {
        assert_eq!(health(&server).await, ServingStatus::Serving);
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    other.batch_execute("COMMIT").await.unwrap();
    waiting.await.unwrap().unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn postgres_lock_timeout_of_the_database_is_an_answer() {
    let database = database_with(&[&[("env", "prod")]]);
    database.sql(&format!(
        "ALTER DATABASE {} SET lock_timeout = '200ms'",
        database.name
    ));
    let other = session(&database).await;
    let server = serve(&database.url(), &[]);
    let mut client = server.client().await;
    other
        .batch_execute("BEGIN; SELECT FROM resource FOR UPDATE")
        .await
        .unwrap();
    let failure = remove(&mut client, &[1], &["env"]).await.unwrap_err();
    assert_says_what_happened(&failure, &[Code::Unavailable]);
    assert!(
        failure.message().contains("nothing was changed"),
        "{failure:?}"
    );
    other.batch_execute("COMMIT").await.unwrap();
    remove(&mut client, &[1], &["env"]).await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn postgres_database_that_was_stopped_comes_back() {
    let cluster = Cluster::start("");
    let database = cluster.database();
    fill(&database, &[&[("env", "prod")]]);
    let server = serve(&database.url(), &["--request-timeout", "5"]);
    let mut client = server.client().await;
    set(&mut client, &[1], &[("team", "a")]).await.unwrap();

    cluster.stop();
    wait_for_health(&server, ServingStatus::NotServing).await;
    for _ in 0..10 {
        let failure = remove(&mut client, &[1], &["env"]).await.unwrap_err();
        assert_says_what_happened(&failure, &OUTAGE);
    }
    cluster.resume();
    wait_for_health(&server, ServingStatus::Serving).await;
    remove(&mut client, &[1], &["env"]).await.unwrap();
    let left = tags_of(&mut client, &[1]).await.unwrap();
    // What was answered before is still there.
    assert_eq!(left, [("1".to_owned(), "team".to_owned(), "a".to_owned())]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn postgres_lost_connections_are_opened_again_and_leave_no_doubt() {
    let database = database_with(&[&[], &[], &[], &[], &[], &[]]);
    let server = serve(&database.url(), &[]);
    let working = Arc::new(AtomicBool::new(true));
    let mut running = Vec::new();
    for user in 1..=6 {
        let (mut client, working) = (server.client().await, Arc::clone(&working));
        running.push(tokio::spawn(async move {
            let (mut answered, mut failed) = (0, 0);
            while working.load(Ordering::Relaxed) {
                let answer = match (answered + failed) % 3 {
                    0 => set(&mut client, &[user], &[("env", "x")]).await,
                    1 => remove(&mut client, &[user], &["env"]).await,
                    _ => tags_of(&mut client, &[user]).await.map(drop),
                };
                match answer {
                    Ok(()) => answered += 1,
                    Err(failure) => {
                        failed += 1;
                        assert_says_what_happened(&failure, &[Code::Unavailable]);
                        // Its change was looked for in the log.
                        let said = failure.message();
                        assert!(!said.contains("may have been made"), "{said}");
                    }
                }
            }
            (answered, failed)
        }));
    }
    let mut ended = 0;
    let start = Instant::now();
    // Until enough connections were cut for certain.
    while ended < 60 {
        assert!(
            start.elapsed() < 2 * PATIENCE,
            "only {ended} connections were ended"
        );
        tokio::time::sleep(Duration::from_millis(100)).await;
        let sql = "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity \
                   WHERE application_name = 'untag' AND datname = current_database()";
        ended += database.sql(sql).parse::<usize>().unwrap();
    }
    working.store(false, Ordering::Relaxed);
    let (mut answered, mut failed) = (0, 0);
    for client in running {
        let counts = client.await.unwrap();
        answered += counts.0;
        failed += counts.1;
    }
    println!("{ended} connections ended: {answered} requests answered, {failed} failed");
    assert!(answered > failed, "{answered} answered, {failed} failed");
    wait_for_health(&server, ServingStatus::Serving).await;
    let mut client = server.client().await;
    for _ in 0..20 {
        remove(&mut client, &[1, 2, 3, 4, 5, 6], &["env"])
            .await
            .unwrap();
    }
    assert_eq!(tags_of(&mut client, &[1, 2, 3, 4, 5, 6]).await.unwrap(), []);
}

#[tokio::test]
async fn postgres_requests_whose_connection_is_lost_are_carried_out() {
    let database = database_with(&[&[("env", "prod")]]);
    let other = session(&database).await;

    for changes in [false, true] {
        // One that has lost no connection yet: its readiness check does nothing with the table.
        let server = serve(&database.url(), &[]);
        let (mut reader, mut writer) = (server.client().await, server.client().await);
        hold_users(&other).await;
        let (list, untag) = (
            tags_of(&mut reader, &[1]),
            remove(&mut writer, &[1], &["env"]),
        );
        let request = async {
            if changes {
                untag.await.expect("the untag is sent again");
            } else {
                let tags = list.await.expect("the list is sent again");
                assert_eq!(
                    tags,
                    [("1".to_owned(), "env".to_owned(), "prod".to_owned())]
                );
            }
        };
        let disturbance = async {
            wait_for_lock_wait(&database).await;
            let sql = "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity \
                       WHERE application_name = 'untag' AND datname = current_database() \
                       AND wait_event_type = 'Lock'";
            assert_eq!(database.sql(sql), "1");
            other.batch_execute("COMMIT").await.unwrap();
        };
        tokio::join!(request, disturbance);
    }
}
