//! Kills the server without notice at a random moment, again and again on one data directory, and compares what is in
//! the file with what was answered.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::Stdio;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use rand::rngs::StdRng;
use rand::{Rng as _, SeedableRng as _};
use tokio::task::JoinSet;
use tokio::time::timeout;
use tonic::transport::Channel;
use untag::grpc::proto::tag_service_client::TagServiceClient;
use untag::grpc::proto::{ListTagResourcesRequest, ResourceIds, list_tag_resources_request};

use super::load::{Cycle, Worker, one_connection};
use super::model::{
    ACCOUNT, Fate, Plot, State, TOWNS, USERS, WORKERS, assert_same, expected_state, import, user_id,
};
use super::strace::start_traced;
use crate::support::long_run::{say, say_progress, variable};
use crate::support::{PATIENCE, Server, untag};

/// Enough of them to hit commits, checkpoints and quiet moments; `UNTAG_CRASH_CYCLES` sets another number.
const DEFAULT_CYCLES: u32 = 30;
/// How many connections the workers share.
const CONNECTIONS: usize = 4;

/// Holds each write to a file up for 0.2 ms, so that many of these crashes hit the middle of a commit. On a fast disk
/// almost none do: a server that answers before it commits then passes for a good one.
pub const SLOW_DISK: &[&str] = &[
    "--seccomp-bpf",
    "-o",
    "/dev/null",
    "-e",
    "trace=pwrite64",
    "-e",
    "inject=pwrite64:delay_enter=200",
];

#[derive(Debug, Default)]
struct Totals {
    untags_answered: u64,
    unanswered: u64,
    applied: u64,
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sqlite_kill_loses_no_answered_change_and_halves_none() {
    let cycles: u32 = variable("UNTAG_CRASH_CYCLES").unwrap_or(DEFAULT_CYCLES);
    let seed: u64 = variable("UNTAG_CRASH_SEED").unwrap_or_else(rand::random);
    // The requests and moments depend on it, but not how the threads interleave.
    say(&format!("crash seed: {seed} (UNTAG_CRASH_SEED sets it)"));
    let mut random = StdRng::seed_from_u64(seed);

    let state = |workers: &[Worker]| expected_state(workers.iter().map(|worker| &worker.plot));
    let plots = (0..TOWNS).flat_map(|town| (0..WORKERS).map(move |worker| Plot::new(town, worker)));
    let mut workers: Vec<Worker> = plots
        .map(|plot| Worker::new(plot, StdRng::seed_from_u64(random.random())))
        .collect();
    let data = tempfile::tempdir().unwrap();
    import(data.path(), &state(&workers));

    let mut totals = Totals::default();
    for cycle in 1..=cycles {
        if random.random_ratio(1, 4) {
            die_while_opening(data.path(), &mut random);
        }
        let slow_disk = random.random();
        let mut server = if slow_disk {
            start_traced(data.path(), SLOW_DISK)
        } else {
            Server::start(data.path(), &["--default-account", ACCOUNT])
        };
        let expected = state(&workers);
        assert_same(
            &listed(&server, &expected).await,
            &expected,
            &format!("opened in cycle {cycle}"),
        );

        workers = work_until_killed(workers, &mut server, &mut random).await;

        let found = read_copy(data.path());
        for worker in &mut workers {
            let change = worker
                .unanswered
                .take()
                .expect("a worker ends without an answer");
            let fate = worker.plot.settle(&change, &found);
            let fate = fate.unwrap_or_else(|what| panic!("after crash {cycle}: {what}"));
            totals.unanswered += 1;
            totals.applied += u64::from(fate == Fate::Applied);
            totals.untags_answered += std::mem::take(&mut worker.untags_answered);
        }
        let expected = state(&workers);
        assert_same(&found, &expected, &format!("after crash {cycle}"));
        say_progress("crash cycles", cycle, cycles);
    }

    let Totals {
        untags_answered,
        unanswered,
        applied,
    } = totals;
    say(&format!(
        "crash cycles: {cycles}, untags answered and verified: {untags_answered}, \
         requests unanswered: {unanswered} (applied whole: {applied})"
    ));
    assert!(
        untags_answered > 0,
        "no untag was answered before a crash: nothing was tested"
    );
}

/// A start that dies too, wherever in reading the log of the last crash it is by then.
fn die_while_opening(data: &Path, random: &mut StdRng) {
    let mut command = untag();
    command.args(["serve", "--data-dir"]);
    command.arg(data).stdin(Stdio::null()).stderr(Stdio::null());
    let mut child = command.spawn().expect("untag starts");
    std::thread::sleep(Duration::from_micros(random.random_range(0..60_000)));
    child.kill().unwrap();
    child.wait().unwrap();
}

/// Lets all workers send until the server is killed, after a random number of answers and a random moment more.
async fn work_until_killed(
    workers: Vec<Worker>,
    server: &mut Server,
    random: &mut StdRng,
) -> Vec<Worker> {
    let cycle = Arc::new(Cycle::new());
    let mut clients = Vec::new();
    for _ in 0..CONNECTIONS {
        clients.push(TagServiceClient::new(one_connection(server.address).await));
    }
    let mut running = JoinSet::new();
    for (worker, client) in workers.into_iter().zip(clients.into_iter().cycle()) {
        running.spawn(worker.run(client, Arc::clone(&cycle)));
    }

    let answers = random.random_range(0..1000);
    let moment = Duration::from_micros(random.random_range(0..20_000));
    tokio::select! {
        enough = timeout(PATIENCE, cycle.answers.acquire_many(answers)) => {
            enough.expect("the server answers").unwrap().forget();
        }
        // Only a failed worker ends before the server is killed.
        Some(ended) = running.join_next() => panic!("a worker has ended: {:?}", ended.err()),
    }
    tokio::time::sleep(moment).await;
    cycle.killing.store(true, Ordering::SeqCst);
    server.kill();
    let ended = timeout(PATIENCE, running.join_all()).await;
    ended.unwrap_or_else(|_| {
        panic!(
            "no answer and no error in {PATIENCE:?} after the server at {} was killed: {}",
            server.address,
            cycle.unanswered()
        )
    })
}

/// A copy of the files that a crash has left, so that the server has to recover from the very same.
pub fn copy_of(data: &Path) -> tempfile::TempDir {
    let copy = tempfile::tempdir().unwrap();
    for file in ["untag.db", "untag.db-wal"] {
        if data.join(file).exists() {
            std::fs::copy(data.join(file), copy.path().join(file)).unwrap();
        }
    }
    copy
}

/// Checks that SQLite finds a copy whole.
pub fn assert_intact(copy: &Path) {
    let database = rusqlite::Connection::open(copy.join("untag.db")).unwrap();
    let verdict: String = database
        .pragma_query_value(None, "integrity_check", |row| row.get(0))
        .unwrap();
    assert_eq!(verdict, "ok", "integrity_check");
}

/// The state on the disk, read from a copy.
fn read_copy(data: &Path) -> State {
    let copy = copy_of(data);
    assert_intact(copy.path());

    let mut state = State::new();
    untag::store::sqlite::export(copy.path(), |resource| {
        assert_eq!(resource.account.as_str(), ACCOUNT);
        let tags = resource.tags().iter();
        let tags = tags
            .map(|(key, value)| (key.to_string(), value.as_str().to_owned()))
            .collect();
        state.insert(
            resource.id.to_string(),
            (resource.principal_name.to_string(), tags),
        );
        Ok::<_, std::convert::Infallible>(())
    })
    .unwrap();
    state
}

/// The state that the server lists. A list has no principal names, so those are taken from `names`.
async fn listed(server: &Server, names: &State) -> State {
    let mut client = server.client().await;
    let mut state = State::new();
    for town in 0..TOWNS {
        for (id, tags) in listed_town(&mut client, town).await {
            let name = names.get(&id).map_or("", |(name, _)| name);
            state.insert(id, (name.to_owned(), tags));
        }
    }
    state
}

async fn listed_town(
    client: &mut TagServiceClient<Channel>,
    town: usize,
) -> BTreeMap<String, BTreeMap<String, String>> {
    let values = (0..USERS).map(|user| user_id(town, user)).collect();
    let mut request = ListTagResourcesRequest {
        resources: Some(list_tag_resources_request::Resources::ResourceIds(
            ResourceIds { values },
        )),
        ..ListTagResourcesRequest::default()
    };
    let mut users = BTreeMap::<_, BTreeMap<_, _>>::new();
    loop {
        let page = client
            .list_tag_resources(request.clone())
            .await
            .unwrap()
            .into_inner();
        for tag in page.tag_resources {
            users
                .entry(tag.resource_id)
                .or_default()
                .insert(tag.tag_key, tag.tag_value);
        }
        if page.next_token.is_empty() {
            return users;
        }
        request.next_token = page.next_token;
    }
}
