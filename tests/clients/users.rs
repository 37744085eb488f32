//! `untag users` against the real service.

use serde_json::json;

use crate::support::{ALICE, Server};
use crate::tags::{BOB, assert_fails, client_command, objects};
use crate::{Printed, Sample};

const CAROL: &str = "2073290024939203";
const DAN: &str = "2073290024939210";

fn users(server: &Server, arguments: &[&str]) -> Printed {
    Printed::of(&mut client_command(
        server,
        &[&["users"], arguments].concat(),
    ))
}

/// The ids of the users that a list has.
fn listed(server: &Server, arguments: &[&str]) -> Vec<String> {
    let listed = objects(&users(server, &[&["list"], arguments].concat()).success());
    let id = |user: &serde_json::Value| user["resource_id"].as_str().unwrap().to_owned();
    listed.iter().map(id).collect()
}

#[test]
fn users_are_listed_by_name_and_by_tag() {
    let sample = Sample::start(&[]);
    let server = &sample.server;
    users(server, &["add", "dan@example.onaliyun.com", "--id", DAN]).success();
    assert_eq!(listed(server, &[]), [ALICE, BOB, CAROL, DAN]);
    assert_eq!(listed(server, &["--name-prefix", "ALI"]), [ALICE]);
    assert_eq!(listed(server, &["--tag", "team"]), [ALICE, BOB, CAROL]);
    assert_eq!(listed(server, &["--tag", "env=prod"]), [ALICE, CAROL]);
    assert_eq!(listed(server, &["--tag", "on-call="]), [CAROL]);
    assert_eq!(
        listed(server, &["--tag", "env=prod", "--name-prefix", "c"]),
        [CAROL]
    );
    assert_eq!(listed(server, &["--untagged"]), [DAN]);
    users(server, &["remove", DAN, "--yes"]).success();
    assert_eq!(listed(server, &["--untagged"]), Vec::<String>::new());
    assert_eq!(listed(server, &["--untagged", "--deleted"]), [DAN]);
    let both = users(server, &["list", "--tag", "env", "--untagged"]);
    assert_fails(&both, 2, &["--tag", "--untagged"]);
    let wrong = users(server, &["list", "--tag", "aliyun-env=secret"]);
    assert_fails(&wrong, 2, &["aliyun-env"]);
    assert!(!wrong.stderr.contains("secret"), "{}", wrong.stderr);
    let wrong = users(server, &["list", "--name-prefix", "a b"]);
    assert_fails(&wrong, 2, &["a b"]);
}

#[test]
fn a_user_is_added_renamed_removed_and_restored() {
    let sample = Sample::start(&[]);
    let server = &sample.server;
    let added = users(
        server,
        &[
            "add",
            "dan@example.onaliyun.com",
            "--tag",
            "env=test",
            "--comments",
            "on call",
        ],
    );
    let added = objects(&added.success());
    let id = added[0]["user"]["resource_id"].as_str().unwrap();
    let show = |user: &str| objects(&users(server, &["show", user]).success()).remove(0);
    let shown = show("dan@example.onaliyun.com");
    assert_eq!(
        (&shown["resource_id"], &shown["display_name"]),
        (&json!(id), &json!("dan"))
    );
    assert_eq!(
        (&shown["tags"], &shown["comments"]),
        (&json!({"env": "test"}), &json!("on call"))
    );
    let arguments = [
        "rename",
        id,
        "daniel@example.onaliyun.com",
        "--comments",
        "",
    ];
    users(server, &arguments).success();
    assert_fails(
        &users(server, &["show", "dan@example.onaliyun.com"]),
        1,
        &["dan@example.onaliyun.com"],
    );
    let shown = show("daniel@example.onaliyun.com");
    assert_eq!(
        (&shown["resource_id"], shown.get("comments")),
        (&json!(id), None)
    );
    // Where nobody can be asked, it has to be said.
    assert_fails(&users(server, &["remove", id]), 2, &["--yes"]);
    users(server, &["remove", id, "--yes"]).success();
    assert!(show(id)["delete_time"].is_string());
    // Its name is free, and somebody else gets it.
    users(server, &["add", "daniel@example.onaliyun.com"]).success();
    let taken = users(server, &["restore", id]);
    assert_fails(&taken, 1, &[id, "RequestId"]);
    users(server, &["restore", id, "dan@example.onaliyun.com"]).success();
    let shown = show(id);
    assert_eq!(
        (&shown["principal_name"], &shown["tags"]),
        (&json!("dan@example.onaliyun.com"), &json!({"env": "test"}))
    );
}
