//! The shared store under the contract.

use std::convert::Infallible;
use std::time::Duration;

use untag::domain::Resource;
use untag::store::postgres::{self, ConnectionString, Options, PostgresStore};
use untag::store::{AuditUse, BulkSettings, Retention};

use super::Backend;
use super::fixtures::bulk_lines;
use crate::support::test_database::{TestDatabase, is_distributed};

pub struct PostgresBackend {
    store: PostgresStore,
    connection: ConnectionString,
    /// Dropped last.
    _database: TestDatabase,
}

/// Fewer connections than requests at once, so that requests share them.
fn options() -> Options {
    Options {
        queue: 8192,
        connections: 4,
        reload_interval: Duration::from_secs(10),
        // The cases say when their changes come.
        retention: Retention {
            age: Duration::from_hours(24 * 365 * 100),
            bytes: 1 << 40,
        },
        audit: AuditUse::None,
    }
}

impl Backend for PostgresBackend {
    type Store = PostgresStore;
    // Each has a database of its own.
    const RANDOM_CASES: u32 = 24;
    const PAST_LISTS: usize = 8;

    async fn start(resources: Vec<Resource>) -> Self {
        let database = TestDatabase::new();
        let connection = ConnectionString::parse(database.url(), None).unwrap();
        PostgresStore::migrate(&connection, false).await.unwrap();
        if is_distributed() {
            let distributed = PostgresStore::distribute(&connection, false).await;
            assert!(!distributed.unwrap().is_empty());
        }
        let lines = bulk_lines(resources);
        let imported = postgres::import(&connection, BulkSettings::REPLACE, lines);
        imported.await.unwrap();
        let store = PostgresStore::open(&connection, options()).await.unwrap();
        Self {
            store,
            connection,
            _database: database,
        }
    }

    fn store(&self) -> &PostgresStore {
        &self.store
    }

    async fn export(&self) -> Vec<Resource> {
        let mut resources = Vec::new();
        let keep = |resource| -> Result<(), Infallible> {
            resources.push(resource);
            Ok(())
        };
        postgres::export(&self.connection, keep).await.unwrap();
        resources
    }
}
