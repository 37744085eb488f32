//! Parameters that are not understood: nothing is done in their absence that they would have kept from being done.

use serde_json::Value;

use super::Service;
use super::signed::{Request, code, v1};
use crate::support::ALICE;
use crate::support::http::{Answer, Http1};

const FORM: &str = "application/x-www-form-urlencoded";
const INVALID: &str = "InvalidParameter.Request";

/// The ways in which a request may carry its parameters.
const WAYS: [fn(&Service, &str, &str) -> Answer; 4] = [
    |service, action, parameters| Request::new(action, parameters).sign().send(service),
    |service, action, parameters| {
        let mut request = Request::new(action, "").header("content-type", FORM);
        parameters.clone_into(&mut request.body);
        request.sign().send(service)
    },
    |service, action, parameters| {
        let path = format!("/?{}", v1("GET", action, parameters));
        Http1::open(service.rpc).ask("GET", &path, "", "")
    },
    |service, action, parameters| {
        let headers = format!("Content-Type: {FORM}\r\n");
        let body = v1("POST", action, parameters);
        Http1::open(service.rpc).ask("POST", "/", &headers, &body)
    },
];

/// Sees that an answer refuses a request and says why, and that Alice has kept her three tags.
fn is_refused(service: &Service, answer: &Answer, reason: &str) {
    assert_eq!(code(answer), (400, INVALID.to_owned()), "{reason}");
    let body: Value = serde_json::from_str(&answer.body).unwrap();
    let message = body["Message"].as_str().unwrap();
    assert!(message.contains(reason), "{message}");
    let list = Request::new("ListTagResources", &format!("ResourceId.1={ALICE}"));
    let listed = list.sign().send(service).body;
    let listed: Value = serde_json::from_str(&listed).unwrap();
    let tags = listed["TagResources"]["TagResource"].as_array().unwrap();
    assert_eq!(tags.len(), 3, "{reason}: {tags:?}");
}

#[test]
fn a_misspelt_parameter_changes_nothing() {
    let service = Service::start(&[]);
    let everything = format!("ResourceId.1={ALICE}&All=true");
    for (given, right) in [
        (
            "TagKey=env",
            "TagKey: UntagResources has no parameter of this name; give TagKey.N",
        ),
        (
            "tagKey.1=env",
            "tagKey.1: UntagResources has no parameter of this name; give TagKey.N",
        ),
        ("TagKeys.1=env", "give TagKey.N"),
        ("TagKeys=env", "give TagKey.N"),
        ("TagKey.=env", "give TagKey.N"),
        ("TagKey.x=env", "TagKey.x"),
        (
            "TagKey.2=env",
            "TagKey.2: the numbers of a list must be 1, 2 and so on",
        ),
        ("TagKey.01=env", "TagKey.01"),
        ("TagKey%5B0%5D=env", "TagKey[0]: no name of a parameter"),
        ("tag_keys=env", "give TagKey.N"),
        ("Tag.1.Key=env", "give TagKey.N"),
        ("Tag.1.Value=prod", "it has ResourceType"),
        ("Key.1=env", "it has ResourceType"),
        ("resourceId.2=7", "give ResourceId.N"),
        ("resourceType=role", "give ResourceType"),
        ("DryRun=true", "use validate_only at the gRPC port"),
        ("=env", "no name of a parameter"),
    ] {
        for send in WAYS {
            let parameters = format!("{everything}&{given}");
            is_refused(
                &service,
                &send(&service, "UntagResources", &parameters),
                right,
            );
        }
    }
    let alice = format!("ResourceId.1={ALICE}");
    for (action, given, right) in [
        ("UntagResources", "TagKey.1=env&all=true", "give All"),
        (
            "TagResources",
            "Tag.1.Key=a&tag.1.value=b",
            "tag.1.value: TagResources has no parameter of this name; give Tag.N.Value",
        ),
        ("TagResources", "Tag.1.Key=a&Tags.2.Key=b", "give Tag.N.Key"),
        ("TagResources", "Tag.1.Key=a&TagKey.1=b", "give Tag.N.Key"),
        ("ListTagResources", "Tags.1.Key=team", "give Tag.N.Key"),
        ("ListTagResources", "pageSize=1", "give PageSize"),
        ("ListTagResources", "nextToken=x", "give NextToken"),
    ] {
        for send in WAYS {
            is_refused(
                &service,
                &send(&service, action, &format!("{alice}&{given}")),
                right,
            );
        }
    }
    // What SDKs add on their own is none of that.
    let added =
        "RegionId=cn-hangzhou&Format=JSON&ResourceOwnerId=7&ClientToken=x&AcceptLanguage=zh";
    for send in WAYS {
        let parameters = format!("{alice}&TagKey.1=absent&{added}");
        let answer = send(&service, "UntagResources", &parameters);
        assert_eq!(answer.code, 200, "{}", answer.body);
    }
}

#[test]
fn a_body_that_is_no_form_changes_nothing() {
    let service = Service::start(&[]);
    let everything = format!("ResourceId.1={ALICE}&All=true");
    let json = r#"{"TagKey":["env"]}"#;
    for (kind, body, reason) in [
        (
            "application/json",
            json,
            "the content type of the body is application/json; send",
        ),
        (
            "text/plain",
            "TagKey.1=env",
            "the content type of the body is text/plain",
        ),
        (
            "application/x-www-form-urlencoded-2",
            "TagKey.1=env",
            "the content type of the body is",
        ),
        (
            "application/x-www-form-urlencoded; charset=GBK",
            "TagKey.1=env",
            "charset=GBK",
        ),
        (
            "multipart/form-data; boundary=b",
            "--b\r\n\r\nenv\r\n--b--",
            "the content type of the body is multipart",
        ),
        (FORM, json, "no name of a parameter"),
        (FORM, "<TagKey>env</TagKey>", "no name of a parameter"),
    ] {
        let mut v3 = Request::new("UntagResources", &everything).header("content-type", kind);
        v3.body = body.to_owned();
        is_refused(&service, &v3.sign().send(&service), reason);
        if kind != FORM {
            let path = format!("/?{}", v1("POST", "UntagResources", &everything));
            let headers = format!("Content-Type: {kind}\r\n");
            let answer = Http1::open(service.rpc).ask("POST", &path, &headers, body);
            is_refused(&service, &answer, reason);
        }
    }
    let path = format!("/?{}", v1("POST", "UntagResources", &everything));
    let untyped = Http1::open(service.rpc).ask("POST", &path, "", "TagKey.1=env");
    is_refused(&service, &untyped, "the content type of the body is none");
    // A content type without a body is what SDKs send.
    let empty = Request::untag().header("content-type", "application/json");
    assert_eq!(empty.sign().code(&service).0, 200);
}

#[test]
fn what_is_not_utf_8_changes_nothing() {
    let service = Service::start(&[]);
    let alice = format!("ResourceId.1={ALICE}");
    // Two keys in GBK, which would become the same two replacement characters.
    for (action, given, reason) in [
        (
            "UntagResources",
            "TagKey.1=%BC%FC",
            "TagKey.1: the value is not UTF-8",
        ),
        (
            "UntagResources",
            "All=true&TagKey.%BC%FC=env",
            "the name is not UTF-8",
        ),
        (
            "TagResources",
            "Tag.1.Key=%D6%D0",
            "Tag.1.Key: the value is not UTF-8",
        ),
        (
            "TagResources",
            "Tag.1.Key=a&Tag.1.Value=a%FFb",
            "Tag.1.Value: the value is not UTF-8",
        ),
        // Overlong, a surrogate, and cut off.
        ("TagResources", "Tag.1.Key=%C0%AF", "the value is not UTF-8"),
        (
            "TagResources",
            "Tag.1.Key=%ED%A0%80",
            "the value is not UTF-8",
        ),
        (
            "ListTagResources",
            "Tag.1.Key=%E9%94",
            "the value is not UTF-8",
        ),
        (
            "ListTagResources",
            "PageSize=1&%FF=x",
            "the name is not UTF-8",
        ),
    ] {
        for send in WAYS {
            is_refused(
                &service,
                &send(&service, action, &format!("{alice}&{given}")),
                reason,
            );
        }
    }
    // The same bytes as they are, in a form and in the query.
    let form = v1(
        "POST",
        "UntagResources",
        &format!("{alice}&TagKey.1=%BC%FC"),
    );
    let form = raw(&form);
    let head = format!(
        "POST / HTTP/1.1\r\nHost: untag\r\nContent-Type: {FORM}\r\nContent-Length: {}\r\nConnection: close\r\n\r\n",
        form.len()
    );
    let mut connection = Http1::open(service.rpc);
    connection.send(&[head.as_bytes(), &form].concat());
    let answer = String::from_utf8(connection.rest()).unwrap();
    assert!(answer.starts_with("HTTP/1.1 400"), "{answer}");
    assert!(
        answer.contains("TagKey.1: the value is not UTF-8"),
        "{answer}"
    );
    let query = raw(&v1(
        "GET",
        "UntagResources",
        &format!("{alice}&TagKey.1=%BC%FC"),
    ));
    let mut connection = Http1::open(service.rpc);
    connection.send(&[b"GET /?", &*query, b" HTTP/1.1\r\nHost: untag\r\n\r\n"].concat());
    let answer = String::from_utf8(connection.rest()).unwrap();
    assert!(answer.starts_with("HTTP/1.1 400"), "{answer}");
}

/// Parameters with the bytes of a key in GBK themselves in the place of `%BC%FC`.
fn raw(parameters: &str) -> Vec<u8> {
    let (before, after) = parameters.split_once("%BC%FC").unwrap();
    [before.as_bytes(), b"\xbc\xfc", after.as_bytes()].concat()
}
