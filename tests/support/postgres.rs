//! PostgreSQL for tests: a cluster of its own on a free loopback port, gone when the test is.

#![allow(dead_code, reason = "each test crate uses its own part")]

use std::fs;
use std::net::TcpListener;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{LazyLock, OnceLock};

use tempfile::TempDir;

/// The superuser of every cluster, and the password that must never be seen anywhere.
pub const USER: &str = "untag";
pub const PASSWORD: &str = "correct-horse-battery";

/// The settings that keep a cluster out of the way of others.
const SETTINGS: &str = "
listen_addresses = '127.0.0.1'
unix_socket_directories = ''
logging_collector = off
";
/// The settings that make a cluster quick, and good for many tests at once.
const QUICK: &str = "
fsync = off
max_connections = 300
shared_buffers = 64MB
";

/// The durability that a commit promises.
#[derive(Clone, Copy, PartialEq)]
pub enum Durability {
    /// Nothing that has to be there after a power failure: for tests.
    None,
    /// What PostgreSQL's defaults promise: the commit is on the disk.
    Disk,
}

/// A running cluster. It is stopped and removed when this goes out of scope, and also when the test process dies.
pub struct Cluster {
    /// The directory of the cluster's files: `data`, `log` and what a test puts there.
    pub directory: PathBuf,
    pub port: u16,
    watchdog: Option<Child>,
}

impl Cluster {
    /// Starts a cluster; `settings` are more lines for postgresql.conf.
    pub fn start(settings: &str) -> Self {
        Self::start_in(&std::env::temp_dir(), Durability::None, settings)
    }

    /// Starts a cluster in a directory of its own below `parent`, which the user postgres has to reach.
    pub fn start_in(parent: &Path, durability: Durability, settings: &str) -> Self {
        let cluster = Self::prepare(parent, |data| {
            let password_file = data.with_file_name("password");
            fs::write(&password_file, PASSWORD).unwrap();
            let sync: &[&str] = match durability {
                Durability::None => &["--no-sync"],
                Durability::Disk => &[],
            };
            succeed(
                as_postgres("initdb")
                    .args(sync)
                    .args([
                        "--auth=scram-sha-256",
                        "--encoding=UTF8",
                        "--locale=C.UTF-8",
                        "--username",
                        USER,
                        "--pgdata",
                    ])
                    .arg(data)
                    .arg("--pwfile")
                    .arg(password_file),
            );
        });
        cluster.configure(durability, settings);
        cluster.resume();
        cluster
    }

    /// Starts a streaming standby of this cluster, which calls itself `name`.
    pub fn start_standby(&self, name: &str) -> Self {
        let source = format!("{} application_name={name}", self.conninfo());
        let standby = Self::prepare(&std::env::temp_dir(), |data| {
            succeed(
                as_postgres("pg_basebackup")
                    .args(["--no-sync", "--write-recovery-conf"])
                    .args([
                        "--checkpoint=fast",
                        "--wal-method=stream",
                        "--dbname",
                        &source,
                        "--pgdata",
                    ])
                    .arg(data),
            );
        });
        standby.configure(Durability::None, "hot_standby = on\n");
        standby.resume();
        standby
    }

    /// Makes the files, and sets a watchdog on them.
    fn prepare(parent: &Path, fill: impl FnOnce(&Path)) -> Self {
        let directory = TempDir::with_prefix_in("untag-postgres-", parent);
        let directory = directory.unwrap().keep();
        let port = free_port();
        let cluster = Self {
            watchdog: Some(watchdog(&directory)),
            directory,
            port,
        };
        if is_root() {
            succeed(
                Command::new("chown")
                    .arg("postgres")
                    .arg(&cluster.directory),
            );
        }
        fill(&cluster.data());
        cluster
    }

    fn configure(&self, durability: Durability, settings: &str) {
        let quick = match durability {
            Durability::None => QUICK,
            Durability::Disk => "",
        };
        let settings = format!("{SETTINGS}{quick}port = {}\n{settings}", self.port);
        let path = self.data().join("postgresql.conf");
        let written = fs::read_to_string(&path).unwrap() + &settings;
        fs::write(path, written).unwrap();
    }

    pub fn data(&self) -> PathBuf {
        self.directory.join("data")
    }

    /// Starts the cluster again after [`Cluster::stop`].
    pub fn resume(&self) {
        let log = self.directory.join("log");
        let started = as_postgres("pg_ctl")
            .args(["start", "-w", "-t", "90", "-s", "-D"])
            .arg(self.data())
            .arg("-l")
            .arg(&log)
            // A server keeps what it inherits, and a test runner waits for its output to close.
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .status();
        let log = || fs::read_to_string(&log).unwrap_or_default();
        assert!(
            started.unwrap().success(),
            "PostgreSQL does not start: {}",
            log()
        );
    }

    /// Stops the cluster without notice to its clients.
    pub fn stop(&self) {
        succeed(
            as_postgres("pg_ctl")
                .args(["stop", "-m", "immediate", "-s", "-D"])
                .arg(self.data()),
        );
    }

    /// Makes a standby the primary.
    pub fn promote(&self) {
        succeed(
            as_postgres("pg_ctl")
                .args(["promote", "-w", "-s", "-D"])
                .arg(self.data()),
        );
    }

    /// The processes of the cluster, the postmaster first.
    pub fn processes(&self) -> Vec<u32> {
        let pid_file = fs::read_to_string(self.data().join("postmaster.pid")).unwrap();
        let postmaster: u32 = pid_file.lines().next().unwrap().parse().unwrap();
        let children = format!("/proc/{postmaster}/task/{postmaster}/children");
        let children = fs::read_to_string(children).unwrap();
        let children = children.split_whitespace().map(|pid| pid.parse().unwrap());
        std::iter::once(postmaster).chain(children).collect()
    }

    /// Sends a signal to every process of the cluster, the postmaster first so that it starts no others.
    pub fn signal(&self, name: &str) {
        for pid in self.processes() {
            // A backend may have ended meanwhile.
            let _ = Command::new("kill")
                .args([&format!("-{name}"), &pid.to_string()])
                .stderr(Stdio::null())
                .status()
                .unwrap();
        }
    }

    fn conninfo(&self) -> String {
        format!(
            "host=127.0.0.1 port={} user={USER} password={PASSWORD}",
            self.port
        )
    }

    /// Makes a database that nobody else uses.
    pub fn database(&self) -> Database {
        static NEXT: AtomicUsize = AtomicUsize::new(1);
        let name = format!("test_{}", NEXT.fetch_add(1, Ordering::Relaxed));
        self.sql("postgres", &format!("CREATE DATABASE {name}"));
        Database {
            port: self.port,
            name,
        }
    }

    /// Runs SQL as the superuser and returns what it prints: rows by line, columns with | between them.
    pub fn sql(&self, database: &str, sql: &str) -> String {
        Database {
            port: self.port,
            name: database.to_owned(),
        }
        .sql(sql)
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        if let Some(mut watchdog) = self.watchdog.take() {
            drop(watchdog.stdin.take());
            // It reports nothing that a test could do something about.
            let _ = watchdog.wait();
        }
    }
}

/// The cluster that the tests of one process share, each with its own [`Database`].
pub fn shared() -> &'static Cluster {
    static SHARED: LazyLock<Cluster> = LazyLock::new(|| Cluster::start(""));
    &SHARED
}

/// A database of a cluster.
#[derive(Clone)]
pub struct Database {
    pub port: u16,
    pub name: String,
}

impl Database {
    /// The connection string for `--store`.
    pub fn url(&self) -> String {
        self.url_with("")
    }

    /// The connection string for `--store`, with options such as `?sslmode=require`.
    pub fn url_with(&self, options: &str) -> String {
        format!(
            "postgres://{USER}:{PASSWORD}@127.0.0.1:{}/{}{options}",
            self.port, self.name
        )
    }

    /// Runs SQL and returns what it prints.
    pub fn sql(&self, sql: &str) -> String {
        psql(&self.url(), &[sql])
    }
}

/// Runs statements, each by itself, on the database of a connection string. Returns what the last one prints.
pub fn psql(url: &str, statements: &[&str]) -> String {
    let mut command = Command::new(program("psql"));
    command.args(["-X", "-q", "-A", "-t", "-v", "ON_ERROR_STOP=1", "-d", url]);
    for sql in statements {
        command.args(["-c", sql]);
    }
    let output = command.output().expect("psql runs");
    let error = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{statements:?}: {error}");
    String::from_utf8(output.stdout)
        .unwrap()
        .trim_end()
        .to_owned()
}

/// A program of the server's own version; others of its name may come first on PATH.
pub fn program(name: &str) -> PathBuf {
    static DIRECTORY: OnceLock<PathBuf> = OnceLock::new();
    let directory = DIRECTORY.get_or_init(|| {
        let found = Command::new("pg_config").arg("--bindir").output();
        let directory = found
            .ok()
            .and_then(|output| String::from_utf8(output.stdout).ok());
        let directory = PathBuf::from(directory.unwrap_or_default().trim());
        assert!(
            directory.join("initdb").exists(),
            "PostgreSQL's server is missing: install the package postgresql (scripts/setup does)"
        );
        directory
    });
    directory.join(name)
}

/// A command for a program of PostgreSQL, which refuses to run as root.
fn as_postgres(name: &str) -> Command {
    unprivileged(&program(name))
}

/// A command that runs as the user postgres when the test runs as root.
pub fn unprivileged(program: &Path) -> Command {
    if !is_root() {
        return Command::new(program);
    }
    let mut command = Command::new("setpriv");
    command
        .args([
            "--reuid=postgres",
            "--regid=postgres",
            "--clear-groups",
            "--",
        ])
        .arg(program);
    // The working directory may be closed to that user.
    command.current_dir("/");
    command
}

pub fn is_root() -> bool {
    let output = Command::new("id").arg("-u").output().expect("id runs");
    output.stdout.trim_ascii() == b"0"
}

/// Runs a command that has to succeed.
pub fn succeed(command: &mut Command) {
    let output = command.stdin(Stdio::null()).output();
    let output = output.unwrap_or_else(|error| panic!("{command:?}: {error}"));
    let error = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{command:?}: {error}");
}

pub fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap()
        .port()
}

/// A process that outlives this one by as long as it takes to stop the cluster and remove its files.
fn watchdog(directory: &Path) -> Child {
    // SIGCONT first: a stopped process can't stop by itself. Its input ends when the test process does, however that ends.
    let script = "cat >/dev/null
        read -r pid <\"$1/data/postmaster.pid\" && kill -CONT \"$pid\" $(cat /proc/\"$pid\"/task/*/children)
        \"$2\" stop -m immediate -w -s -D \"$1/data\"; rm -rf \"$1\"";
    unprivileged(Path::new("sh"))
        .args(["-c", script, "sh"])
        .arg(directory)
        .arg(program("pg_ctl"))
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        // Ctrl-C at the terminal is for the tests.
        .process_group(0)
        .spawn()
        .expect("sh runs")
}
