//! The audit of replicas against the change log that they share: each change has its line, whatever becomes of the replicas.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use rand::rngs::StdRng;
use rand::seq::IndexedRandom as _;
use rand::{Rng as _, SeedableRng as _};
use serde_json::{Value, json};
use tokio::task::JoinSet;
use tonic::{Code, Request};

use super::harness::{
    ACCOUNT, Client, database_with, remove, serve, tag_request, untag_request, user_line,
};
use crate::support::postgres::Database;
use crate::support::{PATIENCE, Server, wait_until};

const USERS: [usize; 4] = [1, 2, 3, 4];
const KEYS: [&str; 3] = ["env", "owner", "team"];
const REPLICAS: usize = 2;
const CLIENTS: usize = 4;
const KILLS: usize = 6;
/// How many requests a replica is sent before it is killed.
const REQUESTS_OF_A_LIFE: usize = 60;

fn database() -> Database {
    database_with(&[&[], &[], &[], &[]])
}

fn serve_with_audit(database: &Database, file: &Path) -> Server {
    serve(&database.url(), &["--audit-log", file.to_str().unwrap()])
}

/// The whole lines of these files.
fn lines(files: &[&Path]) -> Vec<Value> {
    let texts = files.iter().map(std::fs::read_to_string);
    let texts: Vec<String> = texts.map(Result::unwrap_or_default).collect();
    let lines = texts.iter().flat_map(|text| text.lines());
    lines
        .filter_map(|line| serde_json::from_str(line).ok())
        .collect()
}

/// The lines of changes that were made, by revision.
fn made(lines: &[Value]) -> BTreeMap<u64, Vec<&Value>> {
    let mut made: BTreeMap<u64, Vec<&Value>> = BTreeMap::new();
    for line in lines {
        // The line of a request says what was asked besides.
        if let (Some(revision), None) = (line["revision"].as_u64(), line.get("all")) {
            made.entry(revision).or_default().push(line);
        }
    }
    made
}

/// The entries of the change log as their lines have to be, by revision.
fn logged(database: &Database) -> BTreeMap<u64, Value> {
    let sql = "SELECT json_build_object('revision', revision, 'request_id', upper(request_id::text), 'action', action, \
        'account', account_id, 'caller', caller, 'outcome', 'OK', 'secure_transport', is_secure, \
        'affected_resources', jsonb_array_length(made), \
        'resource_ids', (SELECT json_agg(e ->> 'id') FROM jsonb_array_elements(made) e), \
        'affected_tags', (SELECT count(*) FROM jsonb_array_elements(made) e, \
            jsonb_object_keys(coalesce(e -> 'removed', '{}') || coalesce(e -> 'set', '{}')))) \
        FROM change, untag_effects(effects, users, prevs, keys, removed) made";
    let rows = database.sql(sql);
    let entries = rows.lines().filter(|line| !line.trim().is_empty());
    let entries = entries.map(|line| serde_json::from_str::<Value>(line.trim()).unwrap());
    entries
        .map(|entry| (entry["revision"].as_u64().unwrap(), entry))
        .collect()
}

/// Sends changes until the replica is gone.
async fn send(mut client: Client, mut random: StdRng, sent: Arc<AtomicUsize>) {
    loop {
        let count = random.random_range(1..=USERS.len());
        let users: Vec<usize> = USERS.choose_multiple(&mut random, count).copied().collect();
        let key = *KEYS.choose(&mut random).unwrap();
        let value = random.random_range(0..1000).to_string();
        let answer = if random.random() {
            let mut request = Request::new(tag_request(&users, &[(key, &value)]));
            request.set_timeout(PATIENCE);
            client.tag_resources(request).await.map(drop)
        } else {
            client
                .untag_resources(untag_request(&users, &[key]))
                .await
                .map(drop)
        };
        sent.fetch_add(1, Ordering::Relaxed);
        if answer.is_err_and(|status| status.code() == Code::Unavailable) {
            return;
        }
    }
}

/// Lets the database take a replica that it has not seen just now for one that is gone.
fn forget_last_signs(database: &Database) {
    database.sql("UPDATE replica SET seen_at = seen_at - interval '1 hour'");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_change_has_its_line_whichever_replica_is_killed() {
    let seed: u64 = rand::random();
    println!("seed {seed}");
    let mut random = StdRng::seed_from_u64(seed);
    let (database, directory) = (database(), tempfile::tempdir().unwrap());
    let files: Vec<_> = (0..REPLICAS)
        .map(|number| directory.path().join(format!("audit-{number}.jsonl")))
        .collect();
    for kill in 0..KILLS {
        let mut servers: Vec<Server> = files
            .iter()
            .map(|file| serve_with_audit(&database, file))
            .collect();
        let (sent, mut clients) = (Arc::new(AtomicUsize::new(0)), JoinSet::new());
        for number in 0..CLIENTS {
            let client = servers[number % REPLICAS].client().await;
            let random = StdRng::seed_from_u64(random.random());
            clients.spawn(send(client, random, Arc::clone(&sent)));
        }
        let until = random.random_range(REQUESTS_OF_A_LIFE / 2..2 * REQUESTS_OF_A_LIFE);
        while sent.load(Ordering::Relaxed) < until {
            tokio::task::yield_now().await;
        }
        servers.iter_mut().for_each(Server::kill);
        clients.join_all().await;
        println!("kill {kill}: {} changes", logged(&database).len());
    }
    // All that were killed owe lines, and one that is there writes them, one after the other.
    forget_last_signs(&database);
    let heir = directory.path().join("heir.jsonl");
    let server = serve_with_audit(&database, &heir);
    let mut client = server.client().await;
    client
        .tag_resources(tag_request(&[1], &[("last", "x")]))
        .await
        .unwrap();
    let all: Vec<&Path> = files.iter().map(|file| &**file).chain([&*heir]).collect();
    let entries = logged(&database);
    wait_until("each change has its line", || {
        let lines = lines(&all);
        made(&lines).len() >= entries.len()
    });
    let lines = lines(&all);
    let made = made(&lines);
    for (revision, entry) in &entries {
        for line in &made[revision] {
            for (field, value) in entry.as_object().unwrap() {
                assert_eq!(&line[field], value, "{field} in {line}");
            }
        }
    }
    assert!(
        made.keys().eq(entries.keys()),
        "lines of changes that nobody made"
    );
    let count: usize = made.values().map(Vec::len).sum();
    println!(
        "{} changes, {} kills, {count} lines",
        entries.len(),
        KILLS * REPLICAS
    );
    wait_until("those that are gone are forgotten", || {
        forget_last_signs(&database);
        database.sql("SELECT count(*) FROM replica").trim() == "1"
    });
}

#[tokio::test]
async fn lines_have_what_only_the_audit_wants_to_know_and_say_what_was_changed() {
    let (database, directory) = (database(), tempfile::tempdir().unwrap());
    let file = directory.path().join("audit.jsonl");
    let mut server = serve_with_audit(&database, &file);
    let mut client = server.client().await;
    let tags = [("env", "secret-value"), ("team", "secret-value")];
    client
        .tag_resources(tag_request(&[1, 2], &tags))
        .await
        .unwrap();
    let mut request = Request::new(untag_request(&[1, 2, 3], &["env", "none"]));
    request
        .metadata_mut()
        .insert("x-request-id", "mine-7".parse().unwrap());
    let answer = client.untag_resources(request).await.unwrap().into_inner();
    // What changes nothing has the line of its request.
    remove(&mut client, &[3], &["env"]).await.unwrap();
    server.signal("TERM");
    assert_eq!(server.wait(PATIENCE).code(), Some(0));
    let lines = lines(&[&file]);
    let made = made(&lines);
    assert_eq!(made.keys().copied().collect::<Vec<_>>(), [1, 2]);
    let expected = json!({
        "request_id": answer.request_id, "client_request_id": "mine-7", "revision": 2, "account": ACCOUNT,
        "action": "ram:UntagResources", "caller": "anonymous", "secure_transport": false,
        "resource_ids": ["1", "2"], "tag_keys": ["env"], "affected_resources": 2, "affected_tags": 2,
    });
    for (field, value) in expected.as_object().unwrap() {
        assert_eq!(&made[&2][0][field], value, "{field}");
    }
    assert_eq!(made[&2].len(), 1);
    let text = std::fs::read_to_string(&file).unwrap();
    assert!(!text.contains("secret-value"));
    let of_requests = lines.iter().filter(|line| line.get("all").is_some());
    assert_eq!(of_requests.count(), 1, "{text}");
}

#[tokio::test]
async fn lines_go_on_in_the_history_that_an_import_begins() {
    let (database, directory) = (database(), tempfile::tempdir().unwrap());
    let file = directory.path().join("audit.jsonl");
    let server = serve_with_audit(&database, &file);
    let mut client = server.client().await;
    for value in ["1", "2", "3"] {
        client
            .tag_resources(tag_request(&[1], &[("env", value)]))
            .await
            .unwrap();
    }
    wait_until("the lines of the first history", || {
        made(&lines(&[&file])).len() == 3
    });
    super::harness::import(&database.url(), &user_line(1, &[("env", "new")]));
    let answer = client
        .untag_resources(untag_request(&[1], &["env"]))
        .await
        .unwrap();
    let id = json!(answer.into_inner().request_id);
    wait_until("the line of the second history", || {
        lines(&[&file])
            .iter()
            .any(|line| line["request_id"] == id && line["revision"] == 1)
    });
}

#[tokio::test]
async fn a_replica_that_was_only_slow_writes_its_own_lines_again() {
    let (database, directory) = (database(), tempfile::tempdir().unwrap());
    let files = ["first.jsonl", "second.jsonl"].map(|name| directory.path().join(name));
    let first = serve_with_audit(&database, &files[0]);
    let taken = || database.sql("SELECT count(taken_by) FROM replica");
    wait_until("the first is known", || {
        database.sql("SELECT count(*) FROM replica").trim() == "1"
    });
    let mut client = first.client().await;
    let mut set = async |value: &str| {
        let request = tag_request(&[1], &[("env", value)]);
        client.tag_resources(request).await.unwrap();
    };
    set("1").await;
    // The second takes the first on when it starts.
    first.signal("STOP");
    forget_last_signs(&database);
    let _second = serve_with_audit(&database, &files[1]);
    wait_until("the first is taken on, or forgotten", || {
        taken().trim() == "1" || database.sql("SELECT count(*) FROM replica").trim() == "1"
    });
    first.signal("CONT");
    set("2").await;
    wait_until("the first says that it is there", || {
        taken().trim() == "0" && database.sql("SELECT count(*) FROM replica").trim() == "2"
    });
    set("3").await;
    wait_until("the first writes its lines", || {
        made(&lines(&[&files[0]])).contains_key(&3)
    });
    // Those before may be lines of the second.
    assert_eq!(made(&lines(&[&files[0], &files[1]])).len(), 3);
}
