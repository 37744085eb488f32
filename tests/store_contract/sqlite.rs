//! The embedded store under the contract, and what is true of it alone.

use std::convert::Infallible;
use std::path::Path;
use std::sync::Arc;

use tempfile::TempDir;
use untag::domain::{Continuation, Position, Resource};
use untag::store::Store;
use untag::store::sqlite::{self, Options, SqliteStore};

use crate::Backend;
use crate::fixtures::{ids, list, numbered_user};

pub struct SqliteBackend {
    store: SqliteStore,
    directory: TempDir,
}

impl Backend for SqliteBackend {
    type Store = SqliteStore;

    async fn start(resources: Vec<Resource>) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let store = SqliteStore::open(directory.path(), Options::default(), resources).unwrap();
        Self { store, directory }
    }

    fn store(&self) -> &SqliteStore {
        &self.store
    }

    async fn export(&self) -> Vec<Resource> {
        export(self.directory.path())
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
    let resource_id = crate::fixtures::id(&last_seen);
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

#[tokio::test]
async fn sqlite_store_can_be_opened_again_with_all_that_was_answered() {
    let backend = SqliteBackend::start(vec![numbered_user(1, &[("a", "1"), ("b", "2")])]).await;
    let command = crate::fixtures::untag(ids(["1"]), crate::fixtures::keys(["a"]));
    backend.store.untag(Arc::new(command)).await.unwrap();
    let SqliteBackend { store, directory } = backend;
    drop(store);
    // The writer lets go of the directory a moment after its last handle has gone.
    let store = loop {
        match SqliteStore::open(directory.path(), Options::default(), Vec::new()) {
            Err(error) if error.to_string().contains("in use") => tokio::task::yield_now().await,
            opened => break opened.unwrap(),
        }
    };
    let backend = SqliteBackend { store, directory };
    let expected = crate::fixtures::contents(&[numbered_user(1, &[("b", "2")])]);
    assert_eq!(crate::fixtures::contents(&backend.export().await), expected);
}
