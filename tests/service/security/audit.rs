//! The audit: a line for each change, allowed or denied.

use serde_json::Value;
use time::format_description::well_known::Rfc3339;
use tonic::Code;

use super::harness::{Files, lines, untag_alice};
use crate::support::authority::spiffe;
use crate::support::{ALICE, PATIENCE, SAMPLE_ACCOUNT, list};
use untag::grpc::proto::{
    ResourceIds, ResourcePrincipalNames, Tag, TagResourcesRequest, UntagResourcesRequest,
    tag_resources_request, untag_resources_request,
};

#[tokio::test]
async fn each_change_has_a_line_that_says_who_did_what() {
    let files = Files::new();
    let path = files.path("audit.jsonl");
    let mut server = files.serve_callers(&["--audit-log", path.to_str().unwrap()]);
    let cleaner = files.callers.issue(vec![spiffe("cleaner")]);
    let mut client = files.client(&server, Some(&cleaner)).await;

    let once = || UntagResourcesRequest {
        client_token: "once".to_owned(),
        ..untag_alice()
    };
    let first = client.untag_resources(once()).await.unwrap();
    let tag = TagResourcesRequest {
        resources: Some(tag_resources_request::Resources::ResourceIds(ResourceIds {
            values: vec![ALICE.to_owned()],
        })),
        tags: vec![Tag {
            key: "tier".to_owned(),
            value: "secret-value".to_owned(),
        }],
        ..TagResourcesRequest::default()
    };
    client.tag_resources(tag).await.unwrap();
    let missing = UntagResourcesRequest {
        resources: Some(untag_resources_request::Resources::ResourcePrincipalNames(
            ResourcePrincipalNames {
                values: vec!["nobody@example.com".to_owned()],
            },
        )),
        all: true,
        ..UntagResourcesRequest::default()
    };
    let error = client.untag_resources(missing).await.unwrap_err();
    assert_eq!(error.code(), Code::NotFound);
    let dry = UntagResourcesRequest {
        validate_only: true,
        ..untag_alice()
    };
    client.untag_resources(dry).await.unwrap();
    client.untag_resources(once()).await.unwrap();
    // No reads.
    client.list_tag_resources(list()).await.unwrap();

    server.signal("TERM");
    assert_eq!(server.wait(PATIENCE).code(), Some(0));
    // Those of changes that were made come from the change log, and not at once.
    let is_made = |line: &Value| line["revision"].is_u64() && line["replay"].is_null();
    let (made, mut rest): (Vec<_>, Vec<_>) = lines(&path).into_iter().partition(is_made);
    let mut lines = made;
    lines.append(&mut rest);
    let told = |name: &str| -> Vec<Value> { lines.iter().map(|line| line[name].clone()).collect() };
    assert_eq!(
        told("outcome"),
        ["OK", "OK", "EntityNotExist.User", "OK", "OK"]
    );
    assert_eq!(told("affected_tags"), [1, 1, 0, 0, 0]);
    assert_eq!(told("affected_resources"), [1, 1, 0, 0, 0]);
    let none = Value::Null;
    assert_eq!(
        told("revision"),
        [1.into(), 2.into(), none.clone(), none, 1.into()]
    );
    assert_eq!(lines[2]["all"], true);
    assert_eq!(lines[3]["validate_only"], true);
    assert_eq!(lines[1]["tag_keys"], serde_json::json!(["tier"]));
    let first_line = &lines[0];
    assert_eq!(lines[4]["request_id"], first_line["request_id"]);
    assert_eq!(lines[4]["replay"], true);
    assert!(first_line["replay"].is_null(), "{first_line}");
    assert_eq!(first_line["request_id"], first.into_inner().request_id);
    assert_eq!(first_line["target"], "audit");
    assert_eq!(
        first_line["caller"],
        "spiffe://example.org/ns/test/sa/cleaner"
    );
    assert_eq!(first_line["source_ip"], "127.0.0.1");
    assert_eq!(first_line["secure_transport"], true);
    assert_eq!(first_line["account"], SAMPLE_ACCOUNT);
    assert_eq!(first_line["action"], "ram:UntagResources");
    assert_eq!(first_line["resource_ids"], serde_json::json!([ALICE]));
    assert_eq!(first_line["tag_keys"], serde_json::json!(["env"]));
    assert_eq!(first_line["decision"], "allowed");
    let time = first_line["time"].as_str().unwrap();
    let time = time::OffsetDateTime::parse(time, &Rfc3339).unwrap();
    let age = time::OffsetDateTime::now_utc() - time;
    assert!((0..600).contains(&age.whole_seconds()), "{time}");
    assert_eq!(
        lines[2]["resource_principal_names"],
        serde_json::json!(["nobody@example.com"])
    );
    let text = files.read("audit.jsonl");
    assert!(!text.contains("secret-value"), "{text}");
}

#[test]
fn an_audit_log_that_can_not_be_written_is_refused_at_the_start() {
    let files = Files::new();
    let output = crate::support::run(&["serve", "--audit-log", "/nowhere/audit.jsonl"]);
    assert!(!output.status.success());
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(said.contains("/nowhere/audit.jsonl"), "{said}");
    drop(files);
}
