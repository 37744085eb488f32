//! `untag changes watch` against the real service.

use std::io::{BufRead as _, BufReader, Read as _};
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Child, Stdio};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError};
use std::thread;

use serde_json::{Value, json};

use crate::changes::{changes, large_change};
use crate::support::{ALICE, PATIENCE, SAMPLE_ACCOUNT, Server, untag, wait_until};
use crate::tags::{BOB, assert_fails, client_command, tags};
use crate::tags_of_files::interrupt;
use crate::{Sample, assert_has};

/// A watch that runs; killed when it goes out of scope.
struct Running {
    child: Child,
    lines: Receiver<String>,
}

impl Drop for Running {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn spawn(server: &Server, arguments: &[&str]) -> Child {
    let mut command = client_command(server, &[&["changes", "watch"], arguments].concat());
    let command = command.stdout(Stdio::piped()).stderr(Stdio::piped());
    command.spawn().unwrap()
}

impl Running {
    fn start(server: &Server, arguments: &[&str]) -> Self {
        let mut child = spawn(server, arguments);
        let stdout = BufReader::new(child.stdout.take().unwrap());
        let (sender, lines) = mpsc::channel();
        thread::spawn(move || {
            let lines = stdout.lines().map_while(Result::ok);
            lines
                .take_while(|line| sender.send(line.clone()).is_ok())
                .count()
        });
        Self { child, lines }
    }

    /// The next line; none once there are no more.
    fn next(&self) -> Option<String> {
        match self.lines.recv_timeout(PATIENCE) {
            Ok(line) => Some(line),
            Err(RecvTimeoutError::Disconnected) => None,
            Err(RecvTimeoutError::Timeout) => panic!("no line within {PATIENCE:?}"),
        }
    }

    fn line(&self) -> String {
        self.next().expect("a line")
    }

    /// The next line as programs read it.
    fn event(&self) -> Value {
        serde_json::from_str(&self.line()).unwrap()
    }

    /// The revision of the change of the next line, and the position behind it.
    fn change(&self) -> (i64, String) {
        let event = self.event();
        let revision = event["change"]["revision"].as_i64();
        let position = event["position"].as_str().unwrap().to_owned();
        (revision.unwrap(), position)
    }

    /// Its exit code and what it has said on stderr, once it has ended. It prints nothing more until then.
    fn end(mut self) -> (Option<i32>, String) {
        assert_eq!(self.next(), None);
        let mut said = String::new();
        let stderr = self.child.stderr.take();
        stderr.unwrap().read_to_string(&mut said).unwrap();
        (self.child.wait().unwrap().code(), said)
    }

    /// Ends it by Ctrl-C.
    fn interrupt(self) -> (Option<i32>, String) {
        interrupt(&self.child);
        self.end()
    }
}

fn serve_at(directory: &Path, address: SocketAddr) -> Server {
    let mut command = untag();
    command.args(["serve", "--default-account", SAMPLE_ACCOUNT, "--data-dir"]);
    command.arg(directory);
    Server::spawn_at(command, address)
}

fn set(server: &Server, value: &str) {
    tags(server, &["set", BOB, &format!("env={value}")]).success();
}

#[test]
fn a_watch_goes_on_by_itself_when_the_service_goes_and_names_its_position_at_the_end() {
    let Sample {
        mut server,
        directory,
    } = Sample::start(&[]);
    set(&server, "1");
    let watch = Running::start(&server, &["--from", "beginning"]);
    assert_eq!(watch.change().0, 1);
    for (signal, revision) in [("TERM", 2), ("KILL", 3)] {
        server.signal(signal);
        server.wait(PATIENCE);
        server = serve_at(directory.path(), server.address);
        set(&server, &revision.to_string());
        assert_eq!(watch.change().0, revision);
    }
    set(&server, "4");
    let (revision, position) = watch.change();
    assert_eq!(revision, 4);
    let (code, said) = watch.interrupt();
    assert_eq!(code, Some(130), "{said}");
    assert_has(&said, &["the watch has ended and goes on by itself: "]);
    let end = format!("untag: ended by SIGINT; go on with --from {position}\n");
    assert!(said.ends_with(&end), "{said}");

    set(&server, "5");
    let watch = Running::start(&server, &["--from", &position]);
    assert_eq!(watch.change().0, 5);
    assert_eq!(watch.interrupt().0, Some(130));
}

#[test]
fn a_watch_from_now_tells_what_comes_next() {
    let sample = Sample::start(&[]);
    let server = &sample.server;
    set(server, "1");
    let watch = Running::start(server, &["--output", "table"]);
    let begun = |line: &Value| line["method"] == "/ram.tag.v1.ChangeService/WatchChanges";
    wait_until("the watch has begun", || server.count_in_log(begun) > 0);
    set(server, "2");
    assert_has(&watch.line(), &["TIME ", "REQUEST ID"]);
    assert_has(&watch.line(), &["  2 ", " ram:TagResources  1 ", " +env "]);
}

#[test]
fn a_snapshot_has_all_users_first_and_then_every_change() {
    let sample = Sample::start(&[]);
    let server = &sample.server;
    set(server, "1");
    let watch = Running::start(server, &["--from", "snapshot"]);
    assert_eq!(watch.event(), json!({"snapshot_begin": {}}));
    for user in [ALICE, BOB, "2073290024939203"] {
        let event = watch.event();
        assert_eq!(event["snapshot_user"]["resource_id"], user);
        assert_eq!(event["position"], Value::Null);
    }
    let end = watch.event();
    assert_eq!(end["snapshot_end"], json!({"consistent_revision": 1}));
    set(server, "2");
    let event = watch.event();
    let env = &event["change"]["effects"][0]["tags"]["set"]["env"];
    assert_eq!(
        env,
        &json!({"old_value": "1", "new_value": "2", "was_there": true})
    );
    // People get two tables.
    let watch = Running::start(server, &["--from", "snapshot", "--output", "table"]);
    assert_has(&watch.line(), &["USER ", "DISPLAY NAME"]);
    for name in ["alice@", "bob@", "carol@"] {
        assert_has(&watch.line(), &[name]);
    }
    set(server, "3");
    assert_has(&watch.line(), &["TIME "]);
    assert_has(&watch.line(), &["  3 ", " +env "]);
}

#[test]
fn a_watch_that_nobody_reads_any_more_ends_quietly() {
    let sample = Sample::start(&[]);
    let mut watch = spawn(&sample.server, &["--from", "snapshot"]);
    let mut stdout = BufReader::new(watch.stdout.take().unwrap());
    stdout.read_line(&mut String::new()).unwrap();
    drop(stdout);
    set(&sample.server, "1");
    let ended = watch.wait_with_output().unwrap();
    assert_eq!(ended.status.code(), Some(0), "{ended:?}");
}

#[test]
fn a_change_of_several_messages_is_one_line() {
    let sample = Sample::start(&[]);
    let (server, change) = large_change(&sample);
    let watch = Running::start(&server, &["--from", "beginning"]);
    assert_eq!(watch.event()["change"]["revision"], 1);
    let event = watch.event();
    assert_eq!(event["change"]["request_id"], change);
    assert_eq!(event["change"]["effects"].as_array().unwrap().len(), 50);
}

#[test]
fn a_position_that_is_gone_is_explained() {
    let sample = Sample::start(&["--history-retention", "0"]);
    let server = &sample.server;
    let id = "6AC79B74-9A78-58E2-818B-1D38EDC64D67";
    let foreign = changes(server, &["watch", "--from", &format!("{id}/1/{id}")]);
    let said = [
        "of another history",
        "OutOfRange.History",
        "begin again with --from snapshot",
    ];
    assert_fails(&foreign, 1, &said);
    wait_until("the first change is gone", || {
        set(server, "1");
        set(server, "2");
        changes(server, &["show", "1"]).code == Some(1)
    });
    let gone = changes(server, &["watch", "--from", "beginning"]);
    let said = [
        "begins with the revision ",
        "OutOfRange.Revision",
        "begin again with --from snapshot",
    ];
    assert_fails(&gone, 1, &said);
}

#[test]
fn a_watch_whose_service_stays_away_ends_with_the_position_to_go_on_from() {
    let mut sample = Sample::start(&[]);
    set(&sample.server, "1");
    let watch = Running::start(&sample.server, &["--from", "beginning", "--timeout", "1"]);
    let (_, position) = watch.change();
    sample.server.kill();
    let (code, said) = watch.end();
    assert_eq!(code, Some(3), "{said}");
    let end = format!("untag: go on with --from {position}\nuntag: ");
    assert_has(&said, &[&end]);
}
