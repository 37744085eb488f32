//! Files and directories that the service must not touch, or not trust.

use std::collections::BTreeSet;

use futures_util::FutureExt as _;
use futures_util::future::join_all;
use rusqlite::Connection;
use tonic::Code;
use tonic_types::StatusExt as _;
use untag::store::sqlite::{Options, SqliteStore};
use untag::store::{Store, StoreError};

use super::harness::{Client, Data, refused, untag_command};
use crate::support::{origin, untag};

fn file_names(data: &Data) -> BTreeSet<String> {
    let entries = std::fs::read_dir(data.path()).unwrap();
    entries
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect()
}

/// Every subcommand that opens the file must refuse it in these words, and leave it as it is.
fn assert_refused_unchanged(data: &Data, words: &[&str]) {
    let bytes = data.bytes();
    let import = data.subcommand("import", &["/dev/null"]).unwrap_err();
    let export = data.subcommand("export", &[]).unwrap_err();
    let migrate = data.subcommand("migrate", &[]).unwrap_err();
    let dry_run = data.subcommand("migrate", &["--dry-run"]).unwrap_err();
    for said in [data.serve_refused(), import, export, migrate, dry_run] {
        for word in words.iter().chain(&["untag.db"]) {
            assert!(said.contains(word), "{word:?} is not in {said}");
        }
    }
    assert!(data.bytes() == bytes, "the file has been changed");
    let names = file_names(data);
    let expected = ["audit.jsonl", "untag.db", "untag.lock"];
    assert_eq!(names, expected.map(String::from).into());
}

#[test]
fn sqlite_file_of_another_schema_version_is_refused_unchanged() {
    for version in [1, 99] {
        let data = Data::with_users(3);
        data.connect()
            .pragma_update(None, "user_version", version)
            .unwrap();
        let found = format!("schema version {version}");
        let words = [
            &found,
            "versions 2 to 5 only",
            "use the version of untag that wrote it",
        ];
        assert_refused_unchanged(&data, &words);
    }
}

#[test]
fn sqlite_file_that_is_no_database_is_refused_unchanged() {
    let data = Data::with_users(3);
    let csv = b"id,name\n1,alice\n".repeat(1000);
    // Zeros are what some file systems leave of a file after a power cut.
    for garbage in [csv, b"hello".to_vec(), vec![0; 8192]] {
        std::fs::write(data.database(), garbage).unwrap();
        assert_refused_unchanged(&data, &["damaged or not an SQLite database", "backup"]);
    }
}

#[test]
fn sqlite_file_that_is_cut_short_is_refused_unchanged() {
    let data = Data::with_users(100);
    let bytes = data.bytes();
    std::fs::write(data.database(), &bytes[..bytes.len() / 2]).unwrap();
    assert_refused_unchanged(&data, &["damaged or not an SQLite database", "backup"]);
}

#[test]
fn sqlite_file_of_another_program_is_refused_unchanged() {
    for application_id in [0, 0x4750_4b47] {
        let data = Data::with_users(0);
        std::fs::remove_file(data.database()).unwrap();
        let other = Connection::open(data.database()).unwrap();
        other
            .execute_batch("CREATE TABLE notes (note TEXT); INSERT INTO notes VALUES ('mine');")
            .unwrap();
        other
            .pragma_update(None, "application_id", application_id)
            .unwrap();
        drop(other);
        let id = format!("application id {application_id:#x}");
        assert_refused_unchanged(&data, &["another program", &id]);
    }
}

#[test]
fn sqlite_data_directory_that_is_a_file_is_refused() {
    let file = tempfile::NamedTempFile::new().unwrap();
    let mut command = untag();
    command.args(["serve", "--data-dir"]).arg(file.path());
    let said = refused(command);
    assert!(said.contains("cannot use the data directory"), "{said}");
    assert!(said.contains("--data-dir"), "{said}");
}

#[test]
fn sqlite_linked_here_cannot_lose_a_commit() {
    // Versions before 3.51.3 can, when a checkpoint runs beside the commit.
    assert!(
        rusqlite::version_number() >= 3_051_003,
        "{}",
        rusqlite::version()
    );
}

/// Overwrites the last page of users, as a failing disk might.
fn damage_a_page(data: &Data) {
    let last =
        "SELECT max(pageno), max(pgsize) FROM dbstat WHERE name = 'resource' AND pagetype = 'leaf'";
    let (page, size): (u32, u32) = data
        .connect()
        .query_row(last, [], |row| Ok((row.get(0)?, row.get(1)?)))
        .unwrap();
    let (page, size) = (
        usize::try_from(page).unwrap(),
        usize::try_from(size).unwrap(),
    );
    let mut bytes = data.bytes();
    bytes[(page - 1) * size..page * size].fill(0xA5);
    std::fs::write(data.database(), bytes).unwrap();
}

#[tokio::test]
async fn sqlite_damaged_page_fails_only_the_requests_that_need_it() {
    let data = Data::with_users(100);
    damage_a_page(&data);
    let server = data.serve();
    let client = Client::of(&server).await;
    let (mut done, mut failed) = (0, 0);
    for id in 1000..1100 {
        let Err(status) = client.untag(&id.to_string()).await else {
            done += 1;
            continue;
        };
        failed += 1;
        assert_eq!(status.code(), Code::Internal, "{status:?}");
        let details = status.get_error_details();
        assert_eq!(details.error_info().unwrap().reason, "INTERNAL_ERROR");
        // What SQLite says is for the log alone.
        assert!(!status.message().contains("malformed"), "{status:?}");
    }
    assert!(done > 50 && failed > 0, "{done} done, {failed} failed");
    server.wait_for_log_where("the store is broken", |line| {
        line["cause"]
            .as_str()
            .is_some_and(|cause| cause.contains("malformed"))
    });
}

#[tokio::test]
async fn sqlite_damaged_page_does_not_spread_in_a_shared_commit() {
    let data = Data::with_users(100);
    damage_a_page(&data);
    let store = SqliteStore::open(data.path(), Options::default(), Vec::new()).unwrap();
    // All of them are queued while the writer waits for the lock, and share what comes after the first commit.
    let other = data.connect();
    other.execute_batch("BEGIN IMMEDIATE").unwrap();
    let mut untags = join_all((1000..1100).map(|id| store.untag(untag_command(id), origin())));
    assert!((&mut untags).now_or_never().is_none());
    other.execute_batch("ROLLBACK").unwrap();
    let (mut done, mut failed) = (0, 0);
    for answer in untags.await {
        match answer {
            Ok(_) => done += 1,
            Err(StoreError::Broken(_)) => failed += 1,
            Err(other) => panic!("{other:?}"),
        }
    }
    assert!(done > 50 && failed > 0, "{done} done, {failed} failed");
}

#[tokio::test]
async fn sqlite_record_that_is_damaged_does_not_fail_its_neighbours() {
    let data = Data::with_users(40);
    data.connect()
        .execute(
            "UPDATE resource SET tags = x'FFFF' WHERE resource_id = '1007'",
            [],
        )
        .unwrap();
    let server = data.serve();
    let client = Client::of(&server).await;
    // At once, so that they share commits.
    let untags = (1000..1040).map(|id| {
        let client = client.clone();
        async move { (id, client.untag(&id.to_string()).await) }
    });
    for (id, answer) in join_all(untags).await {
        match answer {
            Err(status) if id == 1007 => assert_eq!(status.code(), Code::Internal),
            answer => assert!(answer.is_ok() && id != 1007, "{id}: {answer:?}"),
        }
    }
}
