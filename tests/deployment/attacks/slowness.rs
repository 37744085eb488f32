//! Clients that take their time.

use std::net::SocketAddr;
use std::thread::sleep;
use std::time::Duration;

use prost::Message as _;

use super::target::{Attack, Target};
use crate::support::frames::{
    DATA, END_HEADERS, END_STREAM, HEADERS, INITIAL_WINDOW_SIZE, LIST, Raw, UNTAG, call_headers,
    frame, setting,
};
use crate::support::list;

const PAUSE: Duration = Duration::from_millis(20);

#[tokio::test(flavor = "multi_thread")]
async fn slow_preface_is_given_up() {
    let target = Target::start(&["--handshake-timeout", "0.5"]);
    let attack = |attack: &Attack| {
        let mut raws: Vec<Raw> = (0..100).map(|_| Raw::silent(attack.address)).collect();
        for byte in b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" {
            raws.retain_mut(|raw| raw.send(&[*byte]).is_ok());
            attack.count(u64::try_from(raws.len()).unwrap());
            if !attack.is_on() || raws.is_empty() {
                return;
            }
            sleep(5 * PAUSE);
        }
    };
    target
        .endure("slow preface", 2, "bytes, one at a time", attack)
        .await;
    let mut raw = Raw::silent(target.server.address);
    raw.send(b"PRI").unwrap();
    assert!(
        raw.read_to_end().is_none(),
        "closed, with no word of HTTP/2"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn slow_body_is_given_up() {
    let target = Target::start(&["--request-timeout", "1", "--max-requests-in-flight", "4"]);
    let attack = |attack: &Attack| {
        let mut raw = Raw::open(attack.address, &[]);
        raw.drain();
        let headers = call_headers(UNTAG, &[]);
        let streams: Vec<u32> = (1..1000).step_by(2).collect();
        for &stream in &streams {
            let open = frame(HEADERS, END_HEADERS, stream, &headers);
            if raw.send(&open).is_err() {
                return;
            }
        }
        while attack.is_on() {
            for &stream in &streams {
                if raw.send(&frame(DATA, 0, stream, &[0])).is_err() {
                    return;
                }
                attack.count(1);
            }
            sleep(PAUSE);
        }
    };
    // More of them than may be carried out at a time: they hold nobody's place.
    target
        .endure("slow body", 4, "bytes, one at a time", attack)
        .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn slow_headers_are_survived() {
    let target = Target::start(&["--idle-timeout", "0.5"]);
    let attack = |attack: &Attack| {
        let mut raws: Vec<Raw> = (0..100).map(|_| Raw::open(attack.address, &[])).collect();
        let headers = frame(HEADERS, END_HEADERS, 1, &call_headers(LIST, &[]));
        for byte in headers {
            raws.retain_mut(|raw| raw.send(&[byte]).is_ok());
            attack.count(u64::try_from(raws.len()).unwrap());
            if !attack.is_on() || raws.is_empty() {
                return;
            }
            sleep(PAUSE);
        }
    };
    target
        .endure("slow headers", 2, "bytes, one at a time", attack)
        .await;
}

/// Calls whose answers find no window.
fn stall(address: SocketAddr) -> Raw {
    let mut raw = Raw::open(address, &setting(INITIAL_WINDOW_SIZE, 0));
    let message = list().encode_to_vec();
    let length = u32::try_from(message.len()).unwrap().to_be_bytes();
    let body = [&[0][..], &length, &message].concat();
    for stream in (1..1000).step_by(2) {
        let open = frame(HEADERS, END_HEADERS, stream, &call_headers(LIST, &[]));
        let body = frame(DATA, END_STREAM, stream, &body);
        // The last ones may find the connection cut, when the test is long.
        let _ = raw.send(&[open, body].concat());
    }
    raw
}

/// Answers that nobody takes hold no place of others.
#[tokio::test(flavor = "multi_thread")]
async fn zero_window_stall_is_survived() {
    let target = Target::start(&["--max-requests-in-flight", "4"]);
    let client = target.server.client().await;
    let runtime = tokio::runtime::Handle::current();
    let attack = move |attack: &Attack| {
        let raw = stall(attack.address);
        raw.drain();
        // While they are carried out they hold places, as anybody's do.
        let mut client = client.clone();
        let mut is_answered = || {
            let answer = runtime.block_on(client.list_tag_resources(list()));
            answer.is_ok()
        };
        sleep(20 * PAUSE);
        while !(0..20).all(|_| is_answered()) {
            sleep(PAUSE);
        }
        attack.count(500);
        while attack.is_on() {
            sleep(PAUSE);
        }
    };
    target.endure("zero-window stall", 1, "calls", attack).await;
}

#[test]
fn zero_window_stall_is_cut() {
    let target = Target::start(&["--request-timeout", "0.5"]);
    let mut raw = stall(target.server.address);
    raw.read_to_end();
    drop(target);
}
