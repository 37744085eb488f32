//! Disks that are full, read-only or failing: real ones, in a mount namespace that ends with the service.

use std::fs::File;
use std::io::{BufRead as _, BufReader, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStderr, Command, Stdio};

use futures_util::future::join_all;
use tonic::Code;
use tonic_health::pb::health_check_response::ServingStatus;

use super::harness::{
    ACCOUNT, Client, Data, Keys, assert_unavailable, exported_keys, need, refused, user_lines,
    wait_for_health,
};
use crate::support::Server;
use crate::support::mounts::in_own_mounts;

const UNCHANGED: &str = "nothing was changed";

/// A disk of 4 MiB with 200 users, and the service on it.
struct SmallDisk {
    server: Server,
    directory: PathBuf,
    _mount_point: Data,
}

impl SmallDisk {
    fn start() -> Self {
        let mount_point = Data::with_users(0);
        let directory = mount_point.path().to_path_buf();
        let mut lines = tempfile::NamedTempFile::new().unwrap();
        lines.write_all(user_lines(200).as_bytes()).unwrap();
        let prepare = format!(
            "mount -t tmpfs -o size=4m tmpfs \"$0\"\n\"$1\" import --data-dir \"$0\" '{}' >/dev/null",
            lines.path().display()
        );
        let mut command = in_own_mounts(&directory, &prepare);
        command
            .args(["serve", "--default-account", ACCOUNT, "--data-dir"])
            .arg(&directory);
        let server = Server::spawn(command);
        Self {
            server,
            directory,
            _mount_point: mount_point,
        }
    }

    /// The disk as the service sees it.
    fn path(&self) -> PathBuf {
        let root = format!("/proc/{}/root", self.server.pid());
        Path::new(&root).join(self.directory.strip_prefix("/").unwrap())
    }

    fn fill(&self) {
        let mut filler = File::create(self.path().join("filler")).unwrap();
        let error = loop {
            if let Err(error) = filler.write_all(&[0; 4096]) {
                break error;
            }
        };
        assert_eq!(error.kind(), std::io::ErrorKind::StorageFull);
    }

    fn free(&self) {
        std::fs::remove_file(self.path().join("filler")).unwrap();
    }

    /// What a process that opens the files now would find.
    fn keys_in_the_files(&self) -> Keys {
        let copy = tempfile::tempdir().unwrap();
        for file in ["untag.db", "untag.db-wal"] {
            std::fs::copy(self.path().join(file), copy.path().join(file)).unwrap();
        }
        exported_keys(copy.path())
    }
}

#[tokio::test]
async fn sqlite_full_disk_refuses_changes_and_the_service_goes_on_when_there_is_room() {
    let disk = SmallDisk::start();
    let client = Client::of(&disk.server).await;
    let mut answered = Vec::new();

    // Before the first change, so that there is no log whose room could be used again.
    disk.fill();
    let mut refused = None;
    for id in (1000..1180).map(|id| id.to_string()) {
        match client.untag(&id).await {
            Ok(()) => answered.push(id),
            Err(status) => {
                assert_unavailable(&status, "disk is full", UNCHANGED);
                refused = Some(id);
                break;
            }
        }
    }
    let refused = refused.expect("a full disk refuses changes");
    wait_for_health(&disk.server, ServingStatus::NotServing).await;
    // Many at once share a commit, and each has to hear the same.
    let untags = (1180..1200).map(|id| {
        let client = client.clone();
        async move { client.untag(&id.to_string()).await }
    });
    for answer in join_all(untags).await {
        assert_unavailable(&answer.unwrap_err(), "disk is full", UNCHANGED);
    }
    assert_eq!(client.keys(&refused).await, ["gone", "kept"], "reads go on");

    disk.free();
    // Without a request, without a restart.
    wait_for_health(&disk.server, ServingStatus::Serving).await;
    client.untag(&refused).await.unwrap();
    answered.push(refused);

    let kept = disk.keys_in_the_files();
    assert_eq!(kept.len(), 200);
    for (id, keys) in kept {
        let expected: &[&str] = if answered.contains(&id) {
            &["kept"]
        } else {
            &["gone", "kept"]
        };
        assert_eq!(keys, expected, "user {id}");
        assert_eq!(client.keys(&id).await, expected, "user {id}");
    }
}

#[tokio::test]
async fn sqlite_full_disk_takes_changes_again_in_the_space_of_its_own_log() {
    let disk = SmallDisk::start();
    let client = Client::of(&disk.server).await;
    for id in 1000..1020 {
        client.untag(&id.to_string()).await.unwrap();
    }
    disk.fill();
    // The log needs more room sooner or later, is refused it, and is checkpointed.
    let mut refusals = 0;
    for id in (1020..1200).map(|id| id.to_string()) {
        while let Err(status) = client.untag(&id).await {
            assert_unavailable(&status, "disk is full", UNCHANGED);
            refusals += 1;
            assert!(refusals < 100, "the disk is full for good");
        }
    }
    assert!(refusals > 0, "the disk was not full");
    let kept = disk.keys_in_the_files();
    assert!(kept.values().all(|keys| keys == &["kept"]), "{kept:?}");
}

#[test]
fn sqlite_service_that_is_started_on_a_full_disk_says_so() {
    let data = Data::with_users(0);
    let prepare = "
        mount -t tmpfs -o size=1m tmpfs \"$0\"
        \"$1\" import --data-dir \"$0\" /dev/null >/dev/null
        dd if=/dev/zero of=\"$0/filler\" bs=4096 2>/dev/null || true";
    let mut command = in_own_mounts(data.path(), prepare);
    command.args(["serve", "--data-dir"]).arg(data.path());
    let said = refused(command);
    assert!(
        said.contains("disk is full") && said.contains("free some space"),
        "{said}"
    );
}

#[test]
fn sqlite_directory_that_is_read_only_is_refused_unchanged() {
    let data = Data::with_users(3);
    let bytes = data.bytes();
    let prepare = "mount --bind \"$0\" \"$0\"\nmount -o remount,bind,ro \"$0\"";
    let mut command = in_own_mounts(data.path(), prepare);
    command.args(["serve", "--data-dir"]).arg(data.path());
    let said = refused(command);
    assert!(said.contains("cannot use the data directory"), "{said}");
    assert!(
        said.contains("Read-only") && said.contains("--data-dir"),
        "{said}"
    );
    assert!(data.bytes() == bytes, "the file has been changed");
}

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
