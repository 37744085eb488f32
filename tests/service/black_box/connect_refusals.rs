//! The Connect protocol: what is refused, and what the refusal says.

use serde_json::{Value, json};

use super::connect::{JSON, WATCH, call, call_with, headers, untag_ann};
use super::users::{ANN, server, tags_of};
use super::wire::{LIST, UNTAG};
use crate::support::http::Http1;

#[tokio::test]
async fn json_that_is_not_the_message_is_named_by_its_place_and_never_by_its_value() {
    let (server, _home) = server(&[]);
    for (body, field) in [
        ("", ""),
        ("{", ""),
        ("{}{}", ""),
        (r#"["secret"]"#, ""),
        (r#"{"tags": {"a": "secret"}}"#, "tags"),
        (
            r#"{"resourceIds": {"values": ["1"]}, "tags": ["secret"]}"#,
            "tags[0]",
        ),
        (
            r#"{"resourceIds": {"values": [{"secret": 1}]}}"#,
            "resourceIds.values[0]",
        ),
        (
            r#"{"tags": [{"key": "a", "value": ["secret"]}]}"#,
            "tags[0].value",
        ),
    ] {
        let path = "/ram.tag.v1.TagService/TagResources";
        let answer = call_with(&server, path, "", body);
        let told = answer.error();
        assert_eq!(
            told,
            (
                400,
                "invalid_argument".to_owned(),
                "InvalidParameter.Request".to_owned()
            ),
            "{body}"
        );
        let error = answer.json();
        let violation = &error["details"][2]["debug"]["fieldViolations"][0];
        let named = violation["field"].as_str().unwrap_or_default();
        assert_eq!(named, field, "{body}: {error}");
        assert!(!answer.body.contains("secret"), "{}", answer.body);
    }
    let names_it = |line: &Value| line.to_string().contains("secret");
    assert_eq!(server.count_in_log(names_it), 0);
    // The faults of a message that is one are those of gRPC.
    let answer = call(
        &server,
        UNTAG,
        &json!({"resourceIds": {"values": ["x"]}, "tagKeys": ["", "acs:a"]}),
    );
    let error = answer.json();
    assert_eq!(
        error["details"][2]["debug"]["fieldViolations"]
            .as_array()
            .unwrap()
            .len(),
        3,
        "{error}"
    );
}

#[tokio::test]
async fn what_is_no_call_is_told_what_would_be_one() {
    let (server, _home) = server(&[]);
    let body = untag_ann().to_string();
    let types = |content_type: &str| headers("").replace("application/json", content_type);
    for (method, path, headers, wanted, says) in [
        ("GET", UNTAG, headers(""), 405, "must be POST"),
        ("PUT", UNTAG, headers(""), 405, "must be POST"),
        (
            "POST",
            UNTAG,
            types("application/x-www-form-urlencoded"),
            415,
            "must be one of",
        ),
        (
            "POST",
            UNTAG,
            types("application/connect+json"),
            415,
            "must be one of",
        ),
        (
            "POST",
            UNTAG,
            types("application/connect+proto"),
            415,
            "send application/json",
        ),
        ("POST", WATCH, headers(""), 415, "answers with a stream"),
        (
            "POST",
            WATCH,
            types("application/proto"),
            415,
            "answers with a stream",
        ),
        (
            "POST",
            UNTAG,
            types("application/grpc"),
            505,
            "gRPC needs HTTP/2",
        ),
        (
            "POST",
            UNTAG,
            headers("Content-Encoding: gzip\r\n"),
            501,
            "only identity",
        ),
        (
            "POST",
            UNTAG,
            headers("Connect-Protocol-Version: 2\r\n"),
            400,
            "must be 1",
        ),
        (
            "POST",
            UNTAG,
            headers("Connect-Timeout-Ms: 1.5\r\n"),
            400,
            "a number of milliseconds",
        ),
        (
            "POST",
            UNTAG,
            headers("Connect-Timeout-Ms: 12345678901\r\n"),
            400,
            "a number of milliseconds",
        ),
        (
            "POST",
            UNTAG,
            headers("Authorization: Basic YTpi\r\n"),
            401,
            "Bearer",
        ),
        (
            "POST",
            "/ram.tag.v1.TagService/Nothing",
            headers(""),
            501,
            "there is no method",
        ),
        ("POST", "/nothing", headers(""), 501, "there is no method"),
        (
            "POST",
            UNTAG,
            JSON.to_owned(),
            400,
            "the server has no default account",
        ),
    ] {
        let answer = Http1::open(server.address).ask(method, path, &headers, &body);
        let what = format!("{method} {path} {headers}: {answer:?}");
        if wanted == 505 {
            // A client of gRPC gets an answer of gRPC.
            assert_eq!(
                (answer.code, answer.header("grpc-status")),
                (505, Some("3")),
                "{what}"
            );
            continue;
        }
        assert_eq!(answer.error().0, wanted, "{what}");
        let message = answer.json()["message"].as_str().unwrap().to_owned();
        assert!(message.contains(says), "{what}");
        assert_eq!(
            answer.header("allow"),
            (wanted == 405).then_some("post"),
            "{what}"
        );
        assert_eq!(
            answer.header("accept-post").is_some(),
            wanted == 415,
            "{what}"
        );
    }
    for good in [
        "Connect-Protocol-Version: 1\r\n",
        "Content-Encoding: identity\r\n",
        "Grpc-Encoding: gzip\r\n",
        "Grpc-Timeout: no\r\n",
    ] {
        let answer = call_with(
            &server,
            LIST,
            good,
            &json!({"resourceIds": {"values": [ANN]}}).to_string(),
        );
        assert_eq!(answer.code, 200, "{good}: {answer:?}");
    }
    let mut client = server.client().await;
    assert_eq!(tags_of(&mut client, ANN).await.len(), 3);
}

#[test]
fn a_message_that_is_too_large_or_breaks_off_is_refused() {
    let (server, _home) = server(&[]);
    let sized = |bytes: usize| {
        let rest = untag_ann().to_string();
        " ".repeat(bytes - rest.len()) + &rest
    };
    let too_large = call_with(&server, UNTAG, "", &sized(64 * 1024 + 1));
    assert_eq!(
        too_large.error(),
        (
            429,
            "resource_exhausted".to_owned(),
            "InvalidParameter.Request".to_owned()
        )
    );
    let chunk = format!("8000\r\n{}\r\n", " ".repeat(0x8000));
    for (body, wanted) in [
        (chunk.repeat(3), "429 "),
        ("2\r\n{}\r\nx".to_owned(), "400 "),
    ] {
        let mut http = Http1::open(server.address);
        let headers = headers("Transfer-Encoding: chunked\r\n");
        http.send(format!("POST {UNTAG} HTTP/1.1\r\nHost: a\r\n{headers}\r\n{body}").as_bytes());
        let answer = String::from_utf8(http.rest()).unwrap();
        assert!(
            answer.starts_with(&format!("HTTP/1.1 {wanted}")),
            "{answer}"
        );
    }
    assert_eq!(call_with(&server, UNTAG, "", &sized(64 * 1024)).code, 200);
}
