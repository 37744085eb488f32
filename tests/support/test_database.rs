//! The database of a test that runs on whatever PostgreSQL there is: the cluster that the tests of a process share, or the server of an
//! operator, which `UNTAG_TEST_STORE` leads to.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{LazyLock, Mutex, PoisonError};

use crate::support::postgres::{psql, shared};

/// Holds the connection string of a database on the server. Its role makes databases there, and drops them.
const VARIABLE: &str = "UNTAG_TEST_STORE";

/// The server that the variable leads to.
static GIVEN: LazyLock<Option<Server>> = LazyLock::new(|| {
    let url = std::env::var(VARIABLE).ok()?;
    Some(Server::at(url))
});

/// A database that nobody else uses, gone when this is.
pub struct TestDatabase {
    pub name: String,
    url: String,
    /// Where it is, but on the shared cluster, which goes as a whole.
    nodes: &'static [String],
}

impl TestDatabase {
    pub fn new() -> Self {
        if let Some(server) = &*GIVEN {
            return server.database();
        }
        let database = shared().database();
        Self {
            url: database.url(),
            name: database.name,
            nodes: &[],
        }
    }

    /// The connection string for `--store`.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// Runs SQL and returns what it prints: rows by line, columns with | between them.
    pub fn sql(&self, sql: &str) -> String {
        psql(&self.url, &[sql])
    }
}

impl Drop for TestDatabase {
    fn drop(&mut self) {
        let drop = format!("DROP DATABASE {} WITH (FORCE)", self.name);
        for node in self.nodes {
            psql(node, &[ALONE, &drop]);
        }
    }
}

/// Whether the tables of tests are to be distributed over several nodes.
pub fn is_distributed() -> bool {
    GIVEN.as_ref().is_some_and(|server| server.nodes.len() > 1)
}

/// Keeps Citus from making and dropping databases on other nodes than the one that is asked.
const ALONE: &str = "SET citus.enable_create_database_propagation = off";

/// A server of an operator's, or the nodes of a Citus cluster.
struct Server {
    /// Connection strings of the node that is given, before those of the others.
    nodes: Vec<String>,
    making: Mutex<()>,
}

impl Server {
    fn at(url: String) -> Self {
        let has_citus = psql(
            &url,
            &["SELECT count(*) FROM pg_extension WHERE extname = 'citus'"],
        );
        let mut nodes = vec![url];
        if has_citus == "1" {
            let others = "SELECT nodename || ':' || nodeport FROM pg_dist_node WHERE groupid <> 0 AND isactive ORDER BY 1";
            let others = psql(&nodes[0], &[others]);
            let others: Vec<_> = others
                .lines()
                .map(|host| with(&nodes[0], Some(host), None))
                .collect();
            nodes.extend(others);
        }
        Self {
            nodes,
            making: Mutex::default(),
        }
    }

    fn database(&'static self) -> TestDatabase {
        static NEXT: AtomicUsize = AtomicUsize::new(1);
        let next = NEXT.fetch_add(1, Ordering::Relaxed);
        let name = format!("untag_test_{}_{next}", std::process::id());
        let create = format!("CREATE DATABASE {name} ENCODING 'UTF8' TEMPLATE template0");
        let is_cluster = self.nodes.len() > 1;
        // Citus writes down the roles of a cluster when a node is added, and not twice at once.
        let _one_at_a_time = self.making.lock().unwrap_or_else(PoisonError::into_inner);
        for node in &self.nodes {
            psql(node, &[ALONE, &create]);
            if is_cluster {
                psql(&with(node, None, Some(&name)), &["CREATE EXTENSION citus"]);
            }
        }
        let url = with(&self.nodes[0], None, Some(&name));
        if is_cluster {
            psql(&url, &[&self.join()]);
        }
        TestDatabase {
            name,
            url,
            nodes: &self.nodes,
        }
    }

    /// SQL that makes the nodes a cluster.
    fn join(&self) -> String {
        let call = |function: &str, node: &String| {
            let (host, port) = host_of(node).rsplit_once(':').expect("a port of each node");
            format!("SELECT {function}('{host}', {port});")
        };
        let others = self.nodes[1..].iter();
        let others = others.map(|node| call("citus_add_node", node));
        call("citus_set_coordinator_host", &self.nodes[0]) + &others.collect::<String>()
    }
}

/// The host and the port in a connection string.
fn host_of(url: &str) -> &str {
    let (_, rest) = url.split_once("://").expect("a URL");
    let authority = rest.split(['/', '?']).next().unwrap_or_default();
    authority.rsplit('@').next().unwrap_or_default()
}

/// A connection string with another host and port, or another database.
fn with(url: &str, host: Option<&str>, database: Option<&str>) -> String {
    let old = host_of(url);
    let (before, after) = url.split_at(url.find(old).expect("the host") + old.len());
    let before = before.strip_suffix(old).expect("the host");
    let (path, options) = match after.split_once('?') {
        Some((path, options)) => (path, format!("?{options}")),
        None => (after, String::new()),
    };
    let path = database.map_or_else(|| path.to_owned(), |name| format!("/{name}"));
    format!("{before}{}{path}{options}", host.unwrap_or(old))
}
