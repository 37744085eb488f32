//! HTTP/1.1 on the port of gRPC.

use std::io::{Read as _, Write as _};
use std::net::SocketAddr;

use super::plain_http::{check_refusals, drip, open, pile_up, read_to_end, send_each, trickle};
use super::target::{Attack, Target};

const HEAD: &str = "POST /ram.tag.v1.TagService/ListTagResources HTTP/1.1\r\nHost: untag.example.org\r\n\
    Content-Type: application/json\r\n";

/// A call that has to be answered.
fn is_well(address: SocketAddr) {
    let mut stream = open(address);
    let body = r#"{"tags":[{"key":"team"}]}"#;
    let length = body.len();
    write!(
        stream,
        "{HEAD}Connection: close\r\nContent-Length: {length}\r\n\r\n{body}"
    )
    .unwrap();
    let answer = read_to_end(stream);
    assert!(answer.starts_with("HTTP/1.1 200 "), "{answer}");
}

#[tokio::test(flavor = "multi_thread")]
async fn slow_requests_over_http_1_are_given_up() {
    let target = Target::start(&[
        "--idle-timeout",
        "0.5",
        "--handshake-timeout",
        "0.5",
        "--request-timeout",
        "0.5",
    ]);
    let address = target.server.address;
    let attack = move |attack: &Attack| trickle(attack, address, HEAD.as_bytes());
    target
        .endure("HTTP/1.1: slow headers", 2, "bytes, one at a time", attack)
        .await;
    let headers = format!("{HEAD}Content-Length: 60000\r\n\r\n");
    let head = headers.clone();
    let attack = move |attack: &Attack| drip(attack, address, &head, b' ');
    target
        .endure("HTTP/1.1: slow body", 2, "bytes, one at a time", attack)
        .await;
    is_well(address);
    // One that stops in the middle is told, or cut.
    let mut stream = open(address);
    stream.write_all(headers.as_bytes()).unwrap();
    let answer = read_to_end(stream);
    assert!(answer.contains("the deadline has passed"), "{answer}");
    for part in [1, 20, HEAD.len()] {
        let mut stream = open(address);
        stream.write_all(&headers.as_bytes()[..part]).unwrap();
        assert!(!read_to_end(stream).contains("HTTP/1.1 200"));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_too_large_for_http_1_or_is_none_is_refused() {
    let target = Target::start(&[]);
    let address = target.server.address;
    let header = format!("X-Large: {}\r\n", "x".repeat(1000));
    let large = [
        // A body that claims 4 GiB, and one that does not end.
        format!("{HEAD}Content-Length: 4294967296\r\n\r\n") + &" ".repeat(100_000),
        format!("{HEAD}Transfer-Encoding: chunked\r\n\r\n")
            + &format!("3e8\r\n{}\r\n", " ".repeat(1000)).repeat(100),
        format!("{HEAD}{}\r\n", header.repeat(1000)),
        format!("{HEAD}{}\r\n", "a: b\r\n".repeat(150)),
        format!(
            "POST /{} HTTP/1.1\r\nHost: a\r\n\r\n",
            "x".repeat(1_000_000)
        ),
        // Two lengths, which proxies could read differently (RFC 9112, 6.3).
        format!("{HEAD}Content-Length: 2\r\nContent-Length: 3\r\n\r\n{{}} "),
        // A preface that is none.
        "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\r".to_owned(),
        "\u{16}\u{3}\u{1}".repeat(1000),
    ];
    check_refusals(address, &large);
    let attack = move |attack: &Attack| send_each(attack, address, &large);
    target
        .endure("HTTP/1.1: too large, or none", 4, "requests", attack)
        .await;
    // JSON that takes many times its size when it is read, and answers that nobody reads, to requests that come all at once.
    let attack = move |attack: &Attack| {
        let mut stream = open(address);
        let ids = vec!["\"\""; 20_000].join(",");
        let body = format!(r#"{{"resourceIds":{{"values":[{ids}]}}}}"#);
        let request = format!("{HEAD}Content-Length: {}\r\n\r\n{body}", body.len());
        let mut answer = [0; 4096];
        while attack.is_on() {
            let sent = stream.write_all(request.as_bytes());
            let read = stream.read(&mut answer).unwrap_or(0);
            if sent.is_err() || read == 0 {
                return;
            }
            attack.count(1);
        }
    };
    target
        .endure("JSON: 20,000 empty ids", 4, "requests", attack)
        .await;
    let request = format!("{HEAD}Content-Length: 2\r\n\r\n{{}}");
    let attack = move |attack: &Attack| pile_up(attack, address, &request);
    target
        .endure("HTTP/1.1: answers not read", 4, "requests", attack)
        .await;
    is_well(address);
}
