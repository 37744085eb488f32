//! A disk that fails at times: what waits for it is told so by strace.

use std::io::{BufRead as _, BufReader};
use std::process::{Child, ChildStderr, Command, Stdio};

use futures_util::future::join_all;
use tonic::Code;
use tonic_health::pb::health_check_response::ServingStatus;

use super::harness::{Client, Data, assert_unavailable, need, wait_for_health};
use crate::support::Server;

/// Makes the disk fail for a service: `fdatasync` and `fsync` answer EIO. Ends when it goes out of scope.
struct FailingDisk {
    strace: Child,
    // Kept open: a line that strace can't write would end it.
    said: BufReader<ChildStderr>,
}

impl FailingDisk {
    /// `when` says which calls of a thread fail, as strace has it: `1` is the first, `1+` are all.
    fn attach(server: &Server, when: &str) -> Self {
        need("strace", "strace");
        let inject = format!("inject=fdatasync,fsync:error=EIO:when={when}");
        let mut strace = Command::new("strace")
            .args([
                "-f",
                "-o",
                "/dev/null",
                "-e",
                "trace=fdatasync,fsync",
                "-e",
                &inject,
            ])
            .args(["-p", &server.pid().to_string()])
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let said = BufReader::new(strace.stderr.take().unwrap());
        let mut disk = Self { strace, said };
        let mut line = String::new();
        while !line.contains("attached") {
            let more = disk.said.read_line(&mut line).unwrap();
            assert!(
                more > 0,
                "strace needs the right to trace (CAP_SYS_PTRACE): {line}"
            );
        }
        disk
    }
}

impl Drop for FailingDisk {
    fn drop(&mut self) {
        // Asked to end, strace lets go of the service; killed, it could leave a call half-way.
        let _ = Command::new("kill")
            .arg(self.strace.id().to_string())
            .status();
        let _ = self.strace.wait();
    }
}

#[tokio::test]
async fn sqlite_commit_that_cannot_be_synced_is_answered_as_unknown_and_the_next_one_works() {
    let data = Data::with_users(3);
    let mut server = data.serve();
    let client = Client::of(&server).await;
    // The log has its header from now on: the next sync is that of a commit.
    client.untag("1000").await.unwrap();
    let failing = FailingDisk::attach(&server, "1");
    let status = client.untag("1001").await.unwrap_err();
    assert_unavailable(
        &status,
        "disk does not work",
        "the change may have been made",
    );
    client.untag("1002").await.unwrap();
    wait_for_health(&server, ServingStatus::Serving).await;
    drop(failing);
    client.untag("1001").await.expect("it is safe to repeat");

    server.kill();
    for (id, keys) in data.keys() {
        assert_eq!(keys, ["kept"], "user {id} lost an answered change");
    }
}

#[tokio::test]
async fn sqlite_disk_that_keeps_failing_makes_the_service_unavailable_until_it_works_again() {
    let data = Data::with_users(30);
    let mut server = data.serve();
    let client = Client::of(&server).await;
    client.untag("1000").await.unwrap();
    let failing = FailingDisk::attach(&server, "1+");
    let untags = (1001..1020).map(|id| {
        let client = client.clone();
        async move { client.untag(&id.to_string()).await }
    });
    for answer in join_all(untags).await {
        assert_eq!(answer.unwrap_err().code(), Code::Unavailable);
    }
    wait_for_health(&server, ServingStatus::NotServing).await;
    drop(failing);
    wait_for_health(&server, ServingStatus::Serving).await;
    client.untag("1029").await.unwrap();

    server.kill();
    let keys = data.keys();
    assert_eq!(keys["1000"], ["kept"]);
    assert_eq!(keys["1029"], ["kept"]);
    assert_eq!(keys["1025"], ["gone", "kept"]);
    assert_eq!(keys.len(), 30);
}

#[tokio::test]
async fn sqlite_tag_that_cannot_be_synced_leaves_an_untag_the_right_positions() {
    let data = Data::with_users(2);
    let mut server = data.serve();
    let client = Client::of(&server).await;
    client.untag("1000").await.unwrap();
    let failing = FailingDisk::attach(&server, "1");
    // It would be the first of the user's tags, and the others one further.
    let status = client.tag("1001", "first").await.unwrap_err();
    assert_unavailable(
        &status,
        "disk does not work",
        "the change may have been made",
    );
    drop(failing);
    assert_eq!(client.keys("1001").await, ["gone", "kept"]);
    client.untag("1001").await.unwrap();
    assert_eq!(client.keys("1001").await, ["kept"]);
    server.kill();
    assert_eq!(data.keys()["1001"], ["kept"]);
}
