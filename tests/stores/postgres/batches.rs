//! Untags that share a statement.

use std::collections::BTreeMap;
use std::fs;
use std::ops::RangeInclusive;
use std::time::{Duration, Instant};

use tokio::task::JoinHandle;
use tonic::{Code, Request, Status};
use untag::grpc::proto::UntagResourcesRequest;
use untag::grpc::proto::untag_resources_request::Resources;

use super::harness::{
    ACCOUNT, fill, hold_users, import, remove, resource_ids, serve, session, tags_of,
    untag_request, user_line, wait_for_lock_wait, wait_for_lock_waits,
};
use crate::support::http::get;
use crate::support::postgres::{Cluster, Database, shared};
use crate::support::{PATIENCE, Server};

/// More than there are statements under way at a time.
const FIRST: usize = 8;

/// A database with this many users that carry `env` and `team`.
fn database_of(users: usize) -> Database {
    let database = shared().database();
    fill(&database, &vec![&TAGS[..]; users]);
    database
}

const TAGS: [(&str, &str); 2] = [("env", "prod"), ("team", "a")];

/// Waits until this many requests are at the store.
async fn wait_for_queue(server: &Server, wanted: usize) {
    wait_for_gauge(server, "untag_store_queue_depth", wanted).await;
}

async fn wait_for_gauge(server: &Server, name: &str, wanted: usize) {
    let start = Instant::now();
    let wanted = format!("{name} {wanted}");
    while !get(server, "/metrics").1.lines().any(|line| line == wanted) {
        assert!(start.elapsed() < PATIENCE, "not {wanted}");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

/// Starts an untag.
async fn start(server: &Server, ids: &[usize], keys: &[&str]) -> JoinHandle<Result<(), Status>> {
    let request = UntagResourcesRequest {
        resources: Some(Resources::ResourceIds(resource_ids(ids))),
        tag_keys: keys.iter().map(ToString::to_string).collect(),
        ..UntagResourcesRequest::default()
    };
    start_request(server, Request::new(request)).await
}

async fn start_request(
    server: &Server,
    request: Request<UntagResourcesRequest>,
) -> JoinHandle<Result<(), Status>> {
    let mut client = server.client().await;
    tokio::spawn(async move { client.untag_resources(request).await.map(drop) })
}

type Running = Vec<JoinHandle<Result<(), Status>>>;

/// A service whose untags of `env` of the first users wait for the table, which the session holds until it commits: what
/// is started next gathers behind them.
async fn held_up(database: &Database, flags: &[&str]) -> (Server, tokio_postgres::Client, Running) {
    let server = serve(&database.url(), flags);
    let other = session(database).await;
    hold_users(&other).await;
    let first = start_each(&server, 1..=FIRST).await;
    wait_for_queue(&server, FIRST).await;
    wait_for_lock_wait(database).await;
    (server, other, first)
}

/// Starts an untag of `env` for each of these users.
async fn start_each(server: &Server, users: RangeInclusive<usize>) -> Running {
    let mut running = Vec::new();
    for user in users {
        running.push(start(server, &[user], &["env"]).await);
    }
    running
}

/// How many changes the service has committed, and in how many commits.
fn committed(server: &Server) -> (usize, usize) {
    let metrics = get(server, "/metrics").1;
    let of = |what: &str| {
        let name = format!("untag_store_batch_requests_{what} ");
        let value = metrics.lines().find_map(|line| line.strip_prefix(&name));
        value.unwrap().trim_end_matches(".0").parse().unwrap()
    };
    (of("sum"), of("count"))
}

/// The query for users that have other tags than `team`.
const LEFT: &str = "SELECT resource_id || ' ' || tags::text FROM resource \
                    WHERE tags <> '{\"team\": \"a\"}' ORDER BY resource_id::int";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn postgres_untags_that_share_a_statement_are_answered_one_by_one() {
    let cluster = Cluster::start("log_min_duration_statement = 0\n");
    let database = cluster.database();
    fill(&database, &[&TAGS[..]; FIRST + 30]);
    // An array, from which jsonb's operators would remove the key.
    let broken = FIRST + 7;
    database.sql(&format!(
        "UPDATE resource SET tags = '[\"env\"]' WHERE resource_id = '{broken}'"
    ));
    let (server, other, first) = held_up(&database, &[]).await;
    let mut running = Vec::new();
    for user in FIRST + 1..=FIRST + 26 {
        let (ids, code) = match user - FIRST {
            3 => (vec![user, 999], Some(Code::NotFound)),
            7 => (vec![user], Some(Code::Internal)),
            8 => (vec![user, broken], Some(Code::Internal)),
            // The users of this one are those of its neighbours, too.
            26 => (vec![user - 1, user - 2], None),
            _ => (vec![user], None),
        };
        running.push((start(&server, &ids, &["env"]).await, user, code));
    }
    let (all, some) = (FIRST + 27, FIRST + 28);
    let everything = UntagResourcesRequest {
        resources: Some(Resources::ResourceIds(resource_ids(&[all]))),
        all: true,
        ..UntagResourcesRequest::default()
    };
    let request = start_request(&server, Request::new(everything)).await;
    running.push((request, all, None));
    let lenient = UntagResourcesRequest {
        resources: Some(Resources::ResourceIds(resource_ids(&[998, some]))),
        tag_keys: vec!["env".to_owned()],
        allow_missing: true,
        ..UntagResourcesRequest::default()
    };
    let request = start_request(&server, Request::new(lenient)).await;
    running.push((request, some, None));
    wait_for_queue(&server, FIRST + 28).await;
    other.batch_execute("COMMIT").await.unwrap();

    for (request, user, code) in running {
        let answer = request.await.unwrap();
        let found = answer.as_ref().err().map(Status::code);
        assert_eq!(found, code, "user {user}: {answer:?}");
        if let Some(missing) = answer.err().filter(|_| code == Some(Code::NotFound)) {
            assert!(missing.message().contains("999"), "{missing:?}");
        }
    }
    for request in first {
        request.await.unwrap().unwrap();
    }
    let untouched = |user| format!("{user} {{\"env\": \"prod\", \"team\": \"a\"}}");
    let expected = [
        untouched(FIRST + 3),
        format!("{broken} [\"env\"]"),
        untouched(FIRST + 8),
        untouched(FIRST + 26),
        format!("{all} {{}}"),
        untouched(FIRST + 29),
        untouched(FIRST + 30),
    ];
    assert_eq!(database.sql(LEFT), expected.join("\n"));

    // All but the two that failed were committed, in fewer commits.
    let (changes, commits) = committed(&server);
    assert_eq!(changes, FIRST + 26);
    assert!(commits <= FIRST + 6, "{commits} commits");

    // Those that waited shared a few statements. Four of them needed one of their own, too; two of these failed, which
    // the log has in other lines.
    let log = fs::read_to_string(cluster.directory.join("log")).unwrap();
    let (mut shared, mut alone) = (0, 0);
    for (call, parameters) in log.lines().zip(log.lines().skip(1)) {
        let is_request = !parameters.contains("$1 = ''");
        if call.contains(" execute ") && is_request {
            shared += usize::from(call.contains("untag_remove_shared"));
            alone += usize::from(call.contains("untag_remove_alone"));
        }
    }
    assert!(shared <= FIRST + 4, "{shared} shared statements");
    assert_eq!(alone, 2);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn postgres_untags_of_one_user_do_not_wait_for_a_commit_each() {
    let database = database_of(FIRST + 2);
    let (server, other, mut running) = held_up(&database, &[]).await;
    for number in 0..30 {
        let ids = [FIRST + 1, FIRST + 2];
        let key = ["env", "team", "absent"][number % 3];
        running.push(start(&server, &ids[number % 2..], &[key]).await);
    }
    wait_for_queue(&server, FIRST + 30).await;
    other.batch_execute("COMMIT").await.unwrap();
    for request in running {
        request.await.unwrap().unwrap();
    }
    let expected = format!("{} {{}}\n{} {{}}", FIRST + 1, FIRST + 2);
    assert_eq!(database.sql(LEFT), expected);
    let (changes, commits) = committed(&server);
    assert_eq!(changes, FIRST + 30);
    assert!(commits <= FIRST + 4, "{commits} commits");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn postgres_locked_user_holds_up_only_those_who_name_it() {
    let database = database_of(5);
    let server = serve(&database.url(), &["--store-connections", "4"]);
    let other = session(&database).await;
    let lock = "BEGIN; SELECT FROM resource WHERE resource_id IN ('1', '4', '5') FOR UPDATE";
    other.batch_execute(lock).await.unwrap();
    // More requests than there are connections, and more locked users than statements under way at a time.
    let mut waiting = Vec::new();
    for ids in [&[1, 3][..], &[4], &[5], &[1], &[1], &[1], &[1], &[1]] {
        waiting.push(start(&server, ids, &["env"]).await);
    }
    wait_for_queue(&server, 8).await;
    wait_for_lock_wait(&database).await;
    let mut client = server.client().await;
    for key in ["env", "team"] {
        let keys = [key];
        let untag = remove(&mut client, &[2], &keys);
        let answer = tokio::time::timeout(Duration::from_secs(5), untag).await;
        answer.expect("it waits for another's user").unwrap();
    }
    assert!(waiting.iter().all(|request| !request.is_finished()));
    other.batch_execute("COMMIT").await.unwrap();
    for request in waiting {
        request.await.unwrap().unwrap();
    }
    let left = tags_of(&mut client, &[1, 2, 3]).await.unwrap();
    let left: Vec<_> = left.iter().map(|(id, key, _)| (&**id, &**key)).collect();
    assert_eq!(left, [("1", "team"), ("3", "team")]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn postgres_untag_that_is_refused_does_not_fail_its_neighbours() {
    let database = database_of(FIRST + 20);
    let (refused, unlucky) = (FIRST + 5, FIRST + 9);
    // One user is never to be changed, and one change collides once. A sequence keeps what is rolled back.
    database.sql(&format!(
        "CREATE SEQUENCE collisions;
         CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
           IF NEW.resource_id = '{refused}' THEN
             RAISE EXCEPTION 'not this one' USING ERRCODE = 'check_violation';
           END IF;
           IF NEW.resource_id = '{unlucky}' AND nextval('collisions') = 1 THEN
             RAISE EXCEPTION 'could not serialize' USING ERRCODE = 'serialization_failure';
           END IF;
           RETURN NEW;
         END $$;
         CREATE TRIGGER refuse BEFORE UPDATE ON resource FOR EACH ROW EXECUTE FUNCTION refuse()"
    ));
    let (server, other, mut running) = held_up(&database, &[]).await;
    running.extend(start_each(&server, FIRST + 1..=FIRST + 20).await);
    wait_for_queue(&server, FIRST + 20).await;
    other.batch_execute("COMMIT").await.unwrap();
    for (request, user) in running.into_iter().zip(1..) {
        let code = request.await.unwrap().err().map(|error| error.code());
        let expected = (user == refused).then_some(Code::Internal);
        assert_eq!(code, expected, "user {user}");
    }
    let expected = format!("{refused} {{\"env\": \"prod\", \"team\": \"a\"}}");
    assert_eq!(database.sql(LEFT), expected);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn postgres_untags_whose_shared_answer_is_lost_are_sent_again() {
    let database = database_of(FIRST + 20);
    let (server, other, mut running) = held_up(&database, &[]).await;
    running.extend(start_each(&server, FIRST + 1..=FIRST + 20).await);
    wait_for_queue(&server, FIRST + 20).await;
    let sql = "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity \
               WHERE application_name = 'untag' AND datname = current_database() \
               AND wait_event_type = 'Lock'";
    let ended = database.sql(sql).parse::<usize>().unwrap();
    assert!(ended > 0);
    other.batch_execute("COMMIT").await.unwrap();
    for request in running {
        request.await.unwrap().unwrap();
    }
    // Each was made once.
    let entries = "SELECT count(*), count(DISTINCT request_id) FROM change";
    assert_eq!(database.sql(entries), format!("{0}|{0}", FIRST + 20));
    let mut client = server.client().await;
    remove(&mut client, &[1, FIRST + 20], &["env"])
        .await
        .unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn postgres_untag_whose_caller_is_gone_is_not_sent() {
    let database = database_of(FIRST + 2);
    let (server, other, mut running) = held_up(&database, &[]).await;
    let mut impatient = Request::new(UntagResourcesRequest {
        resources: Some(Resources::ResourceIds(resource_ids(&[FIRST + 1]))),
        tag_keys: vec!["env".to_owned()],
        ..UntagResourcesRequest::default()
    });
    impatient.set_timeout(Duration::from_millis(300));
    let impatient = start_request(&server, impatient).await;
    running.push(start(&server, &[FIRST + 2], &["env"]).await);
    // The client may give up before the service does.
    let late = impatient.await.unwrap().unwrap_err().code();
    let codes = [Code::DeadlineExceeded, Code::Cancelled];
    assert!(codes.contains(&late), "{late:?}");
    wait_for_gauge(&server, "untag_requests_in_flight", running.len()).await;
    other.batch_execute("COMMIT").await.unwrap();
    for request in running {
        request.await.unwrap().unwrap();
    }
    wait_for_queue(&server, 0).await;
    let expected = format!("{} {{\"env\": \"prod\", \"team\": \"a\"}}", FIRST + 1);
    assert_eq!(database.sql(LEFT), expected);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn postgres_untags_of_another_account_gather_while_all_connections_work() {
    let database = database_of(2);
    let others: String = (1..=3).map(|id| user_line(id, &TAGS)).collect();
    let account = |id: &str| format!("\"account_id\":\"{id}\"");
    import(
        &database.url(),
        &others.replace(&account(ACCOUNT), &account("8")),
    );
    let server = serve(&database.url(), &["--store-connections", "2"]);
    let other = session(&database).await;
    hold_users(&other).await;
    let mut running = start_each(&server, 1..=2).await;
    wait_for_lock_waits(&database, 2).await;
    for user in 1..=3 {
        let mut request = Request::new(untag_request(&[user], &["env"]));
        let metadata = request.metadata_mut();
        metadata.insert("x-acs-account-id", "8".parse().unwrap());
        running.push(start_request(&server, request).await);
    }
    wait_for_queue(&server, 5).await;
    other.batch_execute("COMMIT").await.unwrap();
    for request in running {
        request.await.unwrap().unwrap();
    }
    assert_eq!(committed(&server), (5, 3));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn postgres_large_untags_share_statements_too() {
    let database = database_of(500);
    let (server, other, mut running) = held_up(&database, &[]).await;
    // Two of them name the last users of the one before.
    for first in [101, 151, 201, 251, 300, 349] {
        let users: Vec<_> = (first..first + 50).collect();
        running.push(start(&server, &users, &["env", "absent"]).await);
    }
    wait_for_queue(&server, FIRST + 6).await;
    other.batch_execute("COMMIT").await.unwrap();
    for request in running {
        request.await.unwrap().unwrap();
    }
    let changed = "SELECT count(*) FROM resource WHERE tags = '{\"team\": \"a\"}'";
    assert_eq!(database.sql(changed), (FIRST + 298).to_string());
    let (made, commits) = committed(&server);
    assert_eq!(made, FIRST + 6);
    assert!(commits <= 5, "{commits} commits");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn postgres_untags_with_tokens_share_statements_and_are_made_once() {
    const USERS: usize = 30;
    let database = database_of(FIRST + USERS);
    let (server, other, first) = held_up(&database, &[]).await;
    let mut running = Vec::new();
    // Each is sent twice.
    for user in (FIRST + 1..=FIRST + USERS).flat_map(|user| [user, user]) {
        let request = UntagResourcesRequest {
            client_token: format!("of {user}"),
            ..untag_request(&[user], &["env"])
        };
        let mut client = server.client().await;
        let answer = async move { client.untag_resources(request).await };
        running.push((user, tokio::spawn(answer)));
    }
    wait_for_queue(&server, FIRST + 2 * USERS).await;
    other.batch_execute("COMMIT").await.unwrap();
    for request in first {
        request.await.unwrap().unwrap();
    }
    let mut answers = BTreeMap::new();
    for (user, request) in running {
        let answer = request.await.unwrap().unwrap().into_inner();
        assert_eq!(answer.changed_tags, Some(1));
        let known = answers.entry(user).or_insert_with(|| answer.clone());
        assert_eq!(*known, answer);
    }
    assert_eq!(
        database.sql("SELECT count(*) FROM change"),
        (FIRST + USERS).to_string()
    );
    let log = "SELECT count(DISTINCT xmin::text) FROM change WHERE client_token IS NOT NULL";
    let commits: usize = database.sql(log).parse().unwrap();
    assert!(commits <= 5, "{commits} commits");
}
