//! The audit against the change log: each change has its line, whatever becomes of clients and of the service.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use hyper_util::rt::TokioIo;
use rand::rngs::StdRng;
use rand::{Rng as _, SeedableRng as _};
use serde_json::{Value, json};
use tokio::net::TcpStream;
use tokio::task::JoinSet;
use tonic::Code;
use tonic::transport::{Channel, Endpoint};
use untag::domain::{AccountId, Change, ChangesQuery, Direction, EffectKind, Revision, TagKey};
use untag::grpc::proto::tag_service_client::TagServiceClient;
use untag::grpc::proto::{
    ResourceIds, ResourcePrincipalNames, Tag, TagResourcesRequest, UntagResourcesRequest,
    tag_resources_request, untag_resources_request,
};
use untag::store::sqlite::{Options, SqliteStore};
use untag::store::{AuditUse, Store as _};

use super::harness::in_time;
use crate::support::{PATIENCE, Server, run};

const ACCOUNT: &str = "1000000000000001";
/// How many changes are made at least; `UNTAG_AUDIT_CHANGES` sets another number, and a kill comes after about 200.
const CHANGES: usize = 2_000;
const CHANGES_OF_A_LIFE: usize = 200;
const USERS: usize = 64;
const CLIENTS: usize = 16;

fn id(user: usize) -> String {
    format!("20732900249{user:0>5}")
}

fn name(user: usize) -> String {
    format!("user{user}@example.onaliyun.com")
}

fn import(directory: &Path) {
    let users = (0..USERS).map(|user| {
        let line = json!({
            "account_id": ACCOUNT, "resource_type": "user", "resource_id": id(user),
            "principal_name": name(user), "tags": {},
        });
        format!("{line}\n")
    });
    let file = directory.join("users.jsonl");
    std::fs::write(&file, users.collect::<String>()).unwrap();
    let data = directory.join("data");
    let (data, file) = (data.to_str().unwrap(), file.to_str().unwrap());
    let output = run(&["import", "--data-dir", data, file]);
    assert!(output.status.success(), "{output:?}");
}

/// A connection that is reset when it is dropped.
async fn resetting(address: SocketAddr) -> Option<TagServiceClient<Channel>> {
    let connect = tower::service_fn(move |_| async move {
        let stream = TcpStream::connect(address).await?;
        stream.set_zero_linger()?;
        Ok::<_, std::io::Error>(TokioIo::new(stream))
    });
    let endpoint = Endpoint::from_static("http://untag.example");
    let channel = endpoint.connect_with_connector(connect).await.ok()?;
    Some(TagServiceClient::new(channel))
}

/// The ids of the requests that were answered with OK.
type Answered = Vec<String>;

/// Sends changes until the service is gone or it is time to stop: some with deadlines that pass, and some whose connection is reset.
async fn send(
    address: SocketAddr,
    mut random: StdRng,
    stop: Arc<AtomicBool>,
    sent: Arc<AtomicUsize>,
) -> Answered {
    let mut answered = Vec::new();
    'connections: while let Some(mut client) = resetting(address).await {
        while !stop.load(Ordering::Relaxed) {
            let deadline = match random.random_range(0..4) {
                0 => Duration::from_micros(random.random_range(200..8_000)),
                _ => PATIENCE,
            };
            let mut request = change(&mut client, &mut random, deadline);
            sent.fetch_add(1, Ordering::Relaxed);
            if random.random_ratio(1, 12) {
                let patience = Duration::from_micros(random.random_range(0..4_000));
                let _ = tokio::time::timeout(patience, &mut request).await;
                drop((request, client));
                continue 'connections;
            }
            match request.await {
                Ok(id) => answered.push(id),
                Err(Code::Unavailable) => continue 'connections,
                Err(_) => {}
            }
        }
        break;
    }
    answered
}

type Answer = std::pin::Pin<Box<dyn Future<Output = Result<String, Code>> + Send>>;

/// A change of some users: an untag by id or by name, of keys or of all, or tags.
fn change(
    client: &mut TagServiceClient<Channel>,
    random: &mut StdRng,
    deadline: Duration,
) -> Answer {
    let mut client = client.clone();
    let users: Vec<usize> = (0..random.random_range(1..4))
        .map(|_| random.random_range(0..USERS))
        .collect();
    let key = |random: &mut StdRng| format!("key{}", random.random_range(0..4));
    if random.random() {
        let ids = users.into_iter().map(id).collect();
        let value = format!("value{}", random.random_range(0..3));
        let request = TagResourcesRequest {
            resources: Some(tag_resources_request::Resources::ResourceIds(ResourceIds {
                values: ids,
            })),
            tags: vec![Tag {
                key: key(random),
                value,
            }],
            ..TagResourcesRequest::default()
        };
        return Box::pin(async move {
            let answer = client.tag_resources(in_time(request, deadline)).await;
            answer
                .map(|answer| answer.into_inner().request_id)
                .map_err(|status| status.code())
        });
    }
    let resources = if random.random() {
        let values = users.into_iter().map(id).collect();
        untag_resources_request::Resources::ResourceIds(ResourceIds { values })
    } else {
        let values = users.into_iter().map(name).collect();
        untag_resources_request::Resources::ResourcePrincipalNames(ResourcePrincipalNames {
            values,
        })
    };
    let all = random.random_ratio(1, 4);
    let tag_keys = if all { vec![] } else { vec![key(random)] };
    let request = UntagResourcesRequest {
        resources: Some(resources),
        tag_keys,
        all,
        ..UntagResourcesRequest::default()
    };
    Box::pin(async move {
        let answer = client.untag_resources(in_time(request, deadline)).await;
        answer
            .map(|answer| answer.into_inner().request_id)
            .map_err(|status| status.code())
    })
}

/// All changes of the log.
async fn logged(directory: &Path) -> Vec<Change> {
    let options = Options {
        audit: AuditUse::Kept,
        ..Options::default()
    };
    let store = SqliteStore::open(directory, options, Vec::new()).unwrap();
    let closing = store.closing();
    let mut changes: Vec<Change> = Vec::new();
    loop {
        let query = ChangesQuery {
            account: AccountId::parse(ACCOUNT).unwrap(),
            from: changes
                .last()
                .map_or(Revision::FIRST, |change| change.revision.next()),
            direction: Direction::Forwards,
            user: None,
            most: 1_000,
            most_effects: usize::MAX,
        };
        let mut more = store.changes(Arc::new(query)).await.unwrap();
        if more.is_empty() {
            drop(store);
            assert!(closing.wait(PATIENCE));
            return changes;
        }
        changes.append(&mut more);
    }
}

/// The lines of the audit's files that are whole, and how many a kill has cut.
fn audited(directory: &Path) -> (Vec<Value>, usize) {
    let (mut lines, mut cut) = (Vec::new(), 0);
    for entry in std::fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        if path.to_str().unwrap().contains("audit.jsonl") {
            for line in std::fs::read_to_string(path).unwrap().lines() {
                match serde_json::from_str(line) {
                    Ok(line) => lines.push(line),
                    Err(_) => cut += 1,
                }
            }
        }
    }
    (lines, cut)
}

/// What the line of a change has to say.
fn expected(change: &Change) -> Value {
    let keys_of = |kind: &EffectKind| -> Vec<TagKey> {
        let EffectKind::Tags { removed, set } = kind else {
            panic!("only tags are changed");
        };
        let removed = removed.iter().map(|(key, _)| key.clone());
        let set = set.iter().map(|tag| tag.key.clone());
        removed.chain(set).collect()
    };
    let keys: Vec<TagKey> = change
        .effects
        .iter()
        .flat_map(|effect| keys_of(&effect.kind))
        .collect();
    let mut distinct: Vec<&str> = keys.iter().map(TagKey::as_str).collect();
    distinct.sort_unstable();
    distinct.dedup();
    let ids: Vec<&str> = change
        .effects
        .iter()
        .map(|effect| effect.resource_id.as_str())
        .collect();
    json!({
        "request_id": change.request_id.as_str(), "account": ACCOUNT, "outcome": "OK",
        "caller": "anonymous", "action": change.action.as_str(), "revision": change.revision.get(),
        "resource_ids": ids, "tag_keys": distinct, "affected_resources": ids.len(), "affected_tags": keys.len(),
    })
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_change_has_its_line_through_kills_resets_and_deadlines() {
    let wanted = std::env::var("UNTAG_AUDIT_CHANGES");
    let wanted = wanted.map_or(CHANGES, |changes| changes.parse().unwrap());
    let seed: u64 = rand::random();
    println!("seed: {seed}");
    let mut random = StdRng::seed_from_u64(seed);
    let directory = tempfile::tempdir().unwrap();
    import(directory.path());
    let data = directory.path().join("data");
    let mut answered: Answered = Vec::new();
    let (mut made, mut kills) = (0, 0);
    loop {
        let mut server = Server::start(&data, &["--default-account", ACCOUNT]);
        let (stop, sent) = (Arc::default(), Arc::new(AtomicUsize::new(0)));
        let mut clients = JoinSet::new();
        for _ in 0..CLIENTS {
            let random = StdRng::seed_from_u64(random.random());
            let (stop, sent) = (Arc::clone(&stop), Arc::clone(&sent));
            clients.spawn(send(server.address, random, stop, sent));
        }
        // Most of them change something.
        let until = random.random_range(CHANGES_OF_A_LIFE / 2..2 * CHANGES_OF_A_LIFE);
        while sent.load(Ordering::Relaxed) < until {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        let is_last = made >= wanted;
        if is_last {
            stop.store(true, Ordering::Relaxed);
        } else {
            kills += 1;
            server.kill();
        }
        while let Some(of_one) = clients.join_next().await {
            answered.extend(of_one.unwrap());
        }
        if is_last {
            server.signal("TERM");
            assert_eq!(server.wait(PATIENCE).code(), Some(0));
            break;
        }
        made = logged(&data).await.len();
    }
    let changes = logged(&data).await;
    let (lines, cut) = audited(&data);
    let mut of_requests: BTreeMap<&str, Vec<&Value>> = BTreeMap::new();
    for line in &lines {
        let id = line["request_id"].as_str().unwrap();
        of_requests.entry(id).or_default().push(line);
    }
    let mut repeated = 0;
    for change in &changes {
        let expected = expected(change);
        let of_change = of_requests.get(change.request_id.as_str());
        let of_change = of_change.into_iter().flatten();
        let of_change = of_change.filter(|line| line["revision"].is_u64());
        let of_change: Vec<_> = of_change.collect();
        assert!(!of_change.is_empty(), "no line of {change:?}");
        repeated += of_change.len() - 1;
        for line in of_change {
            for (field, value) in expected.as_object().unwrap() {
                assert_eq!(&line[field], value, "{field} in {line}");
            }
        }
    }
    let made = |line: &&Value| line["outcome"] == "OK" && line["affected_tags"] != 0;
    let told: BTreeSet<&str> = lines
        .iter()
        .filter(made)
        .map(|line| line["request_id"].as_str().unwrap())
        .collect();
    let known: BTreeSet<&str> = changes
        .iter()
        .map(|change| change.request_id.as_str())
        .collect();
    let invented: Vec<_> = told.difference(&known).collect();
    println!(
        "{} changes, {kills} kills, {} answers, {} lines, {repeated} repeated, {cut} cut",
        changes.len(),
        answered.len(),
        lines.len()
    );
    assert_eq!(invented, Vec::<&&str>::new());
    let silent = answered
        .iter()
        .filter(|id| !of_requests.contains_key(id.as_str()));
    println!("{} answers without a line", silent.count());
    assert!(changes.len() >= wanted && kills >= wanted / (3 * CHANGES_OF_A_LIFE));
}
