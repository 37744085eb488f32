//! HTTP/1.1 and HTTP/2 side by side on the admin port, and its limits.

use super::scrape::{health, readiness};
use crate::black_box::users::server;
use crate::black_box::wire::Wire;
use crate::support::http::{Http1, get};

#[tokio::test(flavor = "multi_thread")]
async fn one_connection_takes_many_requests_and_grpc_works_beside_it() {
    let (server, _home) = server(&[]);
    let mut http = Http1::open(server.admin_address);
    for _ in 0..3 {
        let answer = http.ask("GET", "/live", "", "");
        assert_eq!((answer.code, answer.body.as_str()), (200, "live\n"));
        assert_eq!(health(&server, "").await, "SERVING");
    }
    let head = http.ask("HEAD", "/ready", "", "");
    assert_eq!((head.code, head.body.as_str()), (200, ""));
    let refused = http.ask("POST", "/metrics", "", "");
    assert!(
        refused.headers.contains("allow: get, head\r\n"),
        "{refused:?}"
    );
}

#[test]
fn openmetrics_is_served_to_those_who_accept_it() {
    let (server, _home) = server(&[]);
    let mut http = Http1::open(server.admin_address);
    let accept =
        "Accept: application/openmetrics-text;version=1.0.0,text/plain;version=0.0.4;q=0.5\r\n";
    let answer = http.ask("GET", "/metrics", accept, "");
    let content_type = "content-type: application/openmetrics-text; version=1.0.0";
    assert!(answer.headers.contains(content_type), "{}", answer.headers);
    assert!(answer.body.ends_with("# EOF\n"));
    assert!(answer.body.contains("# TYPE grpc_server_started counter\n"));
    let plain = http.ask("GET", "/metrics", "", "");
    let content_type = "content-type: text/plain; version=0.0.4";
    assert!(plain.headers.contains(content_type), "{}", plain.headers);
}

#[test]
fn the_form_of_metrics_is_what_the_client_likes_best() {
    let (server, _home) = server(&[]);
    let mut http = Http1::open(server.admin_address);
    let (open, plain) = ("application/openmetrics-text", "text/plain");
    for (accept, expected) in [
        (
            "application/openmetrics-text;q=0.1, text/plain;q=0.2",
            plain,
        ),
        ("text/plain;q=0.1, application/openmetrics-text;q=0.2", open),
        ("application/openmetrics-text;q=0, */*", plain),
        ("application/openmetrics-text; q=0", plain),
        ("text/plain;q=0, application/*;q=0.1", open),
        ("text/plain;q=0, */*", open),
        ("*/*", plain),
        ("text/*, application/*;q=0.9", plain),
        ("APPLICATION/OpenMetrics-Text", open),
        ("application/openmetrics-text-2", plain),
        // Neither can be had, or the header is none.
        ("application/json", plain),
        ("text/plain;q=0", plain),
        ("no media type", plain),
        // Prometheus 2 and 3.
        (
            "application/openmetrics-text;version=1.0.0;q=0.5,application/openmetrics-text;version=0.0.1;q=0.4,\
             text/plain;version=0.0.4;q=0.3,*/*;q=0.2",
            open,
        ),
        (
            "application/openmetrics-text;version=1.0.0;escaping=allow-utf-8;q=0.5,\
             application/openmetrics-text;version=0.0.1;q=0.4,text/plain;version=1.0.0;escaping=allow-utf-8;q=0.3,\
             text/plain;version=0.0.4;q=0.2,*/*;q=0.1",
            open,
        ),
    ] {
        let answer = http.ask("GET", "/metrics", &format!("Accept: {accept}\r\n"), "");
        let content_type = format!("content-type: {expected};");
        assert!(
            answer.headers.contains(&content_type),
            "{accept}: {}",
            answer.headers
        );
    }
    // Two headers are one.
    let accept = "Accept: text/plain;q=0.5\r\nAccept: application/openmetrics-text\r\n";
    let answer = http.ask("GET", "/metrics", accept, "");
    assert!(answer.headers.contains(open), "{}", answer.headers);
}

#[test]
fn slow_and_silent_clients_of_the_admin_port_are_cut() {
    let (server, _home) = server(&["--handshake-timeout", "0.3"]);
    let silent = Http1::open(server.admin_address);
    let mut slow = Http1::open(server.admin_address);
    slow.send(b"GET /metrics HTTP/1.1\r\nHost: untag\r\nX-Never-Ending: ");
    // Both return when the server closes.
    assert!(silent.rest().is_empty());
    assert!(!slow.rest().starts_with(b"HTTP/1.1 200"));
    assert_eq!(get(&server, "/live").0, 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_drain_is_not_ready_and_live() {
    let (server, _home) = server(&["--drain-timeout", "600"]);
    let mut wire = Wire::open(server.address).await;
    let _open = wire.open_request().await;
    server.signal("TERM");
    let reason = readiness(&server, 503).await;
    assert_eq!(reason, "the server is shutting down\n");
    assert_eq!(get(&server, "/live").0, 200);
    assert_eq!(health(&server, "liveness").await, "SERVING");
    assert_eq!(get(&server, "/metrics").0, 200);
}
