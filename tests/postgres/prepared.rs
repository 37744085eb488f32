//! Statements that the database plans once.

use std::fs;

use crate::harness::{import, ok_on, remove, serve, tags_of, user_line};
use crate::postgres_server::Cluster;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn postgres_statements_are_prepared_once_on_a_connection() {
    let cluster = Cluster::start("log_min_duration_statement = 0\n");
    let database = cluster.database();
    // A setting of the user's stays: without it there would be no table.
    database.sql("CREATE SCHEMA elsewhere");
    let url = database.url_with("?options=-c%20search_path%3Delsewhere");
    ok_on(&url, &["migrate"]);
    import(&url, &user_line(1, &[("env", "prod"), ("team", "a")]));
    let server = serve(&url, &["--store-connections", "1"]);
    let mut client = server.client().await;
    for key in ["env", "team", "cost-center"] {
        remove(&mut client, &[1], &[key]).await.unwrap();
    }
    assert_eq!(tags_of(&mut client, &[1]).await.unwrap(), []);

    let log = fs::read_to_string(cluster.directory.join("log")).unwrap();
    let steps = |step: &str| {
        let lines = log.lines().filter(|line| line.contains("UPDATE resource"));
        let of_step = lines.filter_map(|line| line.split_once(step));
        let names = of_step.filter_map(|(_, rest)| Some(rest.split_once(':')?.0.to_owned()));
        names.collect::<Vec<_>>()
    };
    let [name] = &steps("parse ")[..] else {
        panic!("parsed more than once: {log}");
    };
    assert_ne!(name, "<unnamed>");
    assert_eq!(
        steps("execute "),
        [name.clone(), name.clone(), name.clone()]
    );
}
