//! Certificates that change while the service runs.

#![allow(
    clippy::float_cmp,
    reason = "counts are whole numbers, which floats hold exactly"
)]

use std::error::Error as _;
use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use super::harness::{Files, endpoint};
use crate::support::authority::{Authority, Pair, spiffe};
use crate::support::http::scrape;
use crate::support::list;
use crate::support::{PATIENCE, Server};

async fn is_served(server: &Server, authority: &Authority, identity: Option<&Pair>) -> bool {
    let Ok(mut client) = Files::connect(server, authority, identity).await else {
        return false;
    };
    client.list_tag_resources(list()).await.is_ok()
}

async fn until_served(server: &Server, authority: &Authority, identity: Option<&Pair>) {
    let started = Instant::now();
    while !is_served(server, authority, identity).await {
        assert!(started.elapsed() < PATIENCE, "{:#?}", server.log_lines());
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

#[tokio::test]
async fn a_new_pair_is_served_to_new_connections_and_old_ones_go_on() {
    let files = Files::new();
    let server = files.serve(&[]);
    let mut old = files.client(&server, None).await;
    let next = Authority::new("next");
    assert!(!is_served(&server, &next, None).await);
    files.write_pair(&next.issue_for_server());
    until_served(&server, &next, None).await;
    assert!(!is_served(&server, &files.servers, None).await);
    old.list_tag_resources(list()).await.unwrap();
    server.wait_for_log("reloaded");
    let series = scrape(&server);
    assert_eq!(series[&reloads("ok")], 1.0);
    assert_eq!(series[&reloads("failed")], 0.0);
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    assert!(
        series["untag_tls_certificate_expiry_timestamp_seconds{}"] > now.unwrap().as_secs_f64()
    );
}

fn reloads(outcome: &str) -> String {
    format!("untag_reloads_total{{what=\"tls\",outcome=\"{outcome}\"}}")
}

#[tokio::test]
async fn a_pair_that_does_not_match_or_is_broken_keeps_the_old_one() {
    let files = Files::new();
    let server = files.serve(&[]);
    let next = Authority::new("next");
    let pair = next.issue_for_server();
    let good_key = files.read("tls.key");
    for (certificate, key, complaint) in [
        (
            pair.certificate.as_str(),
            good_key.as_str(),
            "do not work together",
        ),
        ("broken", pair.key.as_str(), "there is no certificate"),
        (
            &pair.certificate[..pair.certificate.len() / 2],
            &pair.key,
            "PEM",
        ),
    ] {
        files.write("tls.key", key);
        files.write("tls.crt", certificate);
        server.wait_for_log_where("not reloaded; the old one stays in use", |line| {
            line["error"].as_str().unwrap().contains(complaint)
        });
        assert!(
            is_served(&server, &files.servers, None).await,
            "{complaint}"
        );
    }
    assert!(scrape(&server)[&reloads("failed")] >= 3.0);
    files.write_pair(&pair);
    until_served(&server, &next, None).await;
}

type Make = fn(&Path);

/// Puts something else into the place of a file.
fn replace(files: &Files, name: &str, with: impl FnOnce(&Path)) {
    fs::remove_file(files.path(name)).unwrap();
    with(&files.path(name));
}

#[tokio::test]
async fn a_followed_file_that_becomes_something_else_is_a_failure_and_following_goes_on() {
    let files = Files::new();
    let server = files.serve(&[]);
    let others: [(Make, &str); 4] = [
        (make_fifo, "no regular file"),
        (|path| fs::create_dir(path).unwrap(), "no regular file"),
        (|path| symlink(path, path).unwrap(), "symbolic links"),
        (make_huge, "larger than"),
    ];
    for (make, complaint) in others {
        replace(&files, "tls.crt", make);
        server.wait_for_log_where("not reloaded; the old one stays in use", |line| {
            let error = line["error"].as_str().unwrap();
            error.contains("tls.crt") && error.contains(complaint)
        });
        let failed = scrape(&server)[&reloads("failed")];
        let started = Instant::now();
        while scrape(&server)[&reloads("failed")] <= failed {
            assert!(started.elapsed() < PATIENCE, "{complaint} is counted");
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        let path = files.path("tls.crt");
        fs::remove_file(&path)
            .or_else(|_| fs::remove_dir(&path))
            .unwrap();
        let next = Authority::new("next");
        files.write_pair(&next.issue_for_server());
        until_served(&server, &next, None).await;
    }
}

fn make_fifo(path: &Path) {
    let made = Command::new("mkfifo").arg(path).status();
    assert!(made.expect("mkfifo runs").success());
}

fn make_huge(path: &Path) {
    fs::File::create(path).unwrap().set_len(1 << 40).unwrap();
}

#[tokio::test]
async fn sighup_reads_files_at_once_and_opens_the_audit_again_and_sigusr_does_nothing() {
    let files = Files::new();
    let audit = files.path("audit.jsonl");
    let server = files.serve_every("86400", &["--audit-log", audit.to_str().unwrap()]);
    let next = Authority::new("next");
    files.write_pair(&next.issue_for_server());
    fs::rename(&audit, files.path("audit.jsonl.1")).unwrap();
    for signal in ["USR1", "USR2", "HUP"] {
        server.signal(signal);
    }
    until_served(&server, &next, None).await;
    let started = Instant::now();
    while !audit.exists() {
        assert!(started.elapsed() < PATIENCE, "no new audit log");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

#[tokio::test]
async fn a_kubernetes_secret_whose_links_are_swapped_is_followed() {
    let files = Files::new();
    // What the kubelet does: files are links into ..data, which is a link that is replaced.
    let old = Pair {
        certificate: files.read("tls.crt"),
        key: files.read("tls.key"),
    };
    let version = |name: &str, pair: &Pair| {
        fs::create_dir(files.path(name)).unwrap();
        files.write(&format!("{name}/tls.crt"), &pair.certificate);
        files.write(&format!("{name}/tls.key"), &pair.key);
        symlink(name, files.path("..data_tmp")).unwrap();
        fs::rename(files.path("..data_tmp"), files.path("..data")).unwrap();
    };
    version("..first", &old);
    for name in ["tls.crt", "tls.key"] {
        fs::remove_file(files.path(name)).unwrap();
        symlink(format!("..data/{name}"), files.path(name)).unwrap();
    }
    let server = files.serve(&[]);
    assert!(is_served(&server, &files.servers, None).await);
    let next = Authority::new("next");
    version("..second", &next.issue_for_server());
    until_served(&server, &next, None).await;
}

#[tokio::test]
async fn a_new_client_ca_takes_new_callers_and_leaves_the_old_ones_out() {
    let files = Files::new();
    let server = files.serve_callers(&[]);
    let old = files.callers.issue(vec![spiffe("a")]);
    assert!(is_served(&server, &files.servers, Some(&old)).await);
    let next = Authority::new("next callers");
    files.write("client-ca.pem", &next.pem());
    until_served(
        &server,
        &files.servers,
        Some(&next.issue(vec![spiffe("a")])),
    )
    .await;
    assert!(!is_served(&server, &files.servers, Some(&old)).await);
}

/// Whether a request found its connection gone while it waited to be sent. Other clients open another connection by
/// themselves then (transparent retries, gRFC A6); tonic leaves it to the caller.
fn was_never_sent(status: &tonic::Status) -> bool {
    let mut source = status.source();
    while let Some(error) = source {
        if error.downcast_ref().is_some_and(hyper::Error::is_canceled) {
            return true;
        }
        source = error.source();
    }
    false
}

#[tokio::test(flavor = "multi_thread")]
async fn no_request_fails_while_pairs_change_and_connections_age() {
    let files = Files::new();
    // Connections leave often, so that many of them meet each pair.
    let server = files.serve(&["--max-connection-age", "0.2", "--log-level", "debug"]);
    let (stop, answered) = (
        Arc::new(AtomicBool::new(false)),
        Arc::new(AtomicUsize::new(0)),
    );
    let mut callers = tokio::task::JoinSet::new();
    for _ in 0..4 {
        let (stop, answered) = (Arc::clone(&stop), Arc::clone(&answered));
        let channel = endpoint(&server, &files.servers, None).connect_lazy();
        callers.spawn(async move {
            let mut client = untag::grpc::proto::tag_service_client::TagServiceClient::new(channel);
            while !stop.load(Ordering::Relaxed) {
                match client.list_tag_resources(list()).await {
                    Ok(_) => answered.fetch_add(1, Ordering::Relaxed),
                    Err(status) if was_never_sent(&status) => continue,
                    Err(status) => return Err(status),
                };
            }
            Ok::<_, tonic::Status>(())
        });
    }
    let mut reloads = 0;
    while reloads < 10 {
        files.write_pair(&files.servers.issue_for_server());
        reloads += 1;
        let seen = || {
            let lines = server.log_lines();
            lines
                .iter()
                .filter(|line| line["message"] == "reloaded")
                .count()
        };
        let started = Instant::now();
        while seen() < reloads {
            assert!(
                started.elapsed() < PATIENCE,
                "{reloads} pairs, {} seen",
                seen()
            );
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }
    stop.store(true, Ordering::Relaxed);
    while let Some(ended) = callers.join_next().await {
        ended.unwrap().unwrap();
    }
    let lines = server.log_lines();
    let left = lines
        .iter()
        .filter(|line| line["message"] == "a connection is told to leave")
        .count();
    let answered = answered.load(Ordering::Relaxed);
    println!("reloads: {reloads}, connections aged: {left}, answered: {answered}, failed: 0");
    assert!(
        left >= 4 && answered > 0,
        "{left} connections left, {answered} answered"
    );
}
