//! The service config of deploy/client, which clients balance and repeat calls by, in the official Python library.

use std::collections::BTreeSet;
use std::io::{BufRead as _, BufReader, Write as _};
use std::net::SocketAddr;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;
use tempfile::TempDir;
use tonic_health::pb::HealthCheckRequest;

use crate::support::http::scrape;
use crate::support::slow_disk::SlowDisk;
use crate::support::{PATIENCE, Server, health_client, untag};
use crate::{LIST, Printed, Sample, UNTAG, tool};

const SERVICE_CONFIG: &str = include_str!("../../deploy/client/service-config.json");

fn config() -> Value {
    serde_json::from_str(SERVICE_CONFIG).unwrap()
}

/// One that asks no server for its health.
fn blind_config() -> Value {
    let mut config = config();
    config.as_object_mut().unwrap().remove("healthCheckConfig");
    config
}

fn client(servers: &[SocketAddr], config: &Value, check: &str) -> Command {
    let script = concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/tests/clients/service_config_client.py"
    );
    let servers: Vec<String> = servers.iter().map(SocketAddr::to_string).collect();
    let mut command = tool("venv/bin/python");
    command.args([script, &servers.join(","), &config.to_string(), check]);
    command
}

/// How many lists a server has answered.
fn lists(server: &Server) -> usize {
    server.count_in_log(|line| line["method"] == format!("/{LIST}"))
}

/// How many of sixty lists each of two servers answers.
fn spread(samples: &[Sample; 2], config: &Value) -> [usize; 2] {
    let before = samples.each_ref().map(|sample| lists(&sample.server));
    let servers = samples.each_ref().map(|sample| sample.server.address);
    Printed::of(&mut client(&servers, config, "list_often")).success();
    let started = Instant::now();
    loop {
        let after = samples.each_ref().map(|sample| lists(&sample.server));
        let spread = [after[0] - before[0], after[1] - before[1]];
        // The log is written behind the calls.
        if spread[0] + spread[1] == 60 {
            return spread;
        }
        assert!(started.elapsed() < PATIENCE, "{spread:?}");
        std::thread::sleep(Duration::from_millis(10));
    }
}

/// Waits until the health of a server's public port is this.
async fn wait_for_health(server: &Server, wanted: &str) {
    let mut health = health_client(server.address).await;
    let started = Instant::now();
    loop {
        let service = "ram.tag.v1.TagService".to_owned();
        let answer = health.check(HealthCheckRequest { service }).await.unwrap();
        if answer.into_inner().status().as_str_name() == wanted {
            return;
        }
        assert!(started.elapsed() < PATIENCE, "not {wanted}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

#[tokio::test]
async fn python_spreads_calls_over_the_servers_that_serve() {
    let samples = [Sample::start(&[]), Sample::start(&[])];
    let [first, second] = spread(&samples, &config());
    assert!(first.min(second) >= 20, "{first} and {second}");

    // It still answers lists, so that it is its health alone that keeps calls away.
    let held = samples[0].hold_store();
    wait_for_health(&samples[0].server, "NOT_SERVING").await;
    assert_eq!(spread(&samples, &config()), [0, 60]);
    let [first, second] = spread(&samples, &blind_config());
    assert!(first.min(second) >= 20, "{first} and {second}");

    drop(held);
    wait_for_health(&samples[0].server, "SERVING").await;
    let [first, second] = spread(&samples, &config());
    assert!(first.min(second) >= 20, "{first} and {second}");
}

#[test]
fn python_sees_no_error_while_a_server_is_killed_and_started_again() {
    let steady = Sample::start(&[]);
    let directory = tempfile::tempdir().unwrap();
    let mut killed = start_again(&directory, ([127, 0, 0, 1], 0).into());
    let address = killed.address;
    let mut client = client(
        &[steady.server.address, address],
        &config(),
        "call_until_the_input_ends",
    );
    let client = client.stdin(Stdio::piped()).stdout(Stdio::piped());
    let mut client = client.spawn().unwrap();
    for _ in 0..3 {
        wait_for_lists(&killed, &mut client);
        killed.kill();
        wait_for_lists(&steady.server, &mut client);
        killed = start_again(&directory, address);
    }
    wait_for_lists(&killed, &mut client);
    drop(client.stdin.take());
    let printed = client.wait_with_output().unwrap();
    let printed: Value = serde_json::from_slice(&printed.stdout).unwrap();
    assert_eq!(printed["errors"], Value::Array(Vec::new()));
    assert!(printed["answered"].as_u64().unwrap() > 100, "{printed}");
}

/// A service with the sample data on an address that stays.
fn start_again(directory: &TempDir, address: SocketAddr) -> Server {
    let mut command = untag();
    command
        .args(["serve", "--sample-data", "--data-dir"])
        .arg(directory.path());
    Server::spawn_at(command, address)
}

/// Waits until a server has answered some more calls.
fn wait_for_lists(server: &Server, client: &mut Child) {
    let started = Instant::now();
    let enough = lists(server) + 20;
    while lists(server) < enough {
        assert!(started.elapsed() < PATIENCE, "no calls arrive");
        assert!(client.try_wait().unwrap().is_none(), "the client has ended");
        std::thread::sleep(Duration::from_millis(10));
    }
}

#[test]
fn python_sends_a_change_that_may_have_been_made_once_only() {
    let mut drained = Sample::start(&["--drain-timeout", "0.5"]);
    let steady = Sample::start(&[]);
    let servers = [drained.server.address, steady.server.address];
    let mut client = client(&servers, &blind_config(), "change_while_a_server_drains");
    let client = client.stdin(Stdio::piped()).stdout(Stdio::piped());
    let mut client = client.spawn().unwrap();
    let mut said = BufReader::new(client.stdout.take().unwrap()).lines();
    assert_eq!(said.next().unwrap().unwrap(), "connected");

    // Its commit takes longer than any test: nobody knows when the drain is over whether it is on the disk.
    let held = SlowDisk::attach(&drained.server, Duration::from_mins(10));
    client.stdin.as_mut().unwrap().write_all(b"\n").unwrap();
    let started = Instant::now();
    while scrape(&drained.server)["untag_requests_in_flight"] < 1.0 {
        assert!(started.elapsed() < PATIENCE, "no change arrives");
        std::thread::sleep(Duration::from_millis(5));
    }
    drained.server.signal("TERM");
    let codes = said.next().unwrap().unwrap();
    assert_eq!(codes, r#"["OK", "UNAVAILABLE"]"#);
    drained.server.wait_for_log("drained");
    drop(held);
    assert!(client.wait().unwrap().success());
    assert!(drained.server.wait(PATIENCE).success());
    // The other server was there to try again, and was asked for its own change only.
    for server in [&drained.server, &steady.server] {
        let is_change = |line: &Value| line["method"] == format!("/{UNTAG}");
        server.wait_for_log_where("request", is_change);
        assert_eq!(server.count_in_log(is_change), 1);
    }
}

#[test]
fn python_gets_the_deadline_of_the_service_config_where_it_has_none() {
    let sample = Sample::start(&[]);
    let _held = sample.hold_store();
    let mut command = client(
        &[sample.server.address],
        &blind_config(),
        "change_without_a_deadline",
    );
    Printed::of(&mut command).success();
}

#[test]
fn changes_are_repeated_within_a_second_only() {
    let seconds = |text: &Value| -> f64 {
        let text = text.as_str().unwrap();
        text.strip_suffix('s').unwrap().parse().unwrap()
    };
    let config = config();
    let contract = include_str!("../../proto/ram/tag/v1/tag_service.proto");
    let methods = contract
        .lines()
        .filter_map(|line| line.trim().strip_prefix("rpc "));
    let methods: BTreeSet<&str> = methods
        .map(|rest| rest.split('(').next().unwrap())
        .collect();
    let mut configured = BTreeSet::new();
    for entry in config["methodConfig"].as_array().unwrap() {
        let names = entry["name"].as_array().unwrap();
        let names = names.iter().map(|name| {
            assert_eq!(name["service"], "ram.tag.v1.TagService");
            name["method"].as_str().unwrap()
        });
        let names: BTreeSet<&str> = names.collect();
        let policy = &entry["retryPolicy"];
        assert_eq!(
            policy["retryableStatusCodes"],
            serde_json::json!(["UNAVAILABLE"])
        );
        let mut pause = seconds(&policy["initialBackoff"]);
        let mut pauses = 0.0;
        for _ in 1..policy["maxAttempts"].as_u64().unwrap() {
            pauses += pause.min(seconds(&policy["maxBackoff"]));
            pause *= policy["backoffMultiplier"].as_f64().unwrap();
        }
        // Libraries make each pause up to a fifth longer.
        assert!(
            names.contains("ListTagResources") || pauses * 1.2 < 1.0,
            "{pauses}"
        );
        configured.extend(names);
    }
    assert_eq!(configured, methods);
}
