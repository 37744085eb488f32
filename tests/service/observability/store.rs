//! The metrics of the store, and calls that it refuses because its queue is full.

use tonic::Code;

use super::scrape::{Scrape, scrape_until};
use crate::black_box::users::{ANN, BEN, ask, directory, ids, server, tag_request, untag_request};

#[tokio::test(flavor = "multi_thread")]
async fn changes_and_their_commits_are_counted() {
    let (server, _home) = server(&["--queue-depth", "77"]);
    let client = &mut server.client().await;
    for _ in 0..5 {
        client
            .untag_resources(ask(untag_request(ids([ANN, BEN]), &["env"])))
            .await
            .unwrap();
    }
    let scrape = Scrape::of(&server);
    assert_eq!(scrape.sum("untag_store_batch_requests_sum", &[]), 5.0);
    assert_eq!(scrape.sum("untag_store_batch_requests_count", &[]), 5.0);
    assert_eq!(scrape.sum("untag_store_commit_seconds_count", &[]), 5.0);
    assert!(scrape.sum("untag_store_commit_seconds_sum", &[]) > 0.0);
    assert_eq!(scrape.sum("untag_store_queue_capacity", &[]), 77.0);
    assert!(scrape.sum("untag_store_connections", &[]) >= 3.0);
    let allowed = &["action=\"ram:UntagResources\"", "decision=\"allowed\""];
    assert_eq!(scrape.sum("untag_policy_decisions_total", allowed), 5.0);
}

#[tokio::test(flavor = "multi_thread")]
async fn removed_tags_that_still_lie_in_their_rows_are_counted() {
    let (server, _home) = server(&[]);
    let client = &mut server.client().await;
    let mut seen = false;
    // Each second the store may be quicker to compact them than the scrape.
    for _ in 0..20 {
        let tag = tag_request(ids([ANN, BEN]), &[("gone", "")]);
        client.tag_resources(ask(tag)).await.unwrap();
        let untag = untag_request(ids([ANN, BEN]), &["gone"]);
        client.untag_resources(ask(untag)).await.unwrap();
        seen = Scrape::of(&server).sum("untag_store_uncompacted_resources", &[]) == 2.0;
        if seen {
            break;
        }
    }
    assert!(seen);
    scrape_until(&server, |scrape| {
        scrape.sum("untag_store_uncompacted_resources", &[]) == 0.0
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn changes_that_wait_for_a_locked_store_show_in_the_queue() {
    let home = directory();
    let server = home.serve(&[]);
    let client = server.client().await;
    let lock = home.lock();
    let mut callers = tokio::task::JoinSet::new();
    for _ in 0..4 {
        let mut client = client.clone();
        callers.spawn(async move {
            loop {
                // The writer gives the lock up after a while and refuses what it has taken; the next wait meanwhile.
                let _ = client
                    .untag_resources(ask(untag_request(ids([ANN]), &["env"])))
                    .await;
            }
        });
    }
    let depth = |scrape: &Scrape| scrape.sum("untag_store_queue_depth", &[]);
    // One may be the question whether the store is ready.
    scrape_until(&server, |scrape| depth(scrape) >= 2.0).await;
    callers.shutdown().await;
    drop(lock);
    scrape_until(&server, |scrape| depth(scrape) == 0.0).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_queue_shows_and_each_refusal_counts() {
    let home = directory();
    let server = home.serve(&["--queue-depth", "1"]);
    let client = server.client().await;
    let lock = home.lock();
    let mut requests = tokio::task::JoinSet::new();
    for _ in 0..8 {
        let mut client = client.clone();
        requests.spawn(async move {
            let untag = client.untag_resources(ask(untag_request(ids([ANN]), &["env"])));
            untag.await.unwrap_err().code()
        });
    }
    let codes = requests.join_all().await;
    drop(lock);
    let scrape = Scrape::of(&server);
    for (code, name) in [
        (Code::ResourceExhausted, "ResourceExhausted"),
        (Code::Unavailable, "Unavailable"),
    ] {
        let count = codes.iter().filter(|found| **found == code).count();
        assert!(count > 0, "{codes:?}");
        let count = f64::from(u32::try_from(count).unwrap());
        let labels = &[
            "grpc_method=\"UntagResources\"",
            &format!("grpc_code=\"{name}\""),
        ];
        assert_eq!(scrape.sum("grpc_server_handled_total", labels), count);
        if code == Code::ResourceExhausted {
            let throttled = scrape.sum("untag_throttled_total", &["reason=\"store_queue\""]);
            assert_eq!(throttled, count);
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_caller_that_is_too_fast_counts_as_throttled() {
    let (server, _home) = server(&["--max-caller-rate", "1"]);
    let client = &mut server.client().await;
    let mut refused = 0.0;
    for _ in 0..5 {
        let untag = client.untag_resources(ask(untag_request(ids([ANN]), &["env"])));
        if untag
            .await
            .is_err_and(|error| error.code() == Code::ResourceExhausted)
        {
            refused += 1.0;
        }
    }
    assert!(refused > 0.0);
    let scrape = Scrape::of(&server);
    assert_eq!(
        scrape.sum("untag_throttled_total", &["reason=\"caller_rate\""]),
        refused
    );
}
