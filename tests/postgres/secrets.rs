//! The password of the database: used, and never shown.

use std::fs;
use std::process::Stdio;

use crate::harness::{ACCOUNT, database_with, remove, run_on, serve, stderr};
use crate::postgres_server::{Cluster, PASSWORD, USER};
use crate::support::{Server, untag};

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
    crate::harness::fill(&database, &[&[("env", "prod")]]);
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
