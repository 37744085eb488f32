//! The log: one line a request, and never a tag value.

use serde_json::Value;
use untag::grpc::proto::ListTagResourcesRequest;

use super::answer::request_id;
use super::users::{
    ACCOUNT, ANN, ANN_NAME, BEN, Client, ask, directory, filter_request, ids, list_request, names,
    server, tag_request, untag_request,
};
use crate::support::{Server, run};

/// The line of a request by its RequestId. There is exactly one.
fn line_of(server: &Server, request_id: &str) -> Value {
    let line = server.wait_for_log_where("request", |line| line["request_id"] == request_id);
    let is_its = |line: &&Value| line["message"] == "request" && line["request_id"] == request_id;
    assert_eq!(server.log_lines().iter().filter(is_its).count(), 1);
    line
}

#[tokio::test]
async fn each_request_has_one_line_that_tells_what_it_asked_for_and_what_came_of_it() {
    let (server, _home) = server(&[]);
    let client = &mut server.client().await;
    let untag = untag_request(ids([ANN, BEN]), &["env", "team", "not-there"]);
    let untag = client
        .untag_resources(ask(untag))
        .await
        .unwrap()
        .into_inner()
        .request_id;
    let tag = tag_request(ids([ANN]), &[("a", "1"), ("b", "2")]);
    let tag = client
        .tag_resources(ask(tag))
        .await
        .unwrap()
        .into_inner()
        .request_id;
    let list = ListTagResourcesRequest {
        resources: Some(ids([ANN]).into()),
        ..filter_request(&[("a", None)])
    };
    let list = client
        .list_tag_resources(ask(list))
        .await
        .unwrap()
        .into_inner()
        .request_id;
    let missing = untag_request(ids([ANN, "999"]), &["env"]);
    let missing = request_id(&client.untag_resources(ask(missing)).await.unwrap_err());
    let invalid = untag_request(ids(["x"]), &["env"]);
    let invalid = request_id(&client.untag_resources(ask(invalid)).await.unwrap_err());

    let path = |method: &str| format!("/ram.tag.v1.TagService/{method}");
    let cases = [
        (untag, "UntagResources", "OK", ACCOUNT, [2, 3, 3]),
        (tag, "TagResources", "OK", ACCOUNT, [1, 2, 2]),
        (list, "ListTagResources", "OK", ACCOUNT, [1, 1, 1]),
        (missing, "UntagResources", "NOT_FOUND", ACCOUNT, [2, 1, 0]),
        // What it asks for is not known, since it can't be parsed.
        (
            invalid,
            "UntagResources",
            "INVALID_ARGUMENT",
            ACCOUNT,
            [0, 0, 0],
        ),
    ];
    for (request_id, method, code, account, [resources, tags, affected]) in cases {
        let line = line_of(&server, &request_id);
        assert_eq!(line["method"], path(method), "{line}");
        assert_eq!(line["code"], code, "{line}");
        assert_eq!(line["account"], account, "{line}");
        assert_eq!(line["resources"], resources, "{line}");
        assert_eq!(line["tags"], tags, "{line}");
        assert_eq!(line["affected"], affected, "{line}");
        assert!(
            line["duration_us"]
                .as_u64()
                .is_some_and(|duration| duration > 0),
            "{line}"
        );
        assert_eq!(
            line["error"].as_str().unwrap().is_empty(),
            code == "OK",
            "{line}"
        );
        assert_eq!(line["level"], "INFO", "{line}");
        assert!(line["timestamp"].is_string(), "{line}");
    }
}

#[tokio::test]
async fn a_failure_of_the_store_is_logged_under_the_request_id_that_the_caller_got() {
    let home = directory();
    home.limit_lock_waits();
    let server = home.serve(&[]);
    let client = &mut server.client().await;
    let _lock = home.lock();
    let refused = client
        .untag_resources(ask(untag_request(ids([ANN]), &["env"])))
        .await
        .unwrap_err();
    let request_id = request_id(&refused);
    let of_request = |line: &Value| line["span"]["request_id"] == request_id.as_str();
    let cause = server.wait_for_log_where("the store is unavailable", of_request);
    assert!(cause["cause"].as_str().unwrap().contains("lock"), "{cause}");
    let line = line_of(&server, &request_id);
    assert_eq!(
        (line["code"].as_str(), line["level"].as_str()),
        (Some("UNAVAILABLE"), Some("WARN"))
    );
}

/// Sends tag values by every way there is, valid and invalid.
async fn send_values(client: &mut Client, value: &str) {
    client
        .tag_resources(ask(tag_request(ids([ANN]), &[("secret", value)])))
        .await
        .unwrap();
    client
        .list_tag_resources(ask(list_request(ids([ANN]))))
        .await
        .unwrap();
    client
        .list_tag_resources(ask(filter_request(&[("secret", Some(value))])))
        .await
        .unwrap();
    let forbidden = format!("http://{value}");
    let too_long = value.repeat(20);
    for invalid in [&forbidden, &too_long] {
        let tag = tag_request(ids([ANN]), &[("secret", invalid)]);
        client.tag_resources(ask(tag)).await.unwrap_err();
        client
            .list_tag_resources(ask(filter_request(&[("secret", Some(invalid))])))
            .await
            .unwrap_err();
    }
    let missing = tag_request(ids(["999"]), &[("secret", value)]);
    client.tag_resources(ask(missing)).await.unwrap_err();
    let tags: Vec<String> = (0..20).map(|number| format!("more-{number}")).collect();
    let tags: Vec<(&str, &str)> = tags.iter().map(|key| (key.as_str(), value)).collect();
    client
        .tag_resources(ask(tag_request(ids([ANN]), &tags)))
        .await
        .unwrap_err();
    client
        .untag_resources(ask(untag_request(ids([ANN]), &["secret"])))
        .await
        .unwrap();
}

#[tokio::test]
async fn no_tag_value_is_ever_logged_at_any_level() {
    let home = directory();
    home.limit_lock_waits();
    let everything = "trace,h2=trace,tokio_postgres=trace,tokio_postgres::query=trace";
    let server = home.serve(&["--log-level", everything]);
    let client = &mut server.client().await;
    let value = "Zq7-unmistakable-Xw3";
    send_values(client, value).await;
    // A store that fails has the most to tell.
    let lock = home.lock();
    client
        .tag_resources(ask(tag_request(ids([ANN]), &[("secret", value)])))
        .await
        .unwrap_err();
    drop(lock);
    home.damage(ANN, value);
    let broken = client
        .list_tag_resources(ask(list_request(ids([ANN]))))
        .await
        .unwrap_err();
    line_of(&server, &request_id(&broken));
    // By name: of a user with this id, the embedded store knows the keys that it has read.
    let broken = client
        .untag_resources(ask(untag_request(names([ANN_NAME]), &["secret"])))
        .await
        .unwrap_err();
    line_of(&server, &request_id(&broken));

    let lines = server.log_lines();
    assert!(
        lines.iter().any(|line| line["level"] == "TRACE"),
        "it is a log at level trace"
    );
    assert!(lines.iter().any(|line| {
        line["target"]
            .as_str()
            .is_some_and(|target| target.starts_with("h2"))
    }));
    for line in lines {
        assert!(!line.to_string().contains("unmistakable"), "{line}");
    }
}

#[tokio::test]
async fn health_checks_are_logged_at_level_debug_only() {
    for (level, logged) in [("info", false), ("info,untag=debug", true)] {
        let (server, _home) = server(&["--log-level", level]);
        let health = run(&[
            "health",
            "--admin-listen",
            &server.admin_address.to_string(),
        ]);
        assert!(health.status.success());
        let client = &mut server.client().await;
        client
            .list_tag_resources(ask(list_request(ids([ANN]))))
            .await
            .unwrap();
        server.wait_for_log("request");
        server.wait_for_log_where("request", |line| {
            line["method"] == "/ram.tag.v1.TagService/ListTagResources"
        });
        let is_health = |line: &Value| line["method"] == "/grpc.health.v1.Health/Check";
        assert_eq!(server.log_lines().iter().any(is_health), logged, "{level}");
    }
}

// The client's connection works on while the test waits for the log.
#[tokio::test(flavor = "multi_thread")]
async fn a_request_whose_caller_goes_away_has_its_line_too() {
    let (server, home) = server(&[]);
    let mut client = server.client().await;
    let held = home.hold_changes(&server);
    let request = untag_request(ids([ANN]), &["env"]);
    let given_up = client.untag_resources(ask(request));
    let waited = tokio::time::timeout(std::time::Duration::from_millis(300), given_up).await;
    assert!(waited.is_err(), "the store holds the request");
    let line = server.wait_for_log_where("request", |line| line["code"] == "CANCELLED");
    assert_eq!(line["account"], ACCOUNT, "{line}");
    assert_eq!(line["resources"], 1, "{line}");
    drop(held);
}

const TRACE: &str = "4bf92f3577b34da6a3ce929d0e0e4736";
const TRACEPARENT: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

#[tokio::test]
async fn a_caller_s_own_request_id_comes_back_and_is_in_the_line_with_its_trace() {
    let (server, _home) = server(&[]);
    let client = &mut server.client().await;
    let with = |message, entries: &[(&'static str, &str)]| {
        let mut request = ask(message);
        for (name, value) in entries {
            request.metadata_mut().append(*name, value.parse().unwrap());
        }
        request
    };
    let own = [
        ("x-request-id", "order 7/retry=1"),
        ("traceparent", TRACEPARENT),
    ];
    let good = client
        .untag_resources(with(untag_request(ids([ANN]), &["env"]), &own))
        .await
        .unwrap();
    assert_eq!(
        good.metadata().get("x-client-request-id").unwrap(),
        own[0].1
    );
    let good_id = good.into_inner().request_id;
    let refused = client
        .untag_resources(with(untag_request(ids(["999"]), &["env"]), &own))
        .await
        .unwrap_err();
    assert_eq!(
        refused.metadata().get("x-client-request-id").unwrap(),
        own[0].1
    );
    for id in [good_id, request_id(&refused)] {
        assert_ne!(id, own[0].1);
        let line = line_of(&server, &id);
        assert_eq!(line["client_request_id"], own[0].1, "{line}");
        assert_eq!(line["trace_id"], TRACE, "{line}");
    }
    let too_long = "x".repeat(65);
    for entries in [
        &[][..],
        &[
            ("x-request-id", too_long.as_str()),
            ("traceparent", "00-1-2-01"),
        ],
        &[("x-request-id", "one"), ("x-request-id", "two")],
    ] {
        let untag = with(untag_request(ids([ANN]), &["env"]), entries);
        let answer = client.untag_resources(untag).await.unwrap();
        assert!(answer.metadata().get("x-client-request-id").is_none());
        let line = line_of(&server, &answer.into_inner().request_id);
        assert_eq!(line["client_request_id"], Value::Null, "{line}");
        assert_eq!(line["trace_id"], Value::Null, "{line}");
    }
}
