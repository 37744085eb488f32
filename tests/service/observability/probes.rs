//! `/live`, `/ready`, and gRPC health beside them.

use super::scrape::{health, readiness};
use crate::support::http::{Http1, ask, get};
use crate::support::{hold_store, sample};

#[tokio::test]
async fn ready_follows_the_store_and_live_does_not() {
    let (server, directory) = sample(&[]);
    assert_eq!(get(&server, "/ready"), (200, "ready\n".to_owned()));
    assert_eq!(get(&server, "/live"), (200, "live\n".to_owned()));

    let held = hold_store(directory.path());
    let reason = readiness(&server, 503).await;
    assert!(reason.len() > 10, "it says why: {reason:?}");
    assert_eq!(get(&server, "/live").0, 200);
    for (service, wanted) in [("", "NOT_SERVING"), ("liveness", "SERVING")] {
        assert_eq!(health(&server, service).await, wanted);
    }
    drop(held);
    readiness(&server, 200).await;
}

#[test]
fn the_public_port_has_no_endpoints() {
    let (server, _directory) = sample(&[]);
    for (method, path) in [("GET", "/metrics"), ("GET", "/live"), ("PUT", "/log-level")] {
        let answer = ask(server.address, method, path, "");
        assert_eq!(answer.0, 405, "{path}: {answer:?}");
    }
    let json = "Content-Type: application/json\r\n";
    let answer = Http1::open(server.address).ask("POST", "/metrics", json, "{}");
    assert_eq!(answer.code, 501, "{answer:?}");
}

#[test]
fn other_paths_and_methods_are_refused() {
    let (server, _directory) = sample(&[]);
    let admin = server.admin_address;
    let (status, said) = get(&server, "/nothing");
    assert_eq!(status, 404);
    assert!(said.contains("/metrics"), "{said}");
    for path in ["/live", "/ready", "/metrics"] {
        assert_eq!(ask(admin, "POST", path, "").0, 405, "{path}");
    }
    assert_eq!(ask(admin, "DELETE", "/log-level", "").0, 405);
}
