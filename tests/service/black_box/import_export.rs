//! `untag import` and `untag export`: what goes in comes out.

use std::fmt::Write as _;
use std::fs::{self, File, Permissions};
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, symlink};
use std::path::Path;
use std::process::Stdio;

use super::bulk::{export, import_file, import_stdin, import_with, stderr};
use super::home::Home;
use super::users::{
    ACCOUNT, ANN, ANN_NAME, BEN, OTHER_ACCOUNT, ask, directory, ids, line, list_as, list_request,
    names, server, tags_of, untag_request,
};

#[test]
fn ten_thousand_users_come_out_as_they_went_in() {
    let mut lines = String::new();
    for number in 0..10_000 {
        let (count, id) = (number % 21, format!("{number:05}"));
        let tags: Vec<(String, String)> = (0..count)
            .map(|tag| {
                (
                    format!("key-{tag:02}-键\"\\"),
                    format!("{number}\n\u{1f3f7}"),
                )
            })
            .collect();
        let tags: Vec<(&str, &str)> = tags
            .iter()
            .map(|(key, value)| (key.as_str(), value.as_str()))
            .collect();
        lines
            .write_str(&line(
                ACCOUNT,
                &id,
                &format!("User{number}@Example.com"),
                &tags,
            ))
            .unwrap();
    }
    let files = tempfile::tempdir().unwrap();
    let file = files.path().join("users.jsonl");
    fs::write(&file, &lines).unwrap();

    let first = Home::new();
    let imported = import_file(&first, &file);
    assert!(imported.status.success(), "{}", stderr(&imported));
    assert!(
        String::from_utf8(imported.stdout)
            .unwrap()
            .starts_with("imported 10000 users into")
    );
    let exported = export(&first);
    let users = |text: &str| -> Vec<serde_json::Value> {
        text.lines()
            .map(|line| serde_json::from_str(line).unwrap())
            .collect()
    };
    assert!(
        users(&exported) == users(&lines),
        "in order of id, every tag and the case of every name kept"
    );

    let second = Home::new();
    let imported = import_stdin(&second, exported.as_bytes());
    assert!(imported.status.success(), "{}", stderr(&imported));
    assert!(
        export(&second) == exported,
        "an export of an import of an export is the same, byte for byte"
    );
}

#[test]
fn export_to_a_file_replaces_it_and_leaves_nothing_beside_it() {
    let home = directory();
    let out = tempfile::tempdir().unwrap();
    let file = out.path().join("users.jsonl");
    fs::write(&file, "old").unwrap();
    let output = home.command("export").arg(&file).output().unwrap();
    assert!(output.status.success());
    assert!(
        stderr(&output).starts_with("exported 4 users from"),
        "{}",
        stderr(&output)
    );
    assert_eq!(fs::read_to_string(&file).unwrap(), export(&home));
    assert_eq!(fs::read_dir(out.path()).unwrap().count(), 1);

    let nowhere = out.path().join("missing").join("users.jsonl");
    let output = home.command("export").arg(&nowhere).output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    assert!(
        stderr(&output).contains("cannot write"),
        "{}",
        stderr(&output)
    );
}

#[test]
fn exports_to_one_file_at_once_each_leave_it_whole() {
    let home = Home::new();
    let users = (0..5_000).map(|number| {
        let name = format!("user{number}@example.com");
        line(ACCOUNT, &format!("{number:05}"), &name, &[("k", "v")])
    });
    home.import(&users.collect::<String>());
    let out = tempfile::tempdir().unwrap();
    let file = out.path().join("users.jsonl");
    let of_another_program = out.path().join("users.jsonl.partial");
    fs::write(&of_another_program, "mine").unwrap();
    let exports = [(); 4].map(|()| {
        let mut export = home.command("export");
        export.arg(&file).stderr(Stdio::null()).spawn().unwrap()
    });
    let whole = export(&home);
    for mut export in exports {
        assert!(export.wait().unwrap().success());
        assert!(fs::read_to_string(&file).unwrap() == whole);
    }
    assert_eq!(fs::read_to_string(&of_another_program).unwrap(), "mine");
    assert_eq!(fs::read_dir(out.path()).unwrap().count(), 2);
}

#[test]
fn export_keeps_the_mode_of_the_file_and_the_link_to_it() {
    let home = directory();
    let out = tempfile::tempdir().unwrap();
    let (links, files) = (out.path().join("links"), out.path().join("files"));
    fs::create_dir(&links).unwrap();
    fs::create_dir(&files).unwrap();
    let old = files.join("old");
    fs::write(&old, "old").unwrap();
    fs::set_permissions(&old, Permissions::from_mode(0o604)).unwrap();
    // What a program makes that asks for no mode.
    let usual = File::create(out.path().join("usual")).unwrap();
    let usual = usual.metadata().unwrap().mode() & 0o777;
    for (name, mode) in [("old", 0o604), ("new", usual)] {
        let (link, file) = (links.join(name), files.join(name));
        symlink(Path::new("../files").join(name), &link).unwrap();
        let output = home.command("export").arg(&link).output().unwrap();
        assert!(output.status.success(), "{name}: {}", stderr(&output));
        assert!(fs::symlink_metadata(&link).unwrap().is_symlink(), "{name}");
        assert_eq!(fs::read_to_string(&file).unwrap(), export(&home));
        assert_eq!(fs::metadata(&file).unwrap().mode() & 0o777, mode, "{name}");
    }
    assert_eq!(fs::read_dir(&links).unwrap().count(), 2);
    assert_eq!(fs::read_dir(&files).unwrap().count(), 2);
}

#[test]
fn import_that_replaces_tags_replaces_the_users_it_names_and_leaves_the_others() {
    let home = directory();
    let lines = line(ACCOUNT, ANN, "ann@new.example", &[("only", "this")]);
    let replaced = import_with(&home, &["--mode", "replace-tags"], lines.as_bytes());
    assert!(replaced.status.success());
    let exported = export(&home);
    assert_eq!(exported.lines().count(), 4);
    assert!(
        exported
            .lines()
            .any(|exported| format!("{exported}\n") == reordered(&lines)),
        "{exported}"
    );
    assert!(
        exported.contains(r#""env":"test""#) && exported.contains(r#""env":"other""#),
        "{exported}"
    );
}

#[test]
fn lines_may_begin_with_a_byte_order_mark() {
    let home = Home::new();
    let lines = ["1", "2"].map(|id| {
        let user = line(ACCOUNT, id, &format!("u{id}@x"), &[]);
        format!("\u{feff}{user}\u{feff}\n")
    });
    let output = import_stdin(&home, lines.concat().as_bytes());
    assert!(output.status.success(), "{}", stderr(&output));
    assert_eq!(named(&home).len(), 2);
}

/// The users of a store, as account, id and name.
fn named(home: &Home) -> Vec<[String; 3]> {
    let users = export(home);
    let users = users.lines().map(|line| {
        let user: serde_json::Value = serde_json::from_str(line).unwrap();
        ["account_id", "resource_id", "principal_name"]
            .map(|field| user[field].as_str().unwrap().to_owned())
    });
    users.collect()
}

/// Users by id and name.
type Users = &'static [(&'static str, &'static str)];

#[test]
fn names_pass_from_one_user_to_another_in_an_import() {
    let given = |users: &[(&str, &str)]| -> String {
        let lines = users.iter().map(|(id, name)| line(ACCOUNT, id, name, &[]));
        lines.collect()
    };
    let cases: [(&str, Users, Users); 6] = [
        (
            "a swap",
            &[("1", "b@x"), ("2", "a@x")],
            &[("1", "b@x"), ("2", "a@x"), ("3", "c@x")],
        ),
        (
            "a chain",
            &[("1", "b@x"), ("2", "d@x")],
            &[("1", "b@x"), ("2", "d@x"), ("3", "c@x")],
        ),
        (
            "round, in another case, and to a new user",
            &[("0", "A@x"), ("1", "B@x"), ("2", "C@x"), ("3", "d@x")],
            &[("0", "A@x"), ("1", "B@x"), ("2", "C@x"), ("3", "d@x")],
        ),
        (
            "by a line that a later one replaces",
            &[("1", "b@x"), ("1", "d@x")],
            &[("1", "d@x"), ("2", "b@x"), ("3", "c@x")],
        ),
        (
            "back and forth",
            &[("1", "b@x"), ("2", "d@x"), ("1", "a@x"), ("2", "b@x")],
            &[("1", "a@x"), ("2", "b@x"), ("3", "c@x")],
        ),
        (
            "only its case",
            &[("1", "A@X")],
            &[("1", "A@X"), ("2", "b@x"), ("3", "c@x")],
        ),
    ];
    for (what, lines, after) in cases {
        let home = Home::new();
        let other = line(OTHER_ACCOUNT, "1", "b@x", &[]);
        home.import(&(given(&[("1", "a@x"), ("2", "b@x"), ("3", "c@x")]) + &other));
        let output = import_stdin(&home, given(lines).as_bytes());
        assert!(output.status.success(), "{what}: {}", stderr(&output));
        let of_account = after
            .iter()
            .map(|(id, name)| [ACCOUNT, id, name].map(str::to_owned));
        let other = [OTHER_ACCOUNT, "1", "b@x"].map(str::to_owned);
        assert_eq!(
            named(&home),
            of_account.chain([other]).collect::<Vec<_>>(),
            "{what}"
        );
    }
}

#[tokio::test]
async fn users_who_have_swapped_names_are_found_by_them() {
    let home = directory();
    let lines = [
        line(ACCOUNT, ANN, "ben@example.com", &[("env", "ben")]),
        line(ACCOUNT, BEN, ANN_NAME, &[("env", "ann")]),
    ];
    home.import(&lines.concat());
    let server = home.serve(&[]);
    let client = &mut server.client().await;
    let found = list_as(client, ACCOUNT, list_request(names([ANN_NAME]))).await;
    assert_eq!(found.unwrap(), [format!("{BEN} env=ann")]);
}

#[test]
fn the_last_line_of_a_user_counts_and_the_user_counts_once() {
    let home = directory();
    let lines = [
        line(ACCOUNT, ANN, ANN_NAME, &[("env", "first")]),
        line(ACCOUNT, "9", "i@j", &[]),
        line(OTHER_ACCOUNT, ANN, ANN_NAME, &[]),
        line(ACCOUNT, ANN, ANN_NAME, &[("env", "last")]),
    ];
    let output = import_stdin(&home, lines.concat().as_bytes());
    let said = String::from_utf8(output.stdout).unwrap();
    assert!(said.starts_with("imported 3 users into"), "{said}");
    let exported = export(&home);
    assert!(
        exported.contains(r#""env":"last","team":"a""#),
        "{exported}"
    );
    assert!(!exported.contains("first"), "{exported}");
}

/// A line with its fields in the order of an export.
fn reordered(line: &str) -> String {
    let user: serde_json::Value = serde_json::from_str(line).unwrap();
    let field = |name: &str| format!("{}:{}", serde_json::json!(name), user[name]);
    let fields = [
        "account_id",
        "resource_type",
        "resource_id",
        "principal_name",
        "tags",
    ]
    .map(field);
    format!("{{{}}}\n", fields.join(","))
}

#[test]
fn an_import_of_nothing_is_none() {
    let home = directory();
    let before = export(&home);
    let output = import_stdin(&home, b"\n \n");
    assert!(output.status.success());
    assert_eq!(export(&home), before);
    let missing = import_file(&home, Path::new("missing.jsonl"));
    assert_eq!(missing.status.code(), Some(1));
    assert!(
        stderr(&missing).contains("missing.jsonl"),
        "{}",
        stderr(&missing)
    );
}

#[tokio::test]
async fn export_works_beside_a_server_and_has_what_was_answered() {
    let (server, home) = server(&[]);
    let client = &mut server.client().await;
    client
        .untag_resources(ask(untag_request(ids([BEN]), &["env"])))
        .await
        .unwrap();
    let exported = export(&home);
    assert_eq!(exported.lines().count(), 4, "{exported}");
    assert!(!exported.contains(r#""env":"test""#), "{exported}");
    client
        .untag_resources(ask(untag_request(ids([ANN]), &["env"])))
        .await
        .expect("the server goes on");
}

#[tokio::test]
async fn imported_users_are_served() {
    let files = tempfile::tempdir().unwrap();
    let file = files.path().join("users.jsonl");
    let lines = [
        line(ACCOUNT, "9", "i@j", &[("k", "v")]),
        line(OTHER_ACCOUNT, "9", "i@j", &[]),
    ]
    .concat();
    // The last line needs no line feed.
    fs::write(&file, lines.trim_end()).unwrap();
    let home = Home::new();
    assert!(import_file(&home, &file).status.success());
    let server = home.serve(&[]);
    assert_eq!(tags_of(&mut server.client().await, "9").await, ["9 k=v"]);
}
