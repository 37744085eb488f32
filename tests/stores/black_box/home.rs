//! The home of the tags of a test: here a database of PostgreSQL.

use std::io::{BufRead as _, BufReader, Write as _};
use std::process::{Child, Command, Stdio};

use super::users::feed;
use crate::support::postgres::program;
use crate::support::test_database::{TestDatabase, is_distributed};
use crate::support::{Server, untag};

/// A database of its own, with the schema.
pub struct Home(TestDatabase);

impl Home {
    /// A home without users.
    pub fn new() -> Self {
        let home = Self(TestDatabase::new());
        let mut migrate = home.command("migrate");
        if is_distributed() {
            migrate.arg("--distribute");
        }
        let migrated = migrate.output().unwrap();
        assert!(migrated.status.success(), "{migrated:?}");
        home
    }

    /// A subcommand of the program, to be run on it.
    pub fn command(&self, name: &str) -> Command {
        let mut command = untag();
        command.arg(name).env("UNTAG_STORE", self.0.url());
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
        let mut command = self.command("serve");
        command.args(arguments).stdout(Stdio::null());
        Server::spawn(command)
    }

    /// Keeps the changes of a server waiting, and not its reads, until what it returns is dropped.
    pub fn hold_changes(&self, _server: &Server) -> Lock {
        self.lock()
    }

    /// Makes servers that start from now on give up a change that waits for a lock, as docs/postgresql.md has it.
    pub fn limit_lock_waits(&self) {
        let name = &self.0.name;
        self.0
            .sql(&format!("ALTER DATABASE {name} SET lock_timeout = '1s'"));
    }

    /// Locks it against changes, until what it returns is dropped.
    pub fn lock(&self) -> Lock {
        Lock::take(&self.0)
    }

    /// Puts a text in the place of a user's tags, who is one in every account that has the id.
    pub fn damage(&self, id: &str, text: &str) {
        let damage = format!(
            "UPDATE resource SET tags = to_jsonb('{text}'::text) WHERE resource_id = '{id}' RETURNING 'damaged'"
        );
        assert!(self.0.sql(&damage).contains("damaged"));
    }
}

/// A session that lets others read, and keeps them from changing anything.
pub struct Lock(Child);

impl Lock {
    fn take(database: &TestDatabase) -> Self {
        let mut session = Command::new(program("psql"))
            .args(["-X", "-q", "-A", "-t", "-d", database.url()])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("psql runs");
        let sql = b"BEGIN; LOCK TABLE resource IN EXCLUSIVE MODE; SELECT 'locked';\n";
        session.stdin.as_mut().unwrap().write_all(sql).unwrap();
        let mut said = String::new();
        let mut output = BufReader::new(session.stdout.take().unwrap());
        output.read_line(&mut said).unwrap();
        assert_eq!(said, "locked\n");
        Self(session)
    }
}

impl Drop for Lock {
    fn drop(&mut self) {
        // Without input psql ends, and PostgreSQL rolls its transaction back.
        drop(self.0.stdin.take());
        let _ = self.0.wait();
    }
}
