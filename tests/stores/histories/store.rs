//! The stores whose histories are checked, and the services on them.

use tempfile::TempDir;
use tonic::transport::{Channel, Endpoint};
use untag::domain::{Change, Resource};
use untag::store::sqlite::{Options, SqliteStore};

use super::cutting_proxy::CuttingProxy;
use super::log;
use crate::contract::sqlite;
use crate::postgres::harness::{ACCOUNT, database_with, ok_on, serve, user_line};
use crate::postgres::log_check::{self, account};
use crate::support::postgres::Database;
use crate::support::{Server, run};

/// The tags of a user, by key.
pub type Tags<'tags> = &'tags [(&'tags str, &'tags str)];

/// A store with users, whose ids are 1 and so on.
pub enum Home {
    /// A directory of the embedded store.
    Embedded(TempDir),
    /// A database of PostgreSQL.
    Postgres(Database),
}

impl Home {
    pub fn embedded(users: &[Tags]) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let lines = tempfile::NamedTempFile::new().unwrap();
        let of_users = users.iter().zip(1..).map(|(tags, id)| user_line(id, tags));
        std::fs::write(&lines, of_users.collect::<String>()).unwrap();
        let [store, file] = [directory.path(), lines.path()].map(|path| path.to_str().unwrap());
        let imported = run(&["import", "--data-dir", store, file]);
        assert!(imported.status.success(), "{imported:?}");
        Self::Embedded(directory)
    }

    pub fn postgres(users: &[Tags]) -> Self {
        Self::Postgres(database_with(users))
    }

    /// Starts a service on it. The embedded store has room for one.
    pub fn serve(&self, arguments: &[&str]) -> Server {
        match self {
            Self::Embedded(directory) => {
                let account = ["--default-account", ACCOUNT];
                Server::start(directory.path(), &[&account, arguments].concat())
            }
            Self::Postgres(database) => serve(&database.url(), arguments),
        }
    }

    /// Its users, as `untag export` writes them.
    pub fn export(&self) -> String {
        match self {
            Self::Embedded(directory) => {
                let exported = run(&["export", "--data-dir", directory.path().to_str().unwrap()]);
                assert!(exported.status.success(), "{exported:?}");
                String::from_utf8(exported.stdout).unwrap()
            }
            Self::Postgres(database) => ok_on(&database.url(), &["export"]),
        }
    }

    /// What the store holds.
    pub async fn resources(&self) -> Vec<Resource> {
        match self {
            Self::Embedded(directory) => sqlite::export(directory.path()),
            Self::Postgres(database) => log_check::resources(&database.url()).await,
        }
    }

    /// Checks that the change log leads from what the store held at first to what it holds now, and returns its changes. No service may
    /// run on the embedded store.
    pub async fn check_log(&self, first: &[Resource]) -> Vec<Change> {
        match self {
            Self::Embedded(directory) => {
                let store = SqliteStore::open(directory.path(), Options::default(), Vec::new());
                let changes = log_check::changes(&store.unwrap(), 1).await.unwrap();
                log::check(&account(), first, &changes, &self.resources().await);
                changes
            }
            Self::Postgres(database) => log_check::check(&database.url(), first).await,
        }
    }
}

/// Services on one store, each behind a proxy. PostgreSQL is behind one too.
pub struct Replicas {
    servers: Vec<Server>,
    to_services: Vec<CuttingProxy>,
    to_database: Option<CuttingProxy>,
}

impl Replicas {
    /// Starts so many services on a store: the embedded one has room for one.
    pub async fn start(home: &Home, count: usize) -> Self {
        let mut replicas = Self {
            servers: Vec::new(),
            to_services: Vec::new(),
            to_database: None,
        };
        if let Home::Postgres(database) = home {
            replicas.to_database = Some(CuttingProxy::start(database.port).await);
        }
        for _ in 0..count {
            let server = match (home, &replicas.to_database) {
                (Home::Postgres(database), Some(proxy)) => {
                    let behind = Database {
                        port: proxy.port,
                        name: database.name.clone(),
                    };
                    Home::Postgres(behind).serve(&["--store-connections", "3"])
                }
                _ => home.serve(&[]),
            };
            let proxy = CuttingProxy::start(server.address.port()).await;
            replicas.to_services.push(proxy);
            replicas.servers.push(server);
        }
        replicas
    }

    /// A channel of a client, which opens a connection again when it breaks.
    pub fn channel(&self, client: usize) -> Channel {
        let proxy = &self.to_services[client % self.to_services.len()];
        let endpoint = format!("http://127.0.0.1:{}", proxy.port);
        Endpoint::from_shared(endpoint).unwrap().connect_lazy()
    }

    /// Begins to cut connections, on both sides of the services.
    pub fn begin_cutting(&self) {
        self.to_services
            .iter()
            .chain(&self.to_database)
            .for_each(CuttingProxy::begin_cutting);
    }

    /// The proxy before the first service.
    pub fn proxy(&self) -> CuttingProxy {
        self.to_services[0].clone()
    }

    /// How many connections of clients were cut, and how many to the database; `None` without one.
    pub fn cuts(&self) -> (usize, Option<usize>) {
        let of_clients = self.to_services.iter().map(CuttingProxy::cuts).sum();
        (
            of_clients,
            self.to_database.as_ref().map(CuttingProxy::cuts),
        )
    }

    /// Ends the services without notice.
    pub fn end(self) {
        self.to_database.iter().for_each(CuttingProxy::end);
        drop(self.servers);
    }
}
