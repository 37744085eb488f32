//! Connections of HTTP/1.1 that have to leave: no request is lost that is on its way.

use std::net::SocketAddr;
use std::sync::Barrier;
use std::thread;

use super::connect::{headers, untag_ann};
use super::users::server;
use super::wire::LIST;
use crate::support::PATIENCE;
use crate::support::http::Http1;

/// How many connections are closed while they are used.
const CLIENTS: usize = 8;

/// Asks on a connection, without a pause, until an answer says that it closes. After the first answer it waits for the others.
fn ask_until_told_to_leave(address: SocketAddr, method: &str, path: &str, begun: &Barrier) {
    let headers = headers("");
    let body = if method == "POST" {
        untag_ann().to_string()
    } else {
        String::new()
    };
    let mut connection = Http1::open(address);
    connection.ask(method, path, &headers, &body);
    begun.wait();
    loop {
        // It panics where there is no answer.
        let answer = connection.ask(method, path, &headers, &body);
        if answer.headers.contains("connection: close\r\n") {
            assert_eq!(connection.rest(), b"");
            return;
        }
    }
}

/// Has busy connections leave, and waits until each has an answer that says so.
fn all_are_told(targets: &[(SocketAddr, &str, &str)], leave: impl FnOnce()) {
    let begun = Barrier::new(CLIENTS + 1);
    thread::scope(|scope| {
        for &(address, method, path) in targets.iter().cycle().take(CLIENTS) {
            let begun = &begun;
            scope.spawn(move || ask_until_told_to_leave(address, method, path, begun));
        }
        begun.wait();
        leave();
    });
}

#[test]
fn a_connection_that_is_old_closes_with_an_answer() {
    let (server, _home) = server(&["--max-connection-age", "1"]);
    let targets = [
        (server.address, "POST", LIST),
        (server.admin_address, "GET", "/readyz"),
    ];
    all_are_told(&targets, || {});
}

#[test]
fn a_drain_closes_busy_connections_with_an_answer() {
    let (mut server, _home) = server(&["--drain-timeout", "600"]);
    // The admin port stays for probes until the end.
    all_are_told(&[(server.address, "POST", LIST)], || server.signal("TERM"));
    assert_eq!(server.wait(PATIENCE).code(), Some(0));
}
