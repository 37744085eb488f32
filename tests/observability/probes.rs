//! `/live`, `/ready`, and gRPC health beside them.

use std::time::{Duration, Instant};

use tonic_health::pb::HealthCheckRequest;

use crate::http::{ask, get, sample};
use crate::support::{PATIENCE, health_client};

#[tokio::test]
async fn ready_follows_the_store_and_live_does_not() {
    let (server, directory) = sample(&[]);
    assert_eq!(get(&server, "/ready"), (200, "ready\n".to_owned()));
    assert_eq!(get(&server, "/live"), (200, "live\n".to_owned()));

    let database = rusqlite::Connection::open(directory.path().join("untag.db")).unwrap();
    database.busy_timeout(PATIENCE).unwrap();
    database.execute_batch("BEGIN IMMEDIATE").unwrap();
    let started = Instant::now();
    let reason = loop {
        let (status, reason) = get(&server, "/ready");
        if status == 503 {
            break reason;
        }
        assert!(started.elapsed() < PATIENCE, "still ready");
        tokio::time::sleep(Duration::from_millis(50)).await;
    };
    assert!(reason.len() > 10, "it says why: {reason:?}");
    assert_eq!(get(&server, "/live").0, 200);
    let mut health = health_client(server.admin_address).await;
    for (service, wanted) in [("", "NOT_SERVING"), ("liveness", "SERVING")] {
        let service = service.to_owned();
        let answer = health.check(HealthCheckRequest { service }).await.unwrap();
        assert_eq!(answer.into_inner().status().as_str_name(), wanted);
    }
    database.execute_batch("ROLLBACK").unwrap();
    while get(&server, "/ready").0 != 200 {
        assert!(started.elapsed() < 2 * PATIENCE, "not ready again");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

#[test]
fn the_public_port_speaks_no_http_1_and_has_no_endpoints() {
    use std::io::{Read as _, Write as _};
    let (server, _directory) = sample(&[]);
    let mut stream = std::net::TcpStream::connect(server.address).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    stream
        .write_all(b"GET /metrics HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n")
        .unwrap();
    let mut answer = Vec::new();
    // It may be reset.
    let _ = stream.read_to_end(&mut answer);
    assert!(!answer.starts_with(b"HTTP/1.1"), "{answer:?}");
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
