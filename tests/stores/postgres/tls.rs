//! TLS to the database.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use tempfile::TempDir;

use super::harness::{database_with, fill, ok_on, remove, run_on, serve, stderr, tags_of};
use crate::support::PATIENCE;
use crate::support::postgres::{Cluster, Database, is_root, succeed};

/// A cluster with TLS, whose certificate names the address 127.0.0.1 and is of an authority of its own.
struct TlsCluster {
    cluster: Cluster,
    database: Database,
    files: TempDir,
}

fn openssl(directory: &Path, arguments: &[&str]) {
    succeed(
        Command::new("openssl")
            .args(arguments)
            .current_dir(directory),
    );
}

fn make_authority(directory: &Path, name: &str) {
    let (key, certificate) = (format!("{name}.key"), format!("{name}.pem"));
    let subject = format!("/CN={name}");
    openssl(
        directory,
        &[
            "req",
            "-x509",
            "-newkey",
            "ec",
            "-pkeyopt",
            "ec_paramgen_curve:prime256v1",
            "-nodes",
            "-days",
            "2",
            "-keyout",
            &key,
            "-out",
            &certificate,
            "-subj",
            &subject,
        ],
    );
}

/// The arguments that make a certificate one of version 3, which names the server.
const NAMES: [&str; 2] = ["-extfile", "names"];

/// Makes the server's certificate, of this authority. Without `extensions` it is of version 1.
fn sign(directory: &Path, authority: &str, extensions: &[&str]) {
    let (key, certificate) = (format!("{authority}.key"), format!("{authority}.pem"));
    let arguments = [
        "x509",
        "-req",
        "-in",
        "server.csr",
        "-CA",
        &certificate,
        "-CAkey",
        &key,
        "-CAcreateserial",
        "-days",
        "2",
        "-out",
        "server.crt",
    ];
    openssl(directory, &[&arguments[..], extensions].concat());
}

/// Gives the server its key and certificate.
fn install(cluster: &Cluster, files: &Path) {
    for name in ["server.key", "server.crt"] {
        let path = cluster.data().join(name);
        fs::copy(files.join(name), &path).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
        if is_root() {
            succeed(Command::new("chown").arg("postgres").arg(&path));
        }
    }
}

impl TlsCluster {
    fn start() -> Self {
        let files = tempfile::tempdir().unwrap();
        make_authority(files.path(), "authority");
        make_authority(files.path(), "stranger");
        openssl(
            files.path(),
            &[
                "req",
                "-newkey",
                "ec",
                "-pkeyopt",
                "ec_paramgen_curve:prime256v1",
                "-nodes",
                "-keyout",
                "server.key",
                "-out",
                "server.csr",
                "-subj",
                "/CN=database",
            ],
        );
        fs::write(
            files.path().join("names"),
            "subjectAltName=IP:127.0.0.1\nbasicConstraints=CA:FALSE\n",
        )
        .unwrap();
        sign(files.path(), "authority", &NAMES);
        let cluster = Cluster::start("");
        install(&cluster, files.path());
        let database = cluster.database();
        database.sql("ALTER SYSTEM SET ssl = on");
        database.sql("SELECT pg_reload_conf()");
        let start = Instant::now();
        let sql = "SELECT ssl FROM pg_stat_ssl WHERE pid = pg_backend_pid()";
        while database.sql(sql) != "t" {
            assert!(
                start.elapsed() < PATIENCE,
                "the server does not take up TLS"
            );
            std::thread::sleep(Duration::from_millis(50));
        }
        // Whoever comes without TLS is turned away from now on.
        let rules = cluster.data().join("pg_hba.conf");
        let text = fs::read_to_string(&rules)
            .unwrap()
            .replace("\nhost ", "\nhostssl ");
        fs::write(&rules, text).unwrap();
        database.sql("SELECT pg_reload_conf()");
        Self {
            cluster,
            database,
            files,
        }
    }

    fn verified(&self, authority: &str) -> String {
        let path: PathBuf = self.files.path().join(authority);
        self.database.url_with(&format!(
            "?sslmode=verify-full&sslrootcert={}",
            path.display()
        ))
    }
}

#[tokio::test]
async fn postgres_tls_is_used_and_verified_as_asked() {
    let server = TlsCluster::start();
    fill(&server.database, &[&[("env", "a"), ("team", "b")]]);
    for (store, key) in [
        (server.database.url_with("?sslmode=require"), "env"),
        (server.verified("authority.pem"), "team"),
    ] {
        let service = serve(&store, &[]);
        remove(&mut service.client().await, &[1], &[key])
            .await
            .unwrap();
        let sql = "SELECT bool_and(ssl) FROM pg_stat_ssl JOIN pg_stat_activity USING (pid) WHERE application_name = 'untag'";
        assert_eq!(server.database.sql(sql), "t");
    }
}

#[test]
fn postgres_tls_server_that_is_not_the_right_one_is_refused() {
    let server = TlsCluster::start();
    // The right authority and address first, so that a refusal means what it should.
    ok_on(&server.verified("authority.pem"), &["migrate"]);
    let stranger = run_on(&server.verified("stranger.pem"), &["migrate"]);
    assert!(!stranger.status.success());
    assert!(stderr(&stranger).contains("certificate"), "{stranger:?}");

    let other_name = server
        .verified("authority.pem")
        .replace("127.0.0.1", "localhost");
    let other_name = run_on(&other_name, &["migrate"]);
    assert!(!other_name.status.success());
    assert!(
        stderr(&other_name).contains("certificate"),
        "{other_name:?}"
    );

    let plain = run_on(&server.database.url_with("?sslmode=disable"), &["migrate"]);
    assert!(!plain.status.success(), "the server was to insist on TLS");
    assert!(server.cluster.data().exists());
}

#[test]
fn postgres_tls_root_certificates_that_cannot_be_read_are_named() {
    let database = database_with(&[]);
    let files = tempfile::tempdir().unwrap();
    let path = files.path().join("roots.pem");
    let store = database.url_with(&format!(
        "?sslmode=verify-full&sslrootcert={}",
        path.display()
    ));
    assert!(stderr(&run_on(&store, &["migrate"])).contains("roots.pem"));
    fs::write(&path, "no certificate").unwrap();
    assert!(stderr(&run_on(&store, &["migrate"])).contains("holds none"));
}

#[test]
fn postgres_tls_is_demanded_by_require_and_not_by_prefer() {
    let database = database_with(&[]);
    let refused = run_on(&database.url_with("?sslmode=require"), &["export"]);
    assert!(!refused.status.success());
    assert!(stderr(&refused).contains("TLS"), "{refused:?}");
    ok_on(&database.url_with("?sslmode=prefer"), &["export"]);
}

#[tokio::test]
async fn postgres_tls_root_certificates_that_were_replaced_are_used_for_new_connections() {
    let server = TlsCluster::start();
    fill(&server.database, &[&[("env", "a")]]);
    let files = server.files.path();
    let roots = files.join("roots.pem");
    fs::copy(files.join("authority.pem"), &roots).unwrap();
    // The file is not looked at again, but for a connection that fails.
    let service = serve(
        &server.verified("roots.pem"),
        &["--reload-interval", "3600"],
    );
    let mut client = service.client().await;
    assert_eq!(tags_of(&mut client, &[1]).await.unwrap().len(), 1);

    make_authority(files, "next");
    sign(files, "next", &NAMES);
    install(&server.cluster, files);
    fs::copy(files.join("next.pem"), &roots).unwrap();
    // Sessions that begin from now on show the new certificate.
    server.database.sql("SELECT pg_reload_conf()");
    let next = server.verified("next.pem");
    let start = Instant::now();
    while !run_on(&next, &["migrate", "--dry-run"]).status.success() {
        assert!(
            start.elapsed() < PATIENCE,
            "the server keeps its certificate"
        );
    }
    let end = "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity \
               WHERE application_name = 'untag' AND datname = current_database()";
    assert_ne!(server.database.sql(end), "0");
    assert_eq!(tags_of(&mut client, &[1]).await.unwrap().len(), 1);
}

#[test]
fn postgres_tls_certificate_of_version_1_is_taken_where_the_server_proves_nothing() {
    let server = TlsCluster::start();
    sign(server.files.path(), "authority", &[]);
    install(&server.cluster, server.files.path());
    for version in ["TLSv1.3", "TLSv1.2"] {
        let database = &server.database;
        database.sql(&format!(
            "ALTER SYSTEM SET ssl_max_protocol_version = '{version}'"
        ));
        database.sql("SELECT pg_reload_conf()");
        let refused = server.verified("authority.pem");
        let is_loaded = || {
            let sql = "SELECT version FROM pg_stat_ssl WHERE pid = pg_backend_pid()";
            database.sql(sql) == version && !run_on(&refused, &["migrate"]).status.success()
        };
        let start = Instant::now();
        while !is_loaded() {
            assert!(start.elapsed() < PATIENCE, "the server keeps its settings");
        }
        for mode in ["prefer", "require"] {
            ok_on(
                &database.url_with(&format!("?sslmode={mode}")),
                &["migrate"],
            );
        }
        let said = stderr(&run_on(&refused, &["migrate"]));
        assert!(said.contains("X.509 version 1"), "{said}");
        assert!(said.contains("subjectAltName=DNS:<host>"), "{said}");
    }
}
