//! Connections that only take slots.

use std::net::Ipv4Addr;
use std::time::Instant;

use tonic::transport::{Channel, Endpoint};
use untag::grpc::proto::tag_service_client::TagServiceClient;

use super::target::Target;
use crate::support::frames::{
    DATA, END_HEADERS, END_STREAM, HEADERS, Raw, SETTINGS, call_headers, frame,
};
use crate::support::{PATIENCE, Server, list, run};

const WATCH: &str = "/grpc.health.v1.Health/Watch";

/// Waits until the server has taken the connection: it sends its settings first.
fn is_taken(raw: &mut Raw) -> bool {
    raw.read_until(|frame| frame.kind == SETTINGS).is_some()
}

/// A client with an address of its own, on this machine.
fn client_from(server: &Server, last: u8) -> TagServiceClient<Channel> {
    let endpoint = Endpoint::from_shared(format!("http://{}", server.address)).unwrap();
    let endpoint = endpoint.local_address(Some(Ipv4Addr::new(127, 0, 0, last).into()));
    TagServiceClient::new(endpoint.connect_lazy())
}

#[tokio::test]
async fn idle_strangers_give_up_their_slots_and_those_of_the_busiest_address_first() {
    let target = Target::start(&["--max-connections", "4"]);
    let mut quiet = client_from(&target.server, 2);
    quiet.list_tag_resources(list()).await.unwrap();
    let mut raws = Vec::new();
    for _ in 0..20 {
        let mut raw = Raw::open(target.server.address, &[]);
        assert!(is_taken(&mut raw), "it finds a slot");
        raws.push(raw);
    }
    // All but the last three had to go, and never the one with the other address.
    let mut gone = raws.drain(..17);
    assert!(gone.all(|mut raw| raw.read_to_end().is_none()));
    drop(gone);
    quiet.list_tag_resources(list()).await.unwrap();
    let mut other = client_from(&target.server, 3);
    other.list_tag_resources(list()).await.unwrap();
    let evicted = |line: &serde_json::Value| {
        let said = line["message"].as_str().unwrap_or_default();
        said.starts_with("idle connections of clients")
    };
    assert!(target.server.count_in_log(evicted) > 0);
}

#[tokio::test]
async fn health_watches_keep_no_slot() {
    let target = Target::start(&["--max-connections", "4"]);
    let raws: Vec<Raw> = (0..4).map(|_| watching(target.server.address)).collect();
    let mut client = client_from(&target.server, 2);
    client.list_tag_resources(list()).await.unwrap();
    drop(raws);
}

/// A connection with a health watch that is answered.
fn watching(address: std::net::SocketAddr) -> Raw {
    let mut raw = Raw::open(address, &[]);
    let open = frame(HEADERS, END_HEADERS, 1, &call_headers(WATCH, &[]));
    raw.send(&[open, frame(DATA, END_STREAM, 1, &[0; 5])].concat())
        .unwrap();
    assert!(raw.read_until(|frame| frame.kind == DATA).is_some());
    raw
}

#[test]
fn probes_find_a_slot_whatever_the_admin_port_has_open() {
    let target = Target::start(&[]);
    let admin = target.server.admin_address;
    let mut raws: Vec<Raw> = (0..150).map(|_| watching(admin)).collect();
    raws.extend((0..150).map(|_| Raw::open(admin, &[])));
    let started = Instant::now();
    // The last ones may still be in the queue of the listener, and ask for slots after this one.
    for _ in 0..10 {
        let health = run(&["health", "--admin-listen", &admin.to_string()]);
        assert!(health.status.success(), "{health:?}");
        assert!(started.elapsed() < PATIENCE);
    }
}
