//! Attacks over HTTP/1.1 that are the same on both ports that speak it.

use std::io::{Read as _, Write as _};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::thread::sleep;
use std::time::Duration;

use super::target::Attack;
use crate::support::PATIENCE;

/// The time between two bytes.
pub const PAUSE: Duration = Duration::from_millis(20);

pub fn open(address: SocketAddr) -> TcpStream {
    let stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    stream
}

/// Reads what comes until the other end closes; a reset is an end too.
pub fn read_to_end(mut stream: TcpStream) -> String {
    let mut all = Vec::new();
    let _ = stream.read_to_end(&mut all);
    String::from_utf8_lossy(&all).into_owned()
}

/// Sends to 100 connections byte by byte, as long as they take it.
pub fn trickle(attack: &Attack, address: SocketAddr, bytes: &[u8]) {
    let mut streams: Vec<TcpStream> = (0..100).map(|_| open(address)).collect();
    for byte in bytes {
        streams.retain_mut(|stream| stream.write_all(&[*byte]).is_ok());
        attack.count(u64::try_from(streams.len()).unwrap());
        if !attack.is_on() || streams.is_empty() {
            return;
        }
        sleep(PAUSE);
    }
}

/// Sends a head to 100 connections, and then one byte of the body after the other, as long as they take it.
pub fn drip(attack: &Attack, address: SocketAddr, head: &str, byte: u8) {
    let mut streams: Vec<TcpStream> = (0..100).map(|_| open(address)).collect();
    streams.retain_mut(|stream| stream.write_all(head.as_bytes()).is_ok());
    while attack.is_on() && !streams.is_empty() {
        streams.retain_mut(|stream| stream.write_all(&[byte]).is_ok());
        attack.count(u64::try_from(streams.len()).unwrap());
        sleep(PAUSE);
    }
}

/// Sends a request again and again, all at once, and reads no answer.
pub fn pile_up(attack: &Attack, address: SocketAddr, request: &str) {
    let mut stream = open(address);
    stream.set_write_timeout(Some(PAUSE)).unwrap();
    let many = request.repeat(100);
    while attack.is_on() && stream.write_all(many.as_bytes()).is_ok() {
        attack.count(100);
    }
    attack.count(1);
}

/// Sends each request on a connection of its own, and reads no answer.
pub fn send_each(attack: &Attack, address: SocketAddr, requests: &[String]) {
    for request in requests {
        let mut stream = open(address);
        let _ = stream.write_all(request.as_bytes());
        attack.count(1);
    }
}

/// Checks that each of these requests is refused, or its connection cut.
pub fn check_refusals(address: SocketAddr, requests: &[String]) {
    for request in requests {
        let mut stream = open(address);
        // The service may close before it has taken everything.
        let _ = stream.write_all(request.as_bytes());
        let _ = stream.shutdown(Shutdown::Write);
        let answer = read_to_end(stream);
        let start: String = request.chars().take(160).collect();
        let is_refused = answer.is_empty() || answer.starts_with("HTTP/1.1 4");
        assert!(is_refused, "{start}: {answer}");
    }
}
