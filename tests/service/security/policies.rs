//! Authorisation by RAM policies from a file that is followed.

use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tonic::transport::Channel;
use tonic::{Code, Status};
use tonic_types::StatusExt as _;

use super::harness::{Client, Files, endpoint, lines, untag_alice};
use crate::support::authority::spiffe;
use crate::support::list;
use crate::support::{PATIENCE, SAMPLE_ACCOUNT, Server, run};
use untag::grpc::proto::change_service_client::ChangeServiceClient;
use untag::grpc::proto::effect::Kind;
use untag::grpc::proto::{
    GetChangeRequest, ListChangesRequest, UntagResourcesRequest, get_change_request,
};

/// A file that binds these statements to callers.
pub fn policy(bindings: &[(&str, &Value)]) -> String {
    let names = (0..).map(|number| format!("p{number}"));
    let (mut policies, mut bound) = (serde_json::Map::new(), Vec::new());
    for ((caller, statements), name) in bindings.iter().zip(names) {
        policies.insert(
            name.clone(),
            json!({"Version": "1", "Statement": statements}),
        );
        bound.push(json!({"Callers": [caller], "Accounts": ["*"], "Policies": [name]}));
    }
    json!({"Policies": policies, "Bindings": bound}).to_string()
}

pub fn allow(action: &str) -> Value {
    json!({"Effect": "Allow", "Action": action, "Resource": "*"})
}

pub const CLEANER: &str = "spiffe://example.org/ns/test/sa/cleaner";

/// A server with a policy file and an audit.
pub struct Guarded {
    pub files: Files,
    pub server: Server,
}

impl Guarded {
    pub fn start(policy: &str) -> Self {
        Self::start_with(policy, &[])
    }

    fn start_with(policy: &str, more: &[&str]) -> Self {
        let files = Files::new();
        files.write("policy.json", policy);
        let (policy, audit) = (files.path("policy.json"), files.path("audit.jsonl"));
        let policy = ["--policy", policy.to_str().unwrap()];
        let audit = ["--audit-log", audit.to_str().unwrap()];
        let server = files.serve_callers(&[&policy, &audit, more].concat());
        Self { files, server }
    }

    pub async fn client(&self, name: &str) -> Client {
        let pair = self.files.callers.issue(vec![spiffe(name)]);
        self.files.client(&self.server, Some(&pair)).await
    }

    pub async fn changes(&self, name: &str) -> ChangeServiceClient<Channel> {
        let pair = self.files.callers.issue(vec![spiffe(name)]);
        let endpoint = endpoint(&self.server, &self.files.servers, Some(&pair));
        ChangeServiceClient::new(endpoint.connect().await.unwrap())
    }
}

async fn untag(client: &mut Client) -> Result<(), Status> {
    client.untag_resources(untag_alice()).await.map(drop)
}

#[tokio::test]
async fn who_may_not_list_tags_sees_changes_without_values() {
    let history = json!(["untag:GetChange", "untag:ListChanges"]);
    let history = json!({"Effect": "Allow", "Action": history, "Resource": "*"});
    let policy = policy(&[
        (CLEANER, &allow("ram:*")),
        ("spiffe://*/watcher", &history),
        (
            "spiffe://*/reader",
            &json!([history, allow("ram:ListTagResources")]),
        ),
    ]);
    let guarded = Guarded::start(&policy);
    let cleaner = &mut guarded.client("cleaner").await;
    let answer = cleaner.untag_resources(untag_alice()).await.unwrap();
    let request_id = answer.into_inner().request_id;
    let get = || GetChangeRequest {
        change: Some(get_change_request::Change::RequestId(request_id.clone())),
        ..GetChangeRequest::default()
    };
    let list = ListChangesRequest::default;
    for (name, values_redacted, value) in [("watcher", true, ""), ("reader", false, "prod")] {
        let changes = &mut guarded.changes(name).await;
        let one = changes.get_change(get()).await.unwrap().into_inner().change;
        let all = changes
            .list_changes(list())
            .await
            .unwrap()
            .into_inner()
            .changes;
        assert_eq!(one.as_ref(), all.first());
        let change = one.unwrap();
        assert_eq!(change.values_redacted, values_redacted);
        let Some(Kind::Tags(tags)) = &change.effects[0].kind else {
            panic!("{change:?}");
        };
        assert_eq!(tags.removed["env"], value);
    }
    let changes = &mut guarded.changes("cleaner").await;
    let denied = [
        changes.get_change(get()).await.unwrap_err(),
        changes.list_changes(list()).await.unwrap_err(),
    ];
    for (denied, action) in denied.iter().zip(["untag:GetChange", "untag:ListChanges"]) {
        assert_eq!(denied.code(), Code::PermissionDenied);
        let info = denied.get_details_error_info().unwrap();
        assert_eq!(info.metadata["action"], action);
    }
}

#[tokio::test]
async fn who_is_not_allowed_is_told_what_and_not_why_and_changes_nothing() {
    let policy = policy(&[
        (CLEANER, &allow("ram:UntagResources")),
        ("spiffe://*/reader", &allow("ram:List*")),
    ]);
    let guarded = Guarded::start(&policy);
    let (mut cleaner, mut reader) = (
        guarded.client("cleaner").await,
        guarded.client("reader").await,
    );
    let before = reader
        .list_tag_resources(list())
        .await
        .unwrap()
        .into_inner();

    let denied = untag(&mut reader).await.unwrap_err();
    assert_eq!(denied.code(), Code::PermissionDenied);
    let info = denied.get_details_error_info().unwrap();
    assert_eq!(info.reason, "NO_PERMISSION");
    assert_eq!(info.metadata["code"], "NoPermission");
    assert_eq!(info.metadata["action"], "ram:UntagResources");
    assert_eq!(
        info.metadata["caller"],
        "spiffe://example.org/ns/test/sa/reader"
    );
    assert!(denied.get_details_request_info().is_some());
    let said = format!("{denied:?}");
    assert!(
        !said.contains("List*") && !said.contains("Effect"),
        "{said}"
    );
    let after = reader
        .list_tag_resources(list())
        .await
        .unwrap()
        .into_inner();
    assert_eq!(before.tag_resources, after.tag_resources);

    let denied = cleaner.list_tag_resources(list()).await.unwrap_err();
    assert_eq!(denied.code(), Code::PermissionDenied);
    // Values are not guessed by removing what has them.
    let expecting = UntagResourcesRequest {
        expected_values: [("env".to_owned(), "x".to_owned())].into(),
        validate_only: true,
        ..untag_alice()
    };
    let denied = cleaner.untag_resources(expecting).await.unwrap_err();
    assert_eq!(denied.code(), Code::PermissionDenied);
    let info = denied.get_details_error_info().unwrap();
    assert_eq!(info.metadata["action"], "ram:ListTagResources");
    untag(&mut cleaner).await.unwrap();

    let started = Instant::now();
    let audit = guarded.files.path("audit.jsonl");
    while lines(&audit).len() < 3 {
        assert!(started.elapsed() < PATIENCE);
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    let told: Vec<_> = lines(&audit)
        .iter()
        .map(|line| (line["decision"].clone(), line["outcome"].clone()))
        .collect();
    let wanted = [
        ("denied", "NoPermission"),
        ("denied", "NoPermission"),
        ("allowed", "OK"),
    ];
    assert_eq!(
        told,
        wanted.map(|(decision, outcome)| (json!(decision), json!(outcome)))
    );
}

#[tokio::test]
async fn the_service_decides_as_check_policy_explains() {
    let statements = [
        allow("ram:UntagResources"),
        json!([allow("*"), {"Effect": "Deny", "Action": "ram:UntagResources", "Resource": "*"}]),
        json!({"Effect": "Allow", "Action": "ram:UntagResources", "Resource": "acs:ram:*:*:user/1"}),
        json!([allow("ram:*"), {"Effect": "Deny", "Action": "*", "Resource": "acs:ram:*:*:user/1"}]),
        json!({"Effect": "Allow", "NotAction": "ram:TagResources", "Resource": "*"}),
        json!({"Effect": "Allow", "Action": "*", "Resource": "*",
            "Condition": {"IpAddress": {"acs:SourceIp": "127.0.0.0/8"}}}),
        json!({"Effect": "Allow", "Action": "*", "Resource": "*",
            "Condition": {"IpAddress": {"acs:SourceIp": "10.0.0.0/8"}}}),
        json!({"Effect": "Allow", "Action": "*", "Resource": "*",
            "Condition": {"Bool": {"acs:SecureTransport": "true"}}}),
        json!({"Effect": "Allow", "Action": "*", "Resource": "*",
            "Condition": {"Bool": {"acs:SecureTransport": "false"}}}),
        json!({"Effect": "Allow", "Action": "*", "Resource": "*",
            "Condition": {"DateLessThan": {"acs:CurrentTime": "2020-01-01T00:00:00Z"}}}),
    ];
    let wanted = [
        true, false, false, true, true, true, false, true, false, false,
    ];
    for (statement, wanted) in statements.iter().zip(wanted) {
        let file = policy(&[(CLEANER, statement)]);
        let guarded = Guarded::start_with(&file, &["--allow-ineffective-deny"]);
        let allowed = untag(&mut guarded.client("cleaner").await).await.is_ok();
        assert_eq!(allowed, wanted, "{statement}");
        let file = guarded.files.path("policy.json");
        let file = file.to_str().unwrap();
        let checked = run(&[
            &["check-policy", file, "--caller", CLEANER][..],
            &[
                "--action",
                "ram:UntagResources",
                "--account",
                SAMPLE_ACCOUNT,
            ],
            &["--source-ip", "127.0.0.1", "--allow-ineffective-deny"],
        ]
        .concat());
        assert_eq!(
            checked.status.code(),
            Some(i32::from(!wanted)),
            "{statement}: {checked:?}"
        );
    }
}

#[tokio::test]
async fn a_changed_file_counts_at_once_and_a_broken_one_does_not() {
    let guarded = Guarded::start(&policy(&[(CLEANER, &allow("ram:UntagResources"))]));
    let mut cleaner = guarded.client("cleaner").await;
    untag(&mut cleaner).await.unwrap();
    guarded
        .files
        .write("policy.json", "{\n  \"Policies\": 1\n}");
    let line = guarded
        .server
        .wait_for_log("not reloaded; the old one stays in use");
    assert!(line["error"].as_str().unwrap().contains("line 2"), "{line}");
    untag(&mut cleaner).await.unwrap();
    let next = policy(&[("spiffe://example.org/other", &allow("*"))]);
    guarded.files.write("policy.json", &next);
    let started = Instant::now();
    while untag(&mut cleaner).await.is_ok() {
        assert!(started.elapsed() < PATIENCE, "still allowed");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

#[test]
fn a_broken_file_is_refused_at_the_start_with_line_and_reason() {
    let files = Files::new();
    files.write(
        "policy.json",
        "{\n  \"Policies\": {},\n  \"Binding\": []\n}",
    );
    let policy = files.path("policy.json");
    let policy = policy.to_str().unwrap();
    let data = files.path("data");
    let output = run(&[
        "serve",
        "--policy",
        policy,
        "--data-dir",
        data.to_str().unwrap(),
    ]);
    assert_eq!(output.status.code(), Some(1));
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(
        said.contains("line ") && said.contains("policy.json"),
        "{said}"
    );
}

/// A Deny that RAM would never apply, of a caller that may do all else.
fn ineffective() -> String {
    let deny = json!({"Effect": "Deny", "Action": "ram:*", "Resource": "acs:ram:*:*:*"});
    policy(&[(CLEANER, &json!([allow("*"), deny]))])
}

#[test]
fn a_file_with_an_ineffective_deny_is_refused_at_the_start() {
    let files = Files::new();
    files.write("policy.json", &ineffective());
    let (policy, data) = (files.path("policy.json"), files.path("data"));
    let (policy, data) = (policy.to_str().unwrap(), data.to_str().unwrap());
    let output = run(&["serve", "--policy", policy, "--data-dir", data]);
    assert_eq!(output.status.code(), Some(1));
    let said = String::from_utf8(output.stderr).unwrap();
    for part in [
        ": p0, statement 2, Deny is ineffective",
        "write \"Resource\": \"*\"",
        "--allow-ineffective-deny",
    ] {
        assert!(said.replace('\\', "").contains(part), "{part}: {said}");
    }
}

#[tokio::test]
async fn an_ineffective_deny_that_is_allowed_is_warned_of_and_one_that_comes_later_is_not_taken() {
    let guarded = Guarded::start_with(&ineffective(), &["--allow-ineffective-deny"]);
    untag(&mut guarded.client("cleaner").await).await.unwrap();
    let message = "a part of the policy file may not do what it was written for";
    guarded.server.wait_for_log_where(message, |line| {
        let warning = line["warning"].as_str().unwrap();
        warning.starts_with("line 1: p0, statement 2, Deny is ineffective")
    });

    let guarded = Guarded::start(&policy(&[(CLEANER, &allow("ram:UntagResources"))]));
    guarded.files.write("policy.json", &ineffective());
    let line = guarded
        .server
        .wait_for_log("not reloaded; the old one stays in use");
    let error = line["error"].as_str().unwrap();
    assert!(error.contains("Deny is ineffective"), "{line}");
    untag(&mut guarded.client("cleaner").await).await.unwrap();
}
