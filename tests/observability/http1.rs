//! A connection of HTTP/1.1 that stays open, which http.rs has not.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};

use crate::support::PATIENCE;

/// A connection.
pub struct Http1(BufReader<TcpStream>);

/// An answer.
#[derive(Debug)]
pub struct Answer {
    pub code: u16,
    /// In lower case, a line each.
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

    /// What comes until the other end closes.
    pub fn rest(mut self) -> Vec<u8> {
        let mut rest = Vec::new();
        // A reset is an end too.
        let _ = self.0.read_to_end(&mut rest);
        rest
    }
}
