//! The password of the database: used, and never shown.

use std::fs;
use std::path::Path;
use std::process::Stdio;
use std::time::Instant;

use super::harness::{
    ACCOUNT, database_with, remove, run_on, serve, serve_command, set, stderr, tags_of,
};
use crate::support::http::scrape;
use crate::support::postgres::{Cluster, Database, PASSWORD, USER};
use crate::support::{PATIENCE, Server, untag};

fn assert_hidden(text: &str) {
    assert!(!text.contains(PASSWORD), "the password is shown: {text}");
}

fn command_line(server: &Server) -> String {
    let bytes = fs::read(format!("/proc/{}/cmdline", server.pid())).unwrap();
    String::from_utf8_lossy(&bytes).into_owned()
}

#[tokio::test]
async fn postgres_password_of_the_variable_is_in_no_log_and_no_command_line() {
    let cluster = Cluster::start("");
    let database = cluster.database();
    super::harness::fill(&database, &[&[("env", "prod")]]);
    let server = serve(&database.url(), &["--log-level", "trace"]);
    let mut client = server.client().await;
    remove(&mut client, &[1], &["env"]).await.unwrap();
    // Failures are where a careless program would show how it tried to connect.
    cluster.stop();
    let failure = remove(&mut client, &[1], &["env"]).await.unwrap_err();
    assert_hidden(&format!("{failure:?}"));
    server.wait_for_log("not ready");
    assert_hidden(&command_line(&server));
    for line in server.log_lines() {
        assert_hidden(&line.to_string());
    }
}

#[tokio::test]
async fn postgres_password_file_is_read() {
    let database = database_with(&[&[("env", "prod")]]);
    let file = tempfile::NamedTempFile::new().unwrap();
    fs::write(&file, format!("{PASSWORD}\n")).unwrap();
    let store = database.url().replace(&format!(":{PASSWORD}"), "");
    assert_hidden(&store);
    let refused = run_on(&store, &["export"]);
    assert!(
        !refused.status.success(),
        "the server is to ask for a password"
    );

    let mut command = untag();
    command
        .args([
            "serve",
            "--default-account",
            ACCOUNT,
            "--store",
            &store,
            "--store-password-file",
        ])
        .arg(file.path())
        .stdout(Stdio::null());
    let server = Server::spawn(command);
    remove(&mut server.client().await, &[1], &["env"])
        .await
        .unwrap();
    assert_hidden(&command_line(&server));
}

#[test]
fn postgres_password_is_not_in_the_help_text() {
    let store = format!("postgres://{USER}:{PASSWORD}@127.0.0.1/untag");
    for subcommand in ["serve", "import", "export", "migrate"] {
        let output = run_on(&store, &[subcommand, "--help"]);
        let said = String::from_utf8(output.stdout).unwrap();
        assert!(said.contains("--store"), "{said}");
        assert_hidden(&said);
    }
}

#[test]
fn postgres_password_is_not_in_error_messages() {
    let broken = [
        // Nobody listens on port 1.
        "postgres://untag:PASSWORD@127.0.0.1:1/untag",
        "postgres://untag:PASSWORD@127.0.0.1:port/untag",
        "postgres://untag:PASSWORD@127.0.0.1/untag?unknown=1",
        "postgres://untag:PASSWORD@127.0.0.1/untag?sslmode=sometimes",
        "postgres:/untag:PASSWORD@127.0.0.1/untag",
        "postgres://untag@127.0.0.1:1/untag?password=PASSWORD",
        // Characters that should have been written as %3F, %2F, %40 and %25.
        "postgres://untag:a?PASSWORD@127.0.0.1:1/untag",
        "postgres://untag:a/PASSWORD@127.0.0.1:1/untag",
        "postgres://untag:a@PASSWORD@127.0.0.1:1/untag",
        "postgres://untag:a:PASSWORD@127.0.0.1:1/untag",
        "postgres://untag:%zzPASSWORD@127.0.0.1:1/untag",
        "postgres://untag:a?x=1&PASSWORD@127.0.0.1:1/untag",
        "postgres://untag:a?sslmode=PASSWORD@127.0.0.1:1/untag",
    ];
    for template in broken {
        let output = run_on(&template.replace("PASSWORD", PASSWORD), &["migrate"]);
        assert!(!output.status.success(), "{template}");
        let said = stderr(&output);
        assert!(said.starts_with("untag: "), "{said}");
        assert_hidden(&said);
    }
}

#[test]
fn postgres_wrong_password_is_refused_without_being_shown() {
    let database = database_with(&[]);
    let store = database.url().replace(PASSWORD, "wrong-horse");
    let output = run_on(&store, &["migrate"]);
    assert!(!output.status.success());
    let said = stderr(&output);
    assert!(
        said.contains("password authentication failed") && !said.contains("wrong-horse"),
        "{said}"
    );
}

/// A role of its own, which owns the tables of a database and logs in with this password.
fn make_role(database: &Database, password: &str) -> String {
    let role = format!("role_of_{}", database.name);
    database.sql(&format!(
        "CREATE ROLE {role} LOGIN PASSWORD '{password}'; GRANT ALL ON ALL TABLES IN SCHEMA public TO {role}"
    ));
    role
}

fn change_password(database: &Database, role: &str, password: &str) {
    database.sql(&format!("ALTER ROLE {role} PASSWORD '{password}'"));
}

/// The service as a role, whose password is in a file.
fn serve_as(database: &Database, role: &str, file: &Path, reload_interval: &str) -> Server {
    let mut command = serve_command(
        &database.url().replace(&format!("{USER}:{PASSWORD}"), role),
        &[
            "--reload-interval",
            reload_interval,
            "--store-password-file",
        ],
    );
    command.arg(file);
    Server::spawn(command)
}

#[tokio::test]
async fn postgres_password_that_was_changed_is_used_for_new_connections() {
    let database = database_with(&[&[("env", "prod")]]);
    let file = tempfile::NamedTempFile::new().unwrap();
    fs::write(&file, "first-horse\n").unwrap();
    let role = make_role(&database, "first-horse");
    // The file is not looked at again, but for a login that fails.
    let server = serve_as(&database, &role, file.path(), "3600");
    let mut client = server.client().await;
    for password in ["second-horse", "third-horse"] {
        change_password(&database, &role, password);
        fs::write(&file, password).unwrap();
        let end = format!(
            "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity WHERE usename = '{role}'"
        );
        assert_ne!(database.sql(&end), "0");
        // A list is sent again when its connection was lost.
        assert_eq!(tags_of(&mut client, &[1]).await.unwrap().len(), 1);
        let start = Instant::now();
        // The end of another connection may not have been seen yet.
        while let Err(failure) = set(&mut client, &[1], &[("env", password)]).await {
            assert!(start.elapsed() < PATIENCE, "{failure:?}");
        }
    }
    let shown = server
        .log_lines()
        .iter()
        .any(|line| line.to_string().contains("-horse"));
    assert!(!shown, "{:#?}", server.log_lines());
}

#[tokio::test]
async fn postgres_password_file_is_followed() {
    let database = database_with(&[&[("env", "prod")]]);
    let file = tempfile::NamedTempFile::new().unwrap();
    fs::write(&file, "first-horse").unwrap();
    let role = make_role(&database, "first-horse");
    let server = serve_as(&database, &role, file.path(), "0.05");
    fs::write(&file, "\n").unwrap();
    let failed = server.wait_for_log("not reloaded; the old one stays in use");
    assert!(
        failed["error"].as_str().unwrap().contains("is empty"),
        "{failed}"
    );
    fs::write(&file, "second-horse").unwrap();
    server.wait_for_log("reloaded");
    let series = r#"untag_reloads_total{what="store_credentials",outcome="ok"}"#;
    assert_eq!(scrape(&server)[series].to_bits(), 1.0_f64.to_bits());
}

#[test]
fn postgres_password_file_that_can_not_be_used_is_named() {
    let database = database_with(&[]);
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("password");
    for expected in ["cannot read", "is empty"] {
        let output = untag()
            .args([
                "migrate",
                "--store",
                &database.url(),
                "--store-password-file",
            ])
            .arg(&path)
            .output()
            .unwrap();
        assert!(!output.status.success());
        let said = stderr(&output);
        assert!(
            said.contains(expected) && said.contains("/password"),
            "{said}"
        );
        fs::write(&path, "\n").unwrap();
    }
}
