//! Changes with client tokens that are sent again, through connections that are cut on both sides of the service.

use std::time::{Duration, Instant};

use tonic::transport::Endpoint;
use tonic::{Response, Status};
use untag::grpc::proto::tag_service_client::TagServiceClient;
use untag::grpc::proto::{TagResourcesRequest, UntagResourcesRequest};

use super::cutting_proxy::CuttingProxy;
use super::harness::{Client, database_with, serve, tag_request, untag_request};
use super::log_check::{check, resources, values};
use crate::support::postgres::Database;

const USERS: usize = 6;
/// How often a connection of clients is cut, and at least as often one to the database; `UNTAG_CUTS` sets another number.
const CUTS: usize = 100;

/// Sends a request until it is answered, and counts how often it was not.
async fn insist<A, F>(failures: &mut usize, send: impl Fn() -> F) -> A
where
    F: Future<Output = Result<Response<A>, Status>>,
{
    loop {
        match send().await {
            Ok(answer) => return answer.into_inner(),
            Err(_) => *failures += 1,
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

/// Sets and removes a tag of a user in turn, each change with a token of its own. Returns how many rounds there were, and how often
/// a request was sent again.
async fn set_and_remove(
    client: Client,
    user: usize,
    proxy: CuttingProxy,
    cuts: usize,
) -> (usize, usize) {
    let (mut rounds, mut again) = (0, 0);
    while proxy.cuts() < cuts {
        let value = rounds.to_string();
        let set = TagResourcesRequest {
            client_token: format!("set {user} {rounds}"),
            ..tag_request(&[user], &[("env", &value)])
        };
        let send = || {
            let (mut client, set) = (client.clone(), set.clone());
            async move { client.tag_resources(set).await }
        };
        let answer = insist(&mut again, send).await;
        assert_eq!(answer.changed_tags, Some(1));
        let untag = UntagResourcesRequest {
            client_token: format!("untag {user} {rounds}"),
            ..untag_request(&[user], &["env"])
        };
        let send = || {
            let (mut client, untag) = (client.clone(), untag.clone());
            async move { client.untag_resources(untag).await }
        };
        let answer = insist(&mut again, send).await;
        assert_eq!(answer.changed_tags, Some(1), "a newer tag was lost");
        rounds += 1;
    }
    (rounds, again)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn postgres_changes_with_tokens_are_made_once_however_often_they_are_sent() {
    let cuts = std::env::var("UNTAG_CUTS").map_or(CUTS, |cuts| cuts.parse().unwrap());
    let database = database_with(&[&[][..]; USERS]);
    let first = resources(&database.url()).await;
    let to_database = CuttingProxy::start(database.port).await;
    let behind = Database {
        port: to_database.port,
        name: database.name.clone(),
    };
    let server = serve(&behind.url(), &["--store-connections", "3"]);
    let to_service = CuttingProxy::start(server.address.port()).await;
    let mut tasks = Vec::new();
    let start = Instant::now();
    to_database.begin_cutting();
    to_service.begin_cutting();
    for user in 1..=USERS {
        let endpoint = format!("http://127.0.0.1:{}", to_service.port);
        let channel = Endpoint::from_shared(endpoint).unwrap().connect_lazy();
        let client = TagServiceClient::new(channel);
        tasks.push(tokio::spawn(set_and_remove(
            client,
            user,
            to_service.clone(),
            cuts,
        )));
    }
    let (mut rounds, mut again) = (Vec::new(), 0);
    for task in tasks {
        let (of_user, again_of_user) = task.await.unwrap();
        rounds.push(of_user);
        again += again_of_user;
    }
    println!(
        "{} connections to the service and {} to the database cut, {} changes, {again} sent again, in {:?}",
        to_service.cuts(),
        to_database.cuts(),
        2 * rounds.iter().sum::<usize>(),
        start.elapsed()
    );
    to_database.end();
    let log = check(&database.url(), &first).await;
    for (user, rounds) in (1..=USERS).zip(rounds) {
        let expected: Vec<_> = (0..rounds)
            .flat_map(|round| [format!("+{round}"), format!("-{round}")])
            .collect();
        assert_eq!(values(&log, user), expected, "user {user}");
    }
    assert!(again > 0 && to_database.cuts() > 0);
}
