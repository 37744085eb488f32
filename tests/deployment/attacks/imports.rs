//! Imports that come a byte at a time, that never end, and many at once.

use std::thread::sleep;
use std::time::{Duration, Instant};

use prost::Message as _;
use untag::grpc::proto::user::v1::import_users_request::Part;
use untag::grpc::proto::user::v1::{
    ImportChunk, ImportLine, ImportMode, ImportSettings, ImportUsersRequest, User,
};

use super::target::{Attack, Target};
use crate::support::PATIENCE;
use crate::support::frames::{DATA, END_HEADERS, END_STREAM, HEADERS, Raw, call_headers, frame};

pub const IMPORT: &str = "/ram.user.v1.UserService/ImportUsers";
/// The name of a user of the sample data.
const TAKEN: &str = "alice@example.onaliyun.com";
const PAUSE: Duration = Duration::from_millis(20);
/// More imports than the service carries requests out at a time.
const IMPORTS: u32 = 200;

/// A message of gRPC.
fn message(part: Part) -> Vec<u8> {
    let message = ImportUsersRequest { part: Some(part) }.encode_to_vec();
    let length = u32::try_from(message.len()).unwrap().to_be_bytes();
    [&[0][..], &length, &message].concat()
}

/// The first message of an import.
fn settings() -> Vec<u8> {
    message(Part::Settings(ImportSettings {
        mode: ImportMode::Merge.into(),
        ..ImportSettings::default()
    }))
}

/// A chunk of users with large tags, who get this name.
fn chunk(lines: i64, name: &str) -> Vec<u8> {
    let tags = |line| (0..4).map(move |tag| (format!("key-{line}-{tag}"), "v".repeat(60)));
    let lines = (1..=lines).map(|number| ImportLine {
        number,
        user: Some(User {
            resource_id: format!("9000000{number}"),
            principal_name: name.to_owned(),
            tags: tags(number).collect(),
            ..User::default()
        }),
    });
    message(Part::Chunk(ImportChunk {
        lines: lines.collect(),
    }))
}

/// The frames that begin an import on a stream.
pub fn begun(stream: u32) -> Vec<u8> {
    let open = frame(HEADERS, END_HEADERS, stream, &call_headers(IMPORT, &[]));
    [open, frame(DATA, 0, stream, &settings())].concat()
}

/// As `begun`, with most of a message of 64 KiB that does not end.
pub fn unfinished(stream: u32) -> Vec<u8> {
    let mut frames = begun(stream);
    frames.extend(frame(DATA, 0, stream, &[0, 0, 0, 0xff, 0xff]));
    for _ in 0..3 {
        frames.extend(frame(DATA, 0, stream, &[0; 16_000]));
    }
    frames
}

fn streams() -> impl Iterator<Item = u32> {
    (0..IMPORTS).map(|number| 2 * number + 1)
}

/// Begins imports on a connection. `None` where the service has had enough.
fn begin(attack: &Attack, frames: impl Fn(u32) -> Vec<u8>) -> Option<Raw> {
    let mut raw = Raw::open(attack.address, &[]);
    raw.drain();
    for stream in streams() {
        raw.send(&frames(stream)).ok()?;
        attack.count(1);
    }
    Some(raw)
}

/// The service still imports for a client that behaves well.
async fn imports(target: &Target) {
    let lines = "{\"account_id\":\"1000000000000001\",\"resource_type\":\"user\",\"resource_id\":\"77\",\
        \"principal_name\":\"late@example.com\",\"tags\":{}}\n";
    let file = target.directory.path().join("users.jsonl");
    std::fs::write(&file, lines).unwrap();
    let address = target.server.address.to_string();
    let arguments = ["import", "--address", &address, file.to_str().unwrap()].map(str::to_owned);
    let run = tokio::task::spawn_blocking(move || {
        crate::support::run(&arguments.each_ref().map(String::as_str))
    });
    let imported = run.await.unwrap();
    assert!(imported.status.success(), "{imported:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn imports_a_byte_at_a_time_hold_nobody_up_and_are_ended() {
    let target = Target::start(&["--request-timeout", "1", "--max-requests-in-flight", "4"]);
    let attack = |attack: &Attack| {
        let Some(mut raw) = begin(attack, begun) else {
            return;
        };
        while attack.is_on() {
            for stream in streams() {
                if raw.send(&frame(DATA, 0, stream, &[0])).is_err() {
                    return;
                }
                attack.count(1);
            }
            sleep(PAUSE);
        }
    };
    target
        .endure("imports, a byte at a time", 4, "bytes and calls", attack)
        .await;
    imports(&target).await;

    let address = target.server.address;
    let ended = tokio::task::spawn_blocking(move || {
        let mut raw = Raw::open(address, &[]);
        raw.send(&begun(1)).unwrap();
        let started = Instant::now();
        // Steadily: at no time has it sent nothing for long.
        let bytes = chunk(1, "new@example.com");
        let mut sender = raw.sender();
        let sending = std::thread::spawn(move || {
            for byte in bytes {
                if sender(&frame(DATA, 0, 1, &[byte])).is_err() || started.elapsed() > PATIENCE {
                    return;
                }
                sleep(PAUSE);
            }
        });
        let end = raw.read_until(|frame| {
            frame.kind == HEADERS && frame.stream == 1 && frame.flags & END_STREAM != 0
        });
        drop(raw);
        sending.join().unwrap();
        end
    });
    assert!(ended.await.unwrap().is_some(), "it is ended");
}

#[tokio::test(flavor = "multi_thread")]
async fn imports_that_never_end_hold_nobody_up() {
    let target = Target::start(&["--max-requests-in-flight", "4"]);
    let silent = |attack: &Attack| {
        let raw = begin(attack, begun);
        while raw.is_some() && attack.is_on() {
            sleep(PAUSE);
        }
    };
    target
        .endure("imports without a chunk", 4, "calls", silent)
        .await;
    let unfinished = |attack: &Attack| {
        let raw = begin(attack, unfinished);
        while raw.is_some() && attack.is_on() {
            sleep(PAUSE);
        }
    };
    target
        .endure("imports, 48 KB of a chunk", 4, "calls", unfinished)
        .await;
    imports(&target).await;
}

/// Lines that wait for a name are kept until the import ends, as long as there is memory for them.
#[tokio::test(flavor = "multi_thread")]
async fn imports_whose_lines_wait_for_ever_hold_bounded_memory() {
    let target = Target::start(&[]);
    let attack = |attack: &Attack| {
        let waiting = chunk(100, TAKEN);
        let frames = |stream| {
            let data = waiting
                .chunks(16_000)
                .map(|part| frame(DATA, 0, stream, part));
            [begun(stream), data.flatten().collect()].concat()
        };
        let raw = begin(attack, frames);
        while raw.is_some() && attack.is_on() {
            sleep(PAUSE);
        }
    };
    target
        .endure("imports of lines that wait", 4, "calls", attack)
        .await;
    imports(&target).await;
}
