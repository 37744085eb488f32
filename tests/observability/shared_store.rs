//! A database that goes away, as the admin port tells it.

use std::process::Stdio;

use tonic::Code;

use crate::http::get;
use crate::postgres::Cluster;
use crate::scrape::{Scrape, health, readiness, scrape_until};
use crate::support::{Server, untag};
use crate::users::{ACCOUNT, ANN, ask, feed, ids, line, untag_request};

#[tokio::test(flavor = "multi_thread")]
async fn postgres_that_is_gone_is_not_ready_and_the_process_is_live() {
    let cluster = Cluster::start("");
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
    let server = Server::spawn(serve);
    let client = &mut server.client().await;
    let mut untag = async || {
        let request = ask(untag_request(ids([ANN]), &["env"]));
        client.untag_resources(request).await.map(drop)
    };
    untag().await.unwrap();
    let scrape = Scrape::of(&server);
    assert_eq!(scrape.sum("untag_store_commit_seconds_count", &[]), 1.0);
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
