//! HTTP/1.1 as curl and Prometheus speak it, by hand.

#![allow(dead_code, reason = "each test crate uses its own part")]

use std::collections::BTreeMap;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};

use crate::support::{PATIENCE, Server};

/// A connection.
pub struct Http1(BufReader<TcpStream>);

/// An answer.
#[derive(Debug)]
pub struct Answer {
    pub code: u16,
    /// The headers in lower case, a line each.
    pub headers: String,
    pub body: String,
}

impl Http1 {
    pub fn open(address: SocketAddr) -> Self {
        let stream = TcpStream::connect(address).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        Self(BufReader::new(stream))
    }

    /// Sends a request and reads its answer. The connection stays open.
    pub fn ask(&mut self, method: &str, path: &str, headers: &str, body: &str) -> Answer {
        let length = body.len();
        let request = format!(
            "{method} {path} HTTP/1.1\r\nHost: untag\r\nContent-Length: {length}\r\n{headers}\r\n{body}"
        );
        self.send(request.as_bytes());
        let mut line = String::new();
        self.0.read_line(&mut line).unwrap();
        let code = line
            .strip_prefix("HTTP/1.1 ")
            .and_then(|rest| rest.get(..3));
        let code = code.unwrap_or_else(|| panic!("{line:?}")).parse().unwrap();
        let mut headers = String::new();
        while self.0.read_line(&mut headers).unwrap() > 2 {}
        let headers = headers.to_lowercase();
        let length = headers
            .lines()
            .find_map(|line| line.strip_prefix("content-length: "));
        let length = if method == "HEAD" {
            0
        } else {
            length.unwrap().parse().unwrap()
        };
        let mut body = vec![0; length];
        self.0.read_exact(&mut body).unwrap();
        Answer {
            code,
            headers,
            body: String::from_utf8(body).unwrap(),
        }
    }

    pub fn send(&mut self, bytes: &[u8]) {
        self.0.get_mut().write_all(bytes).unwrap();
    }

    /// The bytes that come until the other end closes.
    pub fn rest(mut self) -> Vec<u8> {
        let mut rest = Vec::new();
        // A reset is an end too.
        let _ = self.0.read_to_end(&mut rest);
        rest
    }
}

/// The status and the body of an answer, on a connection of its own.
pub fn ask(address: SocketAddr, method: &str, path: &str, body: &str) -> (u16, String) {
    let answer = Http1::open(address).ask(method, path, "Connection: close\r\n", body);
    (answer.code, answer.body)
}

pub fn get(server: &Server, path: &str) -> (u16, String) {
    ask(server.admin_address, "GET", path, "")
}

/// The series of a scrape and their values.
pub fn scrape(server: &Server) -> BTreeMap<String, f64> {
    let (status, text) = get(server, "/metrics");
    assert_eq!(status, 200, "{text}");
    series(&text).collect()
}

/// Each series of the text of a scrape, and its value.
pub fn series(text: &str) -> impl Iterator<Item = (String, f64)> {
    let lines = text.lines().filter(|line| !line.starts_with('#'));
    lines.map(|line| {
        let (series, value) = line.rsplit_once(' ').unwrap();
        (series.to_owned(), value.parse().unwrap())
    })
}
