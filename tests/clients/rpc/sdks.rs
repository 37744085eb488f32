//! The official SDKs as clients.

use std::fs;

use serde_json::{Value, json};

use super::sdk::{self, Sdk};
use super::{KEY_ID, SECRET, STS_KEY_ID, STS_TOKEN, Service, key, key_file};
use crate::support::{ALICE, hold_store};

const ALICE_NAME: &str = "alice@example.onaliyun.com";

/// The tags of Alice as `key=value`, page after page of two.
fn tags(sdk: &mut Sdk) -> Vec<String> {
    let mut request = json!({"ResourceType": "user", "ResourceId": [ALICE], "PageSize": 2});
    let mut tags = Vec::new();
    loop {
        let answer = sdk.call("ListTagResources", &request);
        assert_eq!(answer["status"], 200, "{answer}");
        let body = &answer["body"];
        for tag in body["TagResources"]["TagResource"].as_array().unwrap() {
            assert_eq!(
                (&tag["ResourceType"], &tag["ResourceId"]),
                (&json!("user"), &json!(ALICE))
            );
            let part = |name: &str| tag[name].as_str().unwrap();
            tags.push(format!("{}={}", part("TagKey"), part("TagValue")));
        }
        let next = &body["NextToken"];
        assert_eq!(body["IsTruncated"], json!(next.is_string()), "{body}");
        if next.is_null() {
            return tags;
        }
        request["NextToken"] = next.clone();
    }
}

/// Calls, which has to succeed, and returns the body of the answer.
pub fn succeed(sdk: &mut Sdk, action: &str, request: &Value) -> Value {
    let answer = sdk.call(action, request);
    assert_eq!(answer["status"], 200, "{action}: {answer}");
    let body = answer["body"].clone();
    assert_eq!(body["RequestId"].as_str().unwrap().len(), 36, "{body}");
    body
}

/// Sees that a call fails with this status and code, and has a RequestId.
pub fn refused(sdk: &mut Sdk, action: &str, request: &Value, status: u16, code: &str) -> Value {
    let answer = sdk.call(action, request);
    check_refusal(&answer, status, code);
    answer
}

fn check_refusal(answer: &Value, status: u16, code: &str) {
    assert_eq!(
        (&answer["status"], &answer["code"]),
        (&json!(status), &json!(code)),
        "{answer}"
    );
    assert_eq!(answer["request_id"].as_str().unwrap().len(), 36, "{answer}");
}

#[test]
fn sdks_tag_list_and_untag() {
    let service = Service::start(&[]);
    for sdk in &mut sdk::all(service.rpc) {
        let all = [
            ("a b*c~d/中+&=%", "x+y &=%20中~*"),
            ("env", "prod"),
            ("empty", ""),
        ];
        let set = all.map(|(key, value)| json!({"Key": key, "Value": value}));
        let by_id = json!({"ResourceType": "user", "ResourceId": [ALICE], "Tag": set});
        succeed(sdk, "TagResources", &by_id);
        let mut expected = all.map(|(key, value)| format!("{key}={value}")).to_vec();
        expected.extend(["cost-center=4711".to_owned(), "team=payments".to_owned()]);
        expected.sort_unstable();
        assert_eq!(tags(sdk), expected);

        let keys = all.map(|(key, _)| key);
        let by_name =
            json!({"ResourceType": "user", "ResourcePrincipalName": [ALICE_NAME], "TagKey": keys});
        succeed(sdk, "UntagResources", &by_name);
        assert_eq!(tags(sdk), ["cost-center=4711", "team=payments"]);

        let all = json!({"ResourceType": "user", "ResourceId": [ALICE], "All": true});
        succeed(sdk, "UntagResources", &all);
        assert!(tags(sdk).is_empty());
        let set = ["cost-center=4711", "team=payments"].map(|tag| tag.split_once('=').unwrap());
        let set = set.map(|(key, value)| json!({"Key": key, "Value": value}));
        let back =
            json!({"ResourceType": "user", "ResourcePrincipalName": [ALICE_NAME], "Tag": set});
        succeed(sdk, "TagResources", &back);
        let by_tag = json!({"Tag": [{"Key": "team", "Value": "payments"}]});
        let found = sdk.call("ListTagResources", &by_tag);
        let found = found["body"]["TagResources"]["TagResource"]
            .as_array()
            .unwrap();
        assert_eq!(found.len(), 2, "{found:?}");
    }
}

#[test]
fn sdks_send_the_largest_request() {
    let service = Service::start(&[]);
    let all = json!({"ResourceId": [ALICE], "All": true});
    let tag = |number: usize| json!({"Key": format!("{}{number:02}", "键".repeat(126)), "Value": "值".repeat(128)});
    let largest: Vec<Value> = (1..=20).map(tag).collect();
    for sdk in &mut sdk::all(service.rpc) {
        succeed(sdk, "UntagResources", &all);
        let set = json!({"ResourceId": [ALICE], "Tag": largest});
        succeed(sdk, "TagResources", &set);
        assert_eq!(tags(sdk).len(), 20);
    }
}

#[test]
fn sdks_get_every_error_of_a_wrong_request() {
    let service = Service::start(&[]);
    let many: Vec<String> = (1..=51).map(|id| id.to_string()).collect();
    let keys: Vec<String> = (1..=21).map(|key| format!("k{key}")).collect();
    let set = |keys: &[String]| -> Vec<Value> {
        keys.iter()
            .map(|key| json!({"Key": key, "Value": ""}))
            .collect()
    };
    let wrong = [
        (
            "UntagResources",
            json!({"ResourceType": "role", "ResourceId": [ALICE], "All": true}),
            "InvalidParameter.ResourceType",
        ),
        (
            "UntagResources",
            json!({"All": true}),
            "MissingParameter.ResourceId",
        ),
        (
            "UntagResources",
            json!({"ResourceId": many, "All": true}),
            "NumberExceed.ResourceIds",
        ),
        (
            "UntagResources",
            json!({"ResourceId": ["alice"], "All": true}),
            "InvalidParameter.ResourceId",
        ),
        (
            "UntagResources",
            json!({"ResourcePrincipalName": ["alice"], "All": true}),
            "InvalidParameter.ResourcePrincipalName",
        ),
        (
            "UntagResources",
            json!({"ResourceId": [ALICE], "ResourcePrincipalName": [ALICE_NAME], "All": true}),
            "InvalidParameter.Request",
        ),
        (
            "UntagResources",
            json!({"ResourceId": [ALICE]}),
            "MissingParameter.TagKeysOrDeleteAll",
        ),
        (
            "UntagResources",
            json!({"ResourceId": [ALICE], "TagKey": keys}),
            "NumberExceed.TagKeys",
        ),
        (
            "UntagResources",
            json!({"ResourceId": [ALICE], "TagKey": ["acs:a"]}),
            "InvalidParameter.TagKey",
        ),
        (
            "UntagResources",
            json!({"ResourceId": [ALICE], "TagKey": ["a", "a"]}),
            "Duplicate.TagKey",
        ),
        (
            "TagResources",
            json!({"ResourceId": [ALICE]}),
            "MissingParameter.Tags",
        ),
        (
            "TagResources",
            json!({"ResourceId": [ALICE], "Tag": set(&keys)}),
            "NumberExceed.Tags",
        ),
        (
            "TagResources",
            json!({"ResourceId": [ALICE], "Tag": [{"Key": "a", "Value": "http://a"}]}),
            "InvalidParameter.TagValue",
        ),
        (
            "ListTagResources",
            json!({"ResourceId": [ALICE], "PageSize": 101}),
            "InvalidParameter.PageSize",
        ),
        (
            "ListTagResources",
            json!({"ResourceId": [ALICE], "NextToken": "x"}),
            "InvalidParameter.NextToken",
        ),
    ];
    for sdk in &mut sdk::all(service.rpc) {
        for (action, request, code) in &wrong {
            refused(sdk, action, request, 400, code);
        }
        let missing = json!({"ResourceId": ["404", ALICE, "405"], "All": true});
        let answer = refused(sdk, "UntagResources", &missing, 404, "EntityNotExist.User");
        let message = answer["message"].as_str().unwrap();
        assert!(
            message.contains("404") && message.contains("405"),
            "{message}"
        );
        let full = json!({"ResourceId": [ALICE], "Tag": set(&keys[..20])});
        refused(sdk, "TagResources", &full, 409, "LimitExceeded.User.Tag");
        assert_eq!(tags(sdk), ["cost-center=4711", "env=prod", "team=payments"]);
    }
}

#[test]
fn sdks_get_what_the_policies_the_limits_and_the_store_say() {
    let policies = tempfile::NamedTempFile::new().unwrap();
    let policy = json!({
        "Policies": {"list": {"Version": "1", "Statement": [
            {"Effect": "Allow", "Action": "ram:ListTagResources", "Resource": "*"},
        ]}},
        "Bindings": [{"Callers": ["key:cleaner"], "Accounts": ["*"], "Policies": ["list"]}],
    });
    fs::write(&policies, policy.to_string()).unwrap();
    let path = policies.path().to_str().unwrap();
    let denied = Service::start(&["--policy", path, "--audit-log", "-"]);
    let slow = Service::start(&["--request-timeout", "0.2"]);
    let busy = Service::start(&["--max-caller-rate", "1"]);
    let untag = json!({"ResourceId": [ALICE], "TagKey": ["env"]});
    for sdk in &mut sdk::all(denied.rpc) {
        assert_eq!(tags(sdk).len(), 3);
        let answer = refused(sdk, "UntagResources", &untag, 403, "NoPermission");
        assert!(answer["message"].as_str().unwrap().contains("key:cleaner"));
    }
    for sdk in &mut sdk::all(slow.rpc) {
        let held = hold_store(slow.directory.path());
        refused(sdk, "UntagResources", &untag, 504, "DeadlineExceeded");
        drop(held);
        assert!(tags(sdk).len() >= 2);
    }
    for sdk in &mut sdk::all(busy.rpc) {
        let answers: Vec<Value> = (0..20)
            .map(|_| sdk.call("UntagResources", &untag))
            .collect();
        let throttled = answers.iter().find(|answer| answer["status"] != 200);
        check_refusal(
            throttled.expect("one of twenty is throttled"),
            400,
            "Throttling.User",
        );
    }
}

#[test]
fn sdks_get_the_faults_of_the_service_and_of_what_is_behind_it() {
    let broken = Service::start(&[]);
    // By name: of a user with this id, the store knows the keys that it has read.
    let untag = json!({"ResourcePrincipalName": [ALICE_NAME], "TagKey": ["env"]});
    // No more than bytes that are no tags, in the place of Alice's.
    let store = hold_store(broken.directory.path());
    store
        .execute(
            "UPDATE resource SET tags = x'ff' WHERE resource_id = ?1",
            [ALICE],
        )
        .unwrap();
    store.execute_batch("COMMIT").unwrap();
    // In front of a cloud that is not there.
    let nowhere = Service::in_front_of("http://127.0.0.1:1");
    for (broken, nowhere) in sdk::all(broken.rpc)
        .iter_mut()
        .zip(&mut sdk::all(nowhere.rpc))
    {
        let answer = refused(broken, "UntagResources", &untag, 500, "InternalError");
        assert!(!answer.to_string().contains("corrupt"), "{answer}");
        let answer = refused(nowhere, "UntagResources", &untag, 503, "ServiceUnavailable");
        let message = answer["message"].as_str().unwrap();
        assert!(message.contains("nothing was changed"), "{message}");
    }
}

#[test]
fn sdks_show_temporary_keys_with_their_token() {
    let service = Service::start(&["--log-level", "trace"]);
    let untag = json!({"ResourceId": [ALICE], "TagKey": ["env"]});
    let key = |id: &str, secret: &str| json!({"access_key_id": id, "access_key_secret": secret});
    let sts = |token: &str| {
        let mut sts = key(STS_KEY_ID, SECRET);
        sts["security_token"] = token.into();
        sts
    };
    for sdk in &mut sdk::all(service.rpc) {
        let answer = sdk.call_with(sts(STS_TOKEN), "UntagResources", &untag);
        assert_eq!(answer["status"], 200, "{answer}");
        for wrong in [sts("other"), key(STS_KEY_ID, SECRET)] {
            let answer = sdk.call_with(wrong, "UntagResources", &untag);
            check_refusal(&answer, 400, "InvalidSecurityToken.MismatchWithAccessKey");
        }
        let answer = sdk.call_with(key(KEY_ID, "wrong"), "UntagResources", &untag);
        check_refusal(&answer, 400, "SignatureDoesNotMatch");
        let answer = sdk.call_with(key("nobody", SECRET), "UntagResources", &untag);
        check_refusal(&answer, 404, "InvalidAccessKeyId.NotFound");
    }
    let callers: Vec<_> = service.server.log_lines();
    let callers = callers
        .iter()
        .filter(|line| line["caller"] == "key:visitor");
    assert_eq!(callers.count(), 2);
}

#[test]
fn keys_that_change_in_the_file_change_in_the_service() {
    let service = Service::start(&["--reload-interval", "0.1"]);
    let [mut sdk, _] = sdk::all(service.rpc);
    let list = json!({"ResourceId": [ALICE]});
    succeed(&mut sdk, "ListTagResources", &list);
    fs::write(&service.keys, "no JSON").unwrap();
    service
        .server
        .wait_for_log_where("not reloaded; the old one stays in use", |_| true);
    succeed(&mut sdk, "ListTagResources", &list);
    fs::write(&service.keys, key_file(&[key("new", SECRET, "cleaner")])).unwrap();
    service.server.wait_for_log("reloaded");
    refused(
        &mut sdk,
        "ListTagResources",
        &list,
        404,
        "InvalidAccessKeyId.NotFound",
    );
    let new = json!({"access_key_id": "new", "access_key_secret": SECRET});
    let answer = sdk.call_with(new, "ListTagResources", &list);
    assert_eq!(answer["status"], 200, "{answer}");
}
