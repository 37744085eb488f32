//! `untag tags` for the users of a file, and on a terminal.

use std::fs;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::path::PathBuf;
use std::process::{Child, ChildStderr, Command, Stdio};

use crate::support::{ALICE, SAMPLE_ACCOUNT, Server};
use crate::tags::{BOB, command, objects, tags, tags_of, wait_for_a_call};
use crate::{Printed, Sample, assert_has, import_users};

/// A service with the users 1 to 120, and a file of them from line 3 on.
fn crowd(sample: &Sample) -> (Server, PathBuf) {
    let users = (1..=120).map(|id| (id, format!("u{id}@example.com")));
    let data = import_users(&sample.directory, users);
    let file = sample.directory.path().join("users.txt");
    let lines: Vec<String> = (1..=120).map(|id| id.to_string()).collect();
    fs::write(&file, format!("# everybody\n\n{}\n", lines.join("\n"))).unwrap();
    let server = Server::start(&data, &["--default-account", SAMPLE_ACCOUNT]);
    (server, file)
}

/// How many users carry a key.
fn carriers(server: &Server, key: &str) -> usize {
    objects(&tags(server, &["list", "--tag", key]).success()).len()
}

#[test]
fn users_of_a_file_are_changed_fifty_at_a_time() {
    let sample = Sample::start(&[]);
    let (server, path) = crowd(&sample);
    let file = path.to_str().unwrap();
    let look = ["set", "x=1", "env=prod", "--dry-run", "--from-file", file];
    let look = objects(&tags(&server, &look).success());
    assert_eq!(look.len(), 120, "env is prod already");
    let check = ["remove", "--tag", "env", "--dry-run", "--from-file", file];
    let check = objects(&tags(&server, &check).success());
    assert_eq!(check.len(), 3);
    assert!(
        check.iter().all(|call| call["dry_run"] == true),
        "{check:?}"
    );
    assert_eq!((carriers(&server, "env"), carriers(&server, "x")), (120, 0));

    let printed = tags(&server, &["set", "x=1", "--from-file", file]);
    assert_has(&printed.stderr, &["set the tag x on 120 users\n"]);
    let lines = objects(&printed.success());
    let lines: Vec<_> = lines
        .iter()
        .map(|done| (&done["users"], &done["first_line"], &done["last_line"]))
        .map(|numbers| format!("{numbers:?}").replace("Number", ""))
        .collect();
    assert_eq!(
        lines,
        [
            "((50), (3), (52))",
            "((50), (53), (102))",
            "((20), (103), (122))"
        ]
    );
    assert_eq!(carriers(&server, "x"), 120);

    // The second call is refused, whole, and the others are made.
    let text = fs::read_to_string(&path).unwrap();
    fs::write(&path, text.replace("\n60\n", "\n7000\n")).unwrap();
    let remove = ["remove", "--tag", "x", "--from-file", file];
    let printed = tags(&server, &[&remove[..], &["--output", "table"]].concat());
    assert_eq!((printed.code, printed.stdout.as_str()), (Some(1), ""));
    let said = [
        "untag: lines 53 to 102: users that do not exist: 7000; nothing was changed",
        "RequestId ",
        "removed the tag x of 70 users; the calls for 50 users were refused",
    ];
    assert_has(&printed.stderr, &said);
    assert_eq!(carriers(&server, "x"), 50);

    let mut rest = command(&server, &["remove", "--all", "--yes", "--allow-missing"]);
    rest.args([
        "--from-file",
        "-",
        "--from-line",
        "103",
        "--output",
        "table",
    ])
    .stdin(fs::File::open(&path).unwrap());
    let rest = Printed::of(&mut rest).success();
    assert_eq!(
        rest,
        "removed every tag of 20 users, or of those who exist\n"
    );
    assert_eq!(carriers(&server, "env"), 100);
}

#[test]
fn a_file_that_is_wrong_changes_nothing() {
    let sample = Sample::start(&[]);
    let (server, path) = crowd(&sample);
    let text = fs::read_to_string(&path).unwrap();
    for (more, said) in [
        ("alice\n", "line 123 is no user"),
        ("u1@example.com\n", "and line 123 has the other"),
    ] {
        fs::write(&path, text.clone() + more).unwrap();
        let remove = [
            "remove",
            "--tag",
            "env",
            "--from-file",
            path.to_str().unwrap(),
        ];
        let printed = tags(&server, &remove);
        assert_eq!(printed.code, Some(2));
        assert_has(&printed.stderr, &[said]);
    }
    assert_eq!(carriers(&server, "env"), 120);
}

#[test]
fn what_fails_for_everybody_stops_and_says_where() {
    let sample = Sample::start(&[]);
    let (mut server, path) = crowd(&sample);
    let file = path.to_str().unwrap();
    let nobody = Server::start(&sample.directory.path().join("new"), &[]);
    let set = ["set", "x=1", "--from-file", file];
    let refused = tags(&nobody, &set);
    assert_eq!(refused.code, Some(1));
    let wanted = [
        "lines 3 to 52: ",
        "MissingParameter.AccountId",
        "go on with --from-line 3",
    ];
    assert_has(&refused.stderr, &wanted);
    assert_eq!(
        refused.stderr.matches("RequestId").count(),
        1,
        "{}",
        refused.stderr
    );

    let data = sample.directory.path().join("data");
    let held = crate::support::hold_store(&data);
    let (mut set, mut stderr) = start(&server, &set);
    wait_for_a_call(&server);
    server.kill();
    drop(held);
    let said = rest_of(&mut stderr);
    assert_eq!(set.wait().unwrap().code(), Some(4), "{said}");
    let wanted = [
        "lines 3 to 52: ",
        "nobody knows whether the change was made",
        "set the tag x on 0 users; stopped before line 3: go on with --from-line 3",
    ];
    assert_has(&said, &wanted);
}

#[test]
fn ctrl_c_stops_between_two_calls_and_says_where() {
    let sample = Sample::start(&[]);
    let (server, path) = crowd(&sample);
    let file = path.to_str().unwrap();
    let data = sample.directory.path().join("data");
    let set = ["set", "x=1", "--from-file", file];

    let held = crate::support::hold_store(&data);
    let (mut once, mut stderr) = start(&server, &set);
    wait_for_a_call(&server);
    interrupt(&once);
    let mut said = String::new();
    stderr.read_line(&mut said).unwrap();
    assert_has(
        &said,
        &["SIGINT: stopping after the call for lines 3 to 52"],
    );
    drop(held);
    let said = rest_of(&mut stderr);
    assert_eq!(once.wait().unwrap().code(), Some(130), "{said}");
    assert_has(
        &said,
        &["on 50 users; stopped before line 53: go on with --from-line 53"],
    );
    assert_eq!(carriers(&server, "x"), 50);

    let held = crate::support::hold_store(&data);
    let (mut twice, mut stderr) = start(&server, &[&set[..], &["--from-line", "53"]].concat());
    wait_for_a_call(&server);
    interrupt(&twice);
    stderr.read_line(&mut String::new()).unwrap();
    interrupt(&twice);
    let said = rest_of(&mut stderr);
    assert_eq!(twice.wait().unwrap().code(), Some(130), "{said}");
    assert_has(
        &said,
        &[
            "nobody knows whether the call for lines 53 to 102",
            "--from-line 53",
        ],
    );
    drop(held);
}

fn start(server: &Server, arguments: &[&str]) -> (Child, BufReader<ChildStderr>) {
    let mut command = command(server, arguments);
    let mut child = command
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let stderr = BufReader::new(child.stderr.take().unwrap());
    (child, stderr)
}

pub fn interrupt(child: &Child) {
    let sent = Command::new("kill")
        .args(["-INT", &child.id().to_string()])
        .status();
    assert!(sent.expect("kill runs").success());
}

fn rest_of(stderr: &mut BufReader<ChildStderr>) -> String {
    std::io::read_to_string(stderr).unwrap()
}

/// A command of `untag` whose output is a terminal.
pub fn script(command: &str) -> Command {
    let command = command.replacen("untag", env!("CARGO_BIN_EXE_untag"), 1);
    let mut script = Command::new("script");
    script
        .args(["-qec", &command, "/dev/null"])
        .stdout(Stdio::piped());
    script
}

/// Runs a command on a terminal, on which somebody types an answer.
pub fn on_a_terminal(server: &Server, command: &str, typed: &str) -> (Option<i32>, String) {
    let mut child = script(command)
        .env("UNTAG_ADDRESS", server.address.to_string())
        .stdin(Stdio::piped())
        .spawn()
        .expect("script runs (scripts/setup debian)");
    let mut stdin = child.stdin.take().unwrap();
    let mut stdout = child.stdout.take().unwrap();
    let mut shown = Vec::new();
    let mut byte = [0];
    while stdout.read(&mut byte).unwrap() > 0 {
        shown.extend(byte);
        // Earlier the terminal would show it before the question.
        if shown.ends_with(b"[y/N] ") {
            stdin.write_all(typed.as_bytes()).unwrap();
        }
    }
    let shown = String::from_utf8(shown).unwrap();
    (child.wait().unwrap().code(), shown.replace('\r', ""))
}

#[test]
fn before_every_tag_goes_a_terminal_shows_what_and_asks() {
    let sample = Sample::start(&[]);
    let server = &sample.server;
    let remove = format!("untag tags remove {BOB} 7 --all --allow-missing");
    let question = "Remove every tag of 2 users? [y/N] ";
    let table = "KEY   VALUE\n2073290024939202  env   test\n2073290024939202  team  payments\n";
    for no in ["n\n", "\n", "yess\n"] {
        let (code, shown) = on_a_terminal(server, &remove, no);
        assert_eq!(code, Some(1), "{shown}");
        assert_has(&shown, &[table, question, "untag: nothing was changed"]);
    }
    assert_eq!(tags_of(server, BOB).len(), 2);
    // The terminal is where stderr is; stdout stays for programs.
    let output = sample.directory.path().join("output");
    let redirected = format!("{remove} > {}", output.display());
    let (code, shown) = on_a_terminal(server, &redirected, "Yes\n");
    assert_eq!(code, Some(0), "{shown}");
    assert_has(&shown, &[table, question]);
    let done = objects(&fs::read_to_string(&output).unwrap());
    assert_eq!(done[0]["users"], 2);
    assert_eq!(tags_of(server, BOB), [""; 0]);
}

#[test]
fn on_a_terminal_a_table_is_printed_and_the_bar_leaves_nothing_behind() {
    let sample = Sample::start(&[]);
    tags(&sample.server, &["set", ALICE, "a=\u{1b}[2J"]).success();
    let (code, shown) = on_a_terminal(&sample.server, &format!("untag tags list {ALICE}"), "");
    assert_eq!(code, Some(0));
    assert_has(
        &shown,
        &["KEY          VALUE\n", "a            \\u{1b}[2J\n"],
    );
    let file = sample.directory.path().join("users");
    fs::write(&file, format!("{ALICE}\n{BOB}\n")).unwrap();
    let remove = format!("untag tags remove --from-file {} --all", file.display());
    let (code, shown) = on_a_terminal(&sample.server, &remove, "y\n");
    assert_eq!(code, Some(0));
    assert_has(&shown, &["Remove every tag of 2 users? [y/N] "]);
    assert!(
        shown.ends_with("removed every tag of 2 users\n"),
        "{shown:?}"
    );
}
