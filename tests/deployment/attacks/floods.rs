//! Frames without end.

use super::target::{Attack, Target};
use crate::support::frames::{
    ACK, CONTINUATION, DATA, END_HEADERS, END_STREAM, HEADERS, LIST, PING, RST_STREAM, Raw,
    SETTINGS, UNTAG, WINDOW_UPDATE, call_headers, frame, setting,
};

/// Sends the same bytes on a new connection again and again, until the server closes it.
fn flood(attack: &Attack, beginning: &[u8], again: &[u8], frames: u64) {
    let mut raw = Raw::open(attack.address, &[]);
    raw.drain();
    if raw.send(beginning).is_err() {
        return;
    }
    while attack.is_on() && raw.send(again).is_ok() {
        attack.count(frames);
    }
}

/// As [`flood`], with frames that are repeated to fill a packet.
fn flood_of(attack: &Attack, beginning: &[u8], one: &[u8]) {
    flood(attack, beginning, &one.repeat(100), 100);
}

#[tokio::test(flavor = "multi_thread")]
async fn rapid_reset_is_survived() {
    let target = Target::start(&[]);
    let attack = |attack: &Attack| {
        let headers = call_headers(LIST, &[]);
        let mut raw = Raw::open(attack.address, &[]);
        raw.drain();
        for stream in (1..u32::MAX).step_by(2) {
            let open = frame(HEADERS, END_HEADERS, stream, &headers);
            let reset = frame(RST_STREAM, 0, stream, &8_u32.to_be_bytes());
            if !attack.is_on() || raw.send(&[open, reset].concat()).is_err() {
                return;
            }
            attack.count(1);
        }
    };
    target
        .endure("rapid reset (CVE-2023-44487)", 4, "streams", attack)
        .await;
}

/// The server is made to reset the streams itself, by frames that break the rules of a stream.
#[tokio::test(flavor = "multi_thread")]
async fn made_you_reset_is_survived() {
    let target = Target::start(&[]);
    let attack = |attack: &Attack| {
        let headers = call_headers(UNTAG, &[]);
        let mut raw = Raw::open(attack.address, &[]);
        raw.drain();
        for stream in (1..u32::MAX).step_by(2) {
            let open = frame(HEADERS, END_HEADERS, stream, &headers);
            let too_much = frame(WINDOW_UPDATE, 0, stream, &0x7fff_ffff_u32.to_be_bytes());
            if !attack.is_on() || raw.send(&[open, too_much].concat()).is_err() {
                return;
            }
            attack.count(1);
        }
    };
    target
        .endure("made you reset (CVE-2025-8671)", 4, "streams", attack)
        .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn continuation_flood_is_survived() {
    let target = Target::start(&[]);
    let attack = |attack: &Attack| {
        let block = call_headers(LIST, &[("filler", &"x".repeat(1000))]);
        let beginning = frame(HEADERS, 0, 1, &call_headers(LIST, &[]));
        flood(attack, &beginning, &frame(CONTINUATION, 0, 1, &block), 1);
    };
    target
        .endure("CONTINUATION flood (CVE-2024-28182)", 4, "frames", attack)
        .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn empty_continuation_flood_is_survived() {
    let target = Target::start(&[]);
    let attack = |attack: &Attack| {
        let beginning = frame(HEADERS, 0, 1, &call_headers(LIST, &[]));
        flood_of(attack, &beginning, &frame(CONTINUATION, 0, 1, &[]));
    };
    target
        .endure("empty CONTINUATION flood", 4, "frames", attack)
        .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn settings_flood_is_survived() {
    let target = Target::start(&[]);
    let attack = |attack: &Attack| flood_of(attack, &[], &frame(SETTINGS, 0, 0, &setting(3, 100)));
    target
        .endure("SETTINGS flood (CVE-2019-9515)", 4, "frames", attack)
        .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn ping_flood_is_survived() {
    let target = Target::start(&[]);
    let attack = |attack: &Attack| flood_of(attack, &[], &frame(PING, 0, 0, &[7; 8]));
    target
        .endure("PING flood (CVE-2019-9512)", 4, "frames", attack)
        .await;
}

/// The answers are never read: they must not pile up.
#[tokio::test(flavor = "multi_thread")]
async fn ping_flood_without_reading_is_survived() {
    let target = Target::start(&[]);
    let attack = |attack: &Attack| {
        let mut raw = Raw::open(attack.address, &[]);
        let pings = frame(PING, 0, 0, &[7; 8]).repeat(100);
        while attack.is_on() && raw.send(&pings).is_ok() {
            attack.count(100);
        }
    };
    target
        .endure("PING flood, answers not read", 4, "frames", attack)
        .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn flood_of_acknowledgements_is_survived() {
    let target = Target::start(&[]);
    let attack = |attack: &Attack| flood_of(attack, &[], &frame(PING, ACK, 0, &[7; 8]));
    target
        .endure("PING acknowledgements never asked for", 4, "frames", attack)
        .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn empty_data_flood_is_survived() {
    let target = Target::start(&[]);
    let attack = |attack: &Attack| {
        let beginning = frame(HEADERS, END_HEADERS, 1, &call_headers(UNTAG, &[]));
        flood_of(attack, &beginning, &frame(DATA, 0, 1, &[]));
    };
    target
        .endure("empty DATA flood (CVE-2019-9518)", 4, "frames", attack)
        .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn window_update_flood_is_survived() {
    let target = Target::start(&[]);
    let attack =
        |attack: &Attack| flood_of(attack, &[], &frame(WINDOW_UPDATE, 0, 0, &[0, 0, 0, 1]));
    target
        .endure("WINDOW_UPDATE flood", 4, "frames", attack)
        .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn garbage_is_survived() {
    let target = Target::start(&[]);
    let attack = |attack: &Attack| {
        let garbage: Vec<u8> = (0..4096).map(|_| rand::random()).collect();
        flood(attack, &[], &garbage, 1);
    };
    target
        .endure("random bytes after the preface", 4, "packets", attack)
        .await;
}

/// Calls of a method that is not there: each is answered, and counts as any other.
#[tokio::test(flavor = "multi_thread")]
async fn flood_of_calls_is_survived() {
    let target = Target::start(&[]);
    let attack = |attack: &Attack| {
        let headers = call_headers("/no.Such/Method", &[]);
        let mut raw = Raw::open(attack.address, &[]);
        for stream in (1..2000).step_by(2) {
            let open = frame(HEADERS, END_HEADERS | END_STREAM, stream, &headers);
            if !attack.is_on() || raw.send(&open).is_err() {
                return;
            }
            attack.count(1);
        }
        raw.read_until(|frame| frame.kind == HEADERS && frame.stream == 1999);
    };
    target
        .endure("calls of no method", 2, "calls", attack)
        .await;
}
