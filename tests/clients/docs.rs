//! The documentation against the program: flags, error codes and the sessions that pages show.

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io::Write as _;
use std::path::Path;
use std::process::{Command, Output, Stdio};
use std::time::Duration;

use crate::changes::changes;
use crate::support::{SAMPLE_ACCOUNT, Server, help, wait_until};
use crate::tags_of_files::{on_a_terminal, script};
use crate::{Printed, Sample, tool};

const README: &str = include_str!("../../README.md");
const COMMAND_LINE: &str = include_str!("../../docs/command-line.md");
const CHANGES: &str = include_str!("../../docs/command-line-changes.md");

/// The rows of the only table of a page, without its own heading, as cells.
fn table(page: &str) -> Vec<Vec<&str>> {
    let rows = page
        .lines()
        .filter_map(|line| line.strip_prefix("| ")?.strip_suffix('|'));
    rows.skip(2)
        .map(|row| row.split(" | ").map(str::trim).collect())
        .collect()
}

/// The texts between two marks.
fn between<'text>(text: &'text str, from: &str, to: &str) -> Vec<&'text str> {
    let rest = text.split(from).skip(1);
    rest.filter_map(|rest| rest.split_once(to))
        .map(|(found, _)| found)
        .collect()
}

#[test]
fn the_docs_have_every_flag_of_serve_with_its_variable_and_default() {
    let help = help(&["serve"]);
    let described = help.split("\n      --").skip(1).map(|flag| {
        let name = flag.split_whitespace().next().unwrap();
        let takes_value = flag.lines().next().unwrap().contains('<');
        let default = match between(flag, "[default: ", "]").first() {
            Some(default) => format!("`{default}`"),
            None => if takes_value { "none" } else { "off" }.to_owned(),
        };
        // "[env: NAME=]", or "[env: NAME]" where the value is not shown.
        let variable = between(flag, "[env: ", "]")[0].trim_end_matches('=');
        [format!("`--{name}`"), format!("`{variable}`"), default]
    });
    let documented = table(include_str!("../../docs/configuration.md"));
    let documented: Vec<&[&str]> = documented.iter().map(|row| &row[..3]).collect();
    assert_eq!(documented, described.collect::<Vec<_>>());
}

#[test]
fn the_docs_have_every_error_code() {
    let errors = include_str!("../../src/domain/error.rs");
    // An arm of a match that is too long has its code on a line of its own.
    let alone = |line: &'static str| line.trim().strip_prefix('"')?.strip_suffix('"');
    let codes: BTreeSet<&str> = errors
        .lines()
        .flat_map(|line| {
            between(line, " => \"", "\",")
                .into_iter()
                .chain(alone(line))
        })
        // The other texts of the file are sentences.
        .filter(|text| !text.contains(' '))
        .collect();
    assert!(codes.len() >= 28, "{codes:?}");
    assert!(
        codes.contains("EntityNotExist.User") && codes.contains("InternalError"),
        "{codes:?}"
    );

    let rows = table(include_str!("../../docs/errors.md"));
    let documented: BTreeSet<&str> = rows.iter().map(|row| row[0].trim_matches('`')).collect();
    assert_eq!(documented, codes);
}

#[test]
fn grpcurl_prints_what_the_readme_shows() {
    // Fails with what to do where it is missing.
    drop(tool("venv/bin/grpcurl"));
    assert_prints(README);
}

#[test]
fn curl_prints_what_its_page_shows() {
    assert_prints(include_str!("../../docs/http.md"));
}

/// Runs the session of a page on sample data, and compares what it prints with what the page shows.
#[track_caller]
fn assert_prints(page: &str) {
    let sample = Sample::start(&[]);
    let session = between(page, "```console\n$ ", "```")[0].replace("\\\n", "");
    for shown in session.split("\n$ ") {
        let (command, output) = shown.split_once('\n').unwrap();
        let command = command.replace("127.0.0.1:50051", &sample.server.address.to_string());
        let mut shell = Command::new("sh");
        shell
            .args(["-c", &format!("{command} 2>&1")])
            .current_dir(env!("CARGO_MANIFEST_DIR"));
        let printed = Printed::of(&mut shell).stdout;
        assert_eq!(
            without_what_differs(&printed),
            without_what_differs(output),
            "{command}"
        );
    }
}

#[test]
fn the_command_line_prints_what_the_pages_show() {
    let sessions = |page| between(page, "```console\n$ ", "```");
    assert_eq!(sessions(COMMAND_LINE).len(), 2);
    assert_eq!(sessions(CHANGES).len(), 2);
    // The first one there is of curl and grpcurl.
    let of_readme = sessions(README).split_off(1);
    assert_eq!(of_readme.len(), 1);
    for session in [sessions(COMMAND_LINE), sessions(CHANGES), of_readme].concat() {
        assert_prints_on_a_terminal(session);
    }
}

/// Runs a session of the command line on sample data, and compares what it prints with what the page shows. A RequestId that stands in a
/// command of the page is one that an earlier command has printed.
#[track_caller]
fn assert_prints_on_a_terminal(session: &str) {
    let sample = Sample::start(&[]);
    let mut ids: Vec<(&str, String)> = Vec::new();
    for shown in session.split("\n$ ") {
        let (command, output) = shown.split_once('\n').unwrap();
        let command = ids
            .iter()
            .fold(command.to_owned(), |command, (shown, printed)| {
                command.replace(shown, printed)
            });
        let (_, printed) = on_a_terminal(&sample.server, &command, "y\n");
        assert_eq!(
            without_what_differs(&printed),
            without_what_differs(output),
            "{command}"
        );
        let both = request_ids(output).zip(request_ids(&printed));
        ids.extend(both.map(|(shown, printed)| (shown, printed.to_owned())));
    }
}

#[test]
fn an_import_goes_on_after_a_break_as_its_page_shows() {
    const USERS: u32 = 4_000;
    const BEFORE: usize = 1_500;
    let page = include_str!("../../docs/import.md");
    let session = between(page, "```console\n$ ", "```")[0];
    let (first, second) = session.split_once("\n$ ").unwrap();
    let [(first, broken), (second, done)] = [first, second].map(|at| at.split_once('\n').unwrap());
    let home = tempfile::tempdir().unwrap();
    let (data, file) = (home.path().join("data"), home.path().join("users.jsonl"));
    let line = |id| {
        format!(
            r#"{{"account_id":"{SAMPLE_ACCOUNT}","resource_type":"user","resource_id":"{id}","principal_name":"u{id}@example.com","tags":{{"team":"search"}}}}"#
        ) + "\n"
    };
    let lines: Vec<String> = (1..=USERS).map(line).collect();
    let start = || Server::start(&data, &["--default-account", SAMPLE_ACCOUNT]);

    // A file that ends only once the service is gone. A chunk is sent when the line behind it is read.
    let fifo = Command::new("mkfifo").arg(&file).status();
    assert!(fifo.unwrap().success());
    let mut server = start();
    let command = first.replace("untag.example.com:50051", &server.address.to_string());
    let import = redirected(home.path(), &command).spawn().unwrap();
    let mut writer = File::create(&file).unwrap();
    let before = lines[..=BEFORE].concat();
    writer.write_all(before.as_bytes()).unwrap();
    wait_until("six chunks are done", || {
        changes(&server, &["list"]).success().lines().count() == BEFORE / 250
    });
    server.signal("TERM");
    assert!(server.wait(Duration::from_secs(30)).success());
    let printed = all_of(home.path(), &import.wait_with_output().unwrap());
    drop(writer);
    assert_eq!(without_what_differs(&printed), without_what_differs(broken));

    let token = request_ids(second).next().unwrap();
    let printed_token = request_ids(&printed).last().unwrap();
    let server = start();
    let command = second
        .replace("untag.example.com:50051", &server.address.to_string())
        .replace(token, printed_token);
    fs::remove_file(&file).unwrap();
    fs::write(&file, lines.concat()).unwrap();
    let output = redirected(home.path(), &command).output().unwrap();
    assert_eq!(all_of(home.path(), &output), done);
}

/// A command of `untag` whose output is a terminal, and whose errors go to a file: so it shows no bar.
fn redirected(directory: &Path, command: &str) -> Command {
    let mut script = script(&format!("{command} 2> errors"));
    script.current_dir(directory).stdin(Stdio::null());
    script
}

/// What a redirected command has printed.
fn all_of(directory: &Path, output: &Output) -> String {
    let errors = fs::read_to_string(directory.join("errors")).unwrap();
    errors + &String::from_utf8_lossy(&output.stdout).replace('\r', "")
}

#[test]
fn the_page_of_the_command_line_has_every_flag_and_exit_code() {
    let tags = ["list", "remove", "set", "keys"].map(|command| ["tags", command]);
    let users = ["list", "show", "add", "rename", "remove", "restore"];
    let users = users.map(|command| ["users", command]);
    let changes = ["list", "show", "revert", "watch"].map(|command| ["changes", command]);
    for [subject, command] in tags.into_iter().chain(users).chain(changes) {
        let help = help(&[subject, command]);
        for flag in help
            .split_whitespace()
            .map(|word| word.trim_end_matches(['.', ',', '>']))
            .filter(|word| word.starts_with("--") && !["--help", "--version"].contains(word))
        {
            let pages: &[&str] = match subject {
                "changes" => &[CHANGES, COMMAND_LINE],
                _ => &[COMMAND_LINE],
            };
            let is_there = pages.iter().any(|page| page.contains(flag));
            assert!(is_there, "{flag} of {command}");
        }
        let (_, codes) = help.split_once("Exit codes:\n").unwrap();
        for line in codes.lines().filter(|line| !line.trim().starts_with("128")) {
            let (code, meaning) = line.trim().split_once("    ").unwrap();
            let row = format!("| {code} | {meaning} |");
            assert!(COMMAND_LINE.contains(&row), "{row}");
        }
    }
}

/// A text without what is another one each time: `RequestId`s and times.
fn without_what_differs(text: &str) -> String {
    let same = words(text.trim_end()).flat_map(|(word, rest)| {
        let differs = is_request_id(word) || is_time(word);
        [if differs { "" } else { word }, rest]
    });
    same.collect()
}

/// The words of a text, each with what stands behind it.
fn words(text: &str) -> impl Iterator<Item = (&str, &str)> {
    let is_of_word = |letter: char| letter.is_ascii_alphanumeric() || "-:.".contains(letter);
    let parts = text.split_inclusive(move |letter| !is_of_word(letter));
    parts.map(move |part| part.split_at(part.trim_end_matches(|letter| !is_of_word(letter)).len()))
}

fn request_ids(text: &str) -> impl Iterator<Item = &str> {
    let words = words(text).map(|(word, _)| word);
    words.filter(|word| is_request_id(word))
}

fn is_request_id(word: &str) -> bool {
    word.len() == 36 && word.matches('-').count() == 4
}

fn is_time(word: &str) -> bool {
    word.starts_with("20") && word.contains('T') && word.ends_with('Z')
}
