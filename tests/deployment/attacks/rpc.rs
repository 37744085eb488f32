//! The port for the cloud's RPC style, which speaks HTTP/1.1.

use std::fs;
use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::thread::sleep;
use std::time::Instant;

use tempfile::NamedTempFile;

use super::plain_http::{
    PAUSE, check_refusals, drip, open, pile_up, read_to_end, send_each, trickle,
};
use super::target::{Attack, Target};
use crate::support::PATIENCE;

/// A target with the port open, and where that is.
fn start(arguments: &[&str]) -> (Target, SocketAddr, NamedTempFile) {
    let keys = NamedTempFile::new().unwrap();
    // Its id is known to everybody, and its secret to nobody.
    let known = r#"{"access_keys": [{"access_key_id": "known", "access_key_secret": "unguessable",
        "account_id": "7", "caller": "nobody"}]}"#;
    fs::write(&keys, known).unwrap();
    let path = keys.path().to_str().unwrap();
    let own = ["--listen-rpc", "127.0.0.1:0", "--access-keys", path];
    let target = Target::start(&[&own, arguments].concat());
    let listening = |line: &serde_json::Value| line["port"] == "rpc";
    let line = target.server.wait_for_log_where("listening", listening);
    let address = line["address"].as_str().unwrap().parse().unwrap();
    (target, address, keys)
}

/// Somebody who is unknown is told so.
fn is_well(address: SocketAddr) {
    let mut stream = open(address);
    stream
        .write_all(b"GET /?Action=UntagResources HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
        .unwrap();
    let answer = read_to_end(stream);
    assert!(answer.contains("IncompleteSignature"), "{answer}");
}

#[tokio::test(flavor = "multi_thread")]
async fn slow_requests_of_the_rpc_style_are_given_up() {
    let (target, address, _keys) = start(&["--idle-timeout", "0.5", "--request-timeout", "0.5"]);
    let headers = "POST / HTTP/1.1\r\nHost: untag.example.org\r\nContent-Length: 60000\r\n\r\n";
    let attack = move |attack: &Attack| trickle(attack, address, headers.as_bytes());
    target
        .endure("RPC: slow headers", 2, "bytes, one at a time", attack)
        .await;
    let attack = move |attack: &Attack| drip(attack, address, headers, b'a');
    target
        .endure("RPC: slow body", 2, "bytes, one at a time", attack)
        .await;
    is_well(address);
    // One that stops in the middle is told, or cut.
    let mut stream = open(address);
    stream.write_all(headers.as_bytes()).unwrap();
    let answer = read_to_end(stream);
    assert!(
        answer.contains("the body did not arrive in time"),
        "{answer}"
    );
    let mut stream = open(address);
    stream.write_all(&headers.as_bytes()[..20]).unwrap();
    assert!(!read_to_end(stream).contains("HTTP/1.1 200"));
}

#[tokio::test(flavor = "multi_thread")]
async fn floods_of_the_rpc_style_are_refused() {
    let (target, address, _keys) = start(&[]);
    let attack = move |attack: &Attack| {
        let mut stream = open(address);
        let body = "a=".to_owned() + &"x".repeat(60_000);
        let length = body.len();
        let request = format!(
            "POST / HTTP/1.1\r\nHost: a\r\nContent-Type: application/x-www-form-urlencoded\r\n\
             Authorization: ACS3-HMAC-SHA256 Credential=nobody,SignedHeaders=host,Signature=00\r\n\
             Content-Length: {length}\r\n\r\n{body}"
        );
        let mut answer = [0; 4096];
        while attack.is_on() {
            let sent = stream.write_all(request.as_bytes());
            if sent.is_err() || stream.read(&mut answer).unwrap_or(0) == 0 {
                return;
            }
            attack.count(1);
        }
    };
    target
        .endure("RPC: forged requests of 60 KB", 4, "requests", attack)
        .await;
    // Tens of thousands of times the same header, of 40 KB, is signed.
    let attack = move |attack: &Attack| {
        let mut stream = open(address);
        let hash = untag::signature::v3::payload_hash(b"");
        let request = format!(
            "GET / HTTP/1.1\r\nHost: a\r\nA: {}\r\nX-Acs-Content-Sha256: {hash}\r\n\
             Authorization: ACS3-HMAC-SHA256 Credential=known,\
             SignedHeaders={}host;x-acs-content-sha256,Signature=00\r\n\r\n",
            "x".repeat(40_000),
            "a;".repeat(18_000),
        );
        let mut answer = [0; 4096];
        while attack.is_on() {
            let sent = stream.write_all(request.as_bytes());
            let read = stream.read(&mut answer).unwrap_or(0);
            if sent.is_err() || read == 0 {
                return;
            }
            let answer = String::from_utf8_lossy(&answer[..read]);
            assert!(answer.contains("each once"), "{answer}");
            attack.count(1);
        }
    };
    target
        .endure("RPC: 40 KB signed 18,000 times", 2, "requests", attack)
        .await;
    // Answers that nobody reads, to requests that come all at once.
    let request = "GET /?Action=UntagResources HTTP/1.1\r\nHost: a\r\n\r\n";
    let attack = move |attack: &Attack| pile_up(attack, address, request);
    target
        .endure("RPC: answers not read", 4, "requests", attack)
        .await;
    is_well(address);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_too_large_for_the_rpc_style_is_refused() {
    let (target, address, _keys) = start(&[]);
    let header = format!("X-Large: {}\r\n", "x".repeat(1000));
    let large = [
        // A body that claims 4 GiB, and one that does not end.
        "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 4294967296\r\n\r\n".to_owned()
            + &"x".repeat(100_000),
        "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n".to_owned()
            + &format!("3e8\r\n{}\r\n", "x".repeat(1000)).repeat(100),
        format!("GET / HTTP/1.1\r\nHost: a\r\n{}\r\n", header.repeat(1000)),
        format!(
            "GET /?a={} HTTP/1.1\r\nHost: a\r\n\r\n",
            "x".repeat(1_000_000)
        ),
        // Two lengths, which proxies could read differently (RFC 9112, 6.3).
        "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nab".to_owned(),
        "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_owned(),
        "\u{16}\u{3}\u{1}".repeat(1000),
    ];
    check_refusals(address, &large);
    let attack = move |attack: &Attack| send_each(attack, address, &large);
    target
        .endure("RPC: too large, or no HTTP", 4, "requests", attack)
        .await;
    is_well(address);
}

/// The most memory that the service may have had, in MiB, after hundreds of requests that are not here as a whole.
const MOST_MEMORY_FOR_PARTS: u64 = 128;

#[test]
fn parameters_are_decoded_when_the_whole_request_is_here() {
    let (target, address, _keys) = start(&[]);
    // 15,000 parameters, which decoded take some twenty times as much.
    let query = "&aa=".repeat(15_000);
    let head = format!(
        "POST /?{query} HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n1\r\na\r\n"
    );
    let streams: Vec<TcpStream> = (0..300)
        .map(|_| {
            let mut stream = open(address);
            // Those for whom there is no budget are cut.
            let _ = stream.write_all(head.as_bytes());
            stream
        })
        .collect();
    // Behind all of them.
    is_well(address);
    let memory = target.peak_memory();
    println!("| RPC: 15,000 parameters, and no end | 300 connections | {memory} MiB |");
    assert!(memory < MOST_MEMORY_FOR_PARTS, "{memory} MiB");
    // They hold the budget of those who are not known, which is free again when their ends have been read.
    drop(streams);
    let whole = format!("GET /?{query} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n");
    let started = Instant::now();
    loop {
        let mut stream = open(address);
        let _ = stream.write_all(whole.as_bytes());
        let answer = read_to_end(stream);
        if answer.contains("the request has 15000 parameters, and may have 1000") {
            return;
        }
        assert!(
            answer.is_empty() && started.elapsed() < PATIENCE,
            "{answer}"
        );
        sleep(PAUSE);
    }
}

#[test]
fn bodies_of_strangers_that_do_not_end_keep_no_slot() {
    let (_target, address, _keys) = start(&["--max-connections", "4"]);
    let head = "POST / HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 10\r\n\r\n";
    let _streams: Vec<TcpStream> = (0..4)
        .map(|_| {
            let mut stream = open(address);
            stream.write_all(head.as_bytes()).unwrap();
            // From here on the body is waited for.
            let mut told = [0; 12];
            stream.read_exact(&mut told).unwrap();
            assert_eq!(&told, b"HTTP/1.1 100");
            stream
        })
        .collect();
    is_well(address);
}

#[test]
fn bytes_of_a_body_do_not_hold_the_buffers_that_they_came_in() {
    let (target, address, _keys) = start(&[]);
    let mut streams: Vec<TcpStream> = (0..300).map(|_| open(address)).collect();
    let head = "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n";
    for stream in &mut streams {
        stream.set_nodelay(true).unwrap();
        stream.write_all(head.as_bytes()).unwrap();
    }
    for _ in 0..200 {
        // Those that have taken too long are closed.
        streams.retain_mut(|stream| stream.write_all(b"1\r\na\r\n").is_ok());
        // What was sent is read before more is.
        is_well(address);
    }
    let memory = target.peak_memory();
    println!("| RPC: chunks of a byte | 300 connections | {memory} MiB |");
    assert!(memory < MOST_MEMORY_FOR_PARTS, "{memory} MiB");
}
