//! The schema: brought up to date by `untag migrate`, and checked by everything else.

use std::process::Stdio;
use std::time::{Duration, Instant};

use super::harness::{
    fill, ok_on, refused_to_serve, remove, run_on, serve, session, stderr, tags_of, user_line,
};
use crate::support::postgres::shared;
use crate::support::{PATIENCE, untag};

#[test]
fn postgres_migrate_applies_what_is_missing_once() {
    let database = shared().database();
    assert_eq!(
        ok_on(&database.url(), &["migrate"]),
        "applied migration 1 resource\napplied migration 2 users\napplied migration 3 change log\n"
    );
    assert_eq!(
        ok_on(&database.url(), &["migrate"]),
        "the schema is up to date\n"
    );
    assert_eq!(
        database.sql("SELECT version, name FROM untag_migration ORDER BY version"),
        "1|resource\n2|users\n3|change log"
    );
}

#[test]
fn postgres_migrate_dry_run_says_what_it_would_do_and_changes_nothing() {
    let database = shared().database();
    let said = ok_on(&database.url(), &["migrate", "--dry-run"]);
    assert_eq!(
        said,
        "would apply migration 1 resource\nwould apply migration 2 users\nwould apply migration 3 change log\n"
    );
    assert_eq!(
        database.sql("SELECT count(*) FROM pg_tables WHERE schemaname = 'public'"),
        "0"
    );
    ok_on(&database.url(), &["migrate"]);
    let said = ok_on(&database.url(), &["migrate", "--dry-run"]);
    assert_eq!(said, "the schema is up to date\n");
}

#[test]
fn postgres_migrates_at_once_apply_each_migration_once() {
    let database = shared().database();
    let start = |_| {
        let mut command = untag();
        command.args(["migrate", "--store", &database.url()]);
        command
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap()
    };
    let running: Vec<_> = (0..6).map(start).collect();
    let mut said = Vec::new();
    for child in running {
        let output = child.wait_with_output().unwrap();
        assert!(output.status.success(), "{}", stderr(&output));
        said.push(String::from_utf8(output.stdout).unwrap());
    }
    said.sort();
    assert_eq!(
        said[0],
        "applied migration 1 resource\napplied migration 2 users\napplied migration 3 change log\n"
    );
    assert!(
        said[1..]
            .iter()
            .all(|said| said == "the schema is up to date\n"),
        "{said:?}"
    );
}

/// The advisory lock of migrations.
const LOCK: i64 = i64::from_be_bytes(*b"untag-db");

#[tokio::test]
async fn postgres_migrate_waits_for_another_and_only_where_there_is_something_to_do() {
    let database = shared().database();
    database.sql(&format!(
        "ALTER DATABASE {} SET lock_timeout = '50ms'",
        database.name
    ));
    let another = session(&database).await;
    let lock = format!("SELECT pg_advisory_lock({LOCK})");
    another.batch_execute(&lock).await.unwrap();
    let mut command = untag();
    command.args(["migrate", "--store", &database.url()]);
    command.stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut waiting = command.spawn().unwrap();
    let waited = "SELECT count(*) FROM pg_stat_activity WHERE wait_event = 'advisory' \
                  AND datname = current_database() AND now() - query_start > '200ms'";
    let started = Instant::now();
    while database.sql(waited) != "1" {
        let ended = waiting.try_wait().unwrap();
        assert!(ended.is_none(), "{:?}", waiting.wait_with_output());
        assert!(started.elapsed() < PATIENCE, "it does not wait");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    let unlock = format!("SELECT pg_advisory_unlock({LOCK})");
    another.batch_execute(&unlock).await.unwrap();
    let ended = waiting.wait_with_output().unwrap();
    assert!(ended.status.success(), "{}", stderr(&ended));

    // As the migration of a later program would.
    another.batch_execute(&lock).await.unwrap();
    let said = ok_on(&database.url(), &["migrate"]);
    assert_eq!(said, "the schema is up to date\n");
}

#[test]
fn postgres_empty_schema_is_refused_with_what_to_do() {
    let database = shared().database();
    let said = refused_to_serve(&database.url());
    assert!(said.contains("run `untag migrate` first"), "{said}");
    let exported = run_on(&database.url(), &["export"]);
    assert!(
        stderr(&exported).contains("run `untag migrate` first"),
        "{exported:?}"
    );
}

/// The schema as the first migration has left it, with a user.
const BEFORE_USERS: &str = concat!(
    include_str!("../../../src/store/postgres/migrations/0001_resource.sql"),
    "CREATE TABLE untag_migration (version integer PRIMARY KEY, name text NOT NULL, checksum text NOT NULL, ",
    "oldest_program integer NOT NULL, applied_at timestamptz NOT NULL DEFAULT now());",
    "INSERT INTO untag_migration VALUES (1, 'resource', ",
    "encode(sha256(convert_to($sql$",
    include_str!("../../../src/store/postgres/migrations/0001_resource.sql"),
    "$sql$, 'UTF8')), 'hex'), 1);",
    "INSERT INTO resource VALUES ('7', 'user', '1', 'user-1@example.com', '{\"env\": \"prod\"}')"
);

#[tokio::test]
async fn postgres_schema_of_before_is_migrated_with_its_users() {
    let database = shared().database();
    database.sql(BEFORE_USERS);
    let said = refused_to_serve(&database.url());
    assert!(said.contains("is at version 1"), "{said}");
    assert!(said.contains("run `untag migrate` first"), "{said}");

    // As a dump does. Whoever wants the table meanwhile would wait behind the migration.
    let reading = session(&database).await;
    let read = "BEGIN; SELECT FROM resource";
    reading.batch_execute(read).await.unwrap();
    let refused = run_on(&database.url(), &["migrate"]);
    assert!(!refused.status.success());
    let said = stderr(&refused);
    assert!(
        said.contains("nothing was changed: run `untag migrate` again"),
        "{said}"
    );
    reading.batch_execute("COMMIT").await.unwrap();

    let migrated = ok_on(&database.url(), &["migrate"]);
    assert_eq!(
        migrated,
        "applied migration 2 users\napplied migration 3 change log\n"
    );
    let exported = ok_on(&database.url(), &["export"]);
    assert_eq!(exported, user_line(1, &[("env", "prod")]));
}

#[test]
fn postgres_newer_schema_that_is_incompatible_is_refused() {
    let database = shared().database();
    ok_on(&database.url(), &["migrate"]);
    database.sql("INSERT INTO untag_migration VALUES (4, 'contract', 'unknown', 4)");
    let said = refused_to_serve(&database.url());
    assert!(said.contains("run a newer untag"), "{said}");
    let migrated = run_on(&database.url(), &["migrate"]);
    assert!(
        stderr(&migrated).contains("run a newer untag"),
        "{migrated:?}"
    );
}

#[test]
fn postgres_schema_with_a_changed_checksum_is_refused() {
    let database = shared().database();
    ok_on(&database.url(), &["migrate"]);
    database.sql("UPDATE untag_migration SET checksum = 'other' WHERE version = 1");
    let said = refused_to_serve(&database.url());
    assert!(
        said.contains("migration 1 in the database is not the one"),
        "{said}"
    );
    let migrated = run_on(&database.url(), &["migrate"]);
    assert!(
        stderr(&migrated).contains("checksums differ"),
        "{migrated:?}"
    );
}

#[tokio::test]
async fn postgres_newer_schema_that_is_compatible_is_served() {
    let database = shared().database();
    fill(&database, &[&[("env", "prod")]]);
    // As a next version that only adds would leave it.
    database.sql("ALTER TABLE resource ADD COLUMN note text; INSERT INTO untag_migration VALUES (4, 'expand', 'unknown', 1)");
    let server = serve(&database.url(), &[]);
    let mut client = server.client().await;
    remove(&mut client, &[1], &["env"]).await.unwrap();
    assert_eq!(tags_of(&mut client, &[1]).await.unwrap(), []);
    assert_eq!(
        ok_on(&database.url(), &["migrate"]),
        "the schema is up to date\n"
    );
}

#[test]
fn postgres_database_in_another_encoding_is_refused_with_what_to_do() {
    for encoding in ["LATIN1", "EUC_CN", "SQL_ASCII"] {
        let mut database = shared().database();
        database.name = format!("{}_{}", database.name, encoding.to_lowercase());
        shared().sql(
            "postgres",
            &format!(
                "CREATE DATABASE {} ENCODING '{encoding}' TEMPLATE template0 LC_COLLATE 'C' LC_CTYPE 'C'",
                database.name
            ),
        );
        let subcommands = [
            &["migrate"][..],
            &["migrate", "--dry-run"],
            &["serve"],
            &["serve", "--sample-data"],
            &["import", "/dev/null"],
            &["export"],
        ];
        for subcommand in subcommands {
            let refused = run_on(&database.url(), subcommand);
            assert!(!refused.status.success(), "{subcommand:?}");
            let said = stderr(&refused);
            let found = format!("the encoding of the database is {encoding}");
            assert!(said.contains(&found), "{subcommand:?}: {said}");
            assert!(
                said.contains("ENCODING 'UTF8' TEMPLATE template0"),
                "{said}"
            );
        }
        let tables = "SELECT count(*) FROM pg_tables WHERE schemaname = 'public'";
        assert_eq!(database.sql(tables), "0");
    }
}
