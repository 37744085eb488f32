//! Attacks by strangers on the program of the image, under the memory limit of its pod, with as many connections as the pod
//! takes. `cargo test --test deployment attacks::limited -- --nocapture` prints the table. `UNTAG_ATTACK_PROGRAM` names another
//! program.

use std::net::{Ipv4Addr, SocketAddr};
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use tonic::transport::Endpoint;
use untag::grpc::proto::tag_service_client::TagServiceClient;

use super::cgroup::Cgroup;
use super::imports;
use crate::container;
use crate::support::frames::{
    CONTINUATION, DATA, END_HEADERS, END_STREAM, HEADERS, INITIAL_WINDOW_SIZE, LIST, Raw, UNTAG,
    call_headers, frame, setting,
};
use crate::support::{Server, list};

/// The limit on connections, and that of memory, as in deploy/kubernetes/pod/server.yaml.
const CONNECTIONS: usize = 2000;
const LIMIT: u64 = 320 << 20;

const CHECK: &str = "/grpc.health.v1.Health/Check";
const WATCH: &str = "/grpc.health.v1.Health/Watch";
/// How many streams a connection opens where there are few, and where there are many: a client may have 1,024 open, and
/// what counts is held by all together.
const ALL_STREAMS: u32 = 1024;
const SOME_STREAMS: u32 = 16;
const ATTACKERS: usize = 4;
/// How long an attack goes on at least. Each of its connections has been opened by then.
const DURATION: Duration = Duration::from_secs(3);

/// A connection that is held, and what was sent on it.
type Attack = fn(&Addresses) -> (Held, u64);

/// A connection or a call that is kept open.
type Held = Box<dyn Send>;

#[derive(Clone, Copy)]
struct Addresses {
    tags: SocketAddr,
    rpc: SocketAddr,
    admin: SocketAddr,
}

/// Opens a connection and sends, as far as the service takes it.
fn send(address: SocketAddr, settings: &[u8], sent: &[Vec<u8>]) -> (Held, u64) {
    let mut raw = Raw::open(address, settings);
    let mut bytes = 0;
    for part in sent {
        if raw.send(part).is_err() {
            break;
        }
        bytes += part.len() as u64;
    }
    (Box::new(raw), bytes)
}

fn streams(count: u32) -> impl Iterator<Item = u32> {
    (0..count).map(|number| 2 * number + 1)
}

/// A value that is sent once and then named by a byte, 440 times for each stream, on streams that do not end.
fn by_reference(path: &str, count: u32) -> Vec<Vec<u8>> {
    let open = streams(count).map(|stream| {
        let mut block = call_headers(path, &[]);
        if stream == 1 {
            // Literal with incremental indexing: it becomes entry 62 of the dynamic table.
            block.extend([0x40, 1, b'x', 1, b'y']);
        }
        block.extend([0x80 | 0x3e; 440]);
        frame(HEADERS, END_HEADERS, stream, &block)
    });
    open.collect()
}

fn large_headers() -> Vec<Vec<u8>> {
    let filler = "x".repeat(15_500);
    let block = call_headers(CHECK, &[("filler", &filler)]);
    let open = streams(SOME_STREAMS).map(|stream| frame(HEADERS, END_HEADERS, stream, &block));
    open.collect()
}

fn watches() -> Vec<Vec<u8>> {
    let block = call_headers(WATCH, &[]);
    let open = streams(SOME_STREAMS).map(|stream| {
        let open = frame(HEADERS, END_HEADERS, stream, &block);
        [open, frame(DATA, END_STREAM, stream, &[0; 5])].concat()
    });
    open.collect()
}

/// Blocks of headers that go on in the next frame, which never comes.
fn open_block() -> Vec<Vec<u8>> {
    let mut block = call_headers(CHECK, &[]);
    block.extend([0x40, 1, b'x', 1, b'y']);
    block.extend([0x80 | 0x3e; 1800]);
    vec![
        frame(HEADERS, 0, 1, &block[..1000]),
        frame(CONTINUATION, 0, 1, &block[1000..]),
    ]
}

/// Most of a message of 64 KiB on each stream.
fn bodies() -> Vec<Vec<u8>> {
    let block = call_headers(UNTAG, &[]);
    let open = streams(SOME_STREAMS).map(|stream| {
        let mut open = frame(HEADERS, END_HEADERS, stream, &block);
        open.extend(frame(DATA, 0, stream, &[0, 0, 1, 0, 0]));
        for _ in 0..3 {
            open.extend(frame(DATA, 0, stream, &[0; 16_000]));
        }
        open
    });
    open.collect()
}

/// The beginnings of some imports.
fn begun_imports(begin: fn(u32) -> Vec<u8>) -> Vec<Vec<u8>> {
    streams(SOME_STREAMS).map(begin).collect()
}

/// Lists whose answers find no window.
fn answers() -> Vec<Vec<u8>> {
    let message = prost::Message::encode_to_vec(&list());
    let length = u32::try_from(message.len()).unwrap().to_be_bytes();
    let body = [&[0][..], &length, &message].concat();
    let block = call_headers(LIST, &[]);
    let open = streams(SOME_STREAMS).map(|stream| {
        let open = frame(HEADERS, END_HEADERS, stream, &block);
        [open, frame(DATA, END_STREAM, stream, &body)].concat()
    });
    open.collect()
}

/// A query of 13,000 parameters, and a body that never ends.
fn query(address: SocketAddr) -> (Held, u64) {
    use std::io::Write as _;
    let query = "a=&".repeat(20_000);
    let request = format!("POST /?{query} HTTP/1.1\r\nHost: a\r\nContent-Length: 60000\r\n\r\nabc");
    let mut stream = std::net::TcpStream::connect(address).unwrap();
    stream
        .set_write_timeout(Some(Duration::from_millis(200)))
        .unwrap();
    let sent = stream.write_all(request.as_bytes());
    let bytes = sent.map_or(0, |()| request.len());
    (Box::new(stream), bytes as u64)
}

const ATTACKS: [(&str, usize, Attack); 13] = [
    ("health, 440 headers by reference, 1,024 times", 12, |to| {
        send(to.tags, &[], &by_reference(CHECK, ALL_STREAMS))
    }),
    ("health, 440 headers by reference", CONNECTIONS, |to| {
        send(to.tags, &[], &by_reference(CHECK, SOME_STREAMS))
    }),
    ("untag, 440 headers by reference", CONNECTIONS, |to| {
        send(to.tags, &[], &by_reference(UNTAG, SOME_STREAMS))
    }),
    ("health, a header of 15.5 KB", 100, |to| {
        send(to.tags, &[], &large_headers())
    }),
    ("health watches", CONNECTIONS, |to| {
        send(to.tags, &[], &watches())
    }),
    ("headers that do not end", CONNECTIONS, |to| {
        send(to.tags, &[], &open_block())
    }),
    ("messages that do not end", 100, |to| {
        send(to.tags, &[], &bodies())
    }),
    ("imports without a chunk", CONNECTIONS, |to| {
        send(to.tags, &[], &begun_imports(imports::begun))
    }),
    ("imports, 48 KB of a chunk", 100, |to| {
        send(to.tags, &[], &begun_imports(imports::unfinished))
    }),
    ("answers that find no window", CONNECTIONS, |to| {
        send(to.tags, &setting(INITIAL_WINDOW_SIZE, 0), &answers())
    }),
    ("prefaces", CONNECTIONS, |to| send(to.tags, &[], &[])),
    ("RPC: queries, bodies that do not end", CONNECTIONS, |to| {
        query(to.rpc)
    }),
    ("admin: health watches", 300, |to| {
        send(to.admin, &[], &watches())
    }),
];

struct Pod {
    server: Server,
    group: Cgroup,
    addresses: Addresses,
    _keys: tempfile::NamedTempFile,
    _directory: tempfile::TempDir,
}

impl Pod {
    fn start() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let keys = tempfile::NamedTempFile::new().unwrap();
        let known = r#"{"access_keys": [{"access_key_id": "known", "access_key_secret": "unguessable",
            "account_id": "7", "caller": "nobody"}]}"#;
        std::fs::write(&keys, known).unwrap();
        let group = Cgroup::new(LIMIT);
        let mut command = Command::new("sh");
        command
            .args(["-c", r#"echo $$ > "$0" && exec "$@""#])
            .arg(group.processes())
            .arg(
                std::env::var_os("UNTAG_ATTACK_PROGRAM")
                    .unwrap_or_else(|| container::program().into()),
            )
            .args(["serve", "--sample-data", "--request-timeout", "20"])
            .args(["--max-connections", &CONNECTIONS.to_string()])
            .args(["--listen-rpc", "127.0.0.1:0", "--access-keys"])
            .arg(keys.path())
            .arg("--data-dir")
            .arg(directory.path());
        let server = Server::spawn(command);
        let line = server.wait_for_log_where("listening", |line| line["port"] == "rpc");
        let addresses = Addresses {
            tags: server.address,
            rpc: line["address"].as_str().unwrap().parse().unwrap(),
            admin: server.admin_address,
        };
        Self {
            server,
            group,
            addresses,
            _keys: keys,
            _directory: directory,
        }
    }
}

/// Opens so many connections and then each anew, for as long as an attack lasts. They are held until the end.
fn attack(to: Addresses, attack: Attack, connections: usize, sent: &AtomicU64) -> Vec<Held> {
    let started = Instant::now();
    let mut held: Vec<Held> = Vec::new();
    let mut next = 0;
    while held.len() < connections || started.elapsed() < DURATION {
        if held.len() == connections {
            // The old one is closed first: it is one of so many.
            held[next] = Box::new(());
        }
        let (connection, bytes) = attack(&to);
        sent.fetch_add(bytes, Ordering::Relaxed);
        if held.len() == connections {
            held[next] = connection;
            next = (next + 1) % connections;
        } else {
            held.push(connection);
        }
    }
    held
}

/// A client that behaves well, with an address of its own: how many of its calls are answered. One that no answer came to is
/// sent again, as the service config has it.
async fn good_client(address: SocketAddr, on: &AtomicBool) -> (u64, u64) {
    let (mut answered, mut calls) = (0, 0);
    let endpoint = Endpoint::from_shared(format!("http://{address}")).unwrap();
    let endpoint = endpoint.local_address(Some(Ipv4Addr::new(127, 0, 0, 2).into()));
    let mut client = TagServiceClient::new(endpoint.connect_lazy());
    while on.load(Ordering::Relaxed) {
        calls += 1;
        for _ in 0..2 {
            match client.list_tag_resources(list()).await {
                Ok(_) => {
                    answered += 1;
                    break;
                }
                Err(status) => {
                    println!("{status:?}");
                    if status.metadata().contains_key("x-request-id") {
                        break;
                    }
                }
            }
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    (answered, calls)
}

#[tokio::test(flavor = "multi_thread")]
async fn limited_memory_is_enough_whatever_strangers_send() {
    rlimit::increase_nofile_limit(u64::MAX).unwrap();
    let only = std::env::var("UNTAG_ATTACK").unwrap_or_default();
    println!(
        "| attack | connections | bytes | good client | peak of {} MiB | killed |",
        LIMIT >> 20
    );
    println!("| --- | --- | --- | --- | --- | --- |");
    for (name, connections, how) in ATTACKS {
        if !name.contains(&only) {
            continue;
        }
        let mut pod = Pod::start();
        let (on, sent) = (Arc::new(AtomicBool::new(true)), Arc::new(AtomicU64::new(0)));
        let attackers: Vec<_> = (0..ATTACKERS)
            .map(|_| {
                let (sent, to) = (Arc::clone(&sent), pod.addresses);
                let share = connections / ATTACKERS;
                thread::spawn(move || attack(to, how, share, &sent))
            })
            .collect();
        let stop = Arc::clone(&on);
        let attackers = thread::spawn(move || {
            let held: Vec<_> = attackers
                .into_iter()
                .map(|one| one.join().unwrap())
                .collect();
            stop.store(false, Ordering::Relaxed);
            held
        });
        let (answered, calls) = good_client(pod.addresses.tags, &on).await;
        let held = attackers.join().unwrap();
        let is_killed = pod.group.has_killed() || pod.server.has_ended();
        println!(
            "| {name} | {connections} | {} | {answered} of {calls} | {} MiB | {} |",
            sent.load(Ordering::Relaxed),
            pod.group.peak() >> 20,
            if is_killed { "yes" } else { "no" },
        );
        assert!(!is_killed, "{name}");
        assert_eq!(answered, calls, "{name}");
        assert!(calls > 0, "{name}");
        let admin = pod.addresses.admin.to_string();
        let health = crate::support::run(&["health", "--timeout", "30", "--admin-listen", &admin]);
        assert!(health.status.success(), "{name}: {health:?}");
        drop(held);
    }
}
