//! Disks that are full or read-only: real ones, in a mount namespace that ends with the service.

use std::fs::File;
use std::io::Write as _;
use std::path::{Path, PathBuf};

use futures_util::future::join_all;
use tonic_health::pb::health_check_response::ServingStatus;

use super::harness::{
    ACCOUNT, Client, Data, Keys, assert_unavailable, exported_keys, refused, user_lines,
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
