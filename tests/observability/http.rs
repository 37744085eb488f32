//! HTTP/1.1 as curl and Prometheus speak it, by hand.

#![allow(dead_code, reason = "each test crate uses its own part")]

use std::collections::BTreeMap;
use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};

use tempfile::TempDir;

use crate::support::{PATIENCE, Server};

/// The status and the body of an answer.
pub fn ask(address: SocketAddr, method: &str, path: &str, body: &str) -> (u16, String) {
    let mut stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    let length = body.len();
    write!(
        stream,
        "{method} {path} HTTP/1.1\r\nhost: admin\r\nconnection: close\r\ncontent-length: {length}\r\n\r\n{body}"
    )
    .unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    let status = head.split(' ').nth(1).unwrap().parse().unwrap();
    (status, body.to_owned())
}

pub fn get(server: &Server, path: &str) -> (u16, String) {
    ask(server.admin_address, "GET", path, "")
}

/// The series of a scrape and their values.
pub fn scrape(server: &Server) -> BTreeMap<String, f64> {
    let (status, text) = get(server, "/metrics");
    assert_eq!(status, 200, "{text}");
    text.lines()
        .filter(|line| !line.starts_with('#'))
        .map(|line| {
            let (series, value) = line.rsplit_once(' ').unwrap();
            (series.to_owned(), value.parse().unwrap())
        })
        .collect()
}

/// A service with the sample data.
pub fn sample(arguments: &[&str]) -> (Server, TempDir) {
    let directory = tempfile::tempdir().unwrap();
    let arguments: Vec<&str> = [&["--sample-data"], arguments].concat();
    let server = Server::start(directory.path(), &arguments);
    (server, directory)
}
