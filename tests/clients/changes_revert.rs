//! `untag changes revert` against the real service.

use serde_json::{Value, json};

use crate::changes::{changes, request_id, untag};
use crate::support::ALICE;
use crate::tags::{BOB, assert_fails, objects, tags, tags_of};
use crate::tags_of_files::on_a_terminal;
use crate::{Sample, assert_has};

#[test]
fn a_revert_brings_back_what_was_removed_and_can_be_reverted_itself() {
    let sample = Sample::start(&[]);
    let server = &sample.server;
    let before = [tags_of(server, ALICE), tags_of(server, BOB)];
    let change = request_id(tags(server, &["remove", ALICE, BOB, "--all", "--yes"]));

    let dry = ["revert", &change, "--dry-run"];
    let plan = &objects(&changes(server, &dry).success())[0];
    assert_eq!(
        (
            &plan["dry_run"],
            &plan["changed_resources"],
            &plan["changed_tags"]
        ),
        (&json!(true), &json!(2), &json!(5))
    );
    assert_eq!(plan["revision"], Value::Null);
    assert_eq!(tags_of(server, BOB), [""; 0]);

    let done = objects(&changes(server, &["revert", &change, "--yes"]).success());
    assert_eq!(
        (&done[0]["dry_run"], &done[0]["revision"]),
        (&json!(false), &json!(2))
    );
    assert_eq!(done[0]["effects"], plan["effects"]);
    assert_eq!([tags_of(server, ALICE), tags_of(server, BOB)], before);

    let revert = done[0]["request_id"].as_str().unwrap();
    let again = changes(server, &["revert", revert, "--yes", "--output", "table"]).success();
    assert_has(
        &again,
        &["reverted the change: changed 5 tags of 2 users (revision 3, RequestId "],
    );
    assert_eq!(tags_of(server, ALICE), [""; 0]);
    let nothing = changes(server, &["revert", revert, "--yes", "--output", "table"]).success();
    assert_has(
        &nothing,
        &["there is nothing to revert, and nothing was changed (RequestId "],
    );
}

#[test]
fn a_user_that_was_deleted_comes_back_and_one_that_was_created_goes() {
    let sample = Sample::start(&[]);
    let server = &sample.server;
    let deleted = request_id(untag(server, &["users", "remove", BOB, "--yes"]));
    let restored = changes(server, &["revert", &deleted, "--yes", "--output", "table"]).success();
    assert_has(
        &restored,
        &["reverted the change: changed 1 user (revision 2, RequestId "],
    );
    assert_eq!(tags_of(server, BOB).len(), 2);
    let created = request_id(untag(server, &["users", "add", "dan@a.b", "--id", "5"]));
    let plan = changes(
        server,
        &["revert", &created, "--dry-run", "--output", "table"],
    )
    .success();
    assert_has(&plan, &["user 5 deleted\n  - name: dan@a.b\n"]);
    changes(server, &["revert", &created, "--yes"]).success();
    assert_eq!(untag(server, &["users", "show", "dan@a.b"]).code, Some(1));
}

#[test]
fn what_was_changed_again_is_named_with_what_to_do() {
    let sample = Sample::start(&[]);
    let server = &sample.server;
    let change = request_id(tags(server, &["remove", ALICE, BOB, "--tag", "env"]));
    tags(server, &["set", BOB, "env=hidden"]).success();
    let why = "the tag is there again with another value";
    let refused = changes(server, &["revert", &change, "--yes"]);
    let said = [
        "PreconditionFailed.Revert",
        &format!("\n  {BOB}/env: {why}"),
        "give --skip-conflicts",
    ];
    assert_fails(&refused, 1, &said);
    let dry = changes(
        server,
        &["revert", &change, "--dry-run", "--output", "table"],
    );
    assert_eq!(dry.code, Some(1));
    let table = format!("CONFLICT OF USER  TAG  WHY\n{BOB}  env  {why}\n");
    assert_has(
        &dry.stdout,
        &[&format!("user {ALICE}\n  + env = prod\n{table}")],
    );
    assert_has(
        &dry.stderr,
        &["1 conflict keeps", "--skip-conflicts", "RequestId "],
    );
    let asked = on_a_terminal(server, &format!("untag changes revert {change}"), "y\n");
    assert_eq!(asked.0, Some(1));
    assert_has(&asked.1, &[&table, "1 conflict keeps"]);
    assert!(!asked.1.contains("[y/N]"), "{}", asked.1);
    assert_eq!(tags_of(server, ALICE).len(), 2, "nothing was changed");

    let skip =
        objects(&changes(server, &["revert", &change, "--yes", "--skip-conflicts"]).success());
    let conflict =
        json!({"resource_id": BOB, "tag_key": "env", "reason": "TAG_SET_AGAIN", "message": why});
    assert_eq!(skip[0]["conflicts"], json!([conflict]));
    assert_eq!(
        (&skip[0]["changed_tags"], tags_of(server, ALICE).len()),
        (&json!(1), 3)
    );
    assert_eq!(tags_of(server, BOB)[0], "env=hidden");
    let rest = [
        "revert",
        &change,
        "--yes",
        "--skip-conflicts",
        "--output",
        "table",
    ];
    let rest = changes(server, &rest).success();
    assert_has(&rest, &[&format!("{table}there is nothing else to revert")]);
    for said in [&refused.stderr, &dry.stdout, &dry.stderr, &asked.1, &rest] {
        assert!(!said.contains("hidden"), "{said}");
    }
}

#[test]
fn before_a_revert_a_terminal_shows_what_it_will_do_and_asks() {
    let sample = Sample::start(&[]);
    let server = &sample.server;
    let change = request_id(tags(server, &["remove", BOB, "--tag", "env"]));
    let revert = format!("untag changes revert {change}");
    assert_fails(
        &changes(server, &["revert", &change]),
        2,
        &["no terminal to ask on", "--yes"],
    );
    let question = format!("user {BOB}\n  + env = test\nRevert the change {change}? [y/N] ");
    let (code, shown) = on_a_terminal(server, &revert, "n\n");
    assert_eq!(code, Some(1), "{shown}");
    assert_has(&shown, &[&question, "untag: nothing was changed"]);
    assert_eq!(tags_of(server, BOB), ["team=payments"]);
    let (code, shown) = on_a_terminal(server, &revert, "y\n");
    assert_eq!(code, Some(0), "{shown}");
    assert_has(
        &shown,
        &[
            &question,
            "reverted the change: changed 1 tag of 1 user (revision 2, ",
        ],
    );
    assert_eq!(tags_of(server, BOB).len(), 2);
    let (code, shown) = on_a_terminal(server, &revert, "y\n");
    assert_eq!(code, Some(0), "{shown}");
    assert!(shown.starts_with("there is nothing to revert"), "{shown}");
}
