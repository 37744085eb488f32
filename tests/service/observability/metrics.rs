//! `/metrics`: exact counts, bounded labels, and the documentation of each name.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use tonic::Code;
use untag::grpc::proto::UntagResourcesRequest;

use crate::support::http::{get, scrape};
use crate::support::{ALICE, PATIENCE, list, sample, untag_of};

fn handled(method: &str, code: &str) -> String {
    format!(
        "grpc_server_handled_total{{grpc_service=\"ram.tag.v1.TagService\",grpc_method=\"{method}\",\
         grpc_type=\"unary\",grpc_code=\"{code}\"}}"
    )
}

#[tokio::test]
async fn calls_are_counted_exactly_by_method_and_code() {
    let (server, _directory) = sample(&[]);
    let mut client = server.client().await;
    for _ in 0..3 {
        client.untag_resources(untag_of(ALICE)).await.unwrap();
    }
    for (request, code) in [
        (untag_of("404"), Code::NotFound),
        (untag_of("x"), Code::InvalidArgument),
    ] {
        assert_eq!(
            client.untag_resources(request).await.unwrap_err().code(),
            code
        );
    }
    client.list_tag_resources(list()).await.unwrap();

    // A call has ended when its answer is sent, which may be a moment after the client has it.
    let started = Instant::now();
    let series = loop {
        let series = scrape(&server);
        if series["untag_requests_in_flight"] == 0.0 {
            break series;
        }
        assert!(started.elapsed() < PATIENCE, "requests stay in flight");
        tokio::time::sleep(Duration::from_millis(5)).await;
    };
    for (method, code, count) in [
        ("UntagResources", "OK", 3.0),
        ("UntagResources", "NotFound", 1.0),
        ("UntagResources", "InvalidArgument", 1.0),
        ("UntagResources", "Unavailable", 0.0),
        ("ListTagResources", "OK", 1.0),
        ("TagResources", "OK", 0.0),
    ] {
        assert_eq!(series[&handled(method, code)], count, "{method} {code}");
    }
    let labels = "{grpc_service=\"ram.tag.v1.TagService\",grpc_method=\"UntagResources\",grpc_type=\"unary\"}";
    assert_eq!(series[&format!("grpc_server_started_total{labels}")], 5.0);
    assert_eq!(
        series[&format!("grpc_server_handling_seconds_count{labels}")],
        5.0
    );
    assert_eq!(
        series["untag_store_batch_requests_sum"], 4.0,
        "what reached the store"
    );
    assert_eq!(series["untag_store_ready"], 1.0);
    assert_eq!(
        series["untag_policy_decisions_total{action=\"ram:UntagResources\",decision=\"allowed\"}"],
        4.0
    );
    assert!(series["process_resident_memory_bytes"] > 1e6);
    assert!(series["process_open_fds"] > 5.0);
}

#[tokio::test]
async fn no_caller_can_make_labels() {
    let (server, _directory) = sample(&[]);
    let before: BTreeSet<String> = scrape(&server).into_keys().collect();
    let channel = server.channel().await;
    for path in [
        "/ram.tag.v1.TagService/Nope",
        "/no.Such/Method",
        "/x/y",
        "/1/2",
    ] {
        let mut client = tonic::client::Grpc::new(channel.clone());
        client.ready().await.unwrap();
        let codec = tonic_prost::ProstCodec::<UntagResourcesRequest, UntagResourcesRequest>::new();
        let path = http::uri::PathAndQuery::from_static(path);
        let request = tonic::Request::new(untag_of(ALICE));
        client.unary(request, path, codec).await.unwrap_err();
    }
    let after = scrape(&server);
    let unknown = "grpc_server_started_total{grpc_service=\"unknown\",grpc_method=\"unknown\",grpc_type=\"unary\"}";
    assert_eq!(after[unknown], 3.0);
    let after: BTreeSet<String> = after.into_keys().collect();
    assert_eq!(before, after, "every series was there from the start");
}

/// The names and types of a scrape.
fn described(text: &str) -> BTreeMap<&str, &str> {
    let types = text.lines().filter_map(|line| line.strip_prefix("# TYPE "));
    types.map(|line| line.split_once(' ').unwrap()).collect()
}

#[test]
fn every_metric_is_documented_with_its_type_and_has_a_help_text() {
    let (server, _directory) = sample(&[]);
    let (_, text) = get(&server, "/metrics");
    let documentation = include_str!("../../../docs/metrics.md");
    let rows = documentation
        .lines()
        .filter_map(|line| line.strip_prefix("| `"));
    let mut documented: BTreeMap<&str, &str> = rows
        .map(|row| {
            let mut cells = row.split(" | ");
            let name = cells.next().unwrap().trim_end_matches('`');
            (name, cells.next().unwrap())
        })
        .collect();
    // Shown by tests/service/security, with a certificate.
    let with_tls = documented.remove("untag_tls_certificate_expiry_timestamp_seconds");
    assert_eq!(with_tls, Some("gauge"));
    assert_eq!(documented, described(&text));
    for name in documented.keys() {
        assert!(text.contains(&format!("# HELP {name} ")), "{name}");
    }
}
