//! The audit that the embedded store has by default: a file in the data directory, which the service rotates.

use std::fs::{self, File, OpenOptions};
use std::io::{Seek as _, SeekFrom, Write as _};
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use super::harness::{change, lines};
use crate::support::{PATIENCE, Server, run, sample, wait_until};

const FULL: u64 = 64 << 20;

fn end(mut server: Server) {
    server.signal("TERM");
    assert_eq!(server.wait(PATIENCE).code(), Some(0));
}

/// Makes a file as long as a file of the audit gets, which takes no room.
fn fill(path: &Path) {
    // Not truncated: the service may have it open.
    let mut file = OpenOptions::new()
        .create(true)
        .truncate(false)
        .write(true)
        .open(path)
        .unwrap();
    file.seek(SeekFrom::Start(FULL - 1)).unwrap();
    file.write_all(b"\n").unwrap();
}

#[tokio::test]
async fn an_audit_is_kept_beside_the_embedded_store_and_goes_on_at_the_next_start() {
    let (server, data) = sample(&[]);
    let audit = data.path().join("audit.jsonl");
    let first = change(&server).await;
    wait_until("the line", || {
        fs::read_to_string(&audit).unwrap().contains(&first)
    });
    let mode = fs::metadata(&audit).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600, "{mode:o}");
    end(server);
    let found = lines(&audit);
    assert_eq!(found.len(), 1);
    assert_eq!(found[0]["revision"], 1);

    let server = Server::start(data.path(), &["--default-account", "1000000000000001"]);
    // Alice has the tag no more: a line of the request.
    change(&server).await;
    end(server);
    let found = lines(&audit);
    assert_eq!(found.len(), 2, "no line is repeated after an orderly end");
    assert_eq!(found[1]["affected_tags"], 0);
}

#[tokio::test]
async fn a_full_file_is_rotated_also_after_a_crash_in_the_middle_of_a_rotation() {
    let data = tempfile::tempdir().unwrap();
    let path = |name: &str| data.path().join(name);
    fill(&path("audit.jsonl"));
    // As a crash leaves them that comes before the third file is renamed to the second.
    for (name, text) in [("audit.jsonl.1", "1\n"), ("audit.jsonl.3", "3\n")] {
        fs::write(path(name), text).unwrap();
    }
    let arguments = ["--sample-data"];
    let server = Server::start(data.path(), &arguments);
    let first = change(&server).await;
    wait_until("the line", || {
        let text = fs::read_to_string(path("audit.jsonl"));
        text.is_ok_and(|text| text.contains(&first))
    });
    end(server);
    assert_eq!(lines(&path("audit.jsonl")).len(), 1);
    assert_eq!(fs::metadata(path("audit.jsonl.1")).unwrap().len(), FULL);
    let read = |name: &str| fs::read_to_string(path(name)).unwrap();
    assert_eq!(
        (read("audit.jsonl.2"), read("audit.jsonl.3")),
        ("1\n".into(), "3\n".into())
    );

    // As a crash leaves it behind the rename of the newest file.
    fs::remove_file(path("audit.jsonl")).unwrap();
    for number in 4..=7 {
        fs::write(
            path(&format!("audit.jsonl.{number}")),
            format!("{number}\n"),
        )
        .unwrap();
    }
    let server = Server::start(data.path(), &arguments);
    fill(&path("audit.jsonl"));
    let second = change(&server).await;
    wait_until("the second line", || {
        let text = fs::read_to_string(path("audit.jsonl"));
        text.is_ok_and(|text| text.contains(&second))
    });
    end(server);
    assert_eq!(fs::metadata(path("audit.jsonl.2")).unwrap().len(), FULL);
    assert_eq!(read("audit.jsonl.7"), "6\n");
    assert!(!path("audit.jsonl.8").exists(), "8 files are kept");
}

#[tokio::test]
async fn a_line_that_a_crash_has_cut_does_not_swallow_the_next_one() {
    let data = tempfile::tempdir().unwrap();
    let audit = data.path().join("audit.jsonl");
    File::create(&audit)
        .unwrap()
        .write_all(b"{\"time\":")
        .unwrap();
    let server = Server::start(data.path(), &["--sample-data"]);
    let id = change(&server).await;
    end(server);
    let text = fs::read_to_string(&audit).unwrap();
    let lines: Vec<_> = text.lines().collect();
    assert_eq!((lines.len(), lines[0]), (2, "{\"time\":"));
    assert!(
        lines[1].starts_with('{') && lines[1].contains(&id),
        "{text}"
    );
}

#[tokio::test]
async fn there_is_no_audit_where_none_is_wanted() {
    let (server, data) = sample(&["--audit-log", "none"]);
    change(&server).await;
    end(server);
    assert!(!data.path().join("audit.jsonl").exists());
    assert!(!Path::new("none").exists());

    let refused = run(&["serve", "--audit-log", "none", "--audit-required"]);
    assert!(!refused.status.success());
    let said = String::from_utf8(refused.stderr).unwrap();
    assert!(said.contains("--audit-required demands an audit"), "{said}");
    let postgres = [
        "serve",
        "--store",
        "postgres://127.0.0.1:1/untag",
        "--audit-required",
    ];
    let said = String::from_utf8(run(&postgres).stderr).unwrap();
    assert!(said.contains("--audit-required demands an audit"), "{said}");
}
