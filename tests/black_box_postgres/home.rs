//! Where the tags of a test are: here a database of a PostgreSQL that the tests start.

use std::process::Stdio;

use crate::postgres::{Database, shared};
use crate::support::{Server, untag};
use crate::users::feed;

/// A database of its own, with the schema.
pub struct Home(Database);

impl Home {
    /// One without users.
    pub fn new() -> Self {
        let database = shared().database();
        let migrated = untag()
            .arg("migrate")
            .env("UNTAG_STORE", database.url())
            .output()
            .unwrap();
        assert!(migrated.status.success(), "{migrated:?}");
        Self(database)
    }

    /// Puts users, as JSON Lines, into it.
    pub fn import(&self, lines: &str) {
        let mut command = untag();
        command
            .args(["import", "-"])
            .env("UNTAG_STORE", self.0.url());
        feed(command, lines);
    }

    /// Starts the service on it.
    pub fn serve(&self, arguments: &[&str]) -> Server {
        let mut command = untag();
        command
            .arg("serve")
            .args(arguments)
            .env("UNTAG_STORE", self.0.url())
            .stdout(Stdio::null());
        Server::spawn(command)
    }
}
