//! Changes with client tokens that are sent again, through connections that are cut on both sides of the service.

use std::time::Instant;

use untag::grpc::proto::tag_service_client::TagServiceClient;
use untag::grpc::proto::{TagResourcesRequest, UntagResourcesRequest};

use super::cutting_proxy::CuttingProxy;
use super::log::values;
use super::retry::insist;
use super::store::{Home, Replicas};
use crate::postgres::harness::{Client, tag_request, untag_request};
use crate::support::long_run::{say, variable};

const USERS: usize = 6;
/// How often a connection of clients is cut; `UNTAG_CUTS` sets another number.
const CUTS: usize = 100;

/// What came of the changes of one user.
#[derive(Default)]
struct Rounds {
    count: usize,
    /// How often a request was sent again.
    again: usize,
    /// How often a change did not find what the one before it had made.
    lost: usize,
}

/// Sets and removes a tag of a user in turn, each change with a token of its own.
async fn set_and_remove(client: Client, user: usize, proxy: CuttingProxy, cuts: usize) -> Rounds {
    let mut rounds = Rounds::default();
    while proxy.cuts() < cuts {
        let value = rounds.count.to_string();
        let set = TagResourcesRequest {
            client_token: format!("set {user} {value}"),
            ..tag_request(&[user], &[("env", &value)])
        };
        let answer = insist!(&mut rounds.again, client, tag_resources, set).await;
        rounds.lost += usize::from(answer.changed_tags != Some(1));
        let untag = UntagResourcesRequest {
            client_token: format!("untag {user} {value}"),
            ..untag_request(&[user], &["env"])
        };
        let answer = insist!(&mut rounds.again, client, untag_resources, untag).await;
        rounds.lost += usize::from(answer.changed_tags != Some(1));
        rounds.count += 1;
    }
    rounds
}

async fn check_cuts(home: Home) {
    let cuts = variable("UNTAG_CUTS").unwrap_or(CUTS);
    let first = home.resources().await;
    let replicas = Replicas::start(&home, 1).await;
    let start = Instant::now();
    replicas.begin_cutting();
    let run = |user| {
        let client = TagServiceClient::new(replicas.channel(user));
        tokio::spawn(set_and_remove(client, user, replicas.proxy(), cuts))
    };
    let tasks: Vec<_> = (1..=USERS).map(run).collect();
    let mut rounds = Vec::new();
    for task in tasks {
        rounds.push(task.await.unwrap());
    }
    let took = start.elapsed();
    let (of_clients, to_database) = replicas.cuts();
    replicas.end();
    let log = home.check_log(&first).await;
    let made = 2 * rounds.iter().map(|rounds| rounds.count).sum::<usize>();
    let again: usize = rounds.iter().map(|rounds| rounds.again).sum();
    let lost: usize = rounds.iter().map(|rounds| rounds.lost).sum();
    say(&format!(
        "{of_clients} connections to the service and {} to the database cut, {made} changes, {again} sent again, {} double \
         effects, {lost} newer tags lost, in {took:?}",
        to_database.unwrap_or(0),
        log.len().saturating_sub(made),
    ));
    for (user, rounds) in (1..=USERS).zip(&rounds) {
        let expected: Vec<_> = (0..rounds.count)
            .flat_map(|round| [format!("+{round}"), format!("-{round}")])
            .collect();
        assert_eq!(values(&log, user), expected, "user {user}");
    }
    assert_eq!((log.len(), lost), (made, 0));
    assert!(again > 0 && to_database != Some(0));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sqlite_changes_with_tokens_are_made_once_however_often_they_are_sent() {
    check_cuts(Home::embedded(&[&[][..]; USERS])).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn postgres_changes_with_tokens_are_made_once_however_often_they_are_sent() {
    check_cuts(Home::postgres(&[&[][..]; USERS])).await;
}
