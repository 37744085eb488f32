//! Short ways to run the service on a database and to talk to it.

use std::collections::BTreeMap;
use std::process::{Command, Output, Stdio};
use std::time::Instant;

use tokio_postgres::NoTls;
use tonic::transport::{Channel, Endpoint};
use tonic::{Code, Status};
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_check_response::ServingStatus;
use tonic_health::pb::health_client::HealthClient;
use untag::grpc::proto::list_tag_resources_request::Resources as Listed;
use untag::grpc::proto::tag_resources_request::Resources as Tagged;
use untag::grpc::proto::tag_service_client::TagServiceClient;
use untag::grpc::proto::untag_resources_request::Resources as Untagged;
use untag::grpc::proto::{
    ListTagResourcesRequest, ResourceIds, Tag, TagResourcesRequest, UntagResourcesRequest,
};

use crate::support::postgres::{Database, shared};
use crate::support::{PATIENCE, Server, untag};

/// The account of every user here, which the servers have as their default.
pub const ACCOUNT: &str = "7";

pub type Client = TagServiceClient<Channel>;

/// Another session of the database.
pub async fn session(database: &Database) -> tokio_postgres::Client {
    let (session, connection) = tokio_postgres::connect(&database.url(), NoTls)
        .await
        .unwrap();
    tokio::spawn(connection);
    session
}

/// Has a session hold the table of users until it commits: nobody else reads or changes it.
pub async fn hold_users(session: &tokio_postgres::Client) {
    let lock = "BEGIN; LOCK TABLE resource IN ACCESS EXCLUSIVE MODE";
    session.batch_execute(lock).await.unwrap();
}

/// Runs a subcommand on a store to its end.
pub fn run_on(store: &str, arguments: &[&str]) -> Output {
    let mut command = untag();
    command
        .args(arguments)
        .env("UNTAG_STORE", store)
        .output()
        .expect("untag runs")
}

/// As [`run_on`], and returns what it printed; it has to succeed.
pub fn ok_on(store: &str, arguments: &[&str]) -> String {
    let output = run_on(store, arguments);
    assert!(
        output.status.success(),
        "{arguments:?}: {}",
        stderr(&output)
    );
    String::from_utf8(output.stdout).unwrap()
}

pub fn stderr(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

/// A database with the schema and these users, whose ids are 1 and so on.
pub fn database_with(users: &[&[(&str, &str)]]) -> Database {
    let database = shared().database();
    fill(&database, users);
    database
}

/// Gives an empty database the schema and users.
pub fn fill(database: &Database, users: &[&[(&str, &str)]]) {
    ok_on(&database.url(), &["migrate"]);
    let lines = users.iter().zip(1..).map(|(tags, id)| user_line(id, tags));
    import(&database.url(), &lines.collect::<String>());
}

/// A user as `untag import` reads it.
pub fn user_line(id: usize, tags: &[(&str, &str)]) -> String {
    let tags: BTreeMap<_, _> = tags.iter().copied().collect();
    let tags = serde_json::to_string(&tags).unwrap();
    let name = format!("user-{id}@example.com");
    format!(
        "{{\"account_id\":\"{ACCOUNT}\",\"resource_type\":\"user\",\"resource_id\":\"{id}\",\
         \"principal_name\":\"{name}\",\"tags\":{tags}}}\n"
    )
}

/// Imports lines, which has to succeed.
pub fn import(store: &str, lines: &str) {
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(&file, lines).unwrap();
    ok_on(store, &["import", file.path().to_str().unwrap()]);
}

/// Starts the service on a store and waits until it is ready.
pub fn serve(store: &str, arguments: &[&str]) -> Server {
    Server::spawn(serve_command(store, arguments))
}

/// The service on a store, to be started.
pub fn serve_command(store: &str, arguments: &[&str]) -> Command {
    let mut command = untag();
    command
        .args(["serve", "--default-account", ACCOUNT])
        .args(arguments)
        .env("UNTAG_STORE", store)
        .stdout(Stdio::null());
    command
}

/// The error of `serve` when it refuses to start.
pub fn refused_to_serve(store: &str) -> String {
    let output = run_on(store, &["serve"]);
    assert!(!output.status.success(), "it was to refuse");
    stderr(&output)
}

pub fn resource_ids(ids: &[usize]) -> ResourceIds {
    ResourceIds {
        values: ids.iter().map(ToString::to_string).collect(),
    }
}

pub async fn remove(client: &mut Client, ids: &[usize], keys: &[&str]) -> Result<(), Status> {
    let request = untag_request(ids, keys);
    client.untag_resources(request).await.map(drop)
}

/// A request that removes these tags.
pub fn untag_request(ids: &[usize], keys: &[&str]) -> UntagResourcesRequest {
    UntagResourcesRequest {
        resources: Some(Untagged::ResourceIds(resource_ids(ids))),
        tag_keys: keys.iter().map(ToString::to_string).collect(),
        ..UntagResourcesRequest::default()
    }
}

pub async fn set(client: &mut Client, ids: &[usize], tags: &[(&str, &str)]) -> Result<(), Status> {
    let request = tag_request(ids, tags);
    client.tag_resources(request).await.map(drop)
}

/// A request that sets these tags.
pub fn tag_request(ids: &[usize], tags: &[(&str, &str)]) -> TagResourcesRequest {
    let tag = |(key, value): &(&str, &str)| Tag {
        key: (*key).to_owned(),
        value: (*value).to_owned(),
    };
    TagResourcesRequest {
        resources: Some(Tagged::ResourceIds(resource_ids(ids))),
        tags: tags.iter().map(tag).collect(),
        ..TagResourcesRequest::default()
    }
}

/// The first page of the tags of users, as (id, key, value).
pub async fn tags_of(
    client: &mut Client,
    ids: &[usize],
) -> Result<Vec<(String, String, String)>, Status> {
    let request = ListTagResourcesRequest {
        resources: Some(Listed::ResourceIds(resource_ids(ids))),
        ..ListTagResourcesRequest::default()
    };
    let answer = client.list_tag_resources(request).await?.into_inner();
    let tags = answer.tag_resources.into_iter();
    Ok(tags
        .map(|tag| (tag.resource_id, tag.tag_key, tag.tag_value))
        .collect())
}

/// Checks a failure that a caller may see when the database is out of reach: it says what became of the change.
pub fn assert_says_what_happened(status: &Status, allowed: &[Code]) {
    assert!(allowed.contains(&status.code()), "{status:?}");
    let says = ["nothing was changed", "the change may have been made"];
    assert!(
        says.iter().any(|text| status.message().contains(text)),
        "{status:?}"
    );
}

/// Health as probes see it.
pub async fn health(server: &Server) -> ServingStatus {
    let endpoint = Endpoint::from_shared(format!("http://{}", server.admin_address)).unwrap();
    let asked = async {
        let channel = endpoint
            .connect()
            .await
            .expect("the admin port accepts connections");
        let request = HealthCheckRequest {
            service: String::new(),
        };
        HealthClient::new(channel)
            .check(request)
            .await
            .expect("health answers")
    };
    let answer = tokio::time::timeout(PATIENCE, asked)
        .await
        .expect("health answers in time");
    answer.into_inner().status()
}

/// Waits for a status of health, which has to answer all the while.
pub async fn wait_for_health(server: &Server, wanted: ServingStatus) {
    let start = Instant::now();
    while health(server).await != wanted {
        assert!(
            start.elapsed() < PATIENCE,
            "not {wanted:?}: {:#?}",
            server.log_lines()
        );
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
    }
}

/// Waits until a request of the service waits for a lock in this database.
pub async fn wait_for_lock_wait(database: &Database) {
    wait_for_lock_waits(database, 1).await;
}

/// Waits until statements on so many connections wait for a lock.
pub async fn wait_for_lock_waits(database: &Database, wanted: usize) {
    // From a session of its own each time: within a transaction the view stays as it was at first.
    let waiting = "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'untag' \
                   AND wait_event_type = 'Lock' AND datname = current_database()";
    let start = Instant::now();
    loop {
        let found: usize = database.sql(waiting).parse().unwrap();
        if found >= wanted {
            return;
        }
        assert!(start.elapsed() < PATIENCE, "{found} requests wait");
        tokio::time::sleep(std::time::Duration::from_millis(10)).await;
    }
}

/// The lines of statements that were carried out, in a log with their times. Those of the readiness check are for no account.
pub fn executed(log: &str) -> impl Iterator<Item = &str> {
    let lines = log.lines().zip(log.lines().skip(1));
    let executed = lines.filter(|(line, _)| line.contains(" execute "));
    let of_requests = executed.filter(|(_, parameters)| !parameters.contains("$1 = ''"));
    of_requests.map(|(line, _)| line)
}
