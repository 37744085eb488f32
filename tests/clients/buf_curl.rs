//! buf curl, which knows the contract by reflection v1.

use serde_json::{Value, json};

use crate::support::{ALICE, Server};
use crate::{LIST, Printed, Sample, UNTAG, assert_has, listed_keys, tool};

fn buf_curl(server: &Server, options: &[&str], path: &str) -> Printed {
    let mut command = tool("npm/node_modules/.bin/buf");
    command.args(["curl", "--http2-prior-knowledge", "--protocol", "grpc"]);
    command
        .args(["--reflect-protocol", "grpc-v1"])
        .args(options);
    Printed::of(command.arg(format!("http://{}/{path}", server.address)))
}

fn call(server: &Server, method: &str, request: &Value) -> Printed {
    buf_curl(server, &["-d", &request.to_string()], method)
}

#[test]
fn buf_curl_lists_methods() {
    let sample = Sample::start(&[]);
    let methods = buf_curl(&sample.server, &["--list-methods"], "").success();
    assert_has(&methods, &[LIST, UNTAG, "grpc.health.v1.Health/Check"]);
}

#[test]
fn buf_curl_removes_tags() {
    let sample = Sample::start(&[]);
    let alice = json!({ "values": [ALICE] });
    let request = json!({ "resource_ids": alice, "tag_keys": ["env", "team"] });
    let answer = call(&sample.server, UNTAG, &request).answer();
    assert_eq!(answer["requestId"].as_str().map(str::len), Some(36));
    let left = call(&sample.server, LIST, &json!({ "resource_ids": alice })).answer();
    assert_eq!(listed_keys(&left), ["cost-center"]);
}

#[test]
fn buf_curl_shows_the_types_of_an_errors_details() {
    let sample = Sample::start(&[]);
    let request = json!({ "resource_ids": { "values": ["7"] }, "all": true });
    let Printed { code, stderr, .. } = call(&sample.server, UNTAG, &request);
    // buf exits with eight times the number of the status code.
    assert_eq!(code, Some(5 * 8), "{stderr}");
    let error: Value = serde_json::from_str(&stderr).unwrap();
    assert_eq!(error["code"], "not_found");
    assert_eq!(
        error["message"],
        "users that do not exist: 7; nothing was changed"
    );
    let details = error["details"].as_array().unwrap();
    let types: Vec<&Value> = details.iter().map(|detail| &detail["type"]).collect();
    assert_eq!(
        types,
        [
            "google.rpc.ErrorInfo",
            "google.rpc.RequestInfo",
            "google.rpc.ResourceInfo"
        ]
    );
}

#[test]
fn buf_curl_asks_for_health() {
    let sample = Sample::start(&[]);
    let answer = call(&sample.server, "grpc.health.v1.Health/Check", &json!({})).answer();
    assert_eq!(answer["status"], "SERVING");
}
