//! Deadlines: the caller's own and the server's. The client here sends its deadline and leaves it to the server to keep
//! it, so that what is seen is the server's answer and not the client's own.

use std::time::{Duration, Instant};

use tonic::Code;

use super::answer::{assert_shared_snapshot, describe};
use super::users::{ANN, ids, server, tags_of, untag_request};
use super::wire::{UNTAG, Wire, frame};
use crate::support::PATIENCE;

#[tokio::test(flavor = "multi_thread")]
async fn a_passed_deadline_is_answered_by_the_server_and_the_change_is_not_lost_half_way() {
    let (server, home) = server(&[]);
    let mut wire = Wire::open(server.address).await;
    let held = home.hold_changes(&server);
    let body = frame(&untag_request(ids([ANN]), &["env", "team"]));
    let own = [
        ("grpc-timeout", "300m"),
        ("x-request-id", "order-7"),
        (
            "traceparent",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
        ),
    ];
    let call = wire.call(UNTAG, &own, body.clone());
    let answer = tokio::time::timeout(PATIENCE, call)
        .await
        .expect("the server answers by itself");
    assert_shared_snapshot!(describe(&answer.status()));
    // A client that has given up by its own clock resets the call.
    let mut given_up = wire.start(UNTAG, &own[1..]).await;
    given_up.send(body);
    wire.barrier().await;
    given_up.body.send_reset(h2::Reason::CANCEL);
    for code in ["DEADLINE_EXCEEDED", "CANCELLED"] {
        let line = server.wait_for_log_where("request", |line| line["code"] == code);
        assert_eq!(line["client_request_id"], "order-7", "{line}");
        assert_eq!(line["trace_id"], "4bf92f3577b34da6a3ce929d0e0e4736");
        if code == "DEADLINE_EXCEEDED" {
            assert_eq!(line["resources"], 1);
        }
    }

    // The answer says that the change may have been made: once the store works again, it is made, as a whole.
    drop(held);
    let client = &mut server.client().await;
    let started = Instant::now();
    while tags_of(client, ANN).await != ["501 Team=b"] {
        assert!(
            started.elapsed() < PATIENCE,
            "{:?}",
            tags_of(client, ANN).await
        );
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_that_waits_behind_a_slow_one_keeps_its_own_deadline() {
    let (server, home) = server(&[]);
    let mut wire = Wire::open(server.address).await;
    let held = home.hold_changes(&server);
    let body = frame(&untag_request(ids([ANN]), &["env"]));
    let mut patient = wire.start(UNTAG, &[]).await;
    patient.send(body.clone());
    let hasty = wire.call(UNTAG, &[("grpc-timeout", "200m")], body);
    let hasty = tokio::time::timeout(PATIENCE, hasty)
        .await
        .expect("the server answers by itself");
    assert_eq!(hasty.status().code(), Code::DeadlineExceeded);
    drop(held);
    let patient = tokio::time::timeout(PATIENCE, patient.answer())
        .await
        .unwrap();
    assert_eq!(patient.status().code(), Code::Ok);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_servers_own_limit_holds_for_callers_with_a_longer_deadline_or_none() {
    let (server, home) = server(&["--request-timeout", "0.5"]);
    let mut wire = Wire::open(server.address).await;
    let _held = home.hold_changes(&server);
    for headers in [&[][..], &[("grpc-timeout", "1H")]] {
        let body = frame(&untag_request(ids([ANN]), &["env"]));
        let call = wire.call(UNTAG, headers, body);
        let answer = tokio::time::timeout(PATIENCE, call)
            .await
            .expect("the server answers by itself");
        assert_eq!(
            answer.status().code(),
            Code::DeadlineExceeded,
            "{headers:?}"
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_body_that_never_ends_is_ended_by_the_servers_limit() {
    let (server, _home) = server(&["--request-timeout", "0.5"]);
    let mut wire = Wire::open(server.address).await;
    let body = frame(&untag_request(ids([ANN]), &["env"]));
    // Nothing at all, a part of the frame, and a whole message without the end of the stream.
    for sent in [0, 4, body.len()] {
        let mut call = wire.start(UNTAG, &[]).await;
        call.body.send_data(body.slice(..sent), false).unwrap();
        let answer = tokio::time::timeout(PATIENCE, call.answer()).await;
        let status = answer.expect("the server answers by itself").status();
        assert_eq!(status.code(), Code::DeadlineExceeded, "{sent} bytes sent");
        assert!(
            status.message().contains("nothing was changed"),
            "{}",
            status.message()
        );
    }
    let client = &mut server.client().await;
    assert_eq!(tags_of(client, ANN).await.len(), 3);
}

#[tokio::test(flavor = "multi_thread")]
async fn every_unit_of_a_deadline_is_understood() {
    let (server, _home) = server(&[]);
    let mut wire = Wire::open(server.address).await;
    for timeout in ["1S", "200m", "200000u", "99999999n", "0S"] {
        // The body does not end, so the deadline is what ends the call.
        let call = wire.start(UNTAG, &[("grpc-timeout", timeout)]).await;
        let answer = tokio::time::timeout(PATIENCE, call.answer()).await;
        let status = answer.expect("the server answers by itself").status();
        assert_eq!(status.code(), Code::DeadlineExceeded, "{timeout}");
    }
}
