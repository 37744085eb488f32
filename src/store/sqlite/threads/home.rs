//! A store with two users on files of its own, and what is asked of it.

use std::cell::Cell;
use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::sync::{Arc, OnceLock};

use shuttle::future::block_on;
use shuttle::thread;
use tempfile::TempDir;

use crate::domain::{
    AccountId, Action, Changed, ListQuery, Origin, PageSize, PrincipalName, Resource, ResourceId,
    TagCommand, TagKey, TagSelection, TagValue, Targets, Timestamp, UntagCommand,
};
use crate::store::sqlite::format::DataDirectory;
use crate::store::sqlite::{Options, SqliteStore, bulk};
use crate::store::{AuditUse, BulkLine, BulkSettings, Retention, Store as _};

/// The users, each of whom has the tags `a` and `b` with the value `0`.
pub const USERS: [&str; 2] = ["1", "2"];
const KEYS: [&str; 2] = ["a", "b"];
const FILES: [&str; 3] = ["untag.db", "untag.db-wal", "untag.db-shm"];

thread_local! {
    /// The directory of the tests of one thread, which run one after another.
    static DIRECTORY: TempDir = directory();
    /// How far the clock has ticked since the store was opened.
    static MINUTES: Cell<i64> = const { Cell::new(0) };
}

/// A directory in memory, where there is one.
fn directory() -> TempDir {
    tempfile::tempdir_in("/dev/shm")
        .or_else(|_| tempfile::tempdir())
        .unwrap()
}

/// The database that each schedule begins with.
fn database() -> &'static [u8] {
    static DATABASE: OnceLock<Vec<u8>> = OnceLock::new();
    DATABASE.get_or_init(|| {
        let home = directory();
        let directory = DataDirectory::lock(home.path()).unwrap();
        let connection = directory.open_writer().unwrap();
        let lines = USERS.iter().zip(1..);
        let lines = lines.map(|(id, number)| {
            let user = user(id);
            Ok::<_, std::convert::Infallible>(BulkLine { number, user })
        });
        bulk::insert(&connection, BulkSettings::REPLACE, lines).unwrap();
        drop(connection);
        fs::read(home.path().join(FILES[0])).unwrap()
    })
}

/// A clock that goes on by a minute with each look at it.
pub fn ticking() -> Timestamp {
    let minute = MINUTES.with(|minutes| minutes.replace(minutes.get() + 1));
    Timestamp::from_millis(now().millis() + 60_000 * minute)
}

pub fn now() -> Timestamp {
    Timestamp::from_millis(1_700_000_000_000)
}

fn user(id: &str) -> Resource {
    let tags: BTreeMap<_, _> = KEYS
        .iter()
        .map(|tag_key| (key(tag_key), value(0)))
        .collect();
    Resource::new(
        account(),
        ResourceId::parse(id).unwrap(),
        PrincipalName::parse(format!("u{id}@example.com")).unwrap(),
        tags,
    )
    .unwrap()
}

pub fn account() -> AccountId {
    AccountId::parse("1000000000000001").unwrap()
}

pub fn key(key: &str) -> TagKey {
    TagKey::parse(key).unwrap()
}

fn value(number: usize) -> TagValue {
    TagValue::parse(number.to_string()).unwrap()
}

fn all() -> Targets {
    Targets::Ids(USERS.map(|id| ResourceId::parse(id).unwrap()).to_vec())
}

/// How the stores of the tests are set up: as in a service, but with one thread that reads.
pub fn options() -> Options {
    Options {
        readers: 1,
        index_bytes: usize::MAX,
        retention: Retention::default(),
        audit: AuditUse::None,
        now,
        ..Options::default()
    }
}

/// Carries something out on the directory of this thread.
pub fn in_directory<T>(work: impl FnOnce(&Path) -> T) -> T {
    DIRECTORY.with(|directory| work(directory.path()))
}

/// Opens a store with the users as they are at first.
pub fn open(options: Options) -> SqliteStore {
    MINUTES.with(|minutes| minutes.set(0));
    in_directory(|directory| {
        for file in FILES {
            let _ = fs::remove_file(directory.join(file));
        }
        fs::write(directory.join(FILES[0]), database()).unwrap();
        SqliteStore::open(directory, options, Vec::new()).unwrap()
    })
}

/// Waits until the store is closed whose last handle this is, and has left nothing but the database.
pub fn close(store: SqliteStore) {
    let closing = store.closing();
    drop(store);
    while !closing.wait(std::time::Duration::ZERO) {
        thread::yield_now();
    }
    in_directory(|directory| {
        assert!(
            !directory.join(FILES[1]).exists(),
            "the store was closed before its connections"
        );
    });
}

pub fn origin(action: Action) -> Arc<Origin> {
    Arc::new(Origin::local(action, now()))
}

/// A command that removes a tag from both users.
pub fn removal(tag_key: &str) -> Arc<UntagCommand> {
    Arc::new(UntagCommand {
        account: account(),
        targets: all(),
        selection: TagSelection::Keys(vec![key(tag_key)]),
        expected: None,
        allow_missing: false,
        validate_only: false,
    })
}

/// Removes a tag from both users.
pub fn untag(store: &SqliteStore, tag_key: &str) -> Changed {
    let origin = origin(Action::UntagResources);
    block_on(store.untag(removal(tag_key), origin)).unwrap()
}

/// A command that gives both users a tag with this value.
pub fn setting(tag_key: &str, number: usize) -> Arc<TagCommand> {
    Arc::new(TagCommand {
        account: account(),
        targets: all(),
        tags: vec![(key(tag_key), value(number))],
    })
}

/// Gives both users a tag with this value.
pub fn tag(store: &SqliteStore, tag_key: &str, number: usize) -> Changed {
    let origin = origin(Action::TagResources);
    block_on(store.tag(setting(tag_key, number), origin)).unwrap()
}

/// The tags of both users as they are at one moment, such as `a=0 b=0`. They have the same ones, since each command names both.
pub fn list(store: &SqliteStore) -> String {
    let query = ListQuery {
        account: account(),
        targets: Some(all()),
        filters: Vec::new(),
        revision: None,
        page_size: PageSize::parse(0).unwrap(),
        after: None,
    };
    let page = block_on(store.list(Arc::new(query))).unwrap();
    let of = |id: &str| {
        let tags = page
            .tags
            .iter()
            .filter(|tag| tag.resource_id.as_str() == id);
        let tags = tags.map(|tag| format!("{}={}", tag.key.as_str(), tag.value.as_str()));
        tags.collect::<Vec<_>>().join(" ")
    };
    let [first, second] = USERS.map(of);
    assert_eq!(first, second, "a change is seen whole");
    first
}
