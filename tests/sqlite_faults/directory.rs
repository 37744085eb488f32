//! The data directory: how it is made, and who may read it.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::Command;

use crate::harness::{ACCOUNT, need};
use crate::support::{Server, untag};

fn mode(path: &Path) -> u32 {
    path.metadata().unwrap().permissions().mode() & 0o777
}

#[tokio::test]
async fn sqlite_files_and_new_directories_are_for_their_owner_alone() {
    let above = tempfile::tempdir().unwrap();
    let directory = above.path().join("new/data");
    let files = ["untag.db", "untag.db-wal", "untag.db-shm", "untag.lock"];
    let arguments = ["--default-account", ACCOUNT];
    let assert_private = || {
        for file in files {
            assert_eq!(mode(&directory.join(file)), 0o600, "{file}");
        }
    };
    let mut server = Server::start(&directory, &arguments);
    assert_private();
    for directory in [directory.as_path(), &above.path().join("new")] {
        assert_eq!(mode(directory), 0o700, "{}", directory.display());
    }
    server.kill();
    // As an older version has left them after a crash.
    for file in files {
        let everybody = Permissions::from_mode(0o644);
        fs::set_permissions(directory.join(file), everybody).unwrap();
    }
    let _server = Server::start(&directory, &arguments);
    assert_private();
}

#[test]
fn sqlite_new_directories_survive_a_power_loss_with_all_above_them() {
    need("strace", "strace");
    let above = tempfile::tempdir().unwrap();
    let above = above.path().canonicalize().unwrap();
    let trace = above.join("trace");
    let mut command = Command::new("strace");
    let program = untag();
    for (name, _) in program.get_envs() {
        command.env_remove(name);
    }
    let imported = command
        .args(["-f", "-y", "-e", "trace=fsync", "-o"])
        .arg(&trace)
        .arg(program.get_program())
        .args(["import", "--data-dir"])
        .arg(above.join("one/two/three"))
        .arg("/dev/null")
        .output()
        .unwrap();
    assert!(imported.status.success(), "{imported:?}");
    let trace = fs::read_to_string(trace).unwrap();
    for parent in ["", "/one", "/one/two"] {
        let synced = format!("<{}{parent}>)", above.display());
        assert!(trace.contains(&synced), "{synced} is not in {trace}");
    }
}
