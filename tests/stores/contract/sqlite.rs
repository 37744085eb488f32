//! The embedded store under the contract, and what is true of it alone.

use std::convert::Infallible;
use std::path::Path;
use std::sync::Arc;

use futures_util::future::{join, join_all};
use proptest::prop_assert_eq;
use rusqlite::Connection;
use tempfile::TempDir;
use untag::domain::{Continuation, Position, Resource, Timestamp};
use untag::store::sqlite::{self, Options, SqliteStore};
use untag::store::{BulkSettings, Store};

use super::Backend;
use super::fixtures::{
    Ask as _, bulk_lines, contents, ids, keys, list, numbered_user, origin, tag, untag,
};
use super::model::Model;
use super::random;
use super::replay;
use super::user_fixtures::START;

pub struct SqliteBackend {
    store: SqliteStore,
    directory: TempDir,
}

impl Backend for SqliteBackend {
    type Store = SqliteStore;

    async fn start(resources: Vec<Resource>) -> Self {
        Self::with(Options::default(), resources)
    }

    fn store(&self) -> &SqliteStore {
        &self.store
    }

    async fn export(&self) -> Vec<Resource> {
        export(self.directory.path())
    }
}

/// The same store, which compacts and checkpoints all the time, and whose index has room for a few users.
pub struct CompactingBackend(SqliteBackend);

impl SqliteBackend {
    fn with(options: Options, resources: Vec<Resource>) -> Self {
        let directory = tempfile::tempdir().unwrap();
        // When the cases begin: nobody has expired before that.
        let options = Options {
            now: || Timestamp::from_millis(START),
            ..options
        };
        let store = SqliteStore::open(directory.path(), options, resources).unwrap();
        Self { store, directory }
    }
}

impl Backend for CompactingBackend {
    type Store = SqliteStore;

    async fn start(resources: Vec<Resource>) -> Self {
        let options = Options {
            uncompacted: 1,
            wal_pages: 16,
            index_bytes: 20_000,
            run_keys: 16,
            ..Options::default()
        };
        Self(SqliteBackend::with(options, resources))
    }

    fn store(&self) -> &SqliteStore {
        self.0.store()
    }

    async fn export(&self) -> Vec<Resource> {
        self.0.export().await
    }
}

/// All that the store in a directory holds. It may be in use.
pub fn export(directory: &Path) -> Vec<Resource> {
    let mut resources = Vec::new();
    let keep = |resource| -> Result<(), Infallible> {
        resources.push(resource);
        Ok(())
    };
    sqlite::export(directory, keep).unwrap();
    resources
}

/// How many users one request may look at, as `src/store/paging.rs` has it.
const SCAN_LIMIT: usize = 20_000;

#[tokio::test]
async fn sqlite_list_gives_a_short_page_after_looking_at_20_000_users() {
    let users = (100_000..=100_000 + SCAN_LIMIT).map(|number| numbered_user(number, &[("a", "1")]));
    let backend = SqliteBackend::start(users.collect()).await;
    let query = list(None, &[("absent", None)]);
    let first = backend.store.list(Arc::new(query.clone())).await.unwrap();
    assert_eq!(first.tags, []);
    let last_seen = (100_000 + SCAN_LIMIT - 1).to_string();
    let resource_id = super::fixtures::id(&last_seen);
    assert_eq!(
        first.next,
        Some(Continuation::Behind(Position {
            resource_id,
            tag_key: None
        }))
    );

    let mut query = query;
    query.after = first.next;
    let second = backend.store.list(Arc::new(query)).await.unwrap();
    assert_eq!((second.tags, second.next), (Vec::new(), None));
}

impl SqliteBackend {
    /// Closes the store and opens it again.
    async fn reopened(self) -> Self {
        let Self { store, directory } = self;
        drop(store);
        // The writer lets go of the directory a moment after its last handle has gone.
        let store = loop {
            match SqliteStore::open(directory.path(), Options::default(), Vec::new()) {
                Err(error) if error.to_string().contains("in use") => {
                    tokio::task::yield_now().await;
                }
                opened => break opened.unwrap(),
            }
        };
        Self { store, directory }
    }

    /// How many commits have tombstones in the table, and how many rows have a tag with this key.
    fn lying(&self, key: &str) -> (i64, i64) {
        let connection = Connection::open(self.directory.path().join("untag.db")).unwrap();
        let count = |sql: &str, key: &[&str]| {
            let row = connection.query_row(sql, rusqlite::params_from_iter(key), |row| row.get(0));
            row.unwrap()
        };
        let tombstones = count("SELECT count(*) FROM tombstone", &[]);
        let rows = "SELECT count(*) FROM resource WHERE instr(tags, CAST(?1 AS BLOB)) > 0";
        (tombstones, count(rows, &[key]))
    }

    async fn untag_of(&self, id: &str, key: &str) {
        let command = untag(ids([id]), keys([key]));
        self.store.untag(Arc::new(command), origin()).await.unwrap();
    }
}

#[tokio::test]
async fn sqlite_store_can_be_opened_again_with_all_that_was_answered() {
    let users = [1, 2].map(|number| numbered_user(number, &[("a", "1"), ("b", "2")]));
    let mut backend = SqliteBackend::start(users.to_vec()).await;
    backend.untag_of("1", "a").await;
    backend = backend.reopened().await;
    backend.untag_of("2", "b").await;
    // What is set after an untag stays set, also where the untag has not reached its row yet.
    let command = tag(ids(["1"]), &[("a", "3")]);
    backend
        .store
        .tag(Arc::new(command), origin())
        .await
        .unwrap();
    let expected = contents(&[
        numbered_user(1, &[("a", "3"), ("b", "2")]),
        numbered_user(2, &[("a", "1")]),
    ]);
    for _ in 0..2 {
        backend = backend.reopened().await;
        assert_eq!(contents(&backend.export().await), expected);
        let query = list(Some(ids(["1", "2"])), &[]);
        let page = backend.store.list(Arc::new(query)).await.unwrap();
        assert_eq!(page.tags.len(), 3);
    }
}

#[tokio::test]
async fn sqlite_store_without_changes_compacts_tombstones() {
    let users = (1..=700).map(|number| numbered_user(number, &[("secret", "1")]));
    let backend = SqliteBackend::start(users.collect()).await;
    for number in 1..=700 {
        backend.untag_of(&number.to_string(), "secret").await;
    }
    assert_eq!(
        backend.lying("secret"),
        (700, 700),
        "an untag writes a tombstone and no row"
    );
    // As readiness asks each second. The newest row stays.
    while backend.lying("secret") != (1, 0) {
        backend.store.check().await.unwrap();
    }
    let export = backend.export().await;
    assert!(export.len() == 700 && export.iter().all(|user| user.tags().is_empty()));
}

#[tokio::test]
async fn sqlite_store_without_a_pause_keeps_only_the_tombstones_that_count() {
    let names: Vec<_> = (0..20).map(|number| format!("key{number:02}")).collect();
    let tags: Vec<_> = names.iter().map(|name| (name.as_str(), "1")).collect();
    let users = [1, 2].map(|number| numbered_user(number, &tags));
    let options = Options {
        uncompacted: 2,
        ..Options::default()
    };
    let backend = SqliteBackend::with(options, users.to_vec());
    for (round, name) in names[..19].iter().enumerate() {
        for id in ["1", "2"] {
            backend.untag_of(id, name).await;
        }
        let (tombstones, rows) = backend.lying(name);
        assert_eq!(rows, 2, "no row was rewritten");
        assert!(
            tombstones <= 8,
            "{tombstones} commits have tombstones after round {round}"
        );
    }
    let backend = backend.reopened().await;
    let expected = contents(&[1, 2].map(|number| numbered_user(number, &[("key19", "1")])));
    assert_eq!(contents(&backend.export().await), expected);
}

#[tokio::test]
async fn sqlite_removal_from_a_row_that_cannot_be_read_waits_until_it_can() {
    let users = [1, 2].map(|number| numbered_user(number, &[("a", "1"), ("b", "2")]));
    let backend = SqliteBackend::start(users.to_vec()).await;
    backend.untag_of("1", "a").await;
    let write = |tags: &[u8]| {
        let connection = Connection::open(backend.directory.path().join("untag.db")).unwrap();
        let update = "UPDATE resource SET tags = ?1 WHERE resource_id = '1'";
        assert_eq!(connection.execute(update, [tags]).unwrap(), 1);
    };
    // As the row was: two keys and values of a byte each, with their lengths.
    let good = b"\x01\0\x01\0a1\x01\0\x01\0b2";
    write(b"\xff");
    for _ in 0..5 {
        backend.store.check().await.unwrap();
        backend.untag_of("2", "a").await;
    }
    write(good);
    let backend = backend.reopened().await;
    let expected = contents(&[1, 2].map(|number| numbered_user(number, &[("b", "2")])));
    assert_eq!(contents(&backend.export().await), expected);
}

#[tokio::test]
async fn sqlite_import_is_not_touched_by_older_removals() {
    let backend = SqliteBackend::start(vec![numbered_user(1, &[("a", "1"), ("b", "2")])]).await;
    backend.untag_of("1", "a").await;
    let SqliteBackend { store, directory } = backend;
    drop(store);
    let again = numbered_user(1, &[("a", "3"), ("c", "4")]);
    let lines = || bulk_lines([again.clone()]);
    let import = || sqlite::import(directory.path(), BulkSettings::REPLACE, lines());
    while import().is_err() {
        tokio::task::yield_now().await;
    }
    assert_eq!(contents(&export(directory.path())), contents(&[again]));
}

#[tokio::test(flavor = "multi_thread")]
async fn sqlite_commands_that_share_a_commit_answer_as_one_after_another() {
    random::for_each::<SqliteBackend, _, _>(random::changes(), |steps| async move {
        let backend = SqliteBackend::start(random::users()).await;
        let other = Connection::open(backend.directory.path().join("untag.db")).unwrap();
        other.execute_batch("BEGIN IMMEDIATE").unwrap();
        let answers = join_all(steps.iter().map(|step| step.ask(&backend, START)));
        // The writer waits for the lock with the first, while all others queue up for the next commit.
        let unlock = async { other.execute_batch("ROLLBACK").unwrap() };
        let (answers, ()) = join(answers, unlock).await;

        let mut model = Model::new(&random::users());
        for (step, answer) in steps.iter().zip(answers) {
            let expected = step.expected(&mut model, START);
            prop_assert_eq!(answer, expected, "{:?} of {:?}", step, steps);
        }
        prop_assert_eq!(backend.contents().await, model.contents());
        replay::check(&backend, &random::users()).await;
        Ok(())
    });
}
