//! curl, which knows nothing of gRPC.

use std::process::Command;

use serde_json::{Value, json};

use crate::support::ALICE;
use crate::{LIST, Printed, Sample, UNTAG, listed_keys};

/// Calls a method, and returns the status of HTTP and the answer.
fn curl(sample: &Sample, options: &[&str], method: &str, request: &Value) -> (String, Value) {
    let url = format!("http://{}/{method}", sample.server.address);
    let mut command = Command::new("curl");
    command
        .args([
            "-sS",
            "-w",
            "\n%{http_code} %{http_version}",
            "-d",
            &request.to_string(),
        ])
        .args(["-H", "content-type: application/json"])
        .args(options);
    let printed = Printed::of(command.arg(url)).success();
    let (answer, status) = printed.rsplit_once('\n').unwrap();
    (status.to_owned(), serde_json::from_str(answer).unwrap())
}

#[test]
fn curl_removes_tags_over_http_1_and_2() {
    for (options, version) in [
        (&["--http1.1"][..], "1.1"),
        (&["--http2-prior-knowledge"], "2"),
    ] {
        let sample = Sample::start(&[]);
        let alice = json!({ "values": [ALICE] });
        let request = json!({ "resourceIds": alice, "tagKeys": ["env", "team"] });
        let (status, answer) = curl(&sample, options, UNTAG, &request);
        assert_eq!(status, format!("200 {version}"), "{answer}");
        assert_eq!(answer["changedTags"], 2);
        let (_, left) = curl(&sample, options, LIST, &json!({ "resourceIds": alice }));
        assert_eq!(listed_keys(&left), ["cost-center"]);
        let request = json!({ "resourceIds": { "values": ["7"] }, "all": true });
        let (status, error) = curl(&sample, options, UNTAG, &request);
        assert_eq!(status, format!("404 {version}"), "{error}");
        assert_eq!(
            error["details"][0]["debug"]["metadata"]["code"],
            "EntityNotExist.User"
        );
    }
}

#[test]
fn curl_is_told_the_content_type_that_it_has_to_give() {
    let sample = Sample::start(&[]);
    let (status, error) = curl(
        &sample,
        &["-H", "content-type: application/x-www-form-urlencoded"],
        UNTAG,
        &json!({}),
    );
    // curl sends the later one of the two in addition.
    assert_eq!(status, "415 1.1", "{error}");
    let message = error["message"].as_str().unwrap();
    assert!(message.contains("application/json"), "{error}");
}
