//! Stores of older versions of the schema. `fixtures/version-2.db` is one that the last program of version 2 has left: of its tags,
//! some are removed by tombstones that lie in the table still. `fixtures/version-2.jsonl` is what that program exported of it.

use std::path::Path;

use rusqlite::Connection;
use serde_json::Value;
use tempfile::TempDir;

use super::harness::{ACCOUNT, Client, Data, need};
use crate::support::{PATIENCE, Server, run, untag, wrapper};

const VERSION_2: &[u8] = include_bytes!("fixtures/version-2.db");
const EXPORT: &str = include_str!("fixtures/version-2.jsonl");

/// A data directory with a store of version 2.
fn version_2() -> TempDir {
    let directory = tempfile::tempdir().unwrap();
    std::fs::write(directory.path().join("untag.db"), VERSION_2).unwrap();
    directory
}

fn database(directory: &Path) -> Vec<u8> {
    std::fs::read(directory.join("untag.db")).unwrap()
}

/// What a subcommand prints: on stdout where it succeeds, and on stderr where it fails.
fn subcommand(name: &str, directory: &Path, arguments: &[&str]) -> Result<String, String> {
    let all = [
        &[name, "--data-dir", directory.to_str().unwrap()],
        arguments,
    ]
    .concat();
    let output = run(&all);
    if output.status.success() {
        Ok(String::from_utf8(output.stdout).unwrap())
    } else {
        Err(String::from_utf8(output.stderr).unwrap())
    }
}

fn export(directory: &Path) -> String {
    subcommand("export", directory, &[]).unwrap()
}

#[tokio::test]
async fn sqlite_store_of_version_2_is_migrated_and_served_as_it_was() {
    let data = version_2();
    let arguments = ["--default-account", ACCOUNT];
    let mut server = Server::start(data.path(), &arguments);
    let client = Client::of(&server).await;
    for version in 3..=5 {
        let has_begun =
            |line: &Value| line["message"] == "migrating the store" && line["version"] == version;
        assert_eq!(server.count_in_log(has_begun), 1, "{version}");
        let is_done = |line: &Value| {
            line["message"] == "the store is migrated"
                && line["from"] == version - 1
                && line["to"] == version
                && line["seconds"].is_number()
        };
        assert_eq!(server.count_in_log(is_done), 1, "{version}");
    }

    assert_eq!(export(data.path()), EXPORT);
    let mut users = 0;
    for line in EXPORT.lines() {
        let user: Value = serde_json::from_str(line).unwrap();
        if user["account_id"] != ACCOUNT {
            continue;
        }
        let id = user["resource_id"].as_str().unwrap();
        let mut keys: Vec<_> = user["tags"].as_object().unwrap().keys().cloned().collect();
        keys.sort();
        assert_eq!(client.keys(id).await, keys, "of {id}");
        users += 1;
    }
    assert_eq!(users, 17);
    server.signal("TERM");
    assert!(server.wait(PATIENCE).success());

    let server = Server::start(data.path(), &arguments);
    assert_eq!(
        server.count_in_log(|line| line["message"] == "the store is migrated"),
        0
    );
    assert_eq!(export(data.path()), EXPORT);
}

#[test]
fn sqlite_migrate_brings_version_2_up_to_date_and_a_dry_run_changes_no_byte() {
    let data = version_2();
    let would = subcommand("migrate", data.path(), &["--dry-run"]).unwrap();
    assert_eq!(
        would,
        "would apply migration 3 deleted_user\nwould apply migration 4 change_log\nwould apply migration 5 audit_position\n"
    );
    let refused = subcommand("export", data.path(), &[]).unwrap_err();
    for word in ["untag.db has schema version 2", "run `untag migrate`"] {
        assert!(refused.contains(word), "{word:?} is not in {refused}");
    }
    assert!(
        database(data.path()) == VERSION_2,
        "the file has been changed"
    );

    let applied = subcommand("migrate", data.path(), &[]).unwrap();
    assert_eq!(
        applied,
        "applied migration 3 deleted_user\napplied migration 4 change_log\napplied migration 5 audit_position\n"
    );
    let again = subcommand("migrate", data.path(), &[]).unwrap();
    assert!(again.contains("up to date: version 5"), "{again}");
    assert_eq!(export(data.path()), EXPORT);
}

#[test]
fn sqlite_migrate_of_a_store_in_use_is_refused() {
    let data = version_2();
    let lock = std::fs::File::create(data.path().join("untag.lock")).unwrap();
    lock.lock().unwrap();
    let refused = subcommand("migrate", data.path(), &[]).unwrap_err();
    assert!(
        refused.contains("in use by another untag process"),
        "{refused}"
    );
    assert!(
        database(data.path()) == VERSION_2,
        "the file has been changed"
    );
}

#[test]
fn sqlite_import_migrates_the_store_that_it_writes_to() {
    let data = version_2();
    subcommand("import", data.path(), &["/dev/null"]).unwrap();
    assert_eq!(export(data.path()), EXPORT);
}

/// Every table and index with the text of its definition, and the settings of the file.
fn schema(directory: &Path) -> Vec<(String, Option<String>)> {
    let connection = Connection::open(directory.join("untag.db")).unwrap();
    let select = "SELECT name, sql FROM sqlite_schema ORDER BY name";
    let mut statement = connection.prepare(select).unwrap();
    let rows = statement.query_map([], |row| Ok((row.get(0)?, row.get(1)?)));
    let mut schema: Vec<_> = rows.unwrap().map(Result::unwrap).collect();
    for setting in [
        "application_id",
        "user_version",
        "page_size",
        "journal_mode",
    ] {
        let select = format!("SELECT CAST({setting} AS TEXT) FROM pragma_{setting}");
        let value = connection.query_row(&select, [], |row| row.get(0));
        schema.push((setting.to_owned(), value.unwrap()));
    }
    schema
}

#[test]
fn sqlite_store_that_was_migrated_has_the_schema_of_a_new_one() {
    let migrated = version_2();
    subcommand("migrate", migrated.path(), &[]).unwrap();
    let new = Data::with_users(1);
    for directory in [migrated.path(), new.path()] {
        let connection = Connection::open(directory.join("untag.db")).unwrap();
        let check = connection.pragma_query_value(None, "integrity_check", |row| row.get(0));
        assert_eq!(check, Ok("ok".to_owned()));
    }
    assert_eq!(schema(migrated.path()), schema(new.path()));
}

#[test]
fn sqlite_migration_that_is_killed_at_any_write_goes_on_at_the_next_start() {
    need("strace", "strace");
    let program = untag();
    let mut killed = 0;
    loop {
        let data = version_2();
        let inject = format!("inject=pwrite64:signal=KILL:when={}", killed + 1);
        let ended = wrapper("strace", &program)
            .args([
                "-f",
                "-q",
                "-o",
                "/dev/null",
                "-e",
                "trace=pwrite64",
                "-e",
                &inject,
            ])
            .arg(program.get_program())
            .args(["migrate", "--data-dir"])
            .arg(data.path())
            .output()
            .unwrap();
        if ended.status.success() {
            break;
        }
        killed += 1;
        let rest = subcommand("migrate", data.path(), &[]).unwrap();
        let is_whole = ["applied migration 5", "up to date: version 5"];
        assert!(is_whole.iter().any(|whole| rest.contains(whole)), "{rest}");
        assert_eq!(export(data.path()), EXPORT, "after write {killed}");
    }
    assert!(killed > 5, "{killed} writes: nothing was tested");
}
