//! The connection string in a file, which is followed.

use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use super::harness::{ACCOUNT, database_with, ok_on, remove, serve_command, stderr, tags_of};
use crate::support::postgres::{Database, PASSWORD, shared};
use crate::support::{PATIENCE, Server, untag};

/// A command with the connection string in a file.
fn with_file(mut command: Command, file: &Path) -> Command {
    command
        .env_remove("UNTAG_STORE")
        .arg("--store-file")
        .arg(file);
    command
}

/// Replaces a file as a whole.
fn replace(file: &Path, text: &str) {
    let new = file.with_extension("new");
    fs::write(&new, text).unwrap();
    fs::rename(new, file).unwrap();
}

fn serve(file: &Path) -> Server {
    let command = serve_command(
        "",
        &["--reload-interval", "0.05", "--store-connections", "3"],
    );
    Server::spawn(with_file(command, file))
}

fn connections(database: &Database) -> String {
    database.sql(
        "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'untag' AND datname = current_database()",
    )
}

#[tokio::test]
async fn postgres_connection_string_of_a_file_is_followed_to_another_database() {
    let first = database_with(&[&[("env", "first")]]);
    let second = database_with(&[&[("env", "second")]]);
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("url");
    fs::write(&file, format!("{}\n", first.url())).unwrap();
    let server = serve(&file);
    let mut client = server.client().await;
    assert_eq!(tags_of(&mut client, &[1]).await.unwrap()[0].2, "first");

    replace(&file, &second.url());
    server.wait_for_log("reloaded");
    // On whichever of its connections.
    for _ in 0..6 {
        assert_eq!(tags_of(&mut client, &[1]).await.unwrap()[0].2, "second");
    }
    remove(&mut client, &[1], &["env"]).await.unwrap();
    assert_eq!(second.sql("SELECT count(*) FROM change"), "1");
    assert_eq!(first.sql("SELECT count(*) FROM change"), "0");
    let start = Instant::now();
    while connections(&first) != "0" {
        assert!(start.elapsed() < PATIENCE, "connections are left");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    let shown = |line: &serde_json::Value| line.to_string().contains(PASSWORD);
    assert!(!server.log_lines().iter().any(shown));
}

#[tokio::test]
async fn postgres_connection_string_that_can_not_be_used_leaves_the_old_one_in_use() {
    let database = database_with(&[&[("env", "prod")]]);
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("url");
    fs::write(&file, database.url()).unwrap();
    let server = serve(&file);
    replace(&file, &format!("postgres:/{PASSWORD}"));
    let failed = server.wait_for_log("not reloaded; the old one stays in use");
    let error = failed["error"].as_str().unwrap();
    assert!(
        error.contains("/url") && error.contains("postgres://"),
        "{error}"
    );
    assert!(!error.contains(PASSWORD), "{error}");
    let mut client = server.client().await;
    remove(&mut client, &[1], &["env"]).await.unwrap();
}

#[test]
fn postgres_connection_string_of_a_file_is_used_by_each_command_and_refused_with_its_path() {
    let database = shared().database();
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("url");
    let run = |arguments: &[&str]| {
        let mut command = untag();
        command.args(arguments).stdin(Stdio::null());
        with_file(command, &file).output().unwrap()
    };
    let missing = stderr(&run(&["migrate"]));
    assert!(
        missing.contains("/url") && missing.contains("No such file"),
        "{missing}"
    );
    fs::write(&file, "sqlite").unwrap();
    let wrong = stderr(&run(&["migrate"]));
    assert!(wrong.contains("does not start with postgres://"), "{wrong}");
    fs::write(&file, database.url()).unwrap();
    let migrated = run(&["migrate"]);
    assert!(migrated.status.success(), "{}", stderr(&migrated));
    for command in ["export", "import"] {
        assert!(run(&[command, "-"]).status.success(), "{command}");
    }
    assert_eq!(
        ok_on(&database.url(), &["migrate"]),
        "the schema is up to date\n"
    );
    let both = stderr(&run(&["migrate", "--store", "sqlite"]));
    assert!(both.contains("cannot be used with"), "{both}");
    let checked = run(&["serve", "--check", "--default-account", ACCOUNT]);
    assert!(checked.status.success(), "{}", stderr(&checked));
}
