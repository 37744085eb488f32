//! What only the embedded store has: a directory, which one process at a time may change. A database has neither, and
//! is not made by the program.

use std::fs;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use tonic::Code;
use tonic_types::StatusExt as _;
use untag::grpc::proto::{GetChangeRequest, ListChangesRequest, get_change_request};

use super::answer::alibaba_codes;
use super::bulk::{import_stdin, stderr};
use super::changes::{by_id, changes_of};
use super::home::Home;
use super::users::{ACCOUNT, ANN, ask, directory, ids, line, server, untag_request};
use crate::support::{PATIENCE, untag, wrapper};

#[test]
fn a_data_directory_has_one_server() {
    let (server, home) = server(&[]);
    let output = home.command("serve").output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    let said = stderr(&output);
    assert!(said.contains("in use by another untag process"), "{said}");
    drop(server);
}

#[tokio::test]
async fn an_import_beside_a_server_is_refused_and_the_server_goes_on() {
    let (server, home) = server(&[]);
    let refused = import_stdin(&home, line(ACCOUNT, "1", "a@b", &[]).as_bytes());
    assert_eq!(refused.status.code(), Some(1));
    let said = stderr(&refused);
    assert!(said.contains("in use by another untag process"), "{said}");
    server
        .client()
        .await
        .untag_resources(ask(untag_request(ids([ANN]), &["env"])))
        .await
        .expect("the server goes on");
}

#[test]
fn export_of_a_directory_without_a_store_fails_and_makes_none() {
    let empty = tempfile::tempdir().unwrap();
    for data in [empty.path().to_owned(), empty.path().join("missing")] {
        let output = untag()
            .args(["export", "-", "--data-dir"])
            .arg(data)
            .output()
            .unwrap();
        assert_eq!(output.status.code(), Some(1));
        assert!(
            stderr(&output).contains("there is no untag.db"),
            "{}",
            stderr(&output)
        );
    }
    assert_eq!(fs::read_dir(empty.path()).unwrap().count(), 0);
}

#[tokio::test]
async fn a_change_that_is_too_old_is_told_from_one_that_never_was() {
    let home = directory();
    let server = home.serve(&["--history-retention", "0"]);
    let client = &mut server.client().await;
    let mut made = Vec::new();
    for key in ["env", "team", "Team"] {
        let request = ask(untag_request(ids([ANN]), &[key]));
        let answer = client.untag_resources(request).await.unwrap();
        made.push(answer.into_inner().request_id);
    }
    let changes = &mut changes_of(&server).await;
    // What has expired goes when there is nothing else to do.
    let oldest = loop {
        let page = changes.list_changes(ask(ListChangesRequest::default()));
        let page = page.await.unwrap().into_inner();
        if page.oldest_revision == Some(3) {
            break page;
        }
        tokio::task::yield_now().await;
    };
    assert_eq!(oldest.changes.len(), 1);
    assert_eq!(
        (oldest.newest_revision, oldest.next_token.as_str()),
        (Some(3), "")
    );
    let by_revision = GetChangeRequest {
        change: Some(get_change_request::Change::Revision(1)),
        ..GetChangeRequest::default()
    };
    for request in [by_id(&made[0]), by_revision] {
        let error = changes.get_change(ask(request)).await.unwrap_err();
        assert_eq!(error.code(), Code::OutOfRange);
        assert_eq!(alibaba_codes(&error), ["OutOfRange.Revision"]);
        let details = error.get_error_details();
        assert_eq!(
            details.error_info().unwrap().metadata["oldest_revision"],
            "3"
        );
    }
    let unknown = untag::domain::RequestId::now().to_string();
    let error = changes.get_change(ask(by_id(&unknown))).await.unwrap_err();
    assert_eq!(error.code(), Code::NotFound);
    changes.get_change(ask(by_id(&made[2]))).await.unwrap();
}

/// Waits for something that soon holds.
fn wait_until(mut holds: impl FnMut() -> bool) {
    let started = Instant::now();
    while !holds() {
        assert!(started.elapsed() < PATIENCE, "nothing happens");
        std::thread::sleep(Duration::from_millis(5));
    }
}

fn kill(signal: &str, pid: &str) {
    let sent = Command::new("kill").args([signal, pid]).status();
    assert!(sent.expect("kill runs").success());
}

#[test]
fn a_signal_ends_an_export_and_leaves_nothing_of_it() {
    let (home, out) = (directory(), tempfile::tempdir().unwrap());
    let untag = home.command("export");
    let mut export = wrapper("strace", &untag);
    // Detached, so that the child is the export. It syncs its file at the end, longer than any test takes.
    export.args(["-D", "-f", "-q", "--output=/dev/null", "--trace=fsync"]);
    export.arg("--inject=fsync:delay_enter=600000000");
    export.arg(untag.get_program()).args(untag.get_args());
    export.arg(out.path().join("users.jsonl"));
    let export = export.stderr(Stdio::null()).spawn();
    let mut export = export.expect("strace is installed (apt-get install strace)");
    let files = || fs::read_dir(out.path()).unwrap().flatten();
    wait_until(|| files().any(|file| file.metadata().is_ok_and(|file| file.len() > 0)));

    kill("-TERM", &export.id().to_string());
    wait_until(|| files().count() == 0);
    // What strace holds up can't end.
    let status = fs::read_to_string(format!("/proc/{}/status", export.id())).unwrap();
    let strace = status
        .lines()
        .find_map(|line| line.strip_prefix("TracerPid:\t"));
    kill("-KILL", strace.unwrap());
    assert_eq!(export.wait().unwrap().code(), Some(128 + 15));
}

/// Sends signals to an import that waits for its input, and tells the exit code.
fn signalled_import(home: &Home, ignore: &str, signals: &[&str]) -> Option<i32> {
    let import = home.command("import");
    // The tests themselves may run under nohup, and a shell can't take back what it was told to ignore.
    let mut shell = wrapper("env", &import);
    let line = format!("{ignore}\nexec \"$0\" \"$@\"");
    shell
        .args(["--default-signal=HUP", "sh", "-c", &line])
        .arg(import.get_program())
        .args(import.get_args());
    shell.arg("-").stdin(Stdio::piped()).stderr(Stdio::null());
    let mut import = shell.spawn().unwrap();
    wait_until(|| home.path().join("untag.db").exists());
    for signal in signals {
        kill(&format!("-{signal}"), &import.id().to_string());
    }
    let mut status = None;
    wait_until(|| {
        status = import.try_wait().unwrap();
        status.is_some()
    });
    status.unwrap().code()
}

#[test]
fn a_signal_ends_an_import_that_waits_for_its_input() {
    // By itself, and not by the system, which would spare a container's first process.
    for (signals, number) in [
        (&["TERM"][..], 15),
        (&["USR1", "USR2", "INT"], 2),
        (&["HUP"], 1),
    ] {
        let home = Home::new();
        assert_eq!(signalled_import(&home, "", signals), Some(128 + number));
    }
    // As nohup does.
    let home = Home::new();
    assert_eq!(
        signalled_import(&home, "trap '' HUP", &["HUP", "TERM"]),
        Some(128 + 15)
    );
}
