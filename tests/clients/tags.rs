//! `untag tags` against the real service: what it prints, and which service it calls.

use std::fs;
use std::process::{Command, Stdio};

use serde_json::{Value, json};

use crate::support::http::scrape;
use crate::support::{ALICE, SAMPLE_ACCOUNT, Server, untag, wait_until};
use crate::{Printed, Sample, assert_has, import_users};

pub const BOB: &str = "2073290024939202";

/// A subcommand for a service, prepared.
pub fn client_command(server: &Server, arguments: &[&str]) -> Command {
    let mut command = untag();
    command
        .env("UNTAG_ADDRESS", server.address.to_string())
        .args(arguments);
    command
}

/// `untag tags` for a service, prepared.
pub fn command(server: &Server, arguments: &[&str]) -> Command {
    client_command(server, &[&["tags"], arguments].concat())
}

pub fn tags(server: &Server, arguments: &[&str]) -> Printed {
    Printed::of(&mut command(server, arguments))
}

/// The objects of JSON Lines.
pub fn objects(lines: &str) -> Vec<Value> {
    let lines = lines.lines();
    lines
        .map(|line| serde_json::from_str(line).unwrap())
        .collect()
}

/// The tags of a user, as `key=value`.
pub fn tags_of(server: &Server, user: &str) -> Vec<String> {
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    let listed = objects(&tags(server, &["list", user]).success());
    let tag = |tag: &Value| format!("{}={}", text(&tag["tag_key"]), text(&tag["tag_value"]));
    listed.iter().map(tag).collect()
}

/// Checks a command that must fail: its exit code, and what it says on stderr alone.
#[track_caller]
pub fn assert_fails(printed: &Printed, code: i32, said: &[&str]) {
    assert_eq!(printed.code, Some(code), "{}", printed.stderr);
    assert_has(&printed.stderr, said);
    assert_eq!(printed.stdout, "");
}

/// Waits until a call waits in a service.
pub fn wait_for_a_call(server: &Server) {
    wait_until("a call is in flight", || {
        scrape(server)["untag_requests_in_flight"] >= 1.0
    });
}

#[test]
fn tags_are_listed_set_and_removed_by_id_or_by_name() {
    let sample = Sample::start(&[]);
    let server = &sample.server;
    let listed = objects(&tags(server, &["list", "BOB@example.onaliyun.com"]).success());
    let tag = |key: &str, value: &str| json!({"resource_type": "user", "resource_id": BOB, "tag_key": key, "tag_value": value});
    assert_eq!(listed, [tag("env", "test"), tag("team", "payments")]);

    let set = tags(server, &["set", ALICE, BOB, "env=a=b", "empty="]).success();
    let set = objects(&set);
    assert_eq!(set[0]["users"], 2);
    assert_eq!(set[0]["request_id"].as_str().unwrap().len(), 36);
    assert_eq!(tags_of(server, BOB), ["empty=", "env=a=b", "team=payments"]);
    let with_value = tags(server, &["list", "--tag", "env=a=b", "--tag", "empty="]);
    assert_eq!(objects(&with_value.success()).len(), 4);

    let name = "bob@example.onaliyun.com";
    let dry = ["remove", name, "--tag", "env", "--dry-run"];
    let checked = objects(&tags(server, &dry).success());
    assert_eq!(
        (&checked[0]["dry_run"], &checked[0]["changed_tags"]),
        (&json!(true), &json!(1))
    );
    assert_eq!(tags_of(server, BOB).len(), 3);
    tags(server, &["remove", name, "--tag", "env", "--tag", "absent"]).success();
    assert_eq!(tags_of(server, BOB), ["empty=", "team=payments"]);
    let missing = ["remove", BOB, "7", "--all", "--yes"];
    assert_eq!(tags(server, &missing).code, Some(1));
    assert_eq!(tags_of(server, BOB).len(), 2, "all or none");
    tags(server, &[&missing[..], &["--allow-missing"]].concat()).success();
    assert_eq!(tags_of(server, BOB), [""; 0]);
}

#[test]
fn keys_and_values_are_listed_with_how_many_users_carry_them() {
    let sample = Sample::start(&[]);
    let server = &sample.server;
    let key = |key: &str, users: u64| json!({"tag_key": key, "users": users});
    let keys = objects(&tags(server, &["keys"]).success());
    let all = [("cost-center", 1), ("env", 3), ("on-call", 1), ("team", 3)];
    assert_eq!(keys, all.map(|(name, users)| key(name, users)));
    let value =
        |value: &str, users: u64| json!({"tag_key": "team", "tag_value": value, "users": users});
    let values = objects(&tags(server, &["keys", "--tag", "team"]).success());
    assert_eq!(values, [value("payments", 2), value("search", 1)]);
    let table = tags(server, &["keys", "--tag", "team", "--output", "table"]);
    assert_eq!(
        table.success(),
        "VALUE     USERS\npayments  2\nsearch    1\n"
    );
    let none = tags(server, &["keys", "--tag", "absent", "--output", "table"]);
    assert_eq!(none.stderr, "no tags\n");
    assert_eq!(none.success(), "");
    assert_fails(&tags(server, &["keys", "--tag", "acs:x"]), 2, &["reserved"]);

    // Over several pages.
    let users = (1..=10_005).map(|id| (id, format!("u{id}@example.com")));
    let data = import_users(&sample.directory, users);
    let server = Server::start(&data, &["--default-account", SAMPLE_ACCOUNT]);
    let keys = objects(&tags(&server, &["keys"]).success());
    let team = keys.iter().find(|key| key["tag_key"] == "team");
    assert_eq!(team.unwrap()["users"], 10_005);
}

#[test]
fn people_get_tables_and_sentences() {
    let sample = Sample::start(&[]);
    let people = |arguments: &[&str]| {
        let arguments = [arguments, &["--output", "table"]].concat();
        tags(&sample.server, &arguments).success()
    };
    let table = "USER              KEY   VALUE\n2073290024939202  env   test\n2073290024939202  team  payments\n";
    assert_eq!(people(&["list", BOB]), table);
    assert_eq!(people(&["list", "--tag", "absent"]), "");
    let look = people(&["set", BOB, "env=x", "team=payments", "new=1", "--dry-run"]);
    let table = "USER              KEY  NOW     NEW\n2073290024939202  env  test    x\n2073290024939202  new  (none)  1\n";
    assert_eq!(look, table);
    assert_has(
        &people(&["set", BOB, "env=x", "new=1"]),
        &["set the tags env, new on 1 user (RequestId "],
    );
    let removed = people(&["remove", BOB, ALICE, "--tag", "env"]);
    assert_has(&removed, &["removed the tag env of 2 users (RequestId "]);
    let removed = people(&["remove", BOB, "--all", "--yes", "--allow-missing"]);
    assert_has(&removed, &["every tag of 1 user, or of those who exist"]);
    let dry = people(&["remove", BOB, "--all", "--dry-run"]);
    assert_has(
        &dry,
        &["is good and would remove 0 tags, and nothing was changed"],
    );
}

#[test]
fn a_list_has_all_pages_and_ends_quietly_where_nobody_reads() {
    let sample = Sample::start(&[]);
    let users = (1..=150).map(|id| (id, format!("u{id}@example.com")));
    let data = import_users(&sample.directory, users);
    let server = Server::start(&data, &["--default-account", SAMPLE_ACCOUNT]);
    let listed = objects(&tags(&server, &["list", "--tag", "team"]).success());
    let ids: std::collections::BTreeSet<&str> = listed
        .iter()
        .map(|tag| tag["resource_id"].as_str().unwrap())
        .collect();
    assert_eq!((listed.len(), ids.len()), (150, 150));

    let mut unread = command(&server, &["list", "--tag", "team"]);
    let mut unread = unread
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    drop(unread.stdout.take());
    let ended = unread.wait_with_output().unwrap();
    assert!(
        ended.status.success() && ended.stderr.is_empty(),
        "{ended:?}"
    );
}

#[test]
fn a_profile_names_a_service_and_its_account() {
    let sample = Sample::start(&[]);
    let file = sample.directory.path().join("client.toml");
    let address = sample.server.address;
    let here = format!("[here]\naddress = \"{address}\"\naccount = \"5\"\ntimeout = 5\n");
    fs::write(&file, format!("{here}[there]\naddress = \"127.0.0.1:1\"\n")).unwrap();
    let list = |arguments: &[&str]| {
        let mut command = untag();
        command
            .args(["tags", "list", "--tag", "env"])
            .args(arguments)
            .env("UNTAG_CLIENT_CONFIG", &file);
        Printed::of(&mut command)
    };
    assert_eq!(
        list(&["--profile", "here"]).success(),
        "",
        "another account"
    );
    let flag_wins = list(&["--profile", "here", "--account", SAMPLE_ACCOUNT]);
    assert_eq!(objects(&flag_wins.success()).len(), 3);
    assert_fails(&list(&["--profile", "there"]), 3, &["127.0.0.1:1"]);
    let none = ["no profile \"her\"", "it has here, there", "client.toml"];
    assert_fails(&list(&["--profile", "her"]), 2, &none);
    let both = list(&["--profile", "here", "--address", "127.0.0.1:1"]);
    assert_fails(&both, 2, &["cannot be used with"]);
    let unnamed = "address = \"x\"\n";
    fs::write(&file, unnamed).unwrap();
    let said = ["a profile, which begins with its [NAME]", "client.toml"];
    assert_fails(&list(&["--profile", "here"]), 2, &said);
    for (text, said) in [
        ("tls-caa = \"x\"\n", "line 5: unknown field `tls-caa`"),
        ("cert = \"x\"\n", "cert and key go together"),
        ("timeout", "line 5: "),
        (
            "[x]\naddress = \"y\"\n",
            "the profile \"x\": address: give a host",
        ),
    ] {
        fs::write(&file, format!("{here}{text}")).unwrap();
        let name = if text.starts_with("[x]") { "x" } else { "here" };
        assert_fails(&list(&["--profile", name]), 2, &[said, "client.toml"]);
    }
}
