//! What only the embedded store has: a directory, which one process at a time may change. A database has neither, and
//! is not made by the program.

use std::fs;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use crate::bulk::{import_stdin, stderr};
use crate::home::Home;
use crate::support::{PATIENCE, untag};
use crate::users::{ACCOUNT, ANN, ask, ids, line, server, untag_request};

#[test]
fn a_data_directory_has_one_server() {
    let (server, home) = server(&[]);
    let mut second = home.command("serve");
    let second = second.args(["--listen", "127.0.0.1:0", "--admin-listen", "127.0.0.1:0"]);
    let output = second.output().unwrap();
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

#[test]
fn a_signal_ends_an_import_that_waits_for_its_input() {
    let home = Home::new();
    let mut import = home.command("import");
    import.arg("-").stdin(Stdio::piped()).stderr(Stdio::null());
    let mut import = import.spawn().unwrap();
    let started = Instant::now();
    let wait = || {
        assert!(started.elapsed() < PATIENCE, "nothing happens");
        std::thread::sleep(Duration::from_millis(5));
    };
    while !home.path().join("untag.db").exists() {
        wait();
    }
    let kill = Command::new("kill").arg(import.id().to_string()).status();
    assert!(kill.unwrap().success());
    let status = loop {
        if let Some(status) = import.try_wait().unwrap() {
            break status;
        }
        wait();
    };
    // By itself, and not by the system, which would spare a container's first process.
    assert_eq!(status.code(), Some(128 + 15));
}
