//! A database that goes away, as the admin port tells it.

use std::process::Stdio;

use tokio::task::JoinSet;
use tokio_postgres::NoTls;
use tonic::Code;

use super::scrape::{Scrape, health, readiness, scrape_until};
use crate::black_box::users::{ACCOUNT, ANN, ask, feed, ids, line, untag_request};
use crate::support::http::get;
use crate::support::postgres::{Cluster, Database, shared};
use crate::support::{Server, untag};

/// A service on a database of its own, with one user.
fn serve(cluster: &Cluster) -> (Server, Database) {
    let database = cluster.database();
    let command = |name: &str| {
        let mut command = untag();
        command.arg(name).env("UNTAG_STORE", database.url());
        command
    };
    assert!(command("migrate").output().unwrap().status.success());
    let mut import = command("import");
    import.arg("-");
    feed(
        import,
        &line(ACCOUNT, ANN, "ann@example.com", &[("env", "prod")]),
    );
    let mut serve = command("serve");
    serve.args(["--queue-depth", "77"]).stdout(Stdio::null());
    (Server::spawn(serve), database)
}

#[tokio::test(flavor = "multi_thread")]
async fn postgres_that_is_gone_is_not_ready_and_the_process_is_live() {
    let cluster = Cluster::start("");
    let (server, _) = serve(&cluster);
    let client = &mut server.client().await;
    let mut untag = async || {
        let request = ask(untag_request(ids([ANN]), &["env"]));
        client.untag_resources(request).await.map(drop)
    };
    untag().await.unwrap();
    let scrape = Scrape::of(&server);
    assert_eq!(scrape.sum("untag_store_commit_seconds_count", &[]), 1.0);
    assert_eq!(scrape.sum("untag_store_batch_requests_sum", &[]), 1.0);
    assert_eq!(scrape.sum("untag_store_queue_capacity", &[]), 77.0);
    assert_eq!(scrape.sum("untag_store_queue_depth", &[]), 0.0);
    assert!(scrape.sum("untag_store_connections", &[]) >= 1.0);

    cluster.stop();
    let reason = readiness(&server, 503).await;
    assert!(!reason.trim().is_empty());
    assert_eq!(get(&server, "/live").0, 200);
    assert_eq!(health(&server, "liveness").await, "SERVING");
    let gone = |scrape: &Scrape| {
        scrape.sum("untag_store_connections", &[]) == 0.0
            && scrape.sum("untag_store_ready", &[]) == 0.0
    };
    scrape_until(&server, gone).await;
    assert_eq!(untag().await.unwrap_err().code(), Code::Unavailable);

    cluster.resume();
    readiness(&server, 200).await;
    untag().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn postgres_shows_how_many_changes_wait_for_it() {
    let (server, database) = serve(shared());
    let connected = tokio_postgres::connect(&database.url(), NoTls).await;
    let (other, connection) = connected.unwrap();
    tokio::spawn(connection);
    let lock = "BEGIN; SELECT FROM resource FOR UPDATE";
    other.batch_execute(lock).await.unwrap();
    let client = server.client().await;
    let mut changes = JoinSet::new();
    for _ in 0..3 {
        let mut client = client.clone();
        let request = ask(untag_request(ids([ANN]), &["env"]));
        changes.spawn(async move { client.untag_resources(request).await.map(drop) });
    }
    let depth = |scrape: &Scrape| scrape.sum("untag_store_queue_depth", &[]);
    scrape_until(&server, |scrape| depth(scrape) == 3.0).await;
    other.batch_execute("COMMIT").await.unwrap();
    for answer in changes.join_all().await {
        answer.unwrap();
    }
    scrape_until(&server, |scrape| depth(scrape) == 0.0).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn postgres_statements_that_are_sent_again_are_counted() {
    let (server, database) = serve(shared());
    // The server refuses the change twice, as it does when transactions collide. A sequence keeps what is rolled back.
    database.sql(
        "CREATE SEQUENCE tries;
         CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
           IF nextval('tries') <= 2 THEN
             RAISE EXCEPTION 'could not serialize' USING ERRCODE = 'serialization_failure';
           END IF;
           RETURN NEW;
         END $$;
         CREATE TRIGGER refuse BEFORE UPDATE ON resource FOR EACH ROW EXECUTE FUNCTION refuse()",
    );
    let retries = |scrape: &Scrape| scrape.sum("untag_store_retries_total", &[]);
    assert_eq!(retries(&Scrape::of(&server)), 0.0);
    let request = ask(untag_request(ids([ANN]), &["env"]));
    let client = &mut server.client().await;
    client.untag_resources(request).await.unwrap();
    let scrape = Scrape::of(&server);
    assert_eq!(retries(&scrape), 2.0);
    assert_eq!(scrape.sum("untag_store_commit_seconds_count", &[]), 3.0);
}
