//! The limits, one by one, against a client that goes past each.

use std::time::{Duration, Instant};

use tonic::{Code, Request};
use tonic_types::StatusExt as _;

use super::target::Target;
use crate::support::frames::{
    END_HEADERS, END_STREAM, GOAWAY, HEADERS, LIST, PING, RST_STREAM, Raw, SETTINGS, UNTAG,
    call_headers, frame,
};
use crate::support::{ALICE, PATIENCE, hold_store, list, untag_of};

const ENHANCE_YOUR_CALM: u32 = 11;
const NO_ERROR: u32 = 0;

/// Waits until the server has seen the connection: it sends its settings first.
fn wait_for_settings(raw: &mut Raw) -> Vec<u8> {
    let settings = raw.read_until(|frame| frame.kind == SETTINGS && frame.flags == 0);
    settings.expect("the server begins HTTP/2").payload
}

#[tokio::test]
async fn max_connections_are_open_and_no_more() {
    let target = Target::start(&["--max-connections", "2"]);
    let address = target.server.address;
    // With a call each: idle ones would have to go for others.
    let open = || {
        let mut raw = Raw::open(address, &[]);
        let call = frame(HEADERS, END_HEADERS, 1, &call_headers(UNTAG, &[]));
        let _ = raw.send(&call);
        // By the second answer the call has begun: the first may come from the poll that reads it.
        for _ in 0..2 {
            let _ = raw.send(&frame(PING, 0, 0, &[7; 8]));
            raw.read_until(|frame| frame.kind == PING)?;
        }
        Some(raw)
    };
    let first = open().expect("the first is taken");
    let _second = open().expect("the second is taken");
    assert!(open().is_none(), "the third is closed");
    target
        .server
        .wait_for_log("connections are turned away: there are as many as may be open");
    drop(first);
    let started = Instant::now();
    while open().is_none() {
        assert!(started.elapsed() < PATIENCE, "there is room again");
    }
    // Health for probes has places of its own.
    let admin = target.server.admin_address.to_string();
    assert!(
        crate::support::run(&["health", "--admin-listen", &admin])
            .status
            .success()
    );
}

#[test]
fn max_streams_are_told_and_kept() {
    let target = Target::start(&["--max-streams", "3"]);
    let mut raw = Raw::open(target.server.address, &[]);
    let settings = wait_for_settings(&mut raw);
    let told = settings.chunks(6).find(|setting| setting[..2] == [0, 3]);
    assert_eq!(told.unwrap()[2..], 3_u32.to_be_bytes());
    raw.send(&frame(SETTINGS, 1, 0, &[])).unwrap();
    for stream in [1, 3, 5, 7] {
        let open = frame(HEADERS, END_HEADERS, stream, &call_headers(UNTAG, &[]));
        raw.send(&open).unwrap();
    }
    let refused = raw.read_until(|frame| frame.kind == RST_STREAM).unwrap();
    assert_eq!((refused.stream, refused.payload), (7, vec![0, 0, 0, 7]));
}

#[test]
fn max_reset_streams_end_the_connection() {
    let target = Target::start(&["--max-reset-streams", "5"]);
    let mut raw = Raw::open(target.server.address, &[]);
    wait_for_settings(&mut raw);
    let mut resets = Vec::new();
    for stream in (1..2000).step_by(2) {
        resets.extend(frame(
            HEADERS,
            END_HEADERS,
            stream,
            &call_headers(LIST, &[]),
        ));
        resets.extend(frame(RST_STREAM, 0, stream, &8_u32.to_be_bytes()));
    }
    let _ = raw.send(&resets);
    assert_eq!(raw.read_to_end(), Some(ENHANCE_YOUR_CALM));
}

#[test]
fn max_header_list_bytes_are_taken_and_no_more() {
    let target = Target::start(&["--max-header-list-bytes", "4096"]);
    let answer = |filler: usize| {
        let mut raw = Raw::open(target.server.address, &[]);
        wait_for_settings(&mut raw);
        let headers = call_headers(LIST, &[("filler", &"x".repeat(filler))]);
        let open = frame(HEADERS, END_HEADERS | END_STREAM, 1, &headers);
        raw.send(&open).unwrap();
        raw.read_until(|frame| matches!(frame.kind, HEADERS | RST_STREAM | GOAWAY))
            .unwrap()
    };
    let fits = answer(3000);
    assert_eq!(fits.kind, HEADERS);
    assert!(fits.payload.len() > 100, "it is the answer of the service");
    let refused = answer(5000);
    assert_eq!(refused.kind, HEADERS);
    assert!(refused.payload.len() > 100, "not a bare 431");
}

#[tokio::test]
async fn max_message_bytes_are_taken_and_no_more() {
    let target = Target::start(&["--max-message-bytes", "1024"]);
    let mut client = target.server.client().await;
    client.list_tag_resources(list()).await.unwrap();
    let mut large = list();
    large.next_token = "x".repeat(1100);
    let refused = client.list_tag_resources(large).await.unwrap_err();
    assert_eq!(refused.code(), Code::ResourceExhausted);
    assert!(refused.message().contains("1024 bytes"), "{refused:?}");
}

#[test]
fn idle_timeout_ends_a_connection_without_a_request() {
    let target = Target::start(&["--idle-timeout", "0.3"]);
    let mut raw = Raw::open(target.server.address, &[]);
    assert_eq!(raw.read_to_end(), Some(NO_ERROR));
}

#[test]
fn max_connection_age_ends_a_connection_that_works() {
    let target = Target::start(&["--max-connection-age", "0.3"]);
    let mut raw = Raw::open(target.server.address, &[]);
    // It has a request all the time.
    let open = frame(HEADERS, END_HEADERS, 1, &call_headers(UNTAG, &[]));
    raw.send(&open).unwrap();
    let told = raw.read_until(|frame| frame.kind == GOAWAY).unwrap();
    assert_eq!(told.payload[4..8], NO_ERROR.to_be_bytes());
}

#[test]
fn keepalive_ends_a_connection_whose_client_is_gone() {
    let target = Target::start(&["--keepalive-interval", "0.1", "--keepalive-timeout", "0.2"]);
    let mut raw = Raw::open(target.server.address, &[]);
    let open = frame(HEADERS, END_HEADERS, 1, &call_headers(UNTAG, &[]));
    raw.send(&open).unwrap();
    // The pings are read here, and not answered.
    raw.read_to_end();
}

#[tokio::test]
async fn max_requests_in_flight_are_carried_out_and_health_is_not_shed() {
    let target = Target::start(&["--max-requests-in-flight", "2"]);
    let database = hold_store(target.directory.path());
    let client = target.server.client().await;
    let mut requests = tokio::task::JoinSet::new();
    for _ in 0..6 {
        let mut client = client.clone();
        let mut request = Request::new(untag_of(ALICE));
        request.set_timeout(PATIENCE);
        requests.spawn(async move { client.untag_resources(request).await.map(drop) });
    }
    for _ in 0..4 {
        let refused = requests.join_next().await.unwrap().unwrap().unwrap_err();
        assert_eq!(refused.code(), Code::ResourceExhausted, "{refused:?}");
        assert!(refused.message().contains("as many requests as it may"));
        assert!(refused.get_details_retry_info().is_some());
    }
    let mut health =
        tonic_health::pb::health_client::HealthClient::new(target.server.channel().await);
    health
        .check(tonic_health::pb::HealthCheckRequest::default())
        .await
        .unwrap();
    database.execute_batch("ROLLBACK").unwrap();
    for request in requests.join_all().await {
        request.unwrap();
    }
}

#[tokio::test]
async fn max_caller_rate_is_kept_and_comes_back() {
    let target = Target::start(&["--max-caller-rate", "5"]);
    let mut client = target.server.client().await;
    let mut refused = None;
    for _ in 0..100 {
        if let Err(status) = client.list_tag_resources(list()).await {
            refused = Some(status);
            break;
        }
    }
    let refused = refused.expect("a hundred calls at once are too many");
    assert_eq!(refused.code(), Code::ResourceExhausted);
    let info = refused.get_details_error_info().unwrap();
    assert_eq!(info.metadata["code"], "Throttling.User");
    let wait = refused
        .get_details_retry_info()
        .unwrap()
        .retry_delay
        .unwrap();
    assert!(wait <= Duration::from_secs(1), "{wait:?}");
    tokio::time::sleep(wait + Duration::from_millis(50)).await;
    client.list_tag_resources(list()).await.unwrap();
}
