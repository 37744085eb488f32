//! The lines of the audit for requests that never became changes, and for the log level.

use serde_json::{Value, json};
use std::collections::BTreeSet;
use tonic::{Code, Request};
use untag::grpc::proto::{ListTagResourcesRequest, UntagResourcesRequest};

use super::harness::{Client, Files, lines, untag_alice, with_token};
use super::tokens::{files, rules};
use crate::support::authority::spiffe;
use crate::support::http::{ask, scrape};
use crate::support::{PATIENCE, SAMPLE_ACCOUNT, Server, list};

const LEFT_OUT: &str = "untag_audit_refusals_left_out_total";
const CLEANER: &str = "spiffe://example.org/ns/test/sa/cleaner";

/// A service that asks callers for certificates or tokens, with an audit, and a client that has a certificate.
async fn audited(files: &Files, arguments: &[&str]) -> (Server, Client) {
    let (audit, keys) = (files.path("audit.jsonl"), files.path("jwks.json"));
    let flag = ["--audit-log", audit.to_str().unwrap()];
    let rules = rules(keys.to_str().unwrap());
    let server = files.serve_callers(&[&flag[..], &rules, arguments].concat());
    let cleaner = files.callers.issue(vec![spiffe("cleaner")]);
    let client = files.client(&server, Some(&cleaner)).await;
    (server, client)
}

/// The audit of a service that has ended.
fn audit_of(mut server: Server, files: &Files) -> Vec<Value> {
    server.signal("TERM");
    assert_eq!(server.wait(PATIENCE).code(), Some(0));
    lines(&files.path("audit.jsonl"))
}

fn of_account<T>(message: T, account: &str) -> Request<T> {
    let mut request = Request::new(message);
    let account = account.parse().unwrap();
    request.metadata_mut().insert("x-acs-account-id", account);
    request
}

#[tokio::test]
async fn a_refused_login_and_a_change_that_is_wrong_have_a_line() {
    let files = files();
    let (server, mut cleaner) = audited(&files, &[]).await;
    let mut stranger = files.client(&server, None).await;
    let first = stranger.untag_resources(untag_alice()).await.unwrap_err();
    assert_eq!(first.code(), Code::Unauthenticated);
    stranger.list_tag_resources(list()).await.unwrap_err();
    let forged = with_token(untag_alice(), "forged");
    cleaner.untag_resources(forged).await.unwrap_err();
    let wrong = cleaner
        .untag_resources(UntagResourcesRequest::default())
        .await;
    assert_eq!(wrong.unwrap_err().code(), Code::InvalidArgument);
    let nowhere = of_account(untag_alice(), "no account");
    cleaner.untag_resources(nowhere).await.unwrap_err();
    let large = UntagResourcesRequest {
        tag_keys: vec!["k".repeat(100_000)],
        ..untag_alice()
    };
    cleaner.untag_resources(large).await.unwrap_err();
    // Neither a change nor a login.
    let wrong = ListTagResourcesRequest {
        page_size: -1,
        ..list()
    };
    cleaner.list_tag_resources(wrong).await.unwrap_err();

    let lines = audit_of(server, &files);
    let told: Vec<Value> = lines
        .iter()
        .map(|line| {
            json!([
                line["outcome"],
                line["caller"],
                line["account"],
                line["action"]
            ])
        })
        .collect();
    let untag = "ram:UntagResources";
    assert_eq!(
        told,
        [
            json!(["Unauthenticated", null, null, untag]),
            json!(["Unauthenticated", null, null, "ram:ListTagResources"]),
            json!(["Unauthenticated", null, null, untag]),
            json!([
                "MissingParameter.ResourceId",
                CLEANER,
                SAMPLE_ACCOUNT,
                untag
            ]),
            json!(["InvalidParameter.AccountId", CLEANER, null, untag]),
            json!(["InvalidParameter.Request", CLEANER, null, untag]),
        ]
    );
    for line in &lines {
        assert_eq!(line["decision"], "refused", "{line}");
        assert_eq!(line["source_ip"], "127.0.0.1", "{line}");
        assert_eq!(line["secure_transport"], true, "{line}");
        assert!(line["affected_tags"].is_null(), "{line}");
    }
    let id = first.metadata().get("x-request-id").unwrap();
    assert_eq!(lines[0]["request_id"], id.to_str().unwrap());
}

#[tokio::test]
async fn a_caller_s_own_request_id_is_in_the_line_of_what_it_asked_for() {
    let files = files();
    let (server, mut cleaner) = audited(&files, &[]).await;
    let mut stranger = files.client(&server, None).await;
    let named = |id: &str| {
        let mut request = Request::new(untag_alice());
        let id = id.parse().unwrap();
        request.metadata_mut().insert("x-request-id", id);
        request
    };
    cleaner.untag_resources(named("order-7")).await.unwrap();
    let refused = stranger.untag_resources(named("order-8")).await;
    assert_eq!(refused.unwrap_err().code(), Code::Unauthenticated);
    cleaner.untag_resources(untag_alice()).await.unwrap();
    let told: BTreeSet<String> = audit_of(server, &files)
        .iter()
        .map(|line| {
            let id = &line["client_request_id"];
            format!("{id} {} {}", line["outcome"], line["affected_tags"])
        })
        .collect();
    let expected = [
        r#""order-7" "OK" 1"#,
        r#""order-8" "Unauthenticated" null"#,
        r#"null "OK" 0"#,
    ];
    assert_eq!(told, expected.map(String::from).into());
}

#[tokio::test]
async fn a_throttled_change_has_a_line() {
    let files = files();
    let (server, mut cleaner) = audited(&files, &["--max-caller-rate", "1"]).await;
    let throttled = loop {
        if let Err(refused) = cleaner.untag_resources(untag_alice()).await {
            break refused;
        }
    };
    assert_eq!(throttled.code(), Code::ResourceExhausted);
    let lines = audit_of(server, &files);
    let refused = lines.iter().find(|line| line["decision"] == "refused");
    let refused = refused.unwrap();
    assert_eq!(refused["outcome"], "Throttling.User");
    assert_eq!(refused["caller"], CLEANER);
}

#[tokio::test]
async fn a_source_of_many_refused_requests_gets_some_lines_and_the_rest_is_counted() {
    let files = files();
    let (server, _) = audited(&files, &[]).await;
    let mut stranger = files.client(&server, None).await;
    let mut refused = 0_u32;
    while scrape(&server)[LEFT_OUT] < 1.0 {
        for _ in 0..50 {
            stranger.untag_resources(untag_alice()).await.unwrap_err();
            refused += 1;
        }
    }
    let left_out = scrape(&server)[LEFT_OUT];
    let lines = audit_of(server, &files);
    let lines = u32::try_from(lines.len()).unwrap();
    assert!(lines >= 10);
    assert!((f64::from(refused - lines) - left_out).abs() < f64::EPSILON);
}

#[tokio::test]
async fn a_change_of_the_log_level_is_audited_and_turns_no_security_event_off() {
    let files = files();
    let (server, _) = audited(&files, &[]).await;
    let admin = server.admin_address;
    assert_eq!(ask(admin, "PUT", "/log-level", "off").0, 200);
    server.wait_for_log_where("the log level has changed", |line| line["filter"] == "off");
    let mut stranger = files.client(&server, None).await;
    stranger.untag_resources(untag_alice()).await.unwrap_err();
    server.wait_for_log_where("request", |line| line["code"] == "UNAUTHENTICATED");
    assert_eq!(
        ask(admin, "PUT", "/log-level", "untag::security=off").0,
        200
    );
    stranger.untag_resources(untag_alice()).await.unwrap_err();
    files.write("tls.crt", "broken");
    server.wait_for_log("not reloaded; the old one stays in use");
    assert_eq!(ask(admin, "PUT", "/log-level", "loud").0, 400);

    let lines = audit_of(server, &files);
    let of_level = lines
        .iter()
        .filter(|line| line["action"] == "untag:SetLogLevel");
    let told: Vec<Value> = of_level
        .map(|line| json!([line["from"], line["to"], line["outcome"], line["source_ip"]]))
        .collect();
    let source = "127.0.0.1";
    assert_eq!(
        told,
        [
            json!(["info", "off", "OK", source]),
            json!(["off", "untag::security=off", "OK", source]),
            json!(["untag::security=off", "loud", "Invalid", source]),
        ]
    );
}
