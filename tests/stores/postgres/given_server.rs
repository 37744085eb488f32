//! The tests on a server that is given to them, as scripts/test runs them there.

use std::fs;
use std::process::Command;

use crate::support::postgres::{Cluster, PASSWORD, USER};

#[test]
fn postgres_tests_run_on_a_server_that_is_given_and_leave_nothing_there() {
    let cluster = Cluster::start("log_statement = ddl\n");
    let url = format!(
        "postgres://{USER}@127.0.0.1:{}/postgres?sslmode=prefer",
        cluster.port
    );
    let cases = [
        "contract::postgres_store::untag_can_be_repeated",
        "contract::postgres_store::users_swap_names_and_pass_them_in_chains_and_cycles",
        "black_box::postgres_store_failures::",
    ];
    let output = Command::new(std::env::current_exe().unwrap())
        .args(cases)
        .env("UNTAG_TEST_STORE", url)
        .env("PGPASSWORD", PASSWORD)
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{said}");
    let log = fs::read_to_string(cluster.directory.join("log")).unwrap();
    let made = log.matches("CREATE DATABASE untag_test_").count();
    assert!(made >= cases.len(), "{made} databases: {said}");
    assert_eq!(log.matches("DROP DATABASE untag_test_").count(), made);
    let left = "SELECT count(*) FROM pg_database WHERE datname LIKE 'untag_test_%'";
    assert_eq!(cluster.sql("postgres", left), "0");
}
