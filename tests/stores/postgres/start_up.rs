//! The order of a start: the database first, then readiness.

use std::net::{Ipv4Addr, SocketAddr};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_check_response::ServingStatus;

use super::harness::{
    database_with, health, refused_to_serve, remove, serve_command, tags_of, wait_for_health,
};
use crate::support::http::{get, scrape};
use crate::support::postgres::free_port;
use crate::support::{PATIENCE, Server, health_client, untag};

/// Stands before a database. It lets one connection through, and holds all others until it is opened.
struct Gate {
    port: u16,
    open: watch::Sender<bool>,
}

impl Gate {
    async fn before(database: u16) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let (open, opened) = watch::channel(false);
        tokio::spawn(async move {
            let mut is_first = true;
            while let Ok((mut client, _)) = listener.accept().await {
                let (mut opened, passes) = (opened.clone(), is_first);
                is_first = false;
                tokio::spawn(async move {
                    if !passes {
                        let _ = opened.wait_for(|open| *open).await;
                    }
                    let mut server = TcpStream::connect((Ipv4Addr::LOCALHOST, database)).await?;
                    tokio::io::copy_bidirectional(&mut client, &mut server).await
                });
            }
        });
        Self { port, open }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn postgres_that_has_not_answered_yet_keeps_a_replica_from_being_ready() {
    let mut database = database_with(&[&[("env", "prod")]]);
    let gate = Gate::before(database.port).await;
    database.port = gate.port;
    // The schema is looked at over the first connection. Those that serve are opened after it.
    let any = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
    let server = Server::launch(serve_command(&database.url(), &[]), any);
    assert_eq!(health(&server).await, ServingStatus::NotServing);
    let mut public = health_client(server.address).await;
    let answer = public.check(HealthCheckRequest::default()).await.unwrap();
    assert_eq!(answer.into_inner().status(), ServingStatus::NotServing);
    let (status, reason) = get(&server, "/ready");
    assert_eq!(status, 503);
    assert!(reason.contains("the store has not answered"), "{reason}");
    assert_eq!(get(&server, "/live").0, 200, "a restart would not help");

    gate.open.send(true).unwrap();
    wait_for_health(&server, ServingStatus::Serving).await;
    assert_eq!(get(&server, "/ready").0, 200);
    let mut client = server.client().await;
    assert_eq!(tags_of(&mut client, &[1]).await.unwrap().len(), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn postgres_connection_that_is_waited_for_is_no_part_of_a_commit() {
    let mut database = database_with(&[&[("env", "prod")]]);
    let gate = Gate::before(database.port).await;
    database.port = gate.port;
    let any = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
    let url = database.url_with("?connect_timeout=14");
    let server = Server::launch(serve_command(&url, &[]), any);
    let mut client = server.client().await;
    let change = tokio::spawn(async move { remove(&mut client, &[1], &["env"]).await });
    let held = Duration::from_secs(3);
    tokio::time::sleep(held).await;
    gate.open.send(true).unwrap();
    change.await.unwrap().unwrap();
    let scrape = scrape(&server);
    assert_eq!(
        scrape["untag_store_commit_seconds_count"].to_bits(),
        1.0_f64.to_bits()
    );
    let seconds = scrape["untag_store_commit_seconds_sum"];
    assert!(seconds < held.as_secs_f64(), "{seconds}");
}

#[tokio::test]
async fn postgres_that_says_nothing_keeps_no_process_from_ending() {
    // Connections are accepted, and nobody answers on them.
    let silent = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let port = silent.local_addr().unwrap().port();
    let store = format!("postgres://u:p@127.0.0.1:{port}/x?connect_timeout=60");
    let subcommands = [
        &["serve"][..],
        &["serve", "--sample-data"],
        &["migrate"],
        &["import", "-"],
        &["export", "-"],
    ];
    for (signal, code) in [("TERM", 143), ("INT", 130)] {
        for subcommand in subcommands {
            let mut process = untag()
                .args(subcommand)
                .env("UNTAG_STORE", &store)
                .stdin(Stdio::null())
                .stderr(Stdio::null())
                .spawn()
                .unwrap();
            // It waits for the database from here on.
            let accepted = tokio::time::timeout(PATIENCE, silent.accept()).await;
            let _connection = accepted.expect("it connects").unwrap();
            let kill = Command::new("kill")
                .args([&format!("-{signal}"), &process.id().to_string()])
                .status();
            assert!(kill.unwrap().success());
            let asked = Instant::now();
            let status = loop {
                if let Some(status) = process.try_wait().unwrap() {
                    break status;
                }
                if asked.elapsed() > PATIENCE {
                    process.kill().unwrap();
                    panic!("{subcommand:?} goes on");
                }
                tokio::time::sleep(Duration::from_millis(5)).await;
            };
            // By itself, and not by the system, which would spare a container's first process.
            assert_eq!(status.code(), Some(code), "{subcommand:?}");
        }
    }
}

#[test]
fn postgres_that_is_down_is_named_by_a_replica_that_does_not_start() {
    let said = refused_to_serve(&format!("postgres://u:p@127.0.0.1:{}/x", free_port()));
    assert!(
        said.contains("cannot use the database: cannot connect"),
        "{said}"
    );
}
