//! The official Python library, driven by `python_client.py`, one of its checks a test.

use std::time::{Duration, Instant};

use crate::support::{SAMPLE_ACCOUNT, Server};
use crate::{Printed, Sample, import_users, tool};

fn check(server: &Server, name: &str) {
    check_at(&server.address.to_string(), name);
}

fn check_at(target: &str, name: &str) {
    let script = concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/tests/clients/python_client.py"
    );
    let mut command = tool("venv/bin/python");
    command.arg(script).arg(target).arg(name);
    Printed::of(&mut command).success();
}

#[test]
fn python_calls_by_reflection() {
    check(&Sample::start(&[]).server, "calls_by_reflection");
}

/// Its `:authority` is the whole list, and it sends that whenever its table of headers has lost it.
#[test]
fn python_calls_with_a_target_of_several_addresses() {
    let sample = Sample::start(&[]);
    let address = sample.server.address;
    check_at(
        &format!("ipv4:{address},{address}"),
        "calls_with_many_deadlines",
    );
    let line = sample.server.wait_for_log(
        "the :authority of a client names several hosts; its calls are served, and nothing depends on the hosts",
    );
    assert_eq!(line["address"], "127.0.0.1");
}

#[test]
fn python_checks_health_and_sees_the_drain_in_a_watch() {
    let mut sample = Sample::start(&[]);
    // The watch makes the service drain.
    let pid = sample.server.pid().to_string();
    let script = concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/tests/clients/python_client.py"
    );
    let mut command = tool("venv/bin/python");
    command.args([
        script,
        &sample.server.address.to_string(),
        "health_check_and_watch",
        &pid,
    ]);
    Printed::of(&mut command).success();
    assert!(sample.server.wait(Duration::from_secs(10)).success());
}

#[test]
fn python_reads_rich_errors() {
    check(&Sample::start(&[]).server, "rich_errors");
}

#[test]
fn python_receives_the_largest_errors_with_default_options() {
    check(&Sample::start(&[]).server, "largest_errors");
}

#[test]
fn python_deadlines_end_calls() {
    let sample = Sample::start(&[]);
    let _held = sample.hold_store();
    let started = Instant::now();
    check(&sample.server, "own_deadline");
    assert!(started.elapsed() < Duration::from_secs(10));
}

#[test]
fn python_learns_that_the_servers_deadline_has_passed() {
    let sample = Sample::start(&["--request-timeout", "0.2"]);
    let _held = sample.hold_store();
    check(&sample.server, "servers_deadline");
}

#[test]
fn python_is_told_when_to_retry_by_a_service_with_too_much_to_do() {
    let sample = Sample::start(&["--queue-depth", "1"]);
    let _held = sample.hold_store();
    check(&sample.server, "full_queue");
}

#[test]
fn python_removes_tags_from_sixteen_threads() {
    let directory = tempfile::tempdir().unwrap();
    let users = (1..=320).map(|id| (id, format!("user{id}@example.onaliyun.com")));
    let data = import_users(&directory, users);
    let server = Server::start(&data, &["--default-account", SAMPLE_ACCOUNT]);
    check(&server, "sixteen_threads");
}

#[test]
fn python_finds_the_request_id_in_the_metadata() {
    check(&Sample::start(&[]).server, "request_id_in_metadata");
}
