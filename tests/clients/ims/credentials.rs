//! The service's own credentials: of the environment, of a file, of a role.

use std::fs;
use std::net::SocketAddr;
use std::process::{Command, Output};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use serde_json::{Value, json};
use tempfile::NamedTempFile;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;
use tokio::net::TcpSocket;
use tonic::Code;

use super::endpoint::{Endpoint, good, http};
use super::{Cloud, KEY_ID, SECRET, code, command, untag_alice, wait_until_ready_says, with_key};
use crate::support::http::get;
use crate::support::{SAMPLE_ACCOUNT, Server, untag};

const STS_KEY_ID: &str = "STS.example";
const STS_SECRET: &str = "secret-of-the-role";
const STS_TOKEN: &str = "CAIS+token/of=the-role";
const OIDC_TOKEN: &str = "eyJhbGciOiJSUzI1NiJ9.token-of-the-pod.signature";

/// Sees that a text that must stay secret is nowhere in a log at level trace.
fn check_log(server: &Server, secrets: &[&str]) {
    let log = serde_json::to_string(&server.log_lines()).unwrap();
    for secret in secrets {
        assert!(!log.contains(secret), "{secret} is in the log");
    }
}

fn file(content: &Value) -> NamedTempFile {
    let file = NamedTempFile::new().unwrap();
    fs::write(&file, content.to_string()).unwrap();
    file
}

#[tokio::test]
async fn a_key_of_the_environment_signs_and_stays_secret() {
    let cloud = Cloud::with_keys(&[(STS_KEY_ID, STS_SECRET, Some(STS_TOKEN))], &[]);
    let mut command = command(cloud.rpc, &["--log-level", "trace"]);
    command
        .env("ALIBABA_CLOUD_ACCESS_KEY_ID", STS_KEY_ID)
        .env("ALIBABA_CLOUD_ACCESS_KEY_SECRET", STS_SECRET)
        .env("ALIBABA_CLOUD_SECURITY_TOKEN", STS_TOKEN);
    let server = Server::spawn(command);
    untag_alice(&server).await.unwrap();
    check_log(&server, &[STS_SECRET, STS_TOKEN]);
}

#[tokio::test]
async fn a_file_is_followed_and_a_key_that_is_not_known_makes_the_service_not_ready() {
    let cloud = Cloud::start(&[]);
    let key = |secret: &str| json!({"access_key_id": KEY_ID, "access_key_secret": secret});
    let file = file(&key("another-secret"));
    let path = file.path().to_str().unwrap();
    let flags = [
        "--ims-credentials",
        path,
        "--reload-interval",
        "0.05",
        "--log-level",
        "trace",
    ];
    let server = Server::launch(command(cloud.rpc, &flags), ([127, 0, 0, 1], 0).into());
    let refused = untag_alice(&server).await.unwrap_err();
    // It is not the caller who has to mend it, and what was signed is not repeated.
    let expected = "the cloud does not accept the service's credentials; nothing was changed";
    assert_eq!(
        (refused.code(), refused.message()),
        (Code::Unavailable, expected)
    );
    assert_eq!(code(&refused), "SignatureDoesNotMatch");
    let (status, reason) = get(&server, "/ready");
    assert_eq!(
        (status, reason.contains("the cloud does not accept")),
        (503, true),
        "{reason}"
    );

    fs::write(&file, key(SECRET).to_string()).unwrap();
    server.wait_for_log("reloaded");
    server.wait_for_log("ready");
    untag_alice(&server).await.unwrap();
    check_log(&server, &[SECRET, "another-secret"]);
}

/// The answer of STS to a pod that takes on its role, with keys for so many seconds.
fn role_keys(seconds: i64) -> Vec<u8> {
    let expiration = OffsetDateTime::now_utc() + time::Duration::seconds(seconds);
    let expiration = expiration
        .replace_nanosecond(0)
        .unwrap()
        .format(&Rfc3339)
        .unwrap();
    let answer = json!({"RequestId": "1", "Credentials": {
        "AccessKeyId": STS_KEY_ID, "AccessKeySecret": STS_SECRET, "SecurityToken": STS_TOKEN, "Expiration": expiration,
    }});
    http(200, "", &answer.to_string())
}

/// The service for this endpoint in a pod whose role has its keys from this STS, and the pod's token.
fn in_a_pod(endpoint: SocketAddr, sts: &Endpoint) -> (Command, NamedTempFile) {
    let token = NamedTempFile::new().unwrap();
    fs::write(&token, format!("{OIDC_TOKEN}\n")).unwrap();
    let sts = format!("http://{}", sts.address);
    let mut command = command(endpoint, &["--log-level", "trace", "--sts-endpoint", &sts]);
    command
        .env("ALIBABA_CLOUD_ROLE_ARN", "acs:ram::7:role/untag")
        .env(
            "ALIBABA_CLOUD_OIDC_PROVIDER_ARN",
            "acs:ram::7:oidc-provider/ack",
        )
        .env("ALIBABA_CLOUD_OIDC_TOKEN_FILE", token.path());
    (command, token)
}

#[tokio::test]
async fn a_pod_without_keys_is_not_ready_and_knows_no_more_of_the_cloud_than_before() {
    let socket = TcpSocket::new_v4().unwrap();
    socket.bind(([127, 0, 0, 1], 0).into()).unwrap();
    // The first keys last for eight seconds, and the next ones come when the test says so.
    let gives = Arc::new(AtomicBool::new(false));
    let seen = Arc::clone(&gives);
    let sts = Endpoint::start(move |number, _| {
        Some(match number {
            0 => role_keys(8),
            _ if seen.load(Ordering::Relaxed) => role_keys(3600),
            _ => http(503, "", r#"{"Code": "ServiceUnavailable"}"#),
        })
    });
    let (command, _token) = in_a_pod(socket.local_addr().unwrap(), &sts);
    let server = Server::launch(command, ([127, 0, 0, 1], 0).into());
    server.wait_for_log("the role's keys are new");
    let refused = untag_alice(&server).await.unwrap_err();
    assert_eq!(refused.code(), Code::Unavailable);
    server.wait_for_log("the cloud does not answer: the circuit is open");

    let none = "the service has no credentials for the cloud";
    wait_until_ready_says(&server, (503, none));
    gives.store(true, Ordering::Relaxed);
    // It has had no answer since.
    wait_until_ready_says(&server, (503, "the cloud API does not answer"));
    let log = server.log_lines();
    let closed = |line: &Value| {
        line["message"]
            .to_string()
            .contains("the circuit is closed")
    };
    assert!(!log.iter().any(closed), "{log:#?}");

    let listener = socket.listen(64).unwrap().into_std().unwrap();
    listener.set_nonblocking(false).unwrap();
    let _cloud = Endpoint::start_on(listener, |_, _| Some(good()));
    wait_until_ready_says(&server, (200, ""));
    untag_alice(&server).await.unwrap();
}

#[tokio::test]
async fn a_pod_takes_on_its_role_and_renews_its_keys() {
    let cloud = Cloud::with_keys(&[(STS_KEY_ID, STS_SECRET, Some(STS_TOKEN))], &[]);
    // The first time STS is not there yet; the keys of the second time last for two seconds.
    let sts = Endpoint::start(|number, _| {
        Some(match number {
            0 => http(
                503,
                "",
                r#"{"Code": "ServiceUnavailable", "Message": "eyJ"}"#,
            ),
            1 => role_keys(2),
            _ => role_keys(3600),
        })
    });
    let (command, _token) = in_a_pod(cloud.rpc, &sts);
    let server = Server::spawn(command);
    server.wait_for_log("cannot renew the role's keys; will try again");
    untag_alice(&server).await.unwrap();
    server.wait_for_log_where("the role's keys are new", |line| {
        line["valid_for"]
            .as_str()
            .is_some_and(|text| text.len() > 5 && text.starts_with("359"))
    });
    untag_alice(&server).await.unwrap();

    let asked = sts.asked();
    assert_eq!(asked.len(), 3);
    for part in [
        "Action=AssumeRoleWithOIDC",
        "Version=2015-04-01",
        "RoleArn=acs%3Aram%3A%3A7%3Arole%2Funtag",
        "OIDCProviderArn=acs%3Aram%3A%3A7%3Aoidc-provider%2Fack",
        &format!("OIDCToken={OIDC_TOKEN}&"),
        "RoleSessionName=untag",
        "DurationSeconds=3600",
    ] {
        assert!(asked[0].body.contains(part), "{part}: {}", asked[0].body);
    }
    check_log(&server, &[STS_SECRET, STS_TOKEN, "token-of-the-pod"]);
}

#[test]
fn what_is_missing_or_wrong_is_said_at_the_start() {
    let nowhere = ([127, 0, 0, 1], 1).into();
    let run = |mut command: Command| -> String {
        let Output { status, stderr, .. } = command.output().unwrap();
        assert!(!status.success());
        String::from_utf8(stderr).unwrap()
    };
    let said = run(command(nowhere, &[]));
    for part in [
        "--ims-credentials",
        "ALIBABA_CLOUD_ACCESS_KEY_ID",
        "ALIBABA_CLOUD_ROLE_ARN",
    ] {
        assert!(said.contains(part), "{said}");
    }
    let mut half = command(nowhere, &[]);
    half.env("ALIBABA_CLOUD_ACCESS_KEY_SECRET", SECRET);
    let said = run(half);
    assert!(
        said.contains("ALIBABA_CLOUD_ACCESS_KEY_ID is not"),
        "{said}"
    );
    assert!(!said.contains(SECRET));
    let broken = file(&json!({"access_key_id": KEY_ID, "secret": SECRET}));
    let said = run(command(
        nowhere,
        &["--ims-credentials", broken.path().to_str().unwrap()],
    ));
    assert!(said.contains("cannot use the credentials file"), "{said}");
    assert!(!said.contains(SECRET));
    let said = run(with_key(nowhere, &["--sample-data"]));
    assert!(
        said.contains("--sample-data is not for --store ims"),
        "{said}"
    );
    let mut without_account = untag();
    without_account.args(["serve", "--store", "ims"]);
    let said = run(without_account);
    assert!(
        said.contains("--store ims needs --default-account"),
        "{said}"
    );
    let mut import = untag();
    import.args(["import", "--store", "ims", "-"]);
    let said = run(import);
    assert!(
        said.contains("only `untag serve` can use --store ims"),
        "{said}"
    );
    for endpoint in [
        "http://ims.aliyuncs.com",
        "ims.aliyuncs.com",
        "https://me:hidden@ims.aliyuncs.com",
    ] {
        let mut command = untag();
        let account = ["--default-account", SAMPLE_ACCOUNT];
        command
            .args(["serve", "--store", "ims", "--ims-endpoint", endpoint])
            .args(account);
        assert!(run(command).contains("--ims-endpoint"));
    }
}
