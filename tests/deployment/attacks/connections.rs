//! Connections in great number.

use std::thread::sleep;
use std::time::Duration;

use super::target::{Attack, Target};
use crate::support::PATIENCE;
use crate::support::frames::Raw;

#[tokio::test(flavor = "multi_thread")]
async fn thousands_of_idle_connections_are_survived() {
    let target = Target::start(&[]);
    // The test has half of them itself.
    rlimit::increase_nofile_limit(u64::MAX).unwrap();
    let attack = |attack: &Attack| {
        let mut raws = Vec::new();
        for _ in 0..1500 {
            raws.push(Raw::open(attack.address, &[]));
            attack.count(1);
        }
        while attack.is_on() {
            sleep(Duration::from_millis(10));
        }
    };
    target
        .endure("idle connections", 2, "connections", attack)
        .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn connections_that_come_and_go_are_survived() {
    let target = Target::start(&[]);
    let attack = |attack: &Attack| {
        drop(Raw::silent(attack.address));
        attack.count(1);
    };
    target
        .endure("connections that come and go", 4, "connections", attack)
        .await;
}

/// Out of file descriptors, the server waits and goes on; those who are connected are served all the time.
#[tokio::test(flavor = "multi_thread")]
async fn emfile_is_survived() {
    let target = Target::start_with_few_files(64);
    let mut client = target.server.client().await;
    client
        .list_tag_resources(crate::support::list())
        .await
        .unwrap();
    let mut raws: Vec<Raw> = (0..200)
        .map(|_| Raw::silent(target.server.address))
        .collect();
    let line = target
        .server
        .wait_for_log_where("cannot accept connections; trying again", |_| true);
    assert!(
        line["error"].as_str().unwrap().contains("os error 24"),
        "{line}"
    );
    for _ in 0..100 {
        client
            .list_tag_resources(crate::support::list())
            .await
            .unwrap();
    }
    raws.clear();
    let started = std::time::Instant::now();
    let connected = tokio::time::timeout(PATIENCE, target.is_well()).await;
    connected.unwrap_or_else(|_| panic!("nobody gets in after {:?}", started.elapsed()));
    println!(
        "| out of file descriptors | 200 connections, 64 files | 100 of 100 | - | {} MiB |",
        target.peak_memory()
    );
}
