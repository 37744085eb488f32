//! An audit whose file is renamed, removed or can't be written, and changes whose callers have gone.

use std::fs::{self, File};
use std::io::Write as _;
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use serde_json::Value;
use tonic::Code;

use super::harness::{change, in_time, lines, untag_alice};
use crate::support::http::{get, scrape};
use crate::support::mounts::in_own_mounts;
use crate::support::slow_disk::SlowDisk;
use crate::support::{PATIENCE, Server, hold_store, sample};
use untag::grpc::proto::{ResourceIds, Tag, TagResourcesRequest, tag_resources_request};

const LOST: &str = "untag_audit_lines_lost_total";

/// A service with the sample data and an audit in a directory.
struct Audited {
    server: Server,
    directory: tempfile::TempDir,
    data: tempfile::TempDir,
}

impl Audited {
    fn start(arguments: &[&str]) -> Self {
        Self::start_with(|_| {}, arguments)
    }

    /// Starts the service once something stands at the audit's path.
    fn start_with(prepare: impl FnOnce(&Path), arguments: &[&str]) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("audit.jsonl");
        prepare(&path);
        let flag = ["--audit-log", path.to_str().unwrap()];
        let (server, data) = sample(&[&flag[..], arguments].concat());
        Self {
            server,
            directory,
            data,
        }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    fn audit(&self) -> PathBuf {
        self.path("audit.jsonl")
    }

    async fn change(&self) -> String {
        change(&self.server).await
    }
}

/// Waits until it is so.
fn until(what: &str, server: &Server, is_so: impl Fn() -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !is_so() {
        assert!(
            Instant::now() < deadline,
            "{what}: {:#?}",
            server.log_lines()
        );
        thread::sleep(Duration::from_millis(10));
    }
}

/// The lines of a file that may not be there yet.
fn lines_if_any(path: &Path) -> Vec<Value> {
    if path.exists() {
        lines(path)
    } else {
        Vec::new()
    }
}

fn ids(path: &Path) -> Vec<String> {
    let id = |line: Value| line["request_id"].as_str().map(str::to_owned);
    lines_if_any(path).into_iter().filter_map(id).collect()
}

#[tokio::test]
async fn the_audit_goes_on_in_a_new_file_when_the_old_one_is_renamed_or_removed() {
    let audited = Audited::start(&[]);
    let (audit, server) = (audited.audit(), &audited.server);
    let first = audited.change().await;
    until("the first line", server, || ids(&audit) == [first.as_str()]);
    let mode = fs::metadata(&audit).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600, "{mode:o}");

    fs::rename(&audit, audited.path("audit.jsonl.1")).unwrap();
    let second = audited.change().await;
    until("the second line", server, || {
        ids(&audit) == [second.as_str()]
    });
    assert_eq!(ids(&audited.path("audit.jsonl.1")), [first.as_str()]);

    fs::remove_file(&audit).unwrap();
    let third = audited.change().await;
    // The line before may be there too: its file was removed before the service had looked whether it still is.
    until("the third line", server, || {
        ids(&audit).last() == Some(&third)
    });
}

#[tokio::test(flavor = "multi_thread")]
async fn no_line_of_the_audit_is_lost_while_its_file_is_renamed_again_and_again() {
    let mut audited = Audited::start(&[]);
    let (stop, mut callers) = (
        Arc::new(AtomicBool::new(false)),
        tokio::task::JoinSet::new(),
    );
    for _ in 0..8 {
        let (mut client, stop) = (audited.server.client().await, Arc::clone(&stop));
        callers.spawn(async move {
            let mut answered = Vec::new();
            while !stop.load(Ordering::Relaxed) {
                let answer = client.untag_resources(untag_alice()).await.unwrap();
                answered.push(answer.into_inner().request_id);
            }
            answered
        });
    }
    let mut files = vec![audited.audit()];
    for turn in 0..30 {
        let audit = audited.audit();
        // Renamed with lines in it, so that each turn meets the service at work.
        until("lines in the new file", &audited.server, || {
            fs::metadata(&audit).is_ok_and(|data| data.len() > 0)
        });
        let rotated = audited.path(&format!("audit.jsonl.{turn}"));
        fs::rename(&audit, &rotated).unwrap();
        files.push(rotated);
    }
    stop.store(true, Ordering::Relaxed);
    let mut answered: Vec<String> = Vec::new();
    while let Some(of_one) = callers.join_next().await {
        answered.extend(of_one.unwrap());
    }
    audited.server.signal("TERM");
    assert_eq!(audited.server.wait(PATIENCE).code(), Some(0));
    let mut audit: Vec<String> = files.iter().flat_map(|path| ids(path)).collect();
    audit.sort();
    answered.sort();
    assert!(answered.len() > 30);
    assert_eq!(audit, answered);
}

#[tokio::test]
async fn an_audit_that_can_not_be_written_is_told_and_loses_lines_of_requests_that_changed_nothing()
{
    let audited = Audited::start_with(|path| symlink("/dev/full", path).unwrap(), &[]);
    let server = &audited.server;
    let first = audited.change().await;
    // Alice has no such tag any more.
    for _ in 0..3 {
        audited.change().await;
    }
    until("three lines are lost", server, || {
        scrape(server)[LOST] >= 3.0
    });
    let message =
        "audit lines can't be written; those of changes are written later, others are lost";
    server.wait_for_log(message);
    assert_eq!(server.count_in_log(|line| line["message"] == message), 1);
    server.wait_for_log_where("ready", |line| line["warning"].is_string());
    let (status, said) = get(server, "/ready");
    assert_eq!(status, 200);
    assert!(said.starts_with("ready, but the audit log"), "{said}");
    assert!(
        said.ends_with("the lines of changes are written later\n"),
        "{said}"
    );
    let metrics = scrape(server);
    assert!(metrics["untag_audit_failing"] > 0.0);
    assert!(metrics["untag_audit_behind_bytes"] > 0.0);

    fs::remove_file(audited.audit()).unwrap();
    server.wait_for_log("audit lines are written again");
    until("the first change's line", server, || {
        ids(&audited.audit()).contains(&first)
    });
    let all = lines(&audited.audit());
    let marker = all.iter().find(|line| line["event"] == "lines_lost");
    assert_eq!(marker.unwrap()["lines"], 3);
    let id = audited.change().await;
    until("the next line", server, || {
        ids(&audited.audit()) == [first.as_str(), id.as_str()]
    });
    assert!((scrape(server)[LOST] - 3.0).abs() < f64::EPSILON);
    until("nothing is behind", server, || {
        scrape(server)["untag_audit_behind_bytes"].abs() < f64::EPSILON
    });
}

/// A request that gives the three users of the sample data 16 large tags, whose values depend on a number.
fn large_tags(number: usize) -> TagResourcesRequest {
    let value = format!("{number:0>4}{}", "\u{10348}".repeat(124));
    let tags = (0..16).map(|key| Tag {
        key: format!("k{key}"),
        value: value.clone(),
    });
    let users = ["1", "2", "3"].map(|last| format!("207329002493920{last}"));
    TagResourcesRequest {
        resources: Some(tag_resources_request::Resources::ResourceIds(ResourceIds {
            values: users.to_vec(),
        })),
        tags: tags.collect(),
        ..TagResourcesRequest::default()
    }
}

#[tokio::test]
async fn changes_are_refused_where_the_audit_is_required_and_too_many_have_no_line() {
    let full = |path: &Path| symlink("/dev/full", path).unwrap();
    let audited = Audited::start_with(full, &["--audit-required"]);
    let server = &audited.server;
    let mut client = server.client().await;
    let mut made = Vec::new();
    let refused = loop {
        match client.tag_resources(large_tags(made.len())).await {
            Ok(answer) => made.push(answer.into_inner().request_id),
            Err(status) => break status,
        }
        assert!(made.len() < 2_000, "changes go on");
    };
    assert_eq!(refused.code(), Code::Unavailable);
    assert!(
        refused.message().contains("audit log can't be written"),
        "{refused}"
    );
    assert!(
        refused.message().ends_with("nothing was changed"),
        "{refused}"
    );
    assert!(scrape(server)["untag_audit_behind_bytes"] > f64::from(16 << 20));
    until("not ready", server, || get(server, "/ready").0 == 503);
    client
        .list_tag_resources(crate::support::list())
        .await
        .unwrap();

    fs::remove_file(audited.audit()).unwrap();
    server.wait_for_log("audit lines are written again");
    until("ready", server, || get(server, "/ready").0 == 200);
    made.push(audited.change().await);
    until("all lines", server, || {
        ids(&audited.audit()).contains(made.last().unwrap())
    });
    let found = ids(&audited.audit());
    let missing: Vec<_> = made.iter().filter(|id| !found.contains(id)).collect();
    assert_eq!(missing, Vec::<&String>::new());
    assert!(scrape(server)[LOST].abs() < f64::EPSILON);
}

#[tokio::test]
async fn a_line_that_a_full_disk_cuts_does_not_swallow_the_next_one() {
    let (disk, data) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let mut command = in_own_mounts(disk.path(), "mount -t tmpfs -o size=16k tmpfs \"$0\"");
    command
        .args(["serve", "--sample-data", "--data-dir"])
        .arg(data.path())
        .arg("--audit-log")
        .arg(disk.path().join("audit.jsonl"));
    let mut server = Server::spawn(command);
    let root = format!("/proc/{}/root", server.pid());
    let seen = Path::new(&root).join(disk.path().strip_prefix("/").unwrap());
    let mut filler = File::create(seen.join("filler")).unwrap();
    let mut client = server.client().await;
    client.untag_resources(untag_alice()).await.unwrap();
    // A page is left to the audit, which has begun it.
    until("a line", &server, || {
        fs::metadata(seen.join("audit.jsonl")).is_ok_and(|data| data.len() > 0)
    });
    while filler.write_all(&[0; 4096]).is_ok() {}
    while scrape(&server)[LOST] < 3.0 {
        client.untag_resources(untag_alice()).await.unwrap();
    }
    let cut = fs::read_to_string(seen.join("audit.jsonl")).unwrap();
    assert!(!cut.ends_with('\n'), "no line was cut: {cut}");
    drop(filler);
    fs::remove_file(seen.join("filler")).unwrap();
    server.wait_for_log("audit lines are written again");
    let last = client.untag_resources(untag_alice()).await.unwrap();
    let last = last.into_inner().request_id;
    until("the last line", &server, || {
        fs::read_to_string(seen.join("audit.jsonl"))
            .unwrap()
            .contains(&last)
    });
    let text = fs::read_to_string(seen.join("audit.jsonl")).unwrap();
    let broken = text
        .lines()
        .filter(|line| serde_json::from_str::<Value>(line).is_err());
    assert_eq!(broken.collect::<Vec<_>>(), [cut.lines().last().unwrap()]);
    server.kill();
}

#[tokio::test]
async fn a_change_whose_caller_has_gone_is_audited_with_what_it_did() {
    let audited = Audited::start(&[]);
    let server = &audited.server;
    let slow = SlowDisk::attach(server, Duration::from_mins(10));
    let mut client = server.client().await;
    let request = in_time(untag_alice(), Duration::from_millis(300));
    client.untag_resources(request).await.unwrap_err();
    server.wait_for_log("request");
    drop(slow);
    until("the line", server, || ids(&audited.audit()).len() == 1);
    let line = &lines(&audited.audit())[0];
    assert_eq!(
        (&line["outcome"], &line["affected_tags"]),
        (&"OK".into(), &1.into())
    );
}

#[tokio::test]
async fn a_change_that_was_not_begun_when_its_caller_has_gone_is_not_made() {
    let audited = Audited::start(&[]);
    let held = hold_store(audited.data.path());
    let mut client = audited.server.client().await;
    let request = in_time(untag_alice(), Duration::from_millis(300));
    client.untag_resources(request).await.unwrap_err();
    drop(held);
    until("the line", &audited.server, || {
        ids(&audited.audit()).len() == 1
    });
    let line = &lines(&audited.audit())[0];
    assert_eq!(line["affected_tags"], 0);
    // Alice has the tag still.
    let changed = client.untag_resources(untag_alice()).await.unwrap();
    let id = changed.into_inner().request_id;
    until("the second line", &audited.server, || {
        ids(&audited.audit()).contains(&id)
    });
    assert_eq!(lines(&audited.audit())[1]["affected_tags"], 1);
}

#[tokio::test]
async fn a_change_of_which_nobody_knows_what_came_leaves_the_count_out() {
    let mut audited = Audited::start(&["--drain-timeout", "0.2"]);
    let _held = hold_store(audited.data.path());
    let mut client = audited.server.client().await;
    let request = in_time(untag_alice(), Duration::from_millis(300));
    client.untag_resources(request).await.unwrap_err();
    audited.server.signal("TERM");
    audited.server.wait(PATIENCE);
    let line = &lines(&audited.audit())[0];
    assert_eq!(line["outcome"], "Unknown");
    assert_eq!(line["affected_tags"], Value::Null);
}
