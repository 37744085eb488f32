//! An embedded store with users to change, and what its log has in the end.

use std::io::Write as _;
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;

use tempfile::TempDir;
use untag::domain::{AccountId, Change, ChangesQuery, Direction, Revision};
use untag::store::Store as _;
use untag::store::sqlite::{Options, SqliteStore};

use crate::support::{Server, untag};

pub const ACCOUNT: &str = "1";
pub const USERS: usize = 400;

pub struct Home(TempDir);

impl Home {
    pub fn new() -> Self {
        let home = Self(tempfile::tempdir().unwrap());
        let mut import = untag();
        import.args(["import", "-", "--data-dir"]).arg(home.path());
        let import = import.stdin(Stdio::piped()).stdout(Stdio::null());
        let mut import = import.spawn().unwrap();
        let user = |number| {
            format!(
                "{{\"account_id\":\"{ACCOUNT}\",\"resource_id\":\"{number}\",\
                 \"principal_name\":\"user-{number}@example.com\",\"tags\":{{}}}}\n"
            )
        };
        let lines: String = (0..USERS).map(user).collect();
        import
            .stdin
            .take()
            .unwrap()
            .write_all(lines.as_bytes())
            .unwrap();
        assert!(import.wait().unwrap().success());
        home
    }

    pub fn path(&self) -> &Path {
        self.0.path()
    }

    pub fn command(&self, arguments: &[&str]) -> Command {
        let mut command = untag();
        command
            .args([
                "serve",
                "--default-account",
                ACCOUNT,
                "--max-caller-rate",
                "0",
            ])
            .args(["--audit-log", "none", "--data-dir"])
            .arg(self.path())
            .args(arguments);
        command
    }

    pub fn serve(&self, arguments: &[&str]) -> Server {
        Server::spawn(self.command(arguments))
    }

    pub fn serve_at(&self, address: SocketAddr, arguments: &[&str]) -> Server {
        Server::spawn_at(self.command(arguments), address)
    }

    /// All changes that the log of the stopped store has.
    pub async fn log(&self) -> Vec<(u64, String)> {
        let store = SqliteStore::open(self.path(), Options::default(), Vec::new()).unwrap();
        let mut next = Some(ChangesQuery {
            account: AccountId::parse(ACCOUNT).unwrap(),
            from: Revision::FIRST,
            direction: Direction::Forwards,
            user: None,
            most: 1_000,
            most_effects: usize::MAX,
        });
        let mut log = Vec::new();
        while let Some(query) = next {
            let page: Vec<Change> = store.changes(Arc::new(query.clone())).await.unwrap();
            next = query.next(&page);
            let row = |change: Change| (change.revision.get(), change.request_id.to_string());
            log.extend(page.into_iter().map(row));
        }
        log
    }
}
