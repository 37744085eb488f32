//! What watching costs, and how soon a change is told: printed, and compared with bounds that any machine keeps.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use tokio::task::JoinSet;
use untag::grpc::proto::WatchStart;
use untag::grpc::proto::change_service_client::ChangeServiceClient;
use untag::grpc::proto::tag_service_client::TagServiceClient;
use untag::grpc::proto::watch_changes_response::Event;

use super::home::Home;
use super::writers::Writing;
use crate::support::long_run::{say, variable};
use crate::support::watcher::from;
use crate::support::{PATIENCE, Server};

/// Writers of one connection, each with a change in flight.
const IN_FLIGHT: usize = 64;

/// Changes users for a while with so many changes in flight, and returns how many were made a second.
async fn rate(server: &Server, seconds: f64) -> f64 {
    let writing = Arc::new(Writing::default());
    let channel = server.channel().await;
    let mut writers = JoinSet::new();
    for number in 0..IN_FLIGHT {
        let (writing, mut client) = (Arc::clone(&writing), TagServiceClient::new(channel.clone()));
        writers.spawn(async move {
            let until = Instant::now() + Duration::from_secs_f64(seconds);
            while Instant::now() < until {
                writing
                    .change(&mut client, number..number + 1)
                    .await
                    .unwrap();
            }
        });
    }
    let begun = Instant::now();
    writers.join_all().await;
    let answered = u32::try_from(writing.answered.load(Ordering::Relaxed)).unwrap();
    f64::from(answered) / begun.elapsed().as_secs_f64()
}

/// Watches on connections of a hundred streams each, until they are stopped. Counts what they are told.
async fn watch(
    server: &Server,
    count: usize,
    told: &Arc<AtomicU64>,
    stop: &Arc<AtomicBool>,
) -> JoinSet<()> {
    let mut watching = JoinSet::new();
    let mut channel = server.channel().await;
    for number in 0..count {
        if number % 100 == 99 {
            channel = server.channel().await;
        }
        let mut client = ChangeServiceClient::new(channel.clone());
        let stream = client.watch_changes(from(WatchStart::Now)).await;
        let mut stream = stream.unwrap().into_inner();
        let (told, stop) = (Arc::clone(told), Arc::clone(stop));
        watching.spawn(async move {
            while !stop.load(Ordering::Relaxed) {
                let message = tokio::time::timeout(PATIENCE, stream.message()).await;
                message.unwrap().unwrap().unwrap();
                told.fetch_add(1, Ordering::Relaxed);
            }
        });
    }
    watching
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_change_is_told_soon_and_watches_leave_most_of_the_rate() {
    let watches: usize = variable("UNTAG_FEED_WATCHES").unwrap_or(50);
    let seconds: f64 = variable("UNTAG_FEED_SECONDS").unwrap_or(1.0);
    let home = Home::new();
    let server = home.serve(&["--max-requests-in-flight", "2000"]);
    rate(&server, seconds / 2.0).await;
    let alone = rate(&server, seconds).await;
    let (told, stop) = (Arc::default(), Arc::default());
    let mut watching = watch(&server, watches, &told, &stop).await;
    let beside = rate(&server, seconds).await;
    stop.store(true, Ordering::Relaxed);
    watching.shutdown().await;
    say(&format!(
        "feed: {alone:.0} changes a second with nobody watching, {beside:.0} with {watches} watches \
         ({:.2}), {} messages told",
        beside / alone,
        told.load(Ordering::Relaxed),
    ));
    // A watch of every change costs something; that it holds nobody up is what any machine shows.
    assert!(beside > alone / 10.0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_change_is_told_soon_with_64_in_flight() {
    let seconds: f64 = variable("UNTAG_FEED_SECONDS").unwrap_or(1.0);
    let home = Home::new();
    let server = home.serve(&[]);
    let mut client = ChangeServiceClient::new(server.channel().await);
    let stream = client.watch_changes(from(WatchStart::Now)).await;
    let mut stream = stream.unwrap().into_inner();
    let stop = Arc::new(AtomicBool::new(false));
    let reading = tokio::spawn({
        let stop = Arc::clone(&stop);
        async move {
            let mut seen = HashMap::new();
            while !stop.load(Ordering::Relaxed) {
                let message = tokio::time::timeout(PATIENCE, stream.message()).await;
                if let Event::Change(change) = message.unwrap().unwrap().unwrap().event.unwrap() {
                    seen.insert(change.request_id, Instant::now());
                }
            }
            seen
        }
    });
    let writing = Arc::new(Writing::default());
    let channel = server.channel().await;
    let mut writers = JoinSet::new();
    for number in 0..IN_FLIGHT {
        let (writing, mut client) = (Arc::clone(&writing), TagServiceClient::new(channel.clone()));
        writers.spawn(async move {
            let until = Instant::now() + Duration::from_secs_f64(seconds);
            let mut answers = Vec::new();
            while Instant::now() < until {
                let answer = writing.change(&mut client, number..number + 1).await;
                answers.push((answer.unwrap().request_id, Instant::now()));
            }
            answers
        });
    }
    let answers: Vec<_> = writers.join_all().await.into_iter().flatten().collect();
    // The last change lets the watcher see that it is to stop.
    stop.store(true, Ordering::Relaxed);
    let mut last = TagServiceClient::new(channel);
    writing.change(&mut last, 0..1).await.unwrap();
    let seen = reading.await.unwrap();
    let mut delays: Vec<Duration> = answers
        .iter()
        .filter_map(|(id, answered)| Some(seen.get(id)?.saturating_duration_since(*answered)))
        .collect();
    delays.sort_unstable();
    let at = |share: usize| delays[(delays.len() - 1) * share / 100];
    say(&format!(
        "feed: {} changes with {IN_FLIGHT} in flight; told behind their answers: p50 {:?}, p99 {:?}, at most {:?}",
        delays.len(),
        at(50),
        at(99),
        at(100),
    ));
    assert!(delays.len() * 10 > answers.len() * 9);
}
