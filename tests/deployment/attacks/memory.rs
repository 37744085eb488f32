//! Requests that would be large.

use super::target::{Attack, Target};
use crate::support::frames::{
    CONTINUATION, DATA, END_HEADERS, HEADERS, LIST, Raw, UNTAG, call_headers, frame,
};

/// Opens a stream and sends frames on it until the server has had enough.
fn fill(attack: &Attack, more_headers: &[(&str, &str)], first: &[u8]) {
    let mut raw = Raw::open(attack.address, &[]);
    raw.drain();
    for stream in (1..200).step_by(2) {
        let open = frame(
            HEADERS,
            END_HEADERS,
            stream,
            &call_headers(UNTAG, more_headers),
        );
        let mut sent = raw
            .send(&[open, frame(DATA, 0, stream, first)].concat())
            .is_ok();
        for _ in 0..8 {
            sent = sent && raw.send(&frame(DATA, 0, stream, &[0; 16_000])).is_ok();
        }
        if !sent || !attack.is_on() {
            return;
        }
        attack.count(1);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn oversized_message_is_refused() {
    let target = Target::start(&[]);
    // A frame of gRPC that says it has 4 GiB, and many that stay below what is taken and do not end.
    let huge = |attack: &Attack| fill(attack, &[], &[0, 0xff, 0xff, 0xff, 0xff]);
    target
        .endure("message that claims 4 GiB", 4, "calls", huge)
        .await;
    let unfinished = |attack: &Attack| fill(attack, &[], &[0, 0, 0, 0xff, 0xff]);
    target
        .endure("messages of 64 KiB that do not end", 4, "calls", unfinished)
        .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn compressed_bomb_is_refused() {
    let target = Target::start(&[]);
    let bomb = |attack: &Attack| fill(attack, &[("grpc-encoding", "gzip")], &[1, 0, 0, 0xff, 0xff]);
    target.endure("compressed message", 4, "calls", bomb).await;
}

/// A header that is sent once and then named by a byte, thousands of times (CVE-2016-6581).
#[tokio::test(flavor = "multi_thread")]
async fn header_bomb_is_refused() {
    let target = Target::start(&[]);
    let attack = |attack: &Attack| {
        let mut raw = Raw::open(attack.address, &[]);
        raw.drain();
        for stream in (1..2000).step_by(2) {
            let mut block = call_headers(LIST, &[]);
            // Literal with incremental indexing: it becomes entry 62, the newest of the dynamic table.
            block.extend([0x40, 1, b'x', 127, 0xe1, 0x1e]);
            block.extend([b'y'; 4000]);
            block.extend([0x80 | 0x3e; 12_000]);
            let open = frame(HEADERS, END_HEADERS, stream, &block);
            if !attack.is_on() || raw.send(&open).is_err() {
                return;
            }
            attack.count(1);
        }
    };
    target
        .endure(
            "header bomb (CVE-2016-6581)",
            4,
            "calls of 48 MB of headers",
            attack,
        )
        .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn oversized_headers_are_refused() {
    let target = Target::start(&[]);
    let attack = |attack: &Attack| {
        let mut raw = Raw::open(attack.address, &[]);
        raw.drain();
        let filler = "x".repeat(7_000);
        for stream in (1..2000).step_by(2) {
            let block = call_headers(LIST, &[("a", &filler), ("b", &filler), ("c", &filler)]);
            let (first, second) = block.split_at(16_000);
            let open = [
                frame(HEADERS, 0, stream, first),
                frame(CONTINUATION, END_HEADERS, stream, second),
            ];
            if !attack.is_on() || raw.send(&open.concat()).is_err() {
                return;
            }
            attack.count(1);
        }
    };
    target.endure("headers of 21 KB", 4, "calls", attack).await;
}
