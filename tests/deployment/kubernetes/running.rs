//! The program, started as the manifests say and probed as the kubelet does.

use std::time::Duration;

use serde_json::Value;
use tonic::Code;
use tonic::transport::{Certificate, Channel, ClientTlsConfig, Endpoint, Identity};
use untag::grpc::proto::tag_service_client::TagServiceClient;

use super::container::{Container, Secrets};
use super::rendering::{Manifests, list, named, with_server};
use crate::support::authority::{Authority, Pair, dns, uri};
use crate::support::postgres::{PASSWORD, USER, shared};
use crate::support::{ALICE, Server, hold_store, list as list_request, untag_of};

const PROBES: [&str; 3] = ["startupProbe", "readinessProbe", "livenessProbe"];

/// The Secrets of the cluster: of a database, and of certificates that cert-manager has made.
fn secrets(authority: &Authority) -> Secrets {
    let database = shared().database();
    let url = format!(
        "postgres://{USER}@127.0.0.1:{}/{}",
        database.port, database.name
    );
    let Pair { certificate, key } = authority.issue(vec![dns("untag.untag.svc")]);
    Secrets::from([
        (
            "untag-store",
            [("url", url), ("password", PASSWORD.to_owned())].into(),
        ),
        (
            "untag-tls",
            [
                ("tls.crt", certificate),
                ("tls.key", key),
                ("ca.crt", authority.pem()),
            ]
            .into(),
        ),
        ("kube-root-ca.crt", [("ca.crt", authority.pem())].into()),
        (
            "untag-access-keys",
            [("access-keys.json", r#"{"access_keys":[]}"#.to_owned())].into(),
        ),
    ])
}

/// Runs what is before the container of a workload, which has to succeed.
fn prepare(manifests: &Manifests, workload: &Value, secrets: &Secrets) {
    for container in Container::before(manifests, workload, secrets) {
        let ended = container.run();
        assert!(ended.status.success(), "{ended:?}");
    }
}

#[tokio::test]
async fn each_overlay_starts_with_a_component_that_says_who_may_call_and_only_then() {
    let authority = Authority::new("untag");
    let (mut started, mut refused) = (0, 0);
    for manifests in with_server() {
        let secrets = secrets(&authority);
        prepare(manifests, manifests.server(), &secrets);
        let container = Container::of(manifests, manifests.server(), &secrets);
        let names = ["UNTAG_ALLOW_ANONYMOUS", "UNTAG_CLIENT_CA", "UNTAG_JWKS"];
        if names.iter().all(|name| container.variable(name).is_none()) {
            let ended = container.run();
            let error = String::from_utf8_lossy(&ended.stderr);
            assert_eq!(ended.status.code(), Some(1), "{}: {error}", manifests.name);
            assert!(
                error.contains("refusing to listen on 0.0.0.0:50051"),
                "{}: {error}",
                manifests.name
            );
            refused += 1;
            continue;
        }
        let mut server = container.serve();
        for probe in PROBES {
            assert!(
                container.probe(&server, probe).await,
                "{}: {probe}",
                manifests.name
            );
        }
        server.signal("TERM");
        let grace = manifests.server()["spec"]["template"]["spec"]["terminationGracePeriodSeconds"]
            .as_u64()
            .unwrap();
        assert!(server.wait(Duration::from_secs(grace)).success());
        started += 1;
    }
    assert!(started >= 8 && refused >= 8, "{started} and {refused}");
}

#[tokio::test]
async fn a_store_that_hangs_makes_a_replica_not_ready_and_does_not_restart_it() {
    let manifests = named("example-embedded");
    let container = Container::of(manifests, manifests.server(), &Secrets::new());
    let server = container.serve();
    let held = hold_store(&container.data());
    container
        .wait_for_probe(&server, "readinessProbe", false)
        .await;
    for probe in ["startupProbe", "livenessProbe"] {
        assert!(container.probe(&server, probe).await, "{probe}");
    }
    drop(held);
    container
        .wait_for_probe(&server, "readinessProbe", true)
        .await;
    // Without an account in the call, since the example has a default one.
    let mut client = server.client().await;
    let error = client.untag_resources(untag_of(ALICE)).await.unwrap_err();
    assert_eq!(error.code(), Code::NotFound, "{error}");
}

#[tokio::test]
async fn replicas_need_the_schema_and_serve_whom_certificate_and_policy_let_in() {
    let manifests = named("example-postgres");
    let authority = Authority::new("untag");
    let secrets = secrets(&authority);
    let container = Container::of(manifests, manifests.server(), &secrets);
    let ended = container.run();
    let error = String::from_utf8_lossy(&ended.stderr);
    assert!(
        !ended.status.success() && error.contains("untag migrate"),
        "{error}"
    );

    prepare(manifests, manifests.server(), &secrets);
    let server = container.serve();
    // As the next replica does, while this one runs.
    prepare(manifests, manifests.server(), &secrets);

    let callers = manifests.of("Certificate");
    let mut callers = callers.filter(|certificate| certificate["metadata"]["name"] == "cleaner");
    let name = &list(&callers.next().unwrap()["spec"]["uris"])[0];
    let cleaner = authority.issue(vec![uri(name.as_str().unwrap())]);
    let stranger = authority.issue(vec![uri("spiffe://cluster.local/ns/untag/sa/stranger")]);
    let foreign = Authority::new("another").issue(vec![uri(name.as_str().unwrap())]);

    let mut client = connect(&server, &authority, Some(&cleaner)).await.unwrap();
    client.list_tag_resources(list_request()).await.unwrap();
    let mut client = connect(&server, &authority, Some(&stranger)).await.unwrap();
    let error = client.list_tag_resources(list_request()).await.unwrap_err();
    assert_eq!(error.code(), Code::PermissionDenied, "{error}");
    for identity in [Some(&foreign), None] {
        // TLS 1.3 tells a client of a certificate that is refused after its side of the handshake is done.
        if let Ok(mut client) = connect(&server, &authority, identity).await {
            let error = client.list_tag_resources(list_request()).await.unwrap_err();
            // Either the connection ends in one of the ways that tonic knows, or the service says so itself.
            let refused = [
                Code::Unavailable,
                Code::Unknown,
                Code::Cancelled,
                Code::Unauthenticated,
            ];
            assert!(refused.contains(&error.code()), "{error}");
        }
    }
}

/// The users that an import brings, a line for each.
const USERS: &str = r#"{"account_id":"1000000000000001","resource_type":"user","resource_id":"2073290024939201","principal_name":"alice@example.onaliyun.com","tags":{"env":"test"}}
"#;

/// Feeds a Job's container, as `kubectl attach` does, and returns what it says.
fn import(manifests: &Manifests, secrets: &Secrets) -> String {
    let job = manifests.only("Job");
    prepare(manifests, job, secrets);
    let container = Container::of(manifests, job, secrets);
    let ended = container.run_with(USERS);
    assert!(ended.status.success(), "{ended:?}");
    String::from_utf8(ended.stdout).unwrap()
}

#[tokio::test]
async fn an_import_needs_nothing_but_its_job_and_the_service_has_the_users() {
    let said = import(named("example-import-embedded"), &Secrets::new());
    assert!(said.contains("imported 1 users"), "{said}");

    let secrets = secrets(&Authority::new("untag"));
    // Before there is a schema.
    import(named("example-import-postgres"), &secrets);
    let manifests = named("postgres+anonymous");
    prepare(manifests, manifests.server(), &secrets);
    let server = Container::of(manifests, manifests.server(), &secrets).serve();
    let mut client = server.client().await;
    let mut request = tonic::Request::new(untag_of(ALICE));
    let account = "1000000000000001".parse().unwrap();
    request.metadata_mut().insert("x-acs-account-id", account);
    client.untag_resources(request).await.unwrap();
}

/// A client that calls the service by its name in the cluster.
async fn connect(
    server: &Server,
    authority: &Authority,
    identity: Option<&Pair>,
) -> Result<TagServiceClient<Channel>, tonic::transport::Error> {
    let mut tls = ClientTlsConfig::new()
        .ca_certificate(Certificate::from_pem(authority.pem()))
        .domain_name("untag.untag.svc");
    if let Some(Pair { certificate, key }) = identity {
        tls = tls.identity(Identity::from_pem(certificate, key));
    }
    let endpoint = Endpoint::from_shared(format!("https://{}", server.address)).unwrap();
    let channel = endpoint.tls_config(tls)?.connect().await?;
    Ok(TagServiceClient::new(channel))
}
