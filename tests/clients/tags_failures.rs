//! `untag tags` where it fails: what it says, its exit codes, and what it sends again.

use std::fs;
use std::process::Stdio;

use serde_json::Value;

use crate::support::{ALICE, Server, untag};
use crate::tags::{BOB, assert_fails, command, objects, tags, wait_for_a_call};
use crate::{Printed, Sample, assert_has};

#[test]
fn a_refusal_is_a_sentence_with_every_fault_and_the_request_id() {
    let sample = Sample::start(&[]);
    let server = &sample.server;
    let missing = tags(server, &["list", "7", "8", "9", "10", ALICE]);
    let said = ["users that do not exist", "EntityNotExist.User, RequestId "];
    assert_fails(
        &missing,
        1,
        &[&said[..], &["all of them: 7, 8, 9, 10"]].concat(),
    );
    let keys: Vec<String> = (0..20).map(|key| format!("k{key}=hidden")).collect();
    let keys: Vec<&str> = keys.iter().map(String::as_str).collect();
    let full = tags(server, &[&["set", ALICE], &keys[..]].concat());
    assert_fails(&full, 1, &["more than 20 tags", ALICE, "RequestId "]);
    assert!(!full.stderr.contains("hidden"), "{}", full.stderr);
    let twice = tags(server, &["set", ALICE, "a=hidden", "a=1", "b=2", "b=3"]);
    assert_fails(
        &twice,
        1,
        &["Duplicate.TagKey", "\n  tags[3]", "RequestId "],
    );
    assert!(!twice.stderr.contains("hidden"), "{}", twice.stderr);
    // The dry run of the same sees it too.
    let look = tags(
        server,
        &[&["set", ALICE, "7", "--dry-run"], &keys[..]].concat(),
    );
    assert_eq!(look.code, Some(1));
    assert_has(&look.stderr, &["7 does not exist", "would carry 23 tags"]);

    let other = tags(server, &["list", BOB, "--account", "5"]);
    assert_fails(&other, 1, &["do not exist"]);
    let server = Server::start(sample.directory.path().join("new").as_path(), &[]);
    let nobody = tags(&server, &["list", "--tag", "env"]);
    assert_fails(&nobody, 1, &["MissingParameter.AccountId", "--account"]);
    tags(&server, &["list", "--tag", "env", "--account", "5"]).success();
}

#[test]
fn a_command_line_that_is_wrong_calls_nobody_and_shows_no_value() {
    let many: Vec<String> = (1..=51).map(|id| id.to_string()).collect();
    let many: Vec<&str> = many.iter().map(String::as_str).collect();
    let cases: [(&[&str], &str); 16] = [
        (&["list"], "<USER|--tag <KEY[=VALUE]>>"),
        (&["list", "1", "a@b"], "some are principal names"),
        (&["list", "bob"], "a principal name has an @"),
        (
            &["list", "--tag", "env=http://hidden"],
            "the value of \"env\"",
        ),
        (&["list", "--tag", "acs:x=hidden"], "the key \"acs:x\""),
        (&["remove", "1"], "<--tag <KEY>|--all>"),
        (
            &["remove", "1", "--all", "--tag", "a"],
            "cannot be used with",
        ),
        (&["remove", "--tag", "a"], "<USER|--from-file <FILE>>"),
        (&["remove", "1", "--all"], "give --yes"),
        // Tags have keys too.
        (
            &["remove", "1", "--key", "hidden"],
            "name a tag with --tag KEY",
        ),
        (
            &["set", "1", "--key", "a=hidden"],
            "write a tag as KEY=VALUE",
        ),
        (&["set", "1"], "give at least one KEY=VALUE"),
        (&["set", "a=hidden"], "give users"),
        (&["set", "1", "bob", "a=hidden"], "\"bob\" is no user"),
        (&["set", "1", "a=https://hidden"], "the value of \"a\""),
        (
            &["set", "--from-file", "/missing", "a=hidden"],
            "cannot read /missing",
        ),
    ];
    let sample = Sample::start(&[]);
    let too_many = [&["list"], &many[..]].concat();
    for (arguments, said) in cases
        .into_iter()
        .chain([(&too_many[..], "give at most 50")])
    {
        let printed = tags(&sample.server, arguments);
        assert_fails(&printed, 2, &[said]);
        assert!(!printed.stderr.contains("hidden"), "{}", printed.stderr);
    }
    // A variable is named, and an empty one is none.
    let mut nowhere = command(&sample.server, &["list", "1"]);
    let nowhere = Printed::of(nowhere.env("UNTAG_ADDRESS", "nowhere"));
    let origin = "the value comes from the variable UNTAG_ADDRESS";
    assert_fails(&nowhere, 2, &[origin]);
    let mut empty = command(&sample.server, &["list", "1", "--timeout=0"]);
    let empty = Printed::of(empty.env("UNTAG_ADDRESS", ""));
    assert_fails(&empty, 2, &["--timeout"]);
    assert!(!empty.stderr.contains("--address"), "{}", empty.stderr);
    let calls = |line: &Value| line["message"] == "request";
    assert_eq!(sample.server.count_in_log(calls), 0);
    let token = sample.directory.path().join("token");
    fs::write(&token, "a token\nand more").unwrap();
    let token = token.to_str().unwrap();
    for (flags, said) in [
        (&["--address", "localhost"][..], "give a host and a port"),
        (
            &["--address", "http://192.0.2.1:1", "--token-file", token],
            "by TLS only",
        ),
        (
            &["--address", "http://192.0.2.1:1", "--tls-ca", token],
            "no use without TLS",
        ),
        (&["--token-file", token], "holds more than a token"),
        (&["--token-file", "/missing"], "the token file /missing"),
        (&["--tls-ca", token], "there are no certificate authorities"),
        (&["--cert", token], "--key"),
    ] {
        let mut command = untag();
        command.args(["tags", "list", "1"]).args(flags);
        let printed = Printed::of(&mut command);
        assert_fails(&printed, 2, &[said]);
        assert!(!printed.stderr.contains("and more"), "{}", printed.stderr);
    }
}

#[test]
fn a_service_that_is_not_there_is_told_from_a_change_whose_answer_is_lost() {
    let mut sample = Sample::start(&[]);
    let address = sample.server.address.to_string();
    let tls = ["list", BOB, "--address", &format!("https://{address}")];
    let mut tls_to_plain = untag();
    let tls_to_plain = Printed::of(tls_to_plain.arg("tags").args(tls));
    assert_fails(
        &tls_to_plain,
        3,
        &["cannot reach", "http:// before the address"],
    );

    let held = sample.hold_store();
    let mut change = command(&sample.server, &["remove", BOB, "--tag", "env"]);
    let change = change.stderr(Stdio::piped()).spawn().unwrap();
    wait_for_a_call(&sample.server);
    sample.server.kill();
    drop(held);
    let lost = change.wait_with_output().unwrap();
    let said = String::from_utf8(lost.stderr).unwrap();
    assert_eq!(lost.status.code(), Some(4), "{said}");
    assert_has(
        &said,
        &[
            "nobody knows whether the change was made",
            "client_request_id ",
        ],
    );
    let gone = tags(&sample.server, &["remove", BOB, "--tag", "env"]);
    assert_fails(
        &gone,
        3,
        &[
            "cannot reach the service at",
            "Connection refused",
            "--address comes from the variable UNTAG_ADDRESS",
        ],
    );
}

#[test]
fn what_the_service_says_of_a_change_that_is_late_is_believed() {
    let sample = Sample::start(&["--request-timeout", "0.3"]);
    let _held = sample.hold_store();
    let late = tags(&sample.server, &["remove", BOB, "--tag", "env"]);
    assert_fails(
        &late,
        4,
        &[
            "the change may have been made",
            "DeadlineExceeded, RequestId ",
        ],
    );
    // By its own clock the client knows no more.
    let sample = Sample::start(&[]);
    let _held = sample.hold_store();
    let hasty = ["remove", BOB, "--tag", "env", "--timeout", "2"];
    let hasty = tags(&sample.server, &hasty);
    assert_fails(&hasty, 4, &["no answer within 2s", "nobody knows"]);
}

#[test]
fn a_call_that_is_sent_too_early_is_sent_again() {
    let sample = Sample::start(&["--max-caller-rate", "1"]);
    let users = [ALICE, BOB, "2073290024939203"];
    let look = [&["set"], &users[..], &["a=1", "--dry-run"]].concat();
    assert_eq!(objects(&tags(&sample.server, &look).success()).len(), 3);
    let throttled = |line: &Value| line["code"] == "RESOURCE_EXHAUSTED";
    assert!(sample.server.count_in_log(throttled) > 0);
}
