//! Replicas that are restarted one by one, behind a client that goes round them.

use std::collections::VecDeque;
use std::fs;
use std::io::Read as _;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use serde::Deserialize;
use serde_json::json;
use tonic_health::pb::health_check_response::ServingStatus;

use super::harness::{database_with, serve_command, wait_for_health};
use crate::support::postgres::Database;
use crate::support::{PATIENCE, Server};

const REPLICAS: u8 = 3;
/// The number of users: so many that requests seldom wait for the same one.
const USERS: usize = 3_000;
const TAGS_OF_A_USER: usize = 20;
/// How many requests a process has to have answered before the next one may be restarted: clients are back then, and it
/// is under load. Kubernetes has minReadySeconds for that: a client tries an address again a second after it was refused.
const UNDER_LOAD: usize = 100;

/// The behaviour of a client beside going round the replicas.
#[derive(Clone, Copy, PartialEq)]
enum Client {
    /// It does as deploy/client/service-config.json says: it watches their health, and sends again what was UNAVAILABLE.
    Careful,
    /// Nothing. Like every gRPC library it sends again only what no server has taken up.
    Plain,
}

/// The client, under way.
struct Load(Child);

/// The results of the client's requests.
#[derive(Deserialize)]
struct Requests {
    answered: usize,
    failures: Vec<String>,
}

impl Load {
    fn start(replicas: &[SocketAddr], client: Client) -> Self {
        let target: Vec<_> = replicas.iter().map(ToString::to_string).collect();
        let root = Path::new(env!("CARGO_MANIFEST_DIR"));
        let config = match client {
            Client::Careful => {
                fs::read_to_string(root.join("deploy/client/service-config.json")).unwrap()
            }
            Client::Plain => json!({ "loadBalancingConfig": [{ "round_robin": {} }] }).to_string(),
        };
        let python = root.join("target/venv/bin/python");
        assert!(
            python.exists(),
            "{} is missing: run scripts/setup",
            python.display()
        );
        let process = Command::new(python)
            .arg(root.join("tests/stores/postgres/round_robin_client.py"))
            .arg(format!("ipv4:{}", target.join(",")))
            .arg(config)
            .arg(USERS.to_string())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn();
        Self(process.unwrap())
    }

    /// Ends the load and waits for the last answers.
    fn finish(mut self) -> Requests {
        drop(self.0.stdin.take());
        let mut said = String::new();
        let output = self.0.stdout.as_mut().unwrap();
        output.read_to_string(&mut said).unwrap();
        assert!(self.0.wait().unwrap().success());
        serde_json::from_str(&said).unwrap()
    }
}

impl Drop for Load {
    fn drop(&mut self) {
        // It has ended already, unless the test has failed.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// How many requests a server has answered with OK, by its log.
fn answered_by(server: &Server) -> usize {
    server.count_in_log(|line| {
        line["message"] == "request"
            && line["code"] == "OK"
            && line["method"] == "/ram.tag.v1.TagService/UntagResources"
    })
}

/// Waits until a server has the client back, and is under load.
async fn wait_for_load(server: &Server) {
    let started = Instant::now();
    loop {
        let answered = answered_by(server);
        if answered >= UNDER_LOAD {
            return;
        }
        assert!(started.elapsed() < PATIENCE, "only {answered} answered");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

/// Ends a server as the kubelet does, and returns how many requests it has answered.
fn stop(mut server: Server) -> usize {
    server.signal("TERM");
    assert_eq!(server.wait(PATIENCE).code(), Some(0));
    let in_flight = server.wait_for_log("draining")["in_flight"].clone();
    println!("SIGTERM with {in_flight} requests in flight");
    server.wait_for_log("drained");
    answered_by(&server)
}

/// Starts a server, which counts as back when its health says so.
async fn start(database: &Database, address: SocketAddr) -> Server {
    let server = Server::spawn_at(serve_command(&database.url(), &[]), address);
    // It was so when the log said "ready"; a machine that is busy may have changed that for a moment.
    wait_for_health(&server, ServingStatus::Serving).await;
    server
}

async fn check_rolling_restart(client: Client) {
    let keys: Vec<_> = (0..TAGS_OF_A_USER).map(|key| format!("k{key}")).collect();
    let tags: Vec<_> = keys.iter().map(|key| (key.as_str(), "x")).collect();
    let database = database_with(&vec![tags.as_slice(); USERS]);
    // Addresses of their own: nobody else takes the port while a replica is away, and no other test the addresses.
    let first = match client {
        Client::Careful => 2,
        Client::Plain => 2 + REPLICAS,
    };
    let free = TcpListener::bind((Ipv4Addr::new(127, 0, 0, first), 0)).unwrap();
    let port = free.local_addr().unwrap().port();
    drop(free);
    let addresses = (0..REPLICAS).map(|replica| ([127, 0, 0, first + replica], port).into());
    let addresses: Vec<SocketAddr> = addresses.collect();
    let mut servers = VecDeque::new();
    for address in &addresses {
        servers.push_back(start(&database, *address).await);
    }
    let load = Load::start(&addresses, client);
    for server in &servers {
        wait_for_load(server).await;
    }

    let mut by_process = Vec::new();
    for address in &addresses {
        by_process.push(stop(servers.pop_front().unwrap()));
        let server = start(&database, *address).await;
        wait_for_load(&server).await;
        servers.push_back(server);
    }
    let Requests { answered, failures } = load.finish();
    by_process.extend(servers.into_iter().map(stop));

    println!(
        "answered: {answered}, failed: {}, restarts: {REPLICAS}; by each process: {by_process:?}",
        failures.len()
    );
    assert_eq!(failures, [""; 0]);
    let carried_out: usize = by_process.iter().sum();
    assert_eq!(answered, carried_out, "each was carried out once");

    // Each tag that was removed for an answer is gone, and no other. A fast machine goes on when none is left: then all are.
    let left = database.sql(&format!(
        "SELECT count(*), count(*) FILTER (WHERE substr(key, 2)::int * {USERS} + resource_id::int - 1 < {answered}) \
         FROM resource, jsonb_object_keys(tags) AS key"
    ));
    let wanted = (USERS * TAGS_OF_A_USER).saturating_sub(answered);
    assert_eq!(left, format!("{wanted}|0"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn postgres_rolling_restart_fails_no_request_of_a_careful_client() {
    check_rolling_restart(Client::Careful).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn postgres_rolling_restart_fails_no_request_of_a_plain_client() {
    check_rolling_restart(Client::Plain).await;
}
