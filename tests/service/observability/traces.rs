//! Traces, as a real collector gets them, and collectors that are none.

use std::fs;
use std::net::TcpListener;
use std::time::{Duration, Instant};

use serde_json::Value;
use tonic::metadata::MetadataValue;
use tonic::{Code, Request};
use untag::grpc::proto::UntagResourcesRequest;

use super::collector::{Collector, Span, free_ports};
use crate::black_box::users::{ANN, ids, server, tag_request, untag_request};
use crate::black_box::wire::{self, LIST, Wire, frame};
use crate::support::postgres::Cluster;
use crate::support::{ALICE, PATIENCE, Server, list, run, sample, untag, untag_of};

const TRACE: &str = "0af7651916cd43dd8448eb211c80319c";
const CALLER: &str = "b7ad6b7169203331";
const UNTAG: &str = "ram.tag.v1.TagService/UntagResources";

/// A request within the caller's trace, which wants to be recorded or not.
fn within_trace<T>(message: T, recorded: bool) -> Request<T> {
    let parent = format!("00-{TRACE}-{CALLER}-0{}", u8::from(recorded));
    with_parent(message, &parent)
}

fn with_parent<T>(message: T, parent: &str) -> Request<T> {
    let mut request = Request::new(message);
    let parent = MetadataValue::try_from(parent).unwrap();
    request.metadata_mut().insert("traceparent", parent);
    request
}

/// Ends a service, which sends what spans it has.
fn finish(mut server: Server) -> Vec<Value> {
    server.signal("TERM");
    assert!(server.wait(PATIENCE).success());
    server.log_lines()
}

/// The stages of the call, in the order of their beginnings.
fn stages<'a>(spans: &'a [Span], call: &Span) -> Vec<&'a Span> {
    let mut stages: Vec<&Span> = spans
        .iter()
        .filter(|span| span.get("Parent ID") == call.get("ID"))
        .collect();
    stages.sort_by_key(|span| span.times());
    stages
}

fn stage_names(spans: &[Span], call: &Span) -> Vec<String> {
    let stages = stages(spans, call).into_iter();
    stages.map(|span| span.name().to_owned()).collect()
}

/// Checks the spans of an untag as the collector has them.
fn check_untag(collector: &Collector, request_id: &str) {
    let spans = collector.spans(&[UNTAG, "parse", "authorise", "queue", "commit"], 5);
    let call = spans.iter().find(|span| span.name() == UNTAG).unwrap();
    assert_eq!(call.get("Trace ID"), TRACE);
    assert_eq!(call.get("Parent ID"), CALLER);
    assert_eq!(call.get("Kind"), "SPAN_KIND_SERVER");
    assert_eq!(call.get("Status code"), "STATUS_CODE_UNSET");
    assert_eq!(call.get("rpc.system.name"), "grpc");
    assert_eq!(call.get("rpc.method"), UNTAG);
    assert_eq!(call.get("rpc.response.status_code"), "OK");
    assert_eq!(call.get("untag.request_id"), request_id);
    assert_eq!(
        stage_names(&spans, call),
        ["parse", "authorise", "queue", "commit"]
    );
    let (begun, ended) = call.times();
    let mut last = begun;
    for stage in stages(&spans, call) {
        let (from, to) = stage.times();
        assert_eq!(stage.get("Trace ID"), TRACE);
        assert!(last <= from && from <= to && to <= ended, "{spans:#?}");
        last = to;
    }
    let commit = spans.iter().find(|span| span.name() == "commit").unwrap();
    assert_eq!(commit.get("untag.commit.changes"), "1");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_untag_is_a_span_in_its_callers_trace_with_its_stages() {
    let collector = Collector::start();
    let (server, _directory) = sample(&["--otlp-endpoint", &collector.url()]);
    let request = within_trace(untag_of(ALICE), true);
    let answer = server.client().await.untag_resources(request).await;
    let request_id = answer.unwrap().into_inner().request_id;
    let log = finish(server);
    check_untag(&collector, &request_id);
    let printed = collector.printed();
    for attribute in ["service.name: Str(untag)", "service.version: Str("] {
        assert!(printed.contains(attribute), "{printed}");
    }
    let line = log.iter().find(|line| line["request_id"] == request_id);
    assert_eq!(line.unwrap()["trace_id"], TRACE);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_change_in_postgres_has_the_same_stages() {
    let collector = Collector::start();
    let cluster = Cluster::start("");
    let database = cluster.database();
    let command = |name: &str| {
        let mut command = untag();
        command.arg(name).env("UNTAG_STORE", database.url());
        command
    };
    assert!(command("migrate").status().unwrap().success());
    let mut serve = command("serve");
    serve.args(["--sample-data", "--otlp-endpoint", &collector.url()]);
    let server = Server::spawn(serve);
    let client = &mut server.client().await;
    let request = within_trace(untag_of(ALICE), true);
    let answer = client.untag_resources(request).await.unwrap();
    client.list_tag_resources(list()).await.unwrap();
    finish(server);
    check_untag(&collector, &answer.into_inner().request_id);
    collector.spans(&["read"], 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn reads_refusals_and_the_audit_have_their_spans() {
    let collector = Collector::start();
    let (server, _directory) = sample(&["--otlp-endpoint", &collector.url(), "--audit-log", "-"]);
    let client = &mut server.client().await;
    client.list_tag_resources(list()).await.unwrap();
    let dry = UntagResourcesRequest {
        validate_only: true,
        ..untag_of(ALICE)
    };
    client.untag_resources(dry).await.unwrap();
    let error = client.untag_resources(untag_of("404")).await.unwrap_err();
    assert_eq!(error.code(), Code::NotFound);
    let mut wire = Wire::open(server.address).await;
    let nothing = "/ram.tag.v1.TagService/MadeUpByTheCaller";
    let unknown = wire.call(nothing, &[], frame(&list())).await;
    assert_eq!(unknown.status().code(), Code::Unimplemented);
    finish(server);

    let names = &[
        UNTAG,
        LIST.trim_start_matches('/'),
        "_OTHER",
        "parse",
        "authorise",
        "queue",
        "commit",
        "read",
        "audit",
    ];
    // List: 4, dry run: 5, missing: 6, unknown: 1.
    let spans = collector.spans(names, 16);
    let calls: Vec<(&str, &str, &str, Vec<String>)> = spans
        .iter()
        .filter(|span| span.get("Kind") == "SPAN_KIND_SERVER")
        .map(|call| {
            let code = call.get("rpc.response.status_code");
            let status = call.get("Status code");
            (call.name(), code, status, stage_names(&spans, call))
        })
        .collect();
    insta::assert_debug_snapshot!(calls);
    assert!(!collector.printed().contains("MadeUp"));
    // The callers named no trace: each call begins its own.
    let mut traces: Vec<&str> = spans.iter().map(|span| span.get("Trace ID")).collect();
    traces.sort_unstable();
    traces.dedup();
    assert_eq!(traces.len(), 4);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_service_that_is_at_fault_says_so_in_its_span() {
    let collector = Collector::start();
    let (server, home) = server(&["--otlp-endpoint", &collector.url()]);
    let held = home.lock();
    let body = frame(&untag_request(ids([ANN]), &["env"]));
    // By hand: a client's library would give up at the same moment as the service.
    let mut wire = Wire::open(server.address).await;
    let late = wire.call(wire::UNTAG, &[("grpc-timeout", "50m")], body.clone());
    assert_eq!(late.await.status().code(), Code::DeadlineExceeded);
    let mut given_up = wire.start(wire::UNTAG, &[]).await;
    given_up.send(body);
    wire.barrier().await;
    drop(given_up);
    wire.barrier().await;
    drop(held);
    finish(server);
    let spans = collector.spans(&[UNTAG], 2);
    let mut codes = spans.iter().map(|span| {
        let names = ["rpc.response.status_code", "error.type", "Status code"];
        names.map(|name| span.get(name))
    });
    let late = [
        "DEADLINE_EXCEEDED",
        "DEADLINE_EXCEEDED",
        "STATUS_CODE_ERROR",
    ];
    assert_eq!(codes.next(), Some(late));
    assert_eq!(codes.next(), Some(["CANCELLED", "", "STATUS_CODE_UNSET"]));
}

#[tokio::test(flavor = "multi_thread")]
async fn callers_decide_whether_their_trace_is_recorded_and_bad_parents_count_for_nothing() {
    let collector = Collector::start();
    let (server, _directory) = sample(&["--otlp-endpoint", &collector.url()]);
    let client = &mut server.client().await;
    for _ in 0..3 {
        let request = within_trace(untag_of(ALICE), false);
        client.untag_resources(request).await.unwrap();
    }
    let all_zero = format!("00-{}-{CALLER}-01", "0".repeat(32));
    let bad = [
        "",
        "00",
        "ff-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
        "00-0AF7651916CD43DD8448EB211C80319C-b7ad6b7169203331-01",
        &all_zero,
    ];
    for parent in bad {
        let request = with_parent(untag_of(ALICE), parent);
        client.untag_resources(request).await.unwrap();
    }
    finish(server);
    let spans = collector.spans(&[UNTAG], bad.len());
    assert_eq!(spans.len(), bad.len(), "{spans:#?}");
    for span in &spans {
        assert_ne!(span.get("Trace ID"), TRACE);
        assert_eq!(span.get("Parent ID"), "");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn no_trace_has_a_tags_value_and_none_has_what_the_log_does_not_show() {
    let collector = Collector::start();
    let arguments = ["--otlp-endpoint", &collector.url(), "--log-level", "trace"];
    let (server, _directory) = sample(&arguments);
    let request = tag_request(ids([ALICE]), &[("secret-key", "secret-value")]);
    server.client().await.tag_resources(request).await.unwrap();
    let log = finish(server);
    collector.spans(&["commit"], 1);
    assert!(!collector.printed().contains("secret"));
    // Stages are for traces: lines of the log keep the request as their place.
    let places: Vec<&Value> = log.iter().map(|line| &line["span"]["name"]).collect();
    let is_request = |place: &&&Value| place.as_str() != Some("request");
    let others = places
        .iter()
        .filter(is_request)
        .filter(|place| !place.is_null());
    let stages: Vec<_> = others
        .filter(|place| ["call", "parse", "queue", "commit"].contains(&place.as_str().unwrap()))
        .collect();
    assert_eq!(stages, [] as [&&Value; 0]);
}

/// A call that waits for the exporter would wait until that gives up, which it does after 10 seconds.
const HELD_UP: Duration = Duration::from_secs(8);
/// The last spans may take 2 seconds; this is less than the exporter would wait by itself.
const END: Duration = Duration::from_secs(8);

/// Untags while nobody takes the spans, and ends.
async fn untag_without_a_collector(endpoint: &str) -> Vec<Value> {
    let (server, directory) = sample(&["--otlp-endpoint", endpoint]);
    let client = &mut server.client().await;
    // More spans than the exporter's queue holds.
    for _ in 0..600 {
        let untag = client.untag_resources(untag_of(ALICE));
        let answered = tokio::time::timeout(HELD_UP, untag).await;
        answered.expect("the call is not held up").unwrap();
    }
    let asked = Instant::now();
    let log = finish(server);
    assert!(asked.elapsed() < END, "the end took {:?}", asked.elapsed());
    // The end was a clean one.
    assert!(fs::metadata(directory.path().join("untag.db")).is_ok());
    log
}

const NO_TRACES: &str =
    "the collector takes no traces; the next line about it comes in an hour, or when it does";

fn warning(log: &[Value]) -> &Value {
    let wanted = "the last traces could not be sent";
    let found = log.iter().find(|line| line["message"] == wanted);
    found.unwrap_or_else(|| panic!("no warning: {log:#?}"))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_collector_that_is_gone_costs_spans_and_no_request() {
    let [nobody] = free_ports();
    let log = untag_without_a_collector(&format!("http://{nobody}")).await;
    warning(&log);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_collector_that_is_gone_is_one_warning_and_a_line_when_it_is_back() {
    let gone = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = gone.local_addr().unwrap();
    let (directory, mut command) = (tempfile::tempdir().unwrap(), untag());
    command.args(["serve", "--sample-data", "--data-dir"]);
    command.arg(directory.path());
    command.args(["--otlp-endpoint", &format!("http://{address}")]);
    command.env("OTEL_BSP_SCHEDULE_DELAY", "10");
    let server = Server::spawn(command);
    let client = &mut server.client().await;
    let about = |line: &Value| {
        let message = line["message"].as_str().unwrap_or_default();
        let target = line["target"].as_str().unwrap_or_default();
        message.contains("collector") || target.starts_with("opentelemetry")
    };
    // Each connection is one batch that is lost.
    for _ in 0..5 {
        client.untag_resources(untag_of(ALICE)).await.unwrap();
        let (batch, _) = gone.accept().unwrap();
        drop(batch);
    }
    let warning = server.wait_for_log_where(NO_TRACES, |line| line["level"] == "WARN");
    assert_ne!(warning["lost_spans"], 0);
    assert_eq!(server.count_in_log(about), 1, "{:#?}", server.log_lines());

    drop(gone);
    let _collector = Collector::start_at(address);
    client.untag_resources(untag_of(ALICE)).await.unwrap();
    server.wait_for_log("the collector takes traces again");
    assert_eq!(server.count_in_log(about), 2, "{:#?}", server.log_lines());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_collector_that_never_answers_holds_up_nothing() {
    // Connections are accepted by the system, and nobody ever reads from them.
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = silent.local_addr().unwrap();
    let log = untag_without_a_collector(&format!("http://{address}")).await;
    warning(&log);
}

#[test]
fn an_endpoint_that_is_no_url_is_refused() {
    for endpoint in ["", "127.0.0.1:4317", "ftp://collector", "http://"] {
        let output = run(&["serve", "--otlp-endpoint", endpoint]);
        let error = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(2), "{error}");
        assert!(error.contains("give a URL such as"), "{error}");
    }
}
