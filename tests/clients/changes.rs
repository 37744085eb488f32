//! `untag changes list` and `show` against the real service.

use std::fs;

use serde_json::{Value, json};

use crate::support::{ALICE, SAMPLE_ACCOUNT, Server};
use crate::tags::{BOB, assert_fails, client_command, objects, tags};
use crate::{Printed, Sample, assert_has, import_users};

pub fn untag(server: &Server, arguments: &[&str]) -> Printed {
    Printed::of(&mut client_command(server, arguments))
}

pub fn changes(server: &Server, arguments: &[&str]) -> Printed {
    untag(server, &[&["changes"], arguments].concat())
}

/// The RequestId of what a command has printed.
pub fn request_id(printed: Printed) -> String {
    let done = objects(&printed.success());
    done[0]["request_id"].as_str().unwrap().to_owned()
}

/// A service with 50 users, and the last change of them: it is larger than one message.
pub fn large_change(sample: &Sample) -> (Server, String) {
    let users = (1..=50).map(|id| (id, format!("u{id}@example.com")));
    let data = import_users(&sample.directory, users);
    let server = Server::start(&data, &["--default-account", SAMPLE_ACCOUNT]);
    let users: Vec<String> = (1..=50).map(|id| id.to_string()).collect();
    let set = |value: &str| {
        let tag = |number: u32| format!("{number}{}={}", "𝔘".repeat(126), value.repeat(128));
        let tags_set: Vec<String> = (10..28).map(tag).collect();
        let words = users.iter().chain(&tags_set).map(String::as_str);
        let arguments: Vec<&str> = std::iter::once("set").chain(words).collect();
        request_id(tags(&server, &arguments))
    };
    set("𝔙");
    let change = set("𝔚");
    (server, change)
}

#[test]
fn changes_are_listed_by_what_they_changed_who_made_them_and_when() {
    let sample = Sample::start(&[]);
    let server = &sample.server;
    let first = request_id(tags(server, &["remove", ALICE, BOB, "--tag", "env"]));
    request_id(tags(server, &["set", BOB, "team=x", "new=y"]));
    request_id(untag(server, &["users", "remove", ALICE, "--yes"]));
    let list = |arguments: &[&str]| {
        let listed = changes(server, &[&["list"], arguments].concat()).success();
        objects(&listed)
    };
    let all = list(&[]);
    let time = |revision: usize| all[3 - revision]["time"].as_str().unwrap();
    assert_eq!(all[2]["request_id"], first.as_str());
    assert_eq!(
        (&all[2]["caller"], &all[2]["source_ip"]),
        (&json!("anonymous"), &json!("127.0.0.1"))
    );
    let name = "bob@example.onaliyun.com";
    for (arguments, revisions) in [
        (&[][..], &[3, 2, 1][..]),
        (&["--oldest-first"], &[1, 2, 3]),
        (&["--limit", "2"], &[3, 2]),
        (&["--oldest-first", "--limit", "1"], &[1]),
        (&["--user", name], &[2, 1]),
        // A deleted user is still found by its id.
        (&["--user", ALICE], &[3, 1]),
        (&["--user", BOB, "--tag", "env"], &[1]),
        (&["--tag", "env"], &[1]),
        (&["--action", "TagResources"], &[2]),
        (&["--action", "ram:DeleteUser"], &[3]),
        (&["--caller", "anonymous"], &[3, 2, 1]),
        (&["--caller", "jwt:a"], &[]),
        (&["--since", "1h"], &[3, 2, 1]),
        (&["--until", "1h"], &[]),
        (&["--since", time(2)], &[3, 2]),
        (&["--until", time(2)], &[1]),
    ] {
        let found = list(arguments).into_iter();
        let found: Vec<Value> = found.map(|change| change["revision"].clone()).collect();
        assert_eq!(found, revisions, "{arguments:?}");
    }
    let table = changes(server, &["list", "--user", BOB, "--output", "table"]).success();
    let mut lines = table.lines();
    assert_has(
        lines.next().unwrap(),
        &["TIME ", "REVISION  CALLER", "REQUEST ID"],
    );
    assert_has(
        lines.next().unwrap(),
        &["Z  2 ", " ram:TagResources ", " 1 ", " +new +team "],
    );
    assert_has(
        lines.next().unwrap(),
        &[" ram:UntagResources ", " 2 ", " -env ", &first],
    );
    let none = changes(server, &["list", "--tag", "none", "--output", "table"]);
    assert_eq!(none.stderr, "no changes\n");
    assert_eq!(none.success(), "");
}

#[test]
fn a_list_has_all_pages_and_stops_at_its_limit() {
    let sample = Sample::start(&["--max-caller-rate", "0"]);
    let server = &sample.server;
    for round in 0..105 {
        tags(server, &["set", BOB, &format!("env={round}")]).success();
    }
    let count = |arguments: &[&str]| {
        let listed = changes(server, &[&["list"], arguments].concat()).success();
        objects(&listed).len()
    };
    assert_eq!(count(&[]), 105);
    assert_eq!(count(&["--limit", "103"]), 103);
}

#[test]
fn a_change_is_shown_as_people_read_it() {
    let sample = Sample::start(&[]);
    let server = &sample.server;
    let removed = request_id(tags(server, &["remove", BOB, "--all", "--yes"]));
    tags(server, &["set", ALICE, "env=x\u{1b}[2J", "empty="]).success();
    let add = [
        "users",
        "add",
        "dan@a.b",
        "--id",
        "5",
        "--tag",
        "a=b",
        "--comments",
        "c",
    ];
    untag(server, &add).success();
    untag(server, &["users", "rename", "5", "daniel@a.b"]).success();
    untag(server, &["users", "rename", "5", "--comments", ""]).success();
    untag(server, &["users", "remove", "5", "--yes"]).success();
    untag(server, &["users", "restore", "5"]).success();
    for (change, shown) in [
        (
            removed.to_lowercase().as_str(),
            "user 2073290024939202\n  - env = test\n  - team = payments\n",
        ),
        (
            "2",
            "user 2073290024939201\n  + empty =\n  - env = prod\n  + env = x\\u{1b}[2J\n",
        ),
        (
            "3",
            "user 5 created\n  + name: dan@a.b\n  + display name: dan\n  + comments: c\n  + a = b\n",
        ),
        (
            "4",
            "user 5 renamed\n  - name: dan@a.b\n  + name: daniel@a.b\n",
        ),
        ("5", "user 5 described anew\n  - comments: c\n"),
        (
            "6",
            "user 5 deleted\n  - name: daniel@a.b\n  - display name: dan\n  - a = b\n",
        ),
        (
            "7",
            "user 5 restored\n  + name: daniel@a.b\n  + display name: dan\n  + a = b\n",
        ),
    ] {
        let printed = changes(server, &["show", change, "--output", "table"]).success();
        assert_has(
            &printed,
            &[&format!("\n\n{shown}\nto undo it: untag changes revert ")],
        );
    }
    let printed = changes(server, &["show", "1", "--output", "table"]).success();
    let head = [
        format!("request   {removed}\nrevision  1\ntime      2"),
        "caller    anonymous\naddress   127.0.0.1\naction    ram:UntagResources".to_owned(),
        format!("users     1\n\nuser {BOB}\n"),
        format!("untag changes revert {removed}\n"),
    ];
    assert_has(&printed, &head.each_ref().map(String::as_str));
    let set = &objects(&changes(server, &["show", "2"]).success())[0];
    let tag = |old: Value, new: &str, was_there: bool| json!({"old_value": old, "new_value": new, "was_there": was_there});
    let tags = json!({"removed": {}, "set": {
        "empty": tag(Value::Null, "", false), "env": tag(json!("prod"), "x\u{1b}[2J", true),
    }});
    assert_eq!(
        set["effects"],
        json!([{"resource_id": ALICE, "tags": tags}])
    );
}

#[test]
fn a_change_of_more_than_one_answer_is_shown_whole() {
    let sample = Sample::start(&[]);
    let (server, change) = large_change(&sample);
    let listed = &objects(&changes(&server, &["list", "--limit", "1"]).success())[0];
    let effects = |change: &Value| change["effects"].as_array().unwrap().len();
    assert!(effects(listed) < 50, "{}", effects(listed));
    let shown = &objects(&changes(&server, &["show", &change]).success())[0];
    assert_eq!(
        (effects(shown), &shown["changed_resources"]),
        (50, &json!(50))
    );
    let plan = ["revert", &change, "--dry-run", "--output", "table"];
    assert_has(
        &changes(&server, &plan).success(),
        &[" more users\na dry run: would change 900 tags of 50 users"],
    );
}

#[test]
fn what_can_not_be_shown_says_why() {
    let sample = Sample::start(&[]);
    let server = &sample.server;
    let unchanged = request_id(tags(server, &["remove", BOB, "--tag", "absent"]));
    let said = [
        "no change was made by the request",
        "EntityNotExist.Change, RequestId ",
    ];
    assert_fails(&changes(server, &["show", &unchanged]), 1, &said);
    assert_fails(&changes(server, &["show", "1"]), 1, &["no revision 1 yet"]);
    for (arguments, said) in [
        (&["show", "x"][..], "give a RequestId, which is a UUID, or"),
        (&["show", "0"], "give a RequestId"),
        (&["revert", "1"], "give the RequestId of the change"),
        (&["list", "--user", "bob"], "a principal name has an @"),
        (&["list", "--tag", "acs:x"], "reserved"),
        (&["list", "--caller", "bob"], "jwt:<subject>"),
        (
            &["list", "--action", "ListUsers"],
            "give one of ram:UntagResources",
        ),
        (&["list", "--since", "yesterday"], "how long ago it was"),
        (&["list", "--limit", "0"], "--limit"),
        (&["watch", "--from", "12"], "HISTORY_ID/REVISION/REQUEST_ID"),
    ] {
        assert_fails(&changes(server, arguments), 2, &[said]);
    }
    let nobody = changes(server, &["list", "--user", "nobody@a.b"]);
    assert_fails(&nobody, 1, &["users that do not exist: nobody@a.b"]);
    let late = changes(server, &["list", "--since", "1h", "--until", "2h"]);
    assert_fails(&late, 1, &["end_time: is before start_time"]);
}

#[test]
fn who_may_not_list_tags_is_told_that_values_are_left_out() {
    let sample = Sample::start(&[]);
    let change = request_id(tags(&sample.server, &["remove", BOB, "--tag", "env"]));
    drop(sample.server);
    let policy = sample.directory.path().join("policy.json");
    let allowed =
        json!({"Effect": "Allow", "Action": ["untag:*", "ram:TagResources"], "Resource": "*"});
    let text = json!({
        "Policies": {"history": {"Version": "1", "Statement": [allowed]}},
        "Bindings": [{"Callers": ["anonymous"], "Accounts": ["*"], "Policies": ["history"]}],
    });
    fs::write(&policy, text.to_string()).unwrap();
    let arguments = [
        "--default-account",
        SAMPLE_ACCOUNT,
        "--policy",
        policy.to_str().unwrap(),
    ];
    let server = Server::start(sample.directory.path(), &arguments);
    let user = format!("user {BOB}\n  ");
    for (arguments, sign) in [
        (&["show", &change][..], '-'),
        (&["revert", &change, "--dry-run"], '+'),
    ] {
        let printed = objects(&changes(&server, arguments).success());
        assert_eq!(printed[0]["values_redacted"], true, "{printed:?}");
        let printed = changes(&server, &[arguments, &["--output", "table"]].concat()).success();
        let said = format!("{user}{sign} env\n(values are left out: you may not list tags)\n");
        assert_has(&printed, &[&said]);
        assert!(!printed.contains("test"), "{printed}");
    }
}
