//! Decisions of the policies, and handshakes.

use tonic::Code;

use super::scrape::{Scrape, scrape_until};
use crate::security::harness::{Files, untag_alice};
use crate::support::http::Http1;
use crate::support::list;

const LISTS_ONLY: &str = r#"{
  "Policies": {"lists": {"Version": "1", "Statement": [
    {"Effect": "Allow", "Action": "ram:ListTagResources", "Resource": "*"}
  ]}},
  "Bindings": [{"Callers": ["*"], "Accounts": ["*"], "Policies": ["lists"]}]
}"#;

#[tokio::test(flavor = "multi_thread")]
async fn decisions_count_by_action() {
    let files = Files::new();
    files.write("policy.json", LISTS_ONLY);
    let policy = files.path("policy.json");
    let server = files.serve(&["--policy", policy.to_str().unwrap()]);
    let client = &mut files.client(&server, None).await;
    client.list_tag_resources(list()).await.unwrap();
    for _ in 0..2 {
        let error = client.untag_resources(untag_alice()).await.unwrap_err();
        assert_eq!(error.code(), Code::PermissionDenied);
    }
    let scrape = Scrape::of(&server);
    assert_eq!(
        scrape.counted("untag_policy_decisions_total"),
        [
            "action=\"ram:ListTagResources\",decision=\"allowed\" 1",
            "action=\"ram:UntagResources\",decision=\"denied\" 2"
        ]
    );

    files.write("policy.json", "{");
    let failed = &["what=\"policy\"", "outcome=\"failed\""];
    scrape_until(&server, |scrape| {
        scrape.sum("untag_reloads_total", failed) >= 2.0
    })
    .await;
    files.write("policy.json", &LISTS_ONLY.replace("List", "Untag"));
    let ok = &["what=\"policy\"", "outcome=\"ok\""];
    scrape_until(&server, |scrape| {
        scrape.sum("untag_reloads_total", ok) == 1.0
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_handshake_that_fails_counts() {
    let files = Files::new();
    let server = files.serve(&[]);
    let mut stranger = Http1::open(server.address);
    stranger.send(b"GET / HTTP/1.1\r\n\r\n");
    drop(stranger.rest());
    scrape_until(&server, |scrape| {
        scrape.sum("untag_tls_handshakes_failed_total", &[]) == 1.0
    })
    .await;
}
