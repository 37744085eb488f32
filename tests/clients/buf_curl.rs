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

/// As buf is called by itself: its own protocol, Connect, for the call, and for the stream that asks for the contract.
#[test]
fn buf_curl_needs_no_protocol() {
    let sample = Sample::start(&[]);
    let call = |method: &str, request: &Value| {
        let mut command = tool("npm/node_modules/.bin/buf");
        command.args([
            "curl",
            "--http2-prior-knowledge",
            "-d",
            &request.to_string(),
        ]);
        Printed::of(command.arg(format!("http://{}/{method}", sample.server.address)))
    };
    let alice = json!({ "values": [ALICE] });
    let request = json!({ "resource_ids": alice, "tag_keys": ["env", "team"] });
    assert_eq!(call(UNTAG, &request).answer()["changedTags"], 2);
    let left = call(LIST, &json!({ "resource_ids": alice })).answer();
    assert_eq!(listed_keys(&left), ["cost-center"]);
    let request = json!({ "resource_ids": { "values": ["7"] }, "all": true });
    let Printed { code, stderr, .. } = call(UNTAG, &request);
    assert_eq!(code, Some(5 * 8), "{stderr}");
    let error: Value = serde_json::from_str(&stderr).unwrap();
    assert_eq!(
        error["details"][2]["type"], "google.rpc.ResourceInfo",
        "{error}"
    );
    // Without reflection it takes HTTP/1.1, and the contract from its files.
    let mut command = tool("npm/node_modules/.bin/buf");
    command.args([
        "curl",
        "--schema",
        env!("CARGO_MANIFEST_DIR"),
        "-d",
        "{\"tags\":[{\"key\":\"env\"}]}",
    ]);
    let url = format!("http://{}/{LIST}", sample.server.address);
    let listed = Printed::of(command.arg(url)).answer();
    assert_eq!(
        listed["tagResources"].as_array().unwrap().len(),
        2,
        "{listed}"
    );
}

#[test]
fn buf_curl_asks_for_health() {
    let sample = Sample::start(&[]);
    let answer = call(&sample.server, "grpc.health.v1.Health/Check", &json!({})).answer();
    assert_eq!(answer["status"], "SERVING");
}
