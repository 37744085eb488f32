//! The data directory: how it is made, who may read it, and what is said of it.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use super::harness::{ACCOUNT, Client, Data, need};
use crate::support::{PATIENCE, Server, run, untag, wrapper};

fn mode(path: &Path) -> u32 {
    path.metadata().unwrap().permissions().mode() & 0o777
}

/// What `untag migrate` says of a directory, without an error.
fn migrate(directory: &Path) -> String {
    let output = run(&["migrate", "--data-dir", directory.to_str().unwrap()]);
    assert!(output.status.success(), "{output:?}");
    String::from_utf8(output.stdout).unwrap()
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
    let program = untag();
    let imported = wrapper("strace", &program)
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

#[tokio::test]
async fn sqlite_migrate_says_what_serve_would_find_and_changes_nothing() {
    let above = tempfile::tempdir().unwrap();
    let missing = above.path().join("missing");
    let empty = above.path().join("empty");
    fs::create_dir(&empty).unwrap();
    fs::write(empty.join("untag.db"), "").unwrap();
    for directory in [&missing, &empty] {
        let said = migrate(directory);
        let expected = format!("there is no store in {} yet", directory.display());
        assert!(
            said.contains(&expected) && said.contains("version 5"),
            "{said}"
        );
    }
    assert!(!missing.exists());
    assert_eq!(fs::read(empty.join("untag.db")).unwrap(), b"");

    let data = Data::with_users(1);
    assert!(migrate(data.path()).contains("up to date: version 5"));
    // A service that runs does not notice.
    let mut server = data.serve();
    let client = Client::of(&server).await;
    assert!(migrate(data.path()).contains("up to date: version 5"));
    client.untag("1000").await.unwrap();
    server.signal("TERM");
    assert!(server.wait(PATIENCE).success());

    let file = above.path().join("file");
    fs::write(&file, "").unwrap();
    let output = run(&["migrate", "--data-dir", file.to_str().unwrap()]);
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(
        !output.status.success() && said.contains("cannot use the data directory"),
        "{said}"
    );
}
