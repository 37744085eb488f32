//! PostgreSQL beside the embedded store: a cluster of its own, as durable as its defaults make it.

use std::fs;
use std::path::Path;
use std::process::Command;

use crate::Outcome;
use crate::program::untag;

#[path = "../../tests/support/postgres.rs"]
mod support;

pub use support::program;
use support::{Cluster, Database, Durability};

/// The database that has the users and is never served itself.
const IMPORTED: &str = "imported";
/// The same for another build, whose schema may be of another version.
const IMPORTED_BY_OTHER: &str = "imported-by-other";

/// The cluster of a run.
pub struct Postgres(Cluster);

impl Postgres {
    /// Starts a cluster in a directory below `parent`, with these settings beside its defaults and an empty store.
    pub fn start(parent: &Path, settings: &[String]) -> Outcome<Self> {
        let cluster = Cluster::start_in(parent, Durability::Disk, &settings.join("\n"));
        let promised = ["fsync", "synchronous_commit"]
            .map(|setting| cluster.sql("postgres", &format!("SHOW {setting}")));
        if promised != ["on", "on"] {
            return Err("the cluster is not durable".into());
        }
        let postgres = Self(cluster);
        postgres.migrate(IMPORTED, untag())?;
        Ok(postgres)
    }

    /// Makes a database with the schema of a build, and returns its connection string.
    fn migrate(&self, database: &str, mut program: Command) -> Outcome<String> {
        let create = format!("CREATE DATABASE \"{database}\"");
        self.0.sql("postgres", &create);
        let url = self.url(database);
        let migrated = program.arg("migrate").env("UNTAG_STORE", &url).output()?;
        if !migrated.status.success() {
            let error = String::from_utf8_lossy(&migrated.stderr);
            return Err(format!("untag migrate: {error}").into());
        }
        Ok(url)
    }

    /// An empty store of another build, to import into.
    pub fn other(&self, program: Command) -> Outcome<String> {
        self.migrate(IMPORTED_BY_OTHER, program)
    }

    /// The store to import into, for `--store`.
    pub fn imported(&self) -> String {
        self.url(IMPORTED)
    }

    /// Does what autovacuum would do sooner or later, so that it does not while something is measured.
    pub fn vacuum(&self) {
        for database in [IMPORTED, IMPORTED_BY_OTHER] {
            let exists = format!("SELECT count(*) FROM pg_database WHERE datname = '{database}'");
            if self.0.sql("postgres", &exists) == "1" {
                self.0.sql(database, "VACUUM (ANALYZE)");
            }
        }
    }

    /// Copies the users to a store for the server of this name, in place of the one before, and waits until the copy is
    /// on the disk.
    pub fn copy_for(&self, server: &str) -> String {
        self.copy(server, IMPORTED)
    }

    /// As `copy_for`, for another build.
    pub fn copy_for_other(&self, server: &str) -> String {
        self.copy(server, IMPORTED_BY_OTHER)
    }

    fn copy(&self, server: &str, from: &str) -> String {
        let name = format!("measured-{server}");
        let drop = format!("DROP DATABASE IF EXISTS \"{name}\" WITH (FORCE)");
        let create = format!("CREATE DATABASE \"{name}\" TEMPLATE \"{from}\"");
        for statement in [drop.as_str(), create.as_str(), "CHECKPOINT"] {
            self.0.sql("postgres", statement);
        }
        self.url(&name)
    }

    /// Runs SQL in the store of the server of this name, and returns what it prints.
    pub fn sql(&self, server: &str, sql: &str) -> String {
        self.0.sql(&format!("measured-{server}"), sql)
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
