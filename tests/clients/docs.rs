//! The documentation against the program: flags, error codes and the session of the README.

use std::collections::BTreeSet;
use std::process::Command;

use crate::support::run;
use crate::tags_of_files::on_a_terminal;
use crate::{Printed, Sample, tool};

const README: &str = include_str!("../../README.md");
const COMMAND_LINE: &str = include_str!("../../docs/command-line.md");

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
    let help = String::from_utf8(run(&["serve", "--help"]).stdout).unwrap();
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
    let codes: BTreeSet<&str> = errors
        .lines()
        .flat_map(|line| between(line, " => \"", "\","))
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
            without_request_ids(&printed),
            without_request_ids(output),
            "{command}"
        );
    }
}

#[test]
fn the_command_line_prints_what_its_page_shows() {
    let sessions = between(COMMAND_LINE, "```console\n$ ", "```");
    assert_eq!(sessions.len(), 2);
    for session in sessions {
        let sample = Sample::start(&[]);
        for shown in session.split("\n$ ") {
            let (command, output) = shown.split_once('\n').unwrap();
            let (_, printed) = on_a_terminal(&sample.server, command, "y\n");
            assert_eq!(
                without_request_ids(&printed),
                without_request_ids(output),
                "{command}"
            );
        }
    }
}

#[test]
fn the_page_of_the_command_line_has_every_flag_and_exit_code() {
    let tags = ["list", "remove", "set", "keys"].map(|command| ["tags", command]);
    let users = ["list", "show", "add", "rename", "remove", "restore"];
    let users = users.map(|command| ["users", command]);
    for [subject, command] in tags.into_iter().chain(users) {
        let help = String::from_utf8(run(&[subject, command, "--help"]).stdout).unwrap();
        for flag in help
            .split_whitespace()
            .map(|word| word.trim_end_matches(['.', ',', '>']))
            .filter(|word| word.starts_with("--") && !["--help", "--version"].contains(word))
        {
            assert!(COMMAND_LINE.contains(flag), "{flag} of {command}");
        }
        let (_, codes) = help.split_once("Exit codes:\n").unwrap();
        for line in codes.lines().filter(|line| !line.trim().starts_with("128")) {
            let (code, meaning) = line.trim().split_once("    ").unwrap();
            let row = format!("| {code} | {meaning} |");
            assert!(COMMAND_LINE.contains(&row), "{row}");
        }
    }
}

/// A text with each RequestId, which is another one each time, left out.
fn without_request_ids(text: &str) -> String {
    let is_request_id = |word: &str| word.len() == 36 && word.matches('-').count() == 4;
    let words = text
        .trim_end()
        .split(['"', ' ', ')'])
        .filter(|word| !is_request_id(word));
    words.collect::<Vec<_>>().join(" ")
}
