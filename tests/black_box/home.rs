//! Where the tags of a test are: here a directory of the embedded store.

use std::path::Path;

use tempfile::TempDir;

use crate::support::{Server, untag};
use crate::users::feed;

/// An embedded store, gone when it goes out of scope.
pub struct Home(TempDir);

impl Home {
    /// One without users.
    pub fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    /// Its directory.
    pub fn path(&self) -> &Path {
        self.0.path()
    }

    /// Puts users, as JSON Lines, into it.
    pub fn import(&self, lines: &str) {
        let mut command = untag();
        command.args(["import", "-", "--data-dir"]).arg(self.path());
        feed(command, lines);
    }

    /// Starts the service on it.
    pub fn serve(&self, arguments: &[&str]) -> Server {
        Server::start(self.path(), arguments)
    }
}
