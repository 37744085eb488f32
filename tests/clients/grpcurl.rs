//! grpcurl, which knows the contract by reflection v1alpha.

use serde_json::{Value, json};

use crate::support::{ALICE, SAMPLE_ACCOUNT, Server};
use crate::{LIST, Printed, Sample, TAG, UNTAG, assert_has, listed_keys, tool};

/// grpcurl exits with this and the number of the status code.
const EXIT_BASE: i32 = 64;

fn grpcurl(server: &Server, options: &[&str], what: &[&str]) -> Printed {
    let mut command = tool("venv/bin/grpcurl");
    command
        .arg("-plaintext")
        .args(options)
        .arg(server.address.to_string())
        .args(what);
    Printed::of(&mut command)
}

fn call(server: &Server, method: &str, request: &Value) -> Printed {
    grpcurl(server, &["-d", &request.to_string()], &[method])
}

/// Checks a call that must fail: the status's number and name, and the parts that must be readable.
#[track_caller]
fn assert_error(printed: &Printed, number: i32, name: &str, parts: &[&str]) {
    let Printed { code, stderr, .. } = printed;
    assert_eq!(*code, Some(EXIT_BASE + number), "{stderr}");
    assert_has(
        stderr,
        &[
            &format!("Code: {name}"),
            "google.rpc.ErrorInfo",
            r#""domain":"untag""#,
        ],
    );
    assert_has(
        stderr,
        &[r#""@type":"type.googleapis.com/google.rpc.RequestInfo","requestId":""#],
    );
    assert_has(stderr, parts);
}

#[test]
fn grpcurl_lists_services_and_methods() {
    let sample = Sample::start(&[]);
    let services = grpcurl(&sample.server, &[], &["list"]).success();
    assert_has(
        &services,
        &["grpc.health.v1.Health\n", "ram.tag.v1.TagService\n"],
    );
    let methods = grpcurl(&sample.server, &[], &["list", "ram.tag.v1.TagService"]).success();
    let mut methods: Vec<&str> = methods.lines().collect();
    methods.sort_unstable();
    assert_eq!(
        methods,
        [
            "ram.tag.v1.TagService.ListTagKeys",
            "ram.tag.v1.TagService.ListTagResources",
            "ram.tag.v1.TagService.ListTagValues",
            "ram.tag.v1.TagService.TagResources",
            "ram.tag.v1.TagService.UntagResources",
        ]
    );
}

#[test]
fn grpcurl_learns_nothing_where_reflection_is_off_and_calls_by_the_proto_file() {
    let sample = Sample::start(&["--no-reflection"]);
    let Printed { code, stderr, .. } = grpcurl(&sample.server, &[], &["list"]);
    assert_ne!(code, Some(0));
    assert_has(&stderr, &["does not support the reflection API"]);
    let proto = [
        "-import-path",
        "proto",
        "-proto",
        "ram/tag/v1/tag_service.proto",
    ];
    let request = json!({"tags": [{"key": "team"}]}).to_string();
    let listed = grpcurl(
        &sample.server,
        &[&proto[..], &["-d", &request]].concat(),
        &[LIST],
    );
    assert_has(&listed.success(), &["requestId"]);
}

#[test]
fn grpcurl_describes_methods_and_fields_with_comments_and_limits() {
    let sample = Sample::start(&[]);
    let describe = |what| grpcurl(&sample.server, &[], &["describe", what]).success();
    assert_has(
        &describe("ram.tag.v1.TagService.UntagResources"),
        &[
            "// Removes tags from up to 50 users, all of them or none",
            "IDEMPOTENT",
        ],
    );
    assert_has(
        &describe("ram.tag.v1.UntagResourcesRequest"),
        &[
            "// The keys to remove: up to 20 different ones",
            "max_items:20",
            "max_len:128",
            "oneof resources",
        ],
    );
    assert_has(
        &describe("ram.tag.v1.ResourceIds"),
        &["max_items:50", "^[0-9]{1,32}$"],
    );
}

#[test]
fn grpcurl_sets_removes_and_lists_tags() {
    let sample = Sample::start(&[]);
    let alice = json!({ "values": [ALICE] });
    let list = || call(&sample.server, LIST, &json!({ "resource_ids": alice })).answer();
    assert_eq!(listed_keys(&list()), ["cost-center", "env", "team"]);

    let by_name = json!({
        "resource_principal_names": { "values": ["ALICE@example.onaliyun.com"] },
        "tag_keys": ["env", "absent"],
    });
    let answer = call(&sample.server, UNTAG, &by_name).answer();
    assert_eq!(answer["requestId"].as_str().map(str::len), Some(36));
    assert_eq!(listed_keys(&list()), ["cost-center", "team"]);

    let tags = json!({ "resource_ids": alice, "tags": [{ "key": "env", "value": "test" }] });
    call(&sample.server, TAG, &tags).answer();
    assert_eq!(listed_keys(&list()), ["cost-center", "env", "team"]);

    call(
        &sample.server,
        UNTAG,
        &json!({ "resource_ids": alice, "all": true }),
    )
    .answer();
    assert!(listed_keys(&list()).is_empty());
}

#[test]
fn grpcurl_shows_every_fault_of_an_invalid_request() {
    let sample = Sample::start(&[]);
    let request = json!({
        "resource_type": "group",
        "resource_ids": { "values": [ALICE, "x"] },
        "tag_keys": ["env", "env", "acs:x"],
    });
    assert_error(
        &call(&sample.server, UNTAG, &request),
        3,
        "InvalidArgument",
        &[
            "google.rpc.BadRequest",
            r#""code":"InvalidParameter.ResourceType""#,
            r#""field":"resource_type""#,
            r#""field":"resource_ids.values[1]""#,
            r#""field":"tag_keys[1]""#,
            r#""field":"tag_keys[2]""#,
        ],
    );
}

#[test]
fn grpcurl_shows_each_missing_user() {
    let sample = Sample::start(&[]);
    let request = json!({ "resource_ids": { "values": ["7", ALICE, "8"] }, "all": true });
    assert_error(
        &call(&sample.server, UNTAG, &request),
        5,
        "NotFound",
        &[
            r#""code":"EntityNotExist.User""#,
            r#"google.rpc.ResourceInfo","resourceName":"7""#,
            r#"google.rpc.ResourceInfo","resourceName":"8""#,
        ],
    );
}

#[test]
fn grpcurl_shows_who_would_carry_too_many_tags() {
    let sample = Sample::start(&[]);
    let tags: Vec<Value> = (0..20)
        .map(|key| json!({ "key": format!("k{key}") }))
        .collect();
    let request = json!({ "resource_ids": { "values": [ALICE] }, "tags": tags });
    assert_error(
        &call(&sample.server, TAG, &request),
        9,
        "FailedPrecondition",
        &[
            r#""code":"LimitExceeded.User.Tag""#,
            "google.rpc.QuotaFailure",
            ALICE,
        ],
    );
}

#[test]
fn grpcurl_shows_that_a_store_is_out_of_reach_and_when_to_retry() {
    let sample = Sample::start(&[]);
    let _held = sample.hold_store();
    let request = json!({ "resource_ids": { "values": [ALICE] }, "all": true });
    assert_error(
        &call(&sample.server, UNTAG, &request),
        14,
        "Unavailable",
        &[
            r#""code":"ServiceUnavailable""#,
            "google.rpc.RetryInfo",
            "nothing was changed",
        ],
    );
}

#[test]
fn grpcurl_shows_that_the_servers_deadline_has_passed() {
    let sample = Sample::start(&["--request-timeout", "0.2"]);
    let _held = sample.hold_store();
    let request = json!({ "resource_ids": { "values": [ALICE] }, "all": true });
    assert_error(
        &call(&sample.server, UNTAG, &request),
        4,
        "DeadlineExceeded",
        &[
            r#""code":"DeadlineExceeded""#,
            "the change may have been made",
        ],
    );
}

#[test]
fn grpcurl_names_the_account_in_metadata() {
    let directory = tempfile::tempdir().unwrap();
    drop(Server::start(directory.path(), &["--sample-data"]));
    let server = Server::start(directory.path(), &[]);
    let request = json!({ "resource_ids": { "values": [ALICE] } }).to_string();
    let list = |options: &[&str]| {
        grpcurl(
            &server,
            &[&["-d", request.as_str()], options].concat(),
            &[LIST],
        )
    };

    let named = list(&["-H", &format!("x-acs-account-id: {SAMPLE_ACCOUNT}")]).answer();
    assert_eq!(listed_keys(&named), ["cost-center", "env", "team"]);
    let code = r#""code":"MissingParameter.AccountId""#;
    assert_error(
        &list(&[]),
        3,
        "InvalidArgument",
        &[code, "x-acs-account-id"],
    );
    let code = r#""code":"EntityNotExist.User""#;
    assert_error(
        &list(&["-H", "x-acs-account-id: 1"]),
        5,
        "NotFound",
        &[code],
    );
}

#[test]
fn grpcurl_asks_for_health() {
    let sample = Sample::start(&[]);
    let check = |service: &str| {
        call(
            &sample.server,
            "grpc.health.v1.Health/Check",
            &json!({ "service": service }),
        )
    };
    assert_eq!(check("").answer()["status"], "SERVING");
    assert_eq!(check("ram.tag.v1.TagService").answer()["status"], "SERVING");
    let unknown = check("no.such.Service");
    assert_eq!(unknown.code, Some(EXIT_BASE + 5), "{}", unknown.stderr);
    assert_has(
        &unknown.stderr,
        &["Code: NotFound", "google.rpc.RequestInfo"],
    );
}
