//! The service is killed again and again, and drained between, while it is written and watched.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use tokio::sync::watch;
use tokio::task::JoinSet;

use super::home::Home;
use super::writers::{self, Writing};
use crate::support::long_run::{say, variable};
use crate::support::watcher::{Pace, Watcher};
use crate::support::{PATIENCE, Server};

const WRITERS: usize = 4;

/// Waits until so many more changes were answered.
async fn written(writing: &Writing, more: u64) {
    let wanted = writing.answered.load(Ordering::Relaxed) + more;
    let start = Instant::now();
    while writing.answered.load(Ordering::Relaxed) < wanted {
        assert!(start.elapsed() < 2 * PATIENCE, "nothing is written");
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
}

/// Ends the service, without notice or by a drain.
async fn end(mut server: Server, by_drain: bool) {
    let ended = tokio::task::spawn_blocking(move || {
        if by_drain {
            server.signal("TERM");
            // Watches do not hold it up.
            assert!(server.wait(PATIENCE).success());
            assert_eq!(server.count_in_log(|line| line["message"] == "drained"), 1);
        } else {
            server.kill();
        }
    });
    ended.await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn watchers_are_told_every_change_once_through_kills_and_drains() {
    let watchers: usize = variable("UNTAG_FEED_WATCHERS").unwrap_or(12);
    let kills: u32 = variable("UNTAG_FEED_KILLS").unwrap_or(6);
    let home = Home::new();
    let mut server = home.serve(&[]);
    let address = server.address;
    let writing = Arc::new(Writing::default());
    let mut writing_tasks = writers::start(WRITERS, address, &writing);
    let (tell_last, last) = watch::channel(None);
    let mut watching = JoinSet::new();
    for number in 0..watchers {
        let pace = match number % 4 {
            0 => Pace::Stalling(7, Duration::from_millis(5)),
            1 => Pace::Stalling(200, Duration::from_millis(300)),
            _ => Pace::Quick,
        };
        watching.spawn(Watcher::new(address, pace).run(last.clone()));
    }
    for kill in 0..kills {
        written(&writing, 150).await;
        end(server, kill % 3 == 2).await;
        server = home.serve_at(address, &[]);
    }
    written(&writing, 150).await;
    writing.stop();
    while let Some(writer) = writing_tasks.join_next().await {
        writer.unwrap();
    }
    // What was answered is in the log, and perhaps more: the log says what the last change is.
    let newest = newest(&server).await;
    tell_last.send_replace(Some(newest));
    let told = tokio::time::timeout(4 * PATIENCE, watching.join_all());
    let told = told.await.expect("each watcher gets to the end");
    end(server, true).await;
    let log = home.log().await;
    assert_eq!(log.len() as u64, newest);
    for watcher in &told {
        assert!(watcher.told == log, "another sequence than that of the log");
    }
    let ended: usize = told.iter().map(|watcher| watcher.ended).sum();
    let with_position: usize = told.iter().map(|watcher| watcher.ended_with_position).sum();
    say(&format!(
        "feed: {watchers} watchers, {kills} kills and drains, {newest} changes, {ended} watches ended, \
         {with_position} of them with a position"
    ));
    assert!(kills < 3 || with_position > 0, "no drain has ended a watch");
}

/// The newest revision that the service tells.
async fn newest(server: &Server) -> u64 {
    use untag::grpc::proto::ListChangesRequest;
    use untag::grpc::proto::change_service_client::ChangeServiceClient;
    let mut client = ChangeServiceClient::new(server.channel().await);
    let listed = client.list_changes(ListChangesRequest::default()).await;
    let newest = listed.unwrap().into_inner().newest_revision;
    u64::try_from(newest.unwrap()).unwrap()
}
