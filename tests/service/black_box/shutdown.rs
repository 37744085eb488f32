//! SIGTERM and SIGINT: what is in flight is finished, and nobody who hangs can hold the process up.
//!
//! Bounds are generous: with a drain timeout of ten minutes, a process that has ended within [`PATIENCE`] was not held.

use std::time::{Duration, Instant};

use bytes::Bytes;
use tokio::net::TcpStream;
use tokio_stream::StreamExt as _;
use tonic::Code;
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_client::HealthClient;
use tonic_reflection::pb::v1::server_reflection_client::ServerReflectionClient;

use super::answer::{assert_shared_snapshot, describe};
use super::users::{ANN, ids, list_request, server, tags_of, untag_request};
use super::wire::{LIST, UNTAG, Wire, frame};
use crate::support::{PATIENCE, Server, health_client};

/// A drain timeout that no test waits for.
const LONG_DRAIN: [&str; 2] = ["--drain-timeout", "600"];
const SHORT_DRAIN: [&str; 2] = ["--drain-timeout", "0.5"];

fn untag_ann() -> Bytes {
    frame(&untag_request(ids([ANN]), &["env"]))
}

/// Starts the drain, and checks how many requests it waits for.
fn drain(server: &Server, in_flight: u64) {
    server.signal("TERM");
    let line = server.wait_for_log("draining");
    assert_eq!(line["in_flight"], in_flight);
}

#[test]
fn either_signal_ends_an_idle_server_with_exit_code_0() {
    for (name, shown) in [("TERM", "SIGTERM"), ("INT", "SIGINT")] {
        let (mut server, _home) = server(&LONG_DRAIN);
        server.signal(name);
        assert_eq!(server.wait(PATIENCE).code(), Some(0), "{name}");
        assert_eq!(server.wait_for_log("draining")["signal"], shown);
        server.wait_for_log("drained");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn requests_in_flight_finish_and_their_change_is_kept() {
    let (mut server, home) = server(&LONG_DRAIN);
    let mut wire = Wire::open(server.address).await;
    let held = home.hold_changes(&server);
    let mut call = wire.start(UNTAG, &[]).await;
    call.send(untag_ann());
    wire.barrier().await;
    drain(&server, 1);
    drop(held);
    assert_eq!(call.answer().await.status().code(), Code::Ok);
    assert_eq!(server.wait(PATIENCE).code(), Some(0));

    let again = home.serve(&[]);
    assert_eq!(
        tags_of(&mut again.client().await, ANN).await,
        ["501 Team=b", "501 team=a"]
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn during_the_drain_health_says_not_serving_and_no_connection_is_taken() {
    let (mut server, _home) = server(&LONG_DRAIN);
    let mut wire = Wire::open(server.address).await;
    let mut call = wire.open_request().await;
    drain(&server, 1);

    // The admin port outlives the drain.
    let mut health = health_client(server.admin_address).await;
    let started = Instant::now();
    loop {
        let answer = health
            .check(HealthCheckRequest::default())
            .await
            .unwrap()
            .into_inner();
        if answer.status().as_str_name() == "NOT_SERVING" {
            break;
        }
        assert!(started.elapsed() < PATIENCE, "still {answer:?}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    while TcpStream::connect(server.address).await.is_ok() {
        assert!(
            started.elapsed() < PATIENCE,
            "connections are still accepted"
        );
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    call.send(untag_ann());
    assert_eq!(
        call.answer().await.status().code(),
        Code::Ok,
        "what was in flight goes on"
    );
    assert_eq!(server.wait(PATIENCE).code(), Some(0));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_keeps_its_request_open_is_told_that_nothing_was_changed() {
    let (mut server, _home) = server(&SHORT_DRAIN);
    let mut wire = Wire::open(server.address).await;
    let call = wire.open_request().await;
    drain(&server, 1);
    assert_shared_snapshot!(describe(&call.answer().await.status()));
    assert_eq!(server.wait(PATIENCE).code(), Some(0));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_change_that_is_cut_off_is_answered_that_it_may_have_been_made() {
    let (mut server, home) = server(&SHORT_DRAIN);
    let mut wire = Wire::open(server.address).await;
    let held = home.hold_changes(&server);
    let mut call = wire.start(UNTAG, &[]).await;
    call.send(untag_ann());
    wire.barrier().await;
    drain(&server, 1);
    assert_shared_snapshot!(describe(&call.answer().await.status()));
    server.wait_for_log("the drain has timed out; cutting off what is left");
    server.wait_for_log("drained");
    // Where strace holds up a thread it can't exit; the server no longer waits for it.
    drop(held);
    assert_eq!(server.wait(PATIENCE).code(), Some(0));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_takes_no_answer_is_waited_for_until_the_drain_timeout_only() {
    let (mut server, _home) = server(&SHORT_DRAIN);
    let mut settings = h2::client::Builder::new();
    settings.initial_window_size(0);
    let mut wire = Wire::open_with(server.address, &settings).await;
    let mut call = wire.start(LIST, &[]).await;
    call.send(frame(&list_request(ids([ANN]))));
    server.wait_for_log_where("request", |line| line["code"] == "OK");
    drain(&server, 1);
    assert_eq!(server.wait(PATIENCE).code(), Some(0));
    assert!(
        call.try_answer().await.is_err(),
        "the answer had no way to get through"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn connections_without_a_request_do_not_hold_the_drain() {
    let (mut server, _home) = server(&LONG_DRAIN);
    let silent = TcpStream::connect(server.address).await.unwrap();
    let mut idle = Wire::open(server.address).await;
    idle.barrier().await;
    let unread = TcpStream::connect(server.address).await.unwrap();
    let (requests, connection) = h2::client::handshake(unread).await.unwrap();
    drain(&server, 0);
    // The last connection is open, and nobody reads from it or closes it.
    assert_eq!(server.wait(PATIENCE).code(), Some(0));
    drop((silent, idle, requests, connection));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_open_health_watch_does_not_hold_the_drain() {
    let (mut server, _home) = server(&LONG_DRAIN);
    let mut health = HealthClient::new(server.channel().await);
    let mut watch = health
        .watch(HealthCheckRequest::default())
        .await
        .unwrap()
        .into_inner();
    assert_eq!(
        watch
            .message()
            .await
            .unwrap()
            .unwrap()
            .status()
            .as_str_name(),
        "SERVING"
    );
    drain(&server, 0);
    assert_eq!(
        watch
            .message()
            .await
            .unwrap()
            .unwrap()
            .status()
            .as_str_name(),
        "NOT_SERVING"
    );
    assert_eq!(server.wait(PATIENCE).code(), Some(0));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_open_reflection_stream_does_not_hold_the_drain() {
    let (mut server, _home) = server(&LONG_DRAIN);
    let mut reflection = ServerReflectionClient::new(server.channel().await);
    let request = tonic_reflection::pb::v1::ServerReflectionRequest {
        host: String::new(),
        message_request: Some(
            tonic_reflection::pb::v1::server_reflection_request::MessageRequest::ListServices(
                String::new(),
            ),
        ),
    };
    let requests = tokio_stream::once(request).chain(tokio_stream::pending());
    let mut answers = reflection
        .server_reflection_info(requests)
        .await
        .unwrap()
        .into_inner();
    assert!(answers.message().await.unwrap().is_some());
    drain(&server, 0);
    assert_eq!(server.wait(PATIENCE).code(), Some(0));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_second_signal_ends_it_at_once_with_128_and_its_number() {
    for (name, code) in [("TERM", 143), ("INT", 130)] {
        let (mut server, _home) = server(&LONG_DRAIN);
        let mut wire = Wire::open(server.address).await;
        let call = wire.open_request().await;
        drain(&server, 1);
        server.signal(name);
        assert_eq!(server.wait(PATIENCE).code(), Some(code));
        assert!(call.try_answer().await.is_err(), "it was not waited for");
    }
}
