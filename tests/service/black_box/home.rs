//! The home of the tags of a test: here a directory of the embedded store.

use std::path::Path;
use std::process::Command;
use std::time::Duration;

use rusqlite::Connection;
use tempfile::TempDir;

use super::users::feed;
use crate::support::slow_disk::SlowDisk;
use crate::support::{Server, untag};

/// An embedded store, gone when it goes out of scope.
pub struct Home(TempDir);

impl Home {
    /// A home without users.
    pub fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    /// The directory of the store.
    pub fn path(&self) -> &Path {
        self.0.path()
    }

    /// A subcommand of the program, to be run on it.
    pub fn command(&self, name: &str) -> Command {
        let mut command = untag();
        command.args([name, "--data-dir"]).arg(self.path());
        command
    }

    /// Puts users, as JSON Lines, into it.
    pub fn import(&self, lines: &str) {
        let mut command = self.command("import");
        command.arg("-");
        feed(command, lines);
    }

    /// Starts the service on it.
    pub fn serve(&self, arguments: &[&str]) -> Server {
        Server::start(self.path(), arguments)
    }

    /// Keeps the changes of a server waiting, and not its reads, until what it returns is dropped.
    #[expect(
        clippy::unused_self,
        reason = "other stores are held, and not their server"
    )]
    pub fn hold_changes(&self, server: &Server) -> SlowDisk {
        // Longer than any test takes.
        SlowDisk::attach(server, Duration::from_mins(10))
    }

    /// Makes servers give up a change that waits for a lock, which this store does by itself.
    #[expect(clippy::unused_self, reason = "other stores have to be told")]
    pub fn limit_lock_waits(&self) {}

    /// Locks it against changes, until what it returns is dropped.
    pub fn lock(&self) -> Connection {
        let connection = self.database();
        connection.busy_timeout(Duration::from_secs(10)).unwrap();
        connection.execute_batch("BEGIN IMMEDIATE").unwrap();
        connection
    }

    /// Puts a text in the place of a user's tags, who is one in every account that has the id.
    pub fn damage(&self, id: &str, text: &str) {
        let damage = "UPDATE resource SET tags = CAST(?1 AS BLOB) WHERE resource_id = ?2";
        assert!(self.database().execute(damage, [text, id]).unwrap() > 0);
    }

    /// Its database, opened as another program would.
    fn database(&self) -> Connection {
        Connection::open(self.path().join("untag.db")).unwrap()
    }
}
