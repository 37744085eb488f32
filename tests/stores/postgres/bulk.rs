//! Import and export.

use std::fmt::Write as _;
use std::fs;
use std::io::Read as _;
use std::os::unix::fs::FileTypeExt as _;
use std::path::Path;
use std::process::{Command, Output};

use super::harness::{database_with, import, ok_on, run_on, serve, stderr, tags_of, user_line};
use crate::support::postgres::succeed;
use crate::support::untag;

/// Many users, with what COPY and JSON have to escape in their values.
fn many_users() -> String {
    let values = [
        "",
        "plain",
        r"back\slash \N \\",
        "quote\"'",
        "tab\tline\nend\r",
        "值 ü 🦀",
        "{}[],:",
    ];
    (0..10_000)
        .map(|number| {
            let keys: Vec<String> = (0..number % 8).map(|key| format!("key\\{key} é")).collect();
            let value = |key: usize| values[(number + key) % values.len()];
            let tags: Vec<_> = keys
                .iter()
                .enumerate()
                .map(|(at, key)| (key.as_str(), value(at)))
                .collect();
            user_line(100_000 + number, &tags)
        })
        .collect()
}

fn embedded(directory: &Path, arguments: &[&str]) -> Output {
    let mut command = untag();
    command
        .args(arguments)
        .arg("--data-dir")
        .arg(directory)
        .output()
        .unwrap()
}

#[test]
fn postgres_export_has_the_same_bytes_as_the_embedded_stores() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("users");
    let users = many_users();
    fs::write(&file, &users).unwrap();
    let file = file.to_str().unwrap();

    let imported = embedded(directory.path(), &["import", file]);
    assert!(imported.status.success(), "{}", stderr(&imported));
    let from_sqlite = embedded(directory.path(), &["export"]).stdout;
    assert!(
        from_sqlite == users.as_bytes(),
        "the embedded store changed the users"
    );

    let database = database_with(&[]);
    assert_eq!(
        ok_on(&database.url(), &["import", file]),
        "imported 10000 users into PostgreSQL: 10000 created, 0 changed, 0 unchanged\n"
    );
    let from_postgres = ok_on(&database.url(), &["export"]);
    assert!(from_postgres == users, "PostgreSQL changed the users");
    // All of them again: each is replaced by itself.
    assert_eq!(
        ok_on(&database.url(), &["import", file]),
        "imported 10000 users into PostgreSQL: 0 created, 0 changed, 10000 unchanged\n"
    );
    assert!(ok_on(&database.url(), &["export"]) == users);

    let back = directory.path().join("back");
    fs::write(directory.path().join("exported"), &from_postgres).unwrap();
    let exported = directory.path().join("exported");
    let imported = embedded(&back, &["import", exported.to_str().unwrap()]);
    assert!(imported.status.success(), "{}", stderr(&imported));
    assert!(embedded(&back, &["export"]).stdout == users.as_bytes());
}

#[tokio::test]
async fn postgres_import_beside_a_server_is_served_by_it() {
    let database = database_with(&[&[("env", "old")]]);
    let server = serve(&database.url(), &[]);
    let mut client = server.client().await;
    assert_eq!(tags_of(&mut client, &[1]).await.unwrap().len(), 1);
    let users = user_line(1, &[("env", "new")]) + &user_line(2, &[]);
    import(&database.url(), &users);
    let tag = ("1".to_owned(), "env".to_owned(), "new".to_owned());
    assert_eq!(tags_of(&mut client, &[1, 2]).await.unwrap(), [tag]);
}

#[test]
fn postgres_import_leaves_the_planner_with_statistics() {
    let database = database_with(&[&[("env", "prod")]]);
    let sql = "SELECT count(*) > 0 FROM pg_stats WHERE tablename = 'resource'";
    assert_eq!(database.sql(sql), "t");
}

/// An import that has to fail and to leave what was there.
fn assert_nothing_imported(lines: &str, reason: &str) {
    let database = database_with(&[&[("env", "prod")]]);
    let before = ok_on(&database.url(), &["export"]);
    let file = tempfile::NamedTempFile::new().unwrap();
    fs::write(&file, lines).unwrap();
    let output = run_on(&database.url(), &["import", file.path().to_str().unwrap()]);
    assert!(!output.status.success());
    let said = stderr(&output);
    assert!(
        said.contains(reason) && said.contains("nothing was imported"),
        "{said}"
    );
    assert_eq!(ok_on(&database.url(), &["export"]), before);
}

#[test]
fn postgres_import_with_a_name_that_is_taken_changes_nothing() {
    let mut lines: String = (2..200).map(|id| user_line(id, &[("a", "b")])).collect();
    lines += &user_line(500, &[]).replace("user-500@", "USER-1@");
    assert_nothing_imported(&lines, "the users 1 and 500 of account");
}

#[test]
fn postgres_import_with_a_bad_line_changes_nothing() {
    // Long enough for some of it to have been sent already.
    let mut lines: String = (2..6_000).map(|id| user_line(id, &[("a", "b")])).collect();
    writeln!(lines, "{{\"account_id\":\"7\"").unwrap();
    assert_nothing_imported(&lines, "line 5999");
}

#[test]
fn postgres_export_into_a_pipe_leaves_the_pipe() {
    let database = database_with(&[&[("env", "prod")]]);
    let directory = tempfile::tempdir().unwrap();
    let pipe = directory.path().join("pipe");
    succeed(Command::new("mkfifo").arg(&pipe));
    // Open for both, so that the test does not hang where nobody writes into it.
    let mut reader = fs::File::options()
        .read(true)
        .write(true)
        .open(&pipe)
        .unwrap();
    ok_on(&database.url(), &["export", pipe.to_str().unwrap()]);
    assert!(
        fs::metadata(&pipe).unwrap().file_type().is_fifo(),
        "the pipe was replaced"
    );
    let expected = user_line(1, &[("env", "prod")]);
    let mut read = vec![0; expected.len()];
    reader.read_exact(&mut read).unwrap();
    assert_eq!(String::from_utf8(read).unwrap(), expected);
}
