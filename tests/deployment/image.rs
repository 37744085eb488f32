//! The image: what is in it, and that it runs hardened, with a read-only root, no capabilities and any user id.

use std::fs;
use std::process::Command;

use tokio::net::TcpListener;
use tonic::transport::{Channel, Endpoint};
use untag::grpc::proto::list_tag_resources_request::Resources;
use untag::grpc::proto::tag_service_client::TagServiceClient;
use untag::grpc::proto::{ListTagResourcesRequest, ResourceIds};

use crate::container::{Container, PROFILE, image, random_uid, run, run_once, stdout, volume};
use crate::support::postgres::{PASSWORD, USER, shared};
use crate::support::{ALICE, PATIENCE, hold_store, untag_of};

/// A half more than it has in a release, and a third without what makes that small. What somebody adds by mistake is more.
const LARGEST_IMAGE: u64 = 24_000_000;
const LARGEST_IMAGE_FOR_TESTS: u64 = 60_000_000;

const SAMPLE_DATA: &str = "--env=UNTAG_SAMPLE_DATA=true";

async fn client(container: &Container) -> TagServiceClient<Channel> {
    let endpoint = Endpoint::from_shared(format!("http://{}", container.address)).unwrap();
    TagServiceClient::new(endpoint.connect().await.unwrap())
}

/// Removes the tag `env` from Alice.
async fn untag_alice(container: &Container) {
    let mut client = client(container).await;
    client.untag_resources(untag_of(ALICE)).await.unwrap();
}

/// The keys of Alice's tags.
async fn keys_of_alice(container: &Container) -> Vec<String> {
    let values = vec![ALICE.to_owned()];
    let request = ListTagResourcesRequest {
        resources: Some(Resources::ResourceIds(ResourceIds { values })),
        ..ListTagResourcesRequest::default()
    };
    let answer = client(container).await.list_tag_resources(request).await;
    let tags = answer.unwrap().into_inner().tag_resources;
    tags.into_iter().map(|tag| tag.tag_key).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn image_runs_hardened_as_any_user_and_untags() {
    let (_directory, mount) = volume();
    let uid = random_uid();
    let container = Container::start(uid, &[&mount, SAMPLE_DATA]);

    // It is as hard as it was asked to be.
    let process = container.process(&["user", "capeff", "capbnd", "seccomp", "args"]);
    let uid_text = uid.to_string();
    assert_eq!(
        process,
        [&uid_text, "none", "none", "filter", "/untag", "serve"]
    );
    let root = container.inspect("{{.HostConfig.ReadonlyRootfs}} {{.HostConfig.Tmpfs}}");
    assert_eq!(root, "true map[]", "a read-only root, and nothing over it");
    let shell = container.exec(&["/bin/sh", "-c", "true"]);
    assert_eq!(shell.status.code(), Some(127), "no shell: {shell:?}");

    assert_eq!(
        keys_of_alice(&container).await,
        ["cost-center", "env", "team"]
    );
    untag_alice(&container).await;
    assert_eq!(keys_of_alice(&container).await, ["cost-center", "team"]);
    drop(container);

    // The volume has what was done, for another container of the same user.
    let account = "--env=UNTAG_DEFAULT_ACCOUNT=1000000000000001";
    let again = Container::start(uid, &[&mount, account]);
    assert_eq!(keys_of_alice(&again).await, ["cost-center", "team"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn image_health_check_follows_the_store_and_sigterm_drains() {
    let (directory, mount) = volume();
    let container = Container::start(random_uid(), &[&mount, SAMPLE_DATA]);
    assert!(container.is_healthy(), "{}", container.log());

    let held = hold_store(directory.path());
    container.wait_for_log("not ready");
    assert!(!container.is_healthy(), "the store does not answer");

    // What is in flight when SIGTERM comes is finished.
    let mut client = client(&container).await;
    let in_flight = tokio::spawn(async move { client.untag_resources(untag_of(ALICE)).await });
    container.wait_for_request();
    container.terminate();
    assert_eq!(container.wait_for_log("draining")["in_flight"], 1);
    drop(held);
    in_flight.await.unwrap().unwrap();
    assert_eq!(container.wait(), 0, "{}", container.log());
    container.wait_for_log("drained");
}

/// Users whose names move on by some places, as lines of an import.
fn users(places: usize) -> String {
    const USERS: usize = 1_000;
    let line = |id: usize| {
        let name = (id + places) % USERS;
        format!(
            r#"{{"account_id":"1","resource_type":"user","resource_id":"{id}","principal_name":"user{name}@a","tags":{{}}}}"#
        )
    };
    (0..USERS).map(|id| line(id) + "\n").collect()
}

#[test]
fn image_imports_with_statements_that_change_many_pages_and_no_place_for_temporary_files() {
    let (directory, mount) = volume();
    let lines = users(0) + &users(1);
    fs::write(directory.path().join("users.jsonl"), lines).unwrap();
    let import = ["import", "--data-dir", "/data", "/data/users.jsonl"];
    let printed = stdout(&run_once(&[&mount], &import));
    assert!(printed.contains("1000 created"), "{printed}");
}

#[tokio::test(flavor = "multi_thread")]
async fn image_finds_postgresql_by_its_host_name() {
    // The static program has no shared library that would look names up: it has to do so itself. This name is one of
    // /etc/hosts, so that DNS, which the same code asks, is not needed here and not shown.
    let database = shared().database();
    let store = format!(
        "--env=UNTAG_STORE=postgres://{USER}@localhost:{}/{}",
        database.port, database.name
    );
    let password = format!("--env=PGPASSWORD={PASSWORD}");
    stdout(&run_once(&[&store, &password], &["migrate"]));
    let container = Container::start(random_uid(), &[&store, &password, SAMPLE_DATA]);
    untag_alice(&container).await;
    assert_eq!(keys_of_alice(&container).await, ["cost-center", "team"]);
}

#[tokio::test]
async fn image_ends_on_sigterm_while_its_database_says_nothing() {
    // The system spares a container's first process what that does not listen to.
    let silent = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = silent.local_addr().unwrap().port();
    let store = format!("--env=UNTAG_STORE=postgres://u:p@127.0.0.1:{port}/x?connect_timeout=60");
    for subcommand in ["serve", "migrate"] {
        let container = Container::launch(random_uid(), &[&store], &[subcommand]);
        let accepted = tokio::time::timeout(PATIENCE, silent.accept()).await;
        let _connection = accepted.expect("it connects").unwrap();
        container.terminate();
        assert_eq!(container.wait(), 128 + 15, "{}", container.log());
    }
}

#[test]
fn image_refuses_to_serve_strangers_unless_told() {
    let refused = run_once(&[], &[]);
    assert_eq!(refused.status.code(), Some(1), "{refused:?}");
    let said = String::from_utf8_lossy(&refused.stderr);
    let refusal = "refusing to listen on 0.0.0.0:50051";
    assert!(said.contains(refusal), "{said}");
}

#[test]
fn image_has_only_what_belongs_there() {
    let saved = tempfile::tempdir().unwrap();
    let directory = saved.path().join("image");
    let output = format!("--output={}", directory.display());
    stdout(&run(&["save", "--format=docker-dir", &output, image()]));
    let manifest = std::fs::read(directory.join("manifest.json")).unwrap();
    let manifest: serde_json::Value = serde_json::from_slice(&manifest).unwrap();
    let mut files = Vec::new();
    for layer in manifest["layers"].as_array().unwrap() {
        let digest = layer["digest"].as_str().unwrap();
        let layer = directory.join(digest.trim_start_matches("sha256:"));
        let listed = Command::new("tar").arg("tf").arg(layer).output();
        files.extend(stdout(&listed.unwrap()).lines().map(str::to_owned));
    }
    files.sort_unstable();
    assert_eq!(
        files,
        [
            "LICENSE",
            "THIRD-PARTY",
            "data/",
            "etc/",
            "etc/nsswitch.conf",
            "etc/ssl/",
            "etc/ssl/certs/",
            "etc/ssl/certs/ca-certificates.crt",
            "untag"
        ]
    );
}

#[test]
fn image_is_small_and_says_what_it_is() {
    let inspect = |template: &str| stdout(&run(&["inspect", "--format", template, image()]));
    let size: u64 = inspect("{{.Size}}").parse().unwrap();
    println!("size of the image: {size} bytes");
    let largest = match PROFILE.as_str() {
        "release" => LARGEST_IMAGE,
        _ => LARGEST_IMAGE_FOR_TESTS,
    };
    assert!(size < largest, "{size} bytes");

    assert_eq!(inspect("{{.Config.User}}"), "65532:65532", "not root");
    assert_eq!(inspect("{{.HealthCheck.Test}}"), "[CMD /untag health]");
    let label = |name: &str| {
        let name = format!("org.opencontainers.image.{name}");
        inspect(&format!("{{{{index .Labels {name:?}}}}}"))
    };
    assert_eq!(label("title"), "untag");
    assert_eq!(label("version"), env!("CARGO_PKG_VERSION"));
    assert_eq!(label("licenses"), "Apache-2.0");
    assert!(!label("description").is_empty());
    let head = Command::new("git").args(["rev-parse", "HEAD"]).output();
    // Without a repository there is no commit to name.
    let head = head.ok().filter(|output| output.status.success());
    let head = head.map_or_else(|| "unknown".to_owned(), |output| stdout(&output));
    assert_eq!(label("revision"), head);
}
