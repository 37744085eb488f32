//! A database that gives fewer connections than the service asks for, or does not let it do its work.

use tonic_health::pb::health_check_response::ServingStatus;

use super::harness::{ACCOUNT, database_with, health, remove, serve_command, set, wait_for_health};
use crate::support::Server;
use crate::support::http::{get, scrape};
use crate::support::postgres::{Database, PASSWORD, USER};

const SHORTAGE: &str =
    "fewer connections to the database than --store-connections; going on with those that are open";

/// A role that is no superuser, for whom limits do not count. It may use the tables as far as `privileges` say.
fn make_role(database: &Database, privileges: &str) -> String {
    let role = format!("role_of_{}", database.name);
    database.sql(&format!(
        "CREATE ROLE {role} LOGIN PASSWORD '{PASSWORD}'; \
         GRANT {privileges} ON ALL TABLES IN SCHEMA public TO {role}"
    ));
    role
}

fn store_of(database: &Database, role: &str) -> String {
    database
        .url()
        .replace(&format!("{USER}:"), &format!("{role}:"))
}

/// Changes that are under way all at once, each of a user of its own; none may fail.
async fn change_all(server: &Server, users: usize) {
    let change = |user: usize| async move {
        let mut client = server.client().await;
        for round in 0..10 {
            let value = round.to_string();
            set(&mut client, &[user], &[("env", &value)]).await.unwrap();
            remove(&mut client, &[user], &["env"]).await.unwrap();
        }
    };
    futures_util::future::join_all((1..=users).map(change)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn postgres_that_gives_fewer_connections_than_asked_for_serves_on_those() {
    let nothing: &[(&str, &str)] = &[];
    for limit in [1, 3] {
        let database = database_with(&[nothing; 12]);
        let role = make_role(&database, "ALL");
        database.sql(&format!("ALTER ROLE {role} CONNECTION LIMIT {limit}"));
        let arguments = ["--store-connections", "8"];
        let server = Server::spawn(serve_command(&store_of(&database, &role), &arguments));
        change_all(&server, 12).await;
        assert_eq!(health(&server).await, ServingStatus::Serving);
        let shortages = || server.count_in_log(|line| line["message"] == SHORTAGE);
        assert_eq!(shortages(), 1, "{:#?}", server.log_lines());
        assert!(scrape(&server)["untag_store_connections_failed_total"] > 0.0);

        database.sql(&format!("ALTER ROLE {role} CONNECTION LIMIT -1"));
        server.wait_for_log("as many connections to the database as --store-connections");
        change_all(&server, 12).await;
        assert_eq!(shortages(), 1, "{:#?}", server.log_lines());
        assert_eq!(
            scrape(&server)["untag_store_connections"].to_bits(),
            8.0_f64.to_bits()
        );
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn postgres_that_gives_no_more_connections_takes_changes_on_those_that_are_open() {
    let database = database_with(&[&[("env", "prod")]]);
    let role = make_role(&database, "ALL");
    let server = Server::spawn(serve_command(&store_of(&database, &role), &[]));
    // What it has open by now is the connection of the readiness check.
    database.sql(&format!("ALTER ROLE {role} CONNECTION LIMIT 1"));
    let mut client = server.client().await;
    set(&mut client, &[1], &[("env", "x")]).await.unwrap();
    remove(&mut client, &[1], &["env"]).await.unwrap();
    server.wait_for_log(SHORTAGE);
    assert_eq!(health(&server).await, ServingStatus::Serving);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn postgres_role_that_may_only_read_keeps_a_replica_from_being_ready() {
    let database = database_with(&[&[("env", "prod")]]);
    let role = make_role(&database, "SELECT");
    let any = ([127, 0, 0, 1], 0).into();
    let server = Server::launch(serve_command(&store_of(&database, &role), &[]), any);
    let line = server.wait_for_log_where("not ready", |line| line["cause"].is_string());
    assert!(
        line["cause"]
            .as_str()
            .unwrap()
            .contains("permission denied"),
        "{line}"
    );
    assert_eq!(health(&server).await, ServingStatus::NotServing);
    assert_eq!(get(&server, "/ready").0, 503);

    let grant = format!("GRANT ALL ON ALL TABLES IN SCHEMA public TO {role}");
    database.sql(&grant);
    wait_for_health(&server, ServingStatus::Serving).await;
    let mut client = server.client().await;
    remove(&mut client, &[1], &["env"]).await.unwrap();
    let left = format!("SELECT tags FROM resource WHERE account_id = '{ACCOUNT}'");
    assert_eq!(database.sql(&left), "{}");
}
