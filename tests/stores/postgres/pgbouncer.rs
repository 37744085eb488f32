//! PgBouncer between the service and the database.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use tonic::Code;
use tonic_health::pb::health_check_response::ServingStatus;

use super::harness::{
    ACCOUNT, assert_says_what_happened, fill, import, ok_on, remove, serve, set, tags_of,
    user_line, wait_for_health,
};
use crate::support::PATIENCE;
use crate::support::postgres::{
    Cluster, Database, PASSWORD, USER, free_port, is_root, shared, succeed, unprivileged,
};

/// A PgBouncer in transaction mode; killed when it goes out of scope.
struct PgBouncer {
    child: Child,
    port: u16,
    directory: tempfile::TempDir,
}

fn pgbouncer() -> PathBuf {
    // Debian installs it where only root looks.
    let places = [
        "/usr/sbin/pgbouncer",
        "/usr/bin/pgbouncer",
        "/usr/local/bin/pgbouncer",
    ];
    let found = places.iter().map(PathBuf::from).find(|path| path.exists());
    found.expect("PgBouncer is missing: install the package pgbouncer (scripts/setup does)")
}

impl PgBouncer {
    /// Starts one before a server; `settings` are more lines for its file.
    fn start(server_port: u16, settings: &str) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let path = |name: &str| directory.path().join(name);
        let port = free_port();
        // Fewer connections to the server than the service opens: transactions have to take turns.
        let settings = format!(
            "[databases]\n* = host=127.0.0.1 port={server_port}\n[pgbouncer]\nlisten_addr = 127.0.0.1\n\
             listen_port = {port}\nunix_socket_dir =\nauth_type = scram-sha-256\nauth_file = {}\n\
             pool_mode = transaction\ndefault_pool_size = 2\n\
             server_login_retry = 1\nlogfile = {}\n{settings}",
            path("users").display(),
            path("log").display()
        );
        fs::write(path("users"), format!("\"{USER}\" \"{PASSWORD}\"\n")).unwrap();
        fs::write(path("settings"), settings).unwrap();
        if is_root() {
            succeed(
                Command::new("chown")
                    .args(["-R", "postgres"])
                    .arg(directory.path()),
            );
        }
        let mut command = unprivileged(&pgbouncer());
        command.arg("-q").arg(path("settings")).stdin(Stdio::null());
        let child = command
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let bouncer = Self {
            child,
            port,
            directory,
        };
        bouncer.wait();
        bouncer
    }

    fn wait(&self) {
        let start = Instant::now();
        while std::net::TcpStream::connect(("127.0.0.1", self.port)).is_err() {
            let log = || fs::read_to_string(Path::new(self.directory.path()).join("log"));
            assert!(
                start.elapsed() < PATIENCE,
                "PgBouncer does not start: {:?}",
                log()
            );
            std::thread::sleep(Duration::from_millis(20));
        }
    }
}

impl Drop for PgBouncer {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn postgres_behind_pgbouncer_in_transaction_mode() {
    check_transaction_mode("").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn postgres_behind_pgbouncer_that_ignores_settings() {
    check_transaction_mode("ignore_startup_parameters = options\n").await;
}

async fn check_transaction_mode(settings: &str) {
    let behind = shared().database();
    let bouncer = PgBouncer::start(behind.port, settings);
    let database = Database {
        port: bouncer.port,
        name: behind.name.clone(),
    };
    assert_eq!(
        ok_on(&database.url(), &["migrate"]),
        "applied migration 1 resource\napplied migration 2 users\napplied migration 3 change log\n"
    );
    let users: String = (1..=50)
        .map(|id| user_line(id, &[("env", "prod")]))
        .collect();
    import(&database.url(), &users);
    assert_eq!(ok_on(&database.url(), &["export"]).lines().count(), 50);

    let server = serve(&database.url(), &[]);
    server.wait_for_log("a pooler shares the database's sessions: statements are not prepared");
    let mut running = Vec::new();
    for client in 0..8 {
        let mut service = server.client().await;
        running.push(tokio::spawn(async move {
            let everybody: Vec<usize> = (1..=50).collect();
            let key = format!("client-{client}");
            for round in 0..20 {
                let value = round.to_string();
                set(&mut service, &everybody[..20], &[(&key, &value)])
                    .await
                    .unwrap();
                let seen = tags_of(&mut service, &[1]).await.unwrap();
                assert!(
                    seen.contains(&("1".to_owned(), key.clone(), value)),
                    "{seen:?}"
                );
                remove(&mut service, &everybody, &[&key, "env"])
                    .await
                    .unwrap();
            }
        }));
    }
    for client in running {
        client.await.unwrap();
    }
    let left =
        format!("SELECT count(*) FROM resource WHERE account_id = '{ACCOUNT}' AND tags <> '{{}}'");
    assert_eq!(behind.sql(&left), "0");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn postgres_outage_behind_pgbouncer_is_reported_and_ends() {
    let cluster = Cluster::start("");
    let behind = cluster.database();
    fill(&behind, &[&[("env", "prod")]]);
    let bouncer = PgBouncer::start(behind.port, "");
    let database = Database {
        port: bouncer.port,
        name: behind.name.clone(),
    };
    let server = serve(&database.url(), &["--request-timeout", "2"]);
    let mut client = server.client().await;
    set(&mut client, &[1], &[("team", "a")]).await.unwrap();
    cluster.stop();
    // PgBouncer has errors of its own for this.
    for _ in 0..3 {
        let failure = remove(&mut client, &[1], &["team"]).await.unwrap_err();
        assert_says_what_happened(&failure, &[Code::Unavailable, Code::DeadlineExceeded]);
    }
    wait_for_health(&server, ServingStatus::NotServing).await;
    cluster.resume();
    wait_for_health(&server, ServingStatus::Serving).await;
    let start = Instant::now();
    while let Err(failure) = remove(&mut client, &[1], &["env", "team"]).await {
        assert_says_what_happened(&failure, &[Code::Unavailable, Code::DeadlineExceeded]);
        assert!(start.elapsed() < PATIENCE, "{failure:?}");
    }
    assert_eq!(tags_of(&mut client, &[1]).await.unwrap(), []);
}
