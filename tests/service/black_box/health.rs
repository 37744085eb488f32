//! gRPC health on both ports, and `untag health` for probes.

use std::collections::BTreeMap;
use std::net::{SocketAddr, TcpListener};
use std::process::Output;

use tonic::Code;
use tonic_health::pb::HealthCheckRequest;
use untag::grpc::health_proto::HealthListRequest;
use untag::grpc::health_proto::health_client::HealthClient;

use super::answer::request_id;
use super::users::server;
use super::wire::{UNTAG, Wire};
use crate::support::{PATIENCE, health_client, run, untag};

fn of(service: &str) -> HealthCheckRequest {
    HealthCheckRequest {
        service: service.to_owned(),
    }
}

fn ask(address: SocketAddr, more: &[&str]) -> Output {
    run(&[&["health", "--admin-listen", &address.to_string()], more].concat())
}

/// The server as a whole and its services, in the order of a list.
const SERVICES: [&str; 4] = [
    "",
    "ram.tag.v1.ChangeService",
    "ram.tag.v1.TagService",
    "ram.user.v1.UserService",
];

fn stderr(output: &Output) -> String {
    String::from_utf8(output.stderr.clone()).unwrap()
}

#[tokio::test]
async fn both_ports_serve_the_health_of_the_server_and_of_its_services() {
    let (server, _home) = server(&[]);
    for address in [server.address, server.admin_address] {
        let mut health = health_client(address).await;
        for service in SERVICES {
            let answer = health.check(of(service)).await.unwrap().into_inner();
            assert_eq!(
                answer.status().as_str_name(),
                "SERVING",
                "{service:?} on {address}"
            );
        }
        let unknown = health.check(of("ram.tag.v1.Nothing")).await.unwrap_err();
        assert_eq!(unknown.code(), Code::NotFound);
        request_id(&unknown);
    }
}

#[tokio::test]
async fn a_watch_of_an_unknown_service_says_so_and_stays() {
    let (server, _home) = server(&[]);
    for address in [server.address, server.admin_address] {
        let mut health = health_client(address).await;
        let watch = health.watch(of("ram.tag.v1.Nothing")).await.unwrap();
        let mut watch = watch.into_inner();
        let first = watch.message().await.unwrap().unwrap();
        assert_eq!(first.status().as_str_name(), "SERVICE_UNKNOWN");
        // By the time that others have been answered it would have ended.
        for _ in 0..3 {
            health.check(of("")).await.unwrap();
        }
        let next = futures_util::FutureExt::now_or_never(watch.message());
        assert!(next.is_none(), "{next:?}");
    }
}

#[tokio::test]
async fn the_health_of_all_services_is_listed() {
    let (server, _home) = server(&[]);
    for (address, wanted) in [
        (server.address, &SERVICES[..]),
        (
            server.admin_address,
            &[
                "",
                "liveness",
                "ram.tag.v1.ChangeService",
                "ram.tag.v1.TagService",
                "ram.user.v1.UserService",
            ],
        ),
    ] {
        let endpoint = tonic::transport::Endpoint::from_shared(format!("http://{address}"));
        let channel = endpoint.unwrap().connect().await.unwrap();
        let mut health = HealthClient::new(channel);
        let listed = health
            .list(HealthListRequest {})
            .await
            .unwrap()
            .into_inner();
        let listed: BTreeMap<_, _> = listed.statuses.into_iter().collect();
        assert_eq!(listed.keys().collect::<Vec<_>>(), wanted);
        for answer in listed.values() {
            assert_eq!(answer.status().as_str_name(), "SERVING");
        }
    }
}

#[tokio::test]
async fn the_admin_port_serves_health_only() {
    let (server, _home) = server(&[]);
    let answer = Wire::open(server.admin_address)
        .await
        .call(UNTAG, &[], bytes::Bytes::new())
        .await;
    assert_eq!(answer.status().code(), Code::Unimplemented);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_watch_on_either_port_sees_not_serving_when_the_drain_starts() {
    let (server, _home) = server(&["--drain-timeout", "600"]);
    let mut watches = Vec::new();
    for address in [server.address, server.admin_address] {
        let mut health = health_client(address).await;
        for service in SERVICES {
            let mut watch = health.watch(of(service)).await.unwrap().into_inner();
            let first = watch.message().await.unwrap().unwrap();
            assert_eq!(first.status().as_str_name(), "SERVING");
            watches.push(watch);
        }
    }
    // A request that does not end keeps the drain going for as long as the watches are read.
    let mut wire = Wire::open(server.address).await;
    let _open = wire.open_request().await;
    server.signal("TERM");
    for mut watch in watches {
        let next = tokio::time::timeout(PATIENCE, watch.message())
            .await
            .unwrap();
        assert_eq!(next.unwrap().unwrap().status().as_str_name(), "NOT_SERVING");
    }
}

#[test]
fn untag_health_exits_with_0_for_a_service_that_serves() {
    let (server, _home) = server(&[]);
    let by_flag = ask(server.admin_address, &[]);
    assert_eq!(
        (by_flag.status.code(), by_flag.stdout.as_slice()),
        (Some(0), &b"SERVING\n"[..])
    );
    let by_variable = untag()
        .arg("health")
        .env("UNTAG_ADMIN_LISTEN", server.admin_address.to_string())
        .output();
    assert_eq!(by_variable.unwrap().status.code(), Some(0));
    // A service that listens everywhere is asked on loopback.
    let everywhere = SocketAddr::from(([0, 0, 0, 0], server.admin_address.port()));
    assert_eq!(ask(everywhere, &[]).status.code(), Some(0));
    assert_eq!(
        ask(server.address, &[]).status.code(),
        Some(0),
        "the tag port has health too"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn untag_health_exits_with_1_for_a_service_that_drains() {
    let (server, _home) = server(&["--drain-timeout", "600"]);
    let mut wire = Wire::open(server.address).await;
    let _open = wire.open_request().await;
    let mut watch = health_client(server.admin_address).await;
    let mut watch = watch.watch(of("")).await.unwrap().into_inner();
    watch.message().await.unwrap();
    server.signal("TERM");
    watch.message().await.unwrap();
    let asked = ask(server.admin_address, &[]);
    assert_eq!(asked.status.code(), Some(1));
    assert!(stderr(&asked).contains("NOT_SERVING"), "{}", stderr(&asked));
}

#[test]
fn untag_health_exits_with_1_where_no_service_answers() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    // Whoever listens there accepts, and never says a word.
    let silent = ask(address, &["--timeout", "0.3"]);
    assert_eq!(silent.status.code(), Some(1));
    assert!(
        stderr(&silent).contains("no answer within 300ms"),
        "{}",
        stderr(&silent)
    );
    drop(listener);
    let nobody = ask(address, &[]);
    assert_eq!(nobody.status.code(), Some(1));
    let said = stderr(&nobody);
    assert!(
        said.contains(&address.to_string()) && said.contains("--admin-listen"),
        "{said}"
    );
}

#[test]
fn untag_health_exits_with_2_for_an_address_that_is_none() {
    for address in ["localhost", "127.0.0.1", "127.0.0.1:x", ""] {
        let output = run(&["health", "--admin-listen", address]);
        assert_eq!(output.status.code(), Some(2), "{address:?}");
        assert!(
            stderr(&output).contains("--admin-listen"),
            "{}",
            stderr(&output)
        );
    }
}
