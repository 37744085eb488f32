//! PostgreSQL beside the embedded store: a cluster of its own, as durable as its defaults make it.

use std::fs;
use std::path::Path;

use crate::Outcome;
use crate::program::untag;

#[path = "../../tests/support/postgres.rs"]
mod support;

use support::{Cluster, Database, Durability};

/// The database that has the users and is never served itself.
const IMPORTED: &str = "imported";

/// The cluster of a run.
pub struct Postgres(Cluster);

impl Postgres {
    /// Starts a cluster in a directory below `parent`, with an empty store.
    pub fn start(parent: &Path) -> Outcome<Self> {
        let cluster = Cluster::start_in(parent, Durability::Disk, "");
        let promised = ["fsync", "synchronous_commit"]
            .map(|setting| cluster.sql("postgres", &format!("SHOW {setting}")));
        if promised != ["on", "on"] {
            return Err("the cluster is not durable".into());
        }
        cluster.sql("postgres", &format!("CREATE DATABASE {IMPORTED}"));
        let postgres = Self(cluster);
        let migrated = untag()
            .arg("migrate")
            .env("UNTAG_STORE", postgres.imported())
            .output()?;
        if !migrated.status.success() {
            let error = String::from_utf8_lossy(&migrated.stderr);
            return Err(format!("untag migrate: {error}").into());
        }
        Ok(postgres)
    }

    /// The store to import into, for `--store`.
    pub fn imported(&self) -> String {
        self.url(IMPORTED)
    }

    /// Does what autovacuum would do sooner or later, so that it does not while something is measured.
    pub fn vacuum(&self) {
        self.0.sql(IMPORTED, "VACUUM (ANALYZE)");
    }

    /// Copies the users to a store for the server of this name, in place of the one before, and waits until the copy is
    /// on the disk.
    pub fn copy_for(&self, server: &str) -> String {
        let name = format!("measured-{server}");
        let drop = format!("DROP DATABASE IF EXISTS \"{name}\" WITH (FORCE)");
        let create = format!("CREATE DATABASE \"{name}\" TEMPLATE {IMPORTED}");
        for statement in [drop.as_str(), create.as_str(), "CHECKPOINT"] {
            self.0.sql("postgres", statement);
        }
        self.url(&name)
    }

    fn url(&self, name: &str) -> String {
        let (port, name) = (self.0.port, name.to_owned());
        Database { port, name }.url()
    }

    /// The process that all others of the cluster are children of.
    pub fn postmaster(&self) -> Outcome<u32> {
        let pid_file = fs::read_to_string(self.0.data().join("postmaster.pid"))?;
        Ok(pid_file.lines().next().unwrap_or_default().parse()?)
    }
}
