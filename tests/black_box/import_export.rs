//! `untag import` and `untag export`.

use std::fmt::Write as _;
use std::fs;
use std::io::Write as _;
use std::path::Path;
use std::process::{Command, Output, Stdio};

use crate::support::{Server, untag};
use crate::users::{
    ACCOUNT, ANN, BEN, OTHER_ACCOUNT, ask, directory, ids, line, server, tags_of, untag_request,
};

fn command(name: &str, data: &Path, file: &Path) -> Command {
    let mut command = untag();
    command.arg(name).arg("--data-dir").arg(data).arg(file);
    command
}

fn import_file(data: &Path, file: &Path) -> Output {
    command("import", data, file).output().unwrap()
}

fn import_stdin(data: &Path, lines: &[u8]) -> Output {
    let mut command = command("import", data, Path::new("-"));
    command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    // An import that has refused an earlier line reads no more.
    let _ = child.stdin.take().unwrap().write_all(lines);
    child.wait_with_output().unwrap()
}

fn export(data: &Path) -> String {
    let output = command("export", data, Path::new("-")).output().unwrap();
    assert!(output.status.success(), "{}", stderr(&output));
    String::from_utf8(output.stdout).unwrap()
}

fn stderr(output: &Output) -> String {
    String::from_utf8(output.stderr.clone()).unwrap()
}

#[test]
fn ten_thousand_users_come_out_as_they_went_in() {
    let directory = tempfile::tempdir().unwrap();
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
    let file = directory.path().join("users.jsonl");
    fs::write(&file, &lines).unwrap();

    let first = directory.path().join("first");
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

    let second = directory.path().join("second");
    let imported = import_stdin(&second, exported.as_bytes());
    assert!(imported.status.success(), "{}", stderr(&imported));
    assert!(
        export(&second) == exported,
        "an export of an import of an export is the same, byte for byte"
    );
}

#[test]
fn export_to_a_file_replaces_it_and_leaves_nothing_beside_it() {
    let data = directory();
    let out = tempfile::tempdir().unwrap();
    let file = out.path().join("users.jsonl");
    fs::write(&file, "old").unwrap();
    let output = command("export", data.path(), &file).output().unwrap();
    assert!(output.status.success());
    assert!(
        stderr(&output).starts_with("exported 4 users from"),
        "{}",
        stderr(&output)
    );
    assert_eq!(fs::read_to_string(&file).unwrap(), export(data.path()));
    assert_eq!(fs::read_dir(out.path()).unwrap().count(), 1);

    let nowhere = out.path().join("missing").join("users.jsonl");
    let output = command("export", data.path(), &nowhere).output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    assert!(
        stderr(&output).contains("cannot write"),
        "{}",
        stderr(&output)
    );
}

#[test]
fn export_of_a_directory_without_a_store_fails_and_makes_none() {
    let empty = tempfile::tempdir().unwrap();
    for data in [empty.path().to_owned(), empty.path().join("missing")] {
        let output = command("export", &data, Path::new("-")).output().unwrap();
        assert_eq!(output.status.code(), Some(1));
        assert!(
            stderr(&output).contains("there is no untag.db"),
            "{}",
            stderr(&output)
        );
    }
    assert_eq!(fs::read_dir(empty.path()).unwrap().count(), 0);
}

/// Lines that can't be imported: what is wrong, the line, and what the error names.
fn bad_lines() -> Vec<(&'static str, Vec<u8>, &'static str)> {
    let user = |id: &str, name: &str, tags: &str| {
        format!(
            r#"{{"account_id":"1001","resource_id":"{id}","principal_name":"{name}","tags":{tags}}}"#
        )
    };
    let many: Vec<String> = (0..21)
        .map(|number| format!(r#""k{number}":"v""#))
        .collect();
    let text = |line: String| line.into_bytes();
    let mut long = text(user("2", "b@c", "{}"));
    long.resize(70_000, b' ');
    vec![
        ("no JSON", b"{nonsense".to_vec(), "not a user as JSON"),
        ("no object", b"[]".to_vec(), "not a user as JSON"),
        (
            "cut off",
            b"{\"account_id\":\"1001\"".to_vec(),
            "not a user as JSON",
        ),
        (
            "not UTF-8",
            b"{\"account_id\":\"\xff\"}".to_vec(),
            "not a user as JSON",
        ),
        (
            "a field is missing",
            b"{\"account_id\":\"1001\"}".to_vec(),
            "missing field",
        ),
        (
            "unknown field",
            text(user("2", "b@c", "{}").replace("tags", "labels")),
            "unknown field `labels`",
        ),
        (
            "two users",
            text(user("2", "b@c", "{}").repeat(2)),
            "trailing characters",
        ),
        (
            "bad account",
            text(user("2", "b@c", "{}").replace("1001", "me")),
            "account_id \"me\"",
        ),
        (
            "bad id",
            text(user("2a", "b@c", "{}")),
            "resource_id \"2a\"",
        ),
        (
            "bad name",
            text(user("2", "b", "{}")),
            "principal_name \"b\"",
        ),
        (
            "bad type",
            text(user("2", "b@c", r#"{},"resource_type":"group""#)),
            "resource_type \"group\"",
        ),
        (
            "bad key",
            text(user("2", "b@c", r#"{"acs:x":"v"}"#)),
            "tag key \"acs:x\"",
        ),
        (
            "bad value",
            text(user("2", "b@c", r#"{"k":"http://x"}"#)),
            "the value of tag key \"k\"",
        ),
        (
            "the same key twice",
            text(user("2", "b@c", r#"{"k":"1","k":"2"}"#)),
            "the tag key \"k\" stands twice",
        ),
        (
            "21 tags",
            text(user("2", "b@c", &format!("{{{}}}", many.join(",")))),
            "at most 20 tags",
        ),
        ("too long", long, "longer than 65536 bytes"),
    ]
}

#[test]
fn a_bad_line_is_named_by_its_number_and_nothing_is_imported() {
    let data = directory();
    let before = export(data.path());
    for (what, bad, named) in bad_lines() {
        let good = line(ACCOUNT, "1", "a@b", &[("k", "v")]);
        // The empty line counts, and the last line would be good.
        let lines = [
            good.as_bytes(),
            b"\n",
            &bad,
            b"\n",
            line(ACCOUNT, "3", "c@d", &[]).as_bytes(),
        ]
        .concat();
        let output = import_stdin(data.path(), &lines);
        assert_eq!(output.status.code(), Some(1), "{what}");
        let said = stderr(&output);
        assert!(
            said.contains("line 3: ") && said.contains(named),
            "{what}: {said}"
        );
        assert!(said.contains("nothing was imported"), "{what}: {said}");
        assert_eq!(export(data.path()), before, "{what}");
    }
}

#[test]
fn a_name_that_another_user_has_is_refused_whatever_its_case() {
    let data = directory();
    let before = export(data.path());
    let taken = line(ACCOUNT, "777", "ANN.LEE@example.com", &[]);
    let lines = [line(ACCOUNT, "1", "a@b", &[]), taken].concat();
    let output = import_stdin(data.path(), lines.as_bytes());
    assert_eq!(output.status.code(), Some(1));
    let said = stderr(&output);
    assert!(
        said.contains("resource 2 (ANN.LEE@example.com)") && said.contains(ACCOUNT),
        "{said}"
    );
    assert!(said.contains("nothing was imported"), "{said}");
    assert_eq!(export(data.path()), before);

    let of_another_account = line("1003", "777", "ANN.LEE@example.com", &[]);
    assert!(
        import_stdin(data.path(), of_another_account.as_bytes())
            .status
            .success()
    );
}

#[test]
fn import_replaces_the_users_it_names_and_leaves_the_others() {
    let data = directory();
    let lines = line(ACCOUNT, ANN, "ann@new.example", &[("only", "this")]);
    assert!(import_stdin(data.path(), lines.as_bytes()).status.success());
    let exported = export(data.path());
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
    let data = directory();
    let before = export(data.path());
    let output = import_stdin(data.path(), b"\n \n");
    assert!(output.status.success());
    assert_eq!(export(data.path()), before);
    let missing = import_file(data.path(), &data.path().join("missing.jsonl"));
    assert_eq!(missing.status.code(), Some(1));
    assert!(
        stderr(&missing).contains("missing.jsonl"),
        "{}",
        stderr(&missing)
    );
}

#[tokio::test]
async fn beside_a_server_import_is_refused_and_export_works() {
    let (server, data) = server(&[]);
    let client = &mut server.client().await;
    client
        .untag_resources(ask(untag_request(ids([BEN]), &["env"])))
        .await
        .unwrap();

    let refused = import_stdin(data.path(), line(ACCOUNT, "1", "a@b", &[]).as_bytes());
    assert_eq!(refused.status.code(), Some(1));
    assert!(
        stderr(&refused).contains("in use by another untag process"),
        "{}",
        stderr(&refused)
    );

    let exported = export(data.path());
    assert_eq!(exported.lines().count(), 4, "{exported}");
    assert!(
        !exported.contains(r#""env":"test""#),
        "what was answered is in it: {exported}"
    );
    client
        .untag_resources(ask(untag_request(ids([ANN]), &["env"])))
        .await
        .expect("the server goes on");
}

#[tokio::test]
async fn imported_users_are_served() {
    let data = tempfile::tempdir().unwrap();
    let file = data.path().join("users.jsonl");
    let lines = [
        line(ACCOUNT, "9", "i@j", &[("k", "v")]),
        line(OTHER_ACCOUNT, "9", "i@j", &[]),
    ]
    .concat();
    // The last line needs no line feed.
    fs::write(&file, lines.trim_end()).unwrap();
    assert!(import_file(data.path(), &file).status.success());
    let server = Server::start(data.path(), &[]);
    assert_eq!(tags_of(&mut server.client().await, "9").await, ["9 k=v"]);
}
