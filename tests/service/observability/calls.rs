//! The counts of calls: exact, and bounded whatever is called.

use bytes::Bytes;
use tonic::Code;
use tonic_health::pb::HealthCheckRequest;
use untag::grpc::proto::WatchChangesRequest;
use untag::grpc::proto::change_service_client::ChangeServiceClient;

use super::scrape::{Scrape, scrape_until};
use crate::black_box::users::{
    ANN, FULL, ask, ids, list_request, server, tag_request, untag_request,
};
use crate::black_box::wire::{LIST, UNTAG, Wire, frame, frame_of_bytes};
use crate::support::health_client;

const STARTED: &str = "grpc_server_started_total";
const HANDLED: &str = "grpc_server_handled_total";
const SECONDS: &str = "grpc_server_handling_seconds_count";

/// Calls what there is not. The answer may come before the request's end is sent, which closes the stream.
async fn knock(wire: &mut Wire, path: &str, headers: &[(&str, &str)]) {
    let mut call = wire.start(path, headers).await;
    let _ = call.body.send_data(Bytes::new(), true);
    drop(call.try_answer().await);
}

#[tokio::test(flavor = "multi_thread")]
async fn each_call_counts_once_under_its_method_and_code() {
    let (server, home) = server(&[]);
    let client = &mut server.client().await;
    for _ in 0..3 {
        client
            .list_tag_resources(ask(list_request(ids([ANN]))))
            .await
            .unwrap();
    }
    client
        .untag_resources(ask(untag_request(ids([ANN]), &["env"])))
        .await
        .unwrap();
    for _ in 0..2 {
        let missing = untag_request(ids(["404"]), &["env"]);
        let error = client.untag_resources(ask(missing)).await.unwrap_err();
        assert_eq!(error.code(), Code::NotFound);
    }
    let no_account = tonic::Request::new(list_request(ids([ANN])));
    let error = client.list_tag_resources(no_account).await.unwrap_err();
    assert_eq!(error.code(), Code::InvalidArgument);
    let too_many = tag_request(ids([FULL]), &[("one", "more")]);
    let error = client.tag_resources(ask(too_many)).await.unwrap_err();
    assert_eq!(error.code(), Code::FailedPrecondition);

    let mut wire = Wire::open(server.address).await;
    let malformed = wire.call(UNTAG, &[], frame_of_bytes(0, b"\xff")).await;
    assert_eq!(malformed.status().code(), Code::InvalidArgument);
    let lock = home.lock();
    let body = frame(&untag_request(ids([ANN]), &["team"]));
    let late = wire.call(UNTAG, &[("grpc-timeout", "50m")], body).await;
    assert_eq!(late.status().code(), Code::DeadlineExceeded);
    let mut given_up = wire.start(UNTAG, &[]).await;
    given_up.send(frame(&untag_request(ids([ANN]), &["team"])));
    wire.barrier().await;
    drop(given_up);
    let canceled = &["UntagResources", "grpc_code=\"Canceled\""];
    scrape_until(&server, |scrape| scrape.sum(HANDLED, canceled) == 1.0).await;
    drop(lock);
    knock(&mut wire, "/ram.tag.v1.TagService/Nope", &[]).await;

    let scrape = scrape_until(&server, |scrape| {
        scrape.sum(STARTED, &[]) == scrape.sum(HANDLED, &[])
    })
    .await;
    let of = |method: &str, code: &str, count| {
        format!(
            "grpc_code=\"{code}\",grpc_method=\"{method}\",grpc_service=\"ram.tag.v1.TagService\",grpc_type=\"unary\" {count}"
        )
    };
    let mut expected = vec![
        // One of them by the barrier.
        of("ListTagResources", "OK", 4),
        of("ListTagResources", "InvalidArgument", 1),
        of("UntagResources", "OK", 1),
        of("UntagResources", "NotFound", 2),
        of("UntagResources", "InvalidArgument", 1),
        of("UntagResources", "DeadlineExceeded", 1),
        of("UntagResources", "Canceled", 1),
        of("TagResources", "FailedPrecondition", 1),
        of("unknown", "Unimplemented", 1),
    ];
    expected.sort_unstable();
    assert_eq!(scrape.counted(HANDLED), expected);
    for method in [
        "ListTagResources",
        "UntagResources",
        "TagResources",
        "unknown",
    ] {
        let labels = &["ram.tag.v1", &format!("\"{method}\"")];
        assert_eq!(
            scrape.sum(SECONDS, labels),
            scrape.sum(HANDLED, labels),
            "{method}"
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn requests_and_connections_count_while_they_are_open() {
    let (server, _home) = server(&[]);
    let tags = &["port=\"tags\""][..];
    let mut wire = Wire::open(server.address).await;
    let mut open = vec![wire.open_request().await];
    open.push(wire.open_request().await);
    scrape_until(&server, |scrape| {
        // The barrier's own may not have ended yet.
        scrape.sum("untag_requests_in_flight", &[]) == 2.0
            && scrape.sum("untag_connections", tags) == 1.0
    })
    .await;
    drop(open);
    scrape_until(&server, |scrape| {
        scrape.sum("untag_requests_in_flight", &[]) == 0.0
    })
    .await;
    drop(wire);
    scrape_until(&server, |scrape| {
        scrape.sum("untag_connections", tags) == 0.0
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_callers_name_makes_no_series() {
    let (server, _home) = server(&[]);
    let before = Scrape::of(&server);
    let mut wire = Wire::open(server.address).await;
    let long = format!("/{}/{}", "a".repeat(3000), "b".repeat(3000));
    let paths = [
        "/",
        "//",
        "/x",
        "/x/y/z",
        "/ram.tag.v1.TagService",
        "/ram.tag.v1.TagService/",
        "/ram.tag.v1.TagService/UntagResources/",
        "/ram.tag.v1.TagService/Nope%22%0A1",
        "/grpc.health.v1.Health/Nope",
        "/%7B%7D/%22",
        "/metrics",
        long.as_str(),
    ];
    for path in paths {
        knock(&mut wire, path, &[]).await;
    }
    for path in paths {
        let account = [("x-acs-account-id", "77"), ("user-agent", "evil\"}")];
        knock(&mut wire, path, &account).await;
    }
    wire.call(
        LIST,
        &[("x-acs-account-id", "3133731337313373")],
        frame(&list_request(ids(["3133831338313383"]))),
    )
    .await;
    let handled = 2.0 * 12.0 + 1.0;
    let after = scrape_until(&server, |scrape| scrape.sum(HANDLED, &[]) == handled).await;
    assert_eq!(before.names(), after.names());
    // Long enough to be no part of a number of bytes or seconds.
    for secret in [
        "3133731337313373",
        "3133831338313383",
        "evil",
        "Nope",
        "77\"",
    ] {
        assert!(!after.text.contains(secret), "{secret}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_watch_ends_when_its_caller_goes() {
    let (server, _home) = server(&[]);
    let watch = &["grpc_method=\"Watch\""];
    let mut health = health_client(server.address).await;
    let request = HealthCheckRequest::default();
    let mut stream = health.watch(request).await.unwrap().into_inner();
    stream.message().await.unwrap();
    let scrape = Scrape::of(&server);
    assert_eq!(
        (scrape.sum(STARTED, watch), scrape.sum(HANDLED, watch)),
        (1.0, 0.0)
    );
    drop(stream);
    let canceled = &["grpc_method=\"Watch\"", "grpc_code=\"Canceled\""];
    scrape_until(&server, |scrape| scrape.sum(HANDLED, canceled) == 1.0).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn watches_of_changes_count_while_they_are_open() {
    let (server, _home) = server(&[]);
    let mut changes = ChangeServiceClient::new(server.channel().await);
    let mut watches = Vec::new();
    for open in [1.0, 2.0] {
        let watch = changes.watch_changes(ask(WatchChangesRequest::default()));
        watches.push(watch.await.unwrap());
        assert_eq!(Scrape::of(&server).sum("untag_watches", &[]), open);
    }
    drop(watches);
    scrape_until(&server, |scrape| scrape.sum("untag_watches", &[]) == 0.0).await;
}
