//! Statements that the database plans once.

use std::fs;

use super::harness::{executed, fill, import, ok_on, remove, serve, tags_of, user_line};
use crate::support::postgres::Cluster;

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
    // Each is parsed for the readiness check, and never again.
    let untag = |line: &&str| line.contains("untag_remove_shared");
    let name = |line: &str| {
        let (_, rest) = line.split_once(" execute ").unwrap();
        rest.split_once(':').unwrap().0.to_owned()
    };
    let executed: Vec<_> = executed(&log).filter(untag).map(name).collect();
    let [name, ..] = &executed[..] else {
        panic!("nothing was executed: {log}");
    };
    assert_ne!(name, "<unnamed>");
    assert_eq!(executed, [name.clone(), name.clone(), name.clone()]);
    let parsed = log.matches(&format!(" parse {name}:")).count();
    assert_eq!(parsed, 1, "{log}");
}

/// How many plans the database makes for three untags of one kind on one connection.
async fn plans_of_three_untags(prepare: &str) -> usize {
    let cluster = Cluster::start("debug_print_plan = on\ndebug_pretty_print = off\n");
    let database = cluster.database();
    fill(&database, &[&[("env", "prod")]]);
    database.sql(prepare);
    let server = serve(&database.url(), &["--store-connections", "1"]);
    let mut client = server.client().await;
    let log = || fs::read_to_string(cluster.directory.join("log")).unwrap();
    let plans = |log: &str| {
        let is_untag =
            |line: &&str| line.contains("STATEMENT:") && line.contains("untag_remove_shared");
        log.lines().filter(is_untag).count()
    };
    // The first change has the statements inside the functions planned.
    remove(&mut client, &[1], &["env"]).await.unwrap();
    let before = plans(&log());
    for key in ["env", "team", "cost-center"] {
        remove(&mut client, &[1], &[key]).await.unwrap();
    }
    plans(&log()) - before
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn postgres_with_citus_is_left_to_choose_its_plans() {
    assert_eq!(plans_of_three_untags("SELECT 1").await, 0);
    // What a connection looks for of the extension, which comes from no package registry.
    let citus = "SET allow_system_table_mods = on; INSERT INTO pg_extension \
        (oid, extname, extowner, extnamespace, extrelocatable, extversion) VALUES (99999, 'citus', 10, 11, false, '13.2')";
    assert!(plans_of_three_untags(citus).await >= 3);
}
