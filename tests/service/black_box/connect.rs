//! The Connect protocol: a call by plain HTTP, in JSON or protobuf, on the port of gRPC.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD_NO_PAD;
use bytes::Bytes;
use prost::Message as _;
use serde_json::{Value, json};
use tonic_types::{ErrorInfo, StatusExt as _};
use untag::grpc::proto::UntagResourcesResponse;

use super::answer::{REQUEST_ID_HEADER, assert_request_id};
use super::users::{ACCOUNT, ACCOUNT_METADATA, ANN, ask, ids, server, tags_of, untag_request};
use super::wire::{LIST, UNTAG, frame};
use crate::support::http::{Answer, Http1, scrape};
use crate::support::{Server, wait_until};

pub const WATCH: &str = "/grpc.health.v1.Health/Watch";
const STREAM: &str = "application/connect+proto";
pub const JSON: &str = "Content-Type: application/json\r\n";

/// The headers of a call in JSON in the name of the account of the tests, and these.
pub fn headers(others: &str) -> String {
    format!("{JSON}{ACCOUNT_METADATA}: {ACCOUNT}\r\n{others}")
}

/// Calls a method with a message in JSON, on a connection of its own.
pub fn call(server: &Server, path: &str, message: &Value) -> Answer {
    call_with(server, path, "", &message.to_string())
}

pub fn call_with(server: &Server, path: &str, others: &str, body: &str) -> Answer {
    Http1::open(server.address).ask("POST", path, &headers(others), body)
}

pub fn untag_ann() -> Value {
    json!({"resourceIds": {"values": [ANN]}, "tagKeys": ["env"]})
}

impl Answer {
    pub fn json(&self) -> Value {
        assert!(
            self.headers.contains("content-type: application/json\r\n"),
            "{self:?}"
        );
        serde_json::from_str(&self.body).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }

    pub fn header(&self, name: &str) -> Option<&str> {
        let start = format!("{name}: ");
        self.headers
            .lines()
            .find_map(|line| line.strip_prefix(&start))
    }

    /// The status of HTTP, the code, and the code of the cloud of an error.
    #[track_caller]
    pub fn error(&self) -> (u16, String, String) {
        let error = self.json();
        let info = &error["details"][0];
        assert_eq!(info["type"], "google.rpc.ErrorInfo", "{error}");
        let id = &error["details"][1]["debug"]["requestId"];
        assert_eq!(
            id.as_str().unwrap().to_lowercase(),
            self.header(REQUEST_ID_HEADER).unwrap()
        );
        assert!(!self.headers.contains("grpc-"), "{}", self.headers);
        let text = |value: &Value| value.as_str().unwrap().to_owned();
        (
            self.code,
            text(&error["code"]),
            text(&info["debug"]["metadata"]["code"]),
        )
    }
}

#[tokio::test]
async fn a_call_in_json_is_carried_out_and_answered_in_json() {
    let (server, _home) = server(&[]);
    let mut http = Http1::open(server.address);
    let removed = http.ask("POST", UNTAG, &headers(""), &untag_ann().to_string());
    assert_eq!(removed.code, 200, "{removed:?}");
    let answer = removed.json();
    let id = answer["requestId"].as_str().unwrap();
    assert_request_id(id);
    assert_eq!(removed.header(REQUEST_ID_HEADER), Some(&*id.to_lowercase()));
    assert_eq!(answer["changedTags"], 1);
    // The names of the fields may be those of the file, and the connection takes another call.
    let request = json!({"resource_ids": {"values": [ANN]}}).to_string();
    let charset = headers("").replace("json", "json; charset=utf-8");
    let listed = http.ask("POST", LIST, &charset, &request).json();
    let keys: Vec<&Value> = listed["tagResources"]
        .as_array()
        .unwrap()
        .iter()
        .map(|tag| &tag["tagKey"])
        .collect();
    assert_eq!(keys, ["Team", "team"]);
    assert_eq!(tags_of(&mut server.client().await, ANN).await.len(), 2);
    let line = server.wait_for_log_where("request", |line| line["request_id"] == id);
    assert_eq!(line["method"], UNTAG);
    assert_eq!(
        (&line["code"], &line["affected"]),
        (&json!("OK"), &json!(1))
    );
}

/// A call over HTTP/2 with this content type: the status of HTTP, its headers and its body.
async fn over_http_2(
    server: &Server,
    path: &str,
    content_type: &str,
    body: Bytes,
) -> (u16, http::HeaderMap, Bytes) {
    let stream = tokio::net::TcpStream::connect(server.address)
        .await
        .unwrap();
    let (requests, connection) = h2::client::handshake(stream).await.unwrap();
    tokio::spawn(async move { drop(connection.await) });
    let request = http::Request::post(format!("http://service{path}"))
        .header("content-type", content_type)
        .header(ACCOUNT_METADATA, ACCOUNT);
    let mut requests = requests.ready().await.unwrap();
    let sent = requests.send_request(request.body(()).unwrap(), false);
    let (response, mut stream) = sent.unwrap();
    stream.send_data(body, true).unwrap();
    let (parts, mut body) = response.await.unwrap().into_parts();
    let mut whole = Vec::new();
    while let Some(data) = body.data().await {
        let data = data.unwrap();
        body.flow_control().release_capacity(data.len()).unwrap();
        whole.extend_from_slice(&data);
    }
    assert_eq!(body.trailers().await.unwrap(), None);
    (parts.status.as_u16(), parts.headers, whole.into())
}

#[tokio::test]
async fn a_call_over_http_2_may_be_in_json_or_protobuf() {
    let (server, _home) = server(&[]);
    let message = untag_request(ids([ANN]), &["env"]).encode_to_vec();
    let (status, headers, body) =
        over_http_2(&server, UNTAG, "application/proto", message.into()).await;
    assert_eq!(
        (status, &headers["content-type"]),
        (200, &http::HeaderValue::from_static("application/proto"))
    );
    assert_eq!(headers["content-length"], body.len().to_string());
    let answer = UntagResourcesResponse::decode(body).unwrap();
    assert_eq!(answer.changed_tags, Some(1));
    let json = json!({"resourceIds": {"values": [ANN]}}).to_string();
    let (status, _, body) = over_http_2(&server, LIST, "application/json", json.into()).await;
    assert_eq!(status, 200);
    let json: Value = serde_json::from_slice(&body).unwrap();
    assert_eq!(json["tagResources"].as_array().unwrap().len(), 2);
    // An empty message in protobuf, and what is none.
    let (status, _, body) = over_http_2(&server, LIST, "application/proto", Bytes::new()).await;
    assert_eq!(status, 400, "{body:?}");
    let (status, headers, body) =
        over_http_2(&server, LIST, "application/proto", vec![0xff; 9].into()).await;
    assert_eq!(
        (status, &headers["content-type"]),
        (400, &http::HeaderValue::from_static("application/json"))
    );
    let error: Value = serde_json::from_slice(&body).unwrap();
    assert_eq!(error["code"], "invalid_argument");
}

#[tokio::test]
async fn an_error_has_the_details_that_grpc_has() {
    let (server, _home) = server(&[]);
    let mut client = server.client().await;
    let wanted = client
        .untag_resources(ask(untag_request(ids(["7"]), &["env"])))
        .await
        .unwrap_err();
    let answer = call(
        &server,
        UNTAG,
        &json!({"resourceIds": {"values": ["7"]}, "tagKeys": ["env"]}),
    );
    assert_eq!(
        answer.error(),
        (
            404,
            "not_found".to_owned(),
            "EntityNotExist.User".to_owned()
        )
    );
    let error = answer.json();
    assert_eq!(error["message"], wanted.message());
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
    assert_eq!(
        details[2]["debug"],
        json!({"resourceType": "user", "resourceName": "7"})
    );
    let value = STANDARD_NO_PAD
        .decode(details[0]["value"].as_str().unwrap())
        .unwrap();
    let info = tonic_types::pb::ErrorInfo::decode(&*value).unwrap();
    let ErrorInfo { reason, .. } = wanted.get_error_details().error_info().unwrap().clone();
    assert_eq!(info.reason, reason);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_callers_time_ends_a_call() {
    let (server, home) = server(&[]);
    let held = home.hold_changes(&server);
    let answer = call_with(
        &server,
        UNTAG,
        "Connect-Timeout-Ms: 100\r\n",
        &untag_ann().to_string(),
    );
    assert_eq!(
        answer.error(),
        (
            504,
            "deadline_exceeded".to_owned(),
            "DeadlineExceeded".to_owned()
        )
    );
    drop(held);
}

#[test]
fn a_call_has_the_callers_own_name_in_its_answer_and_in_the_log() {
    let (server, _home) = server(&[]);
    let answer = call_with(
        &server,
        UNTAG,
        "X-Request-Id: mine-1\r\n",
        &untag_ann().to_string(),
    );
    assert_eq!(answer.header("x-client-request-id"), Some("mine-1"));
    let line = server.wait_for_log_where("request", |line| line["client_request_id"] == "mine-1");
    assert_eq!(line["code"], "OK");
}

#[test]
fn a_client_that_goes_away_cancels_its_call() {
    let (server, home) = server(&[]);
    let held = home.hold_changes(&server);
    let mut http = Http1::open(server.address);
    let body = untag_ann().to_string();
    let named = headers("X-Request-Id: gone\r\n");
    let length = body.len();
    http.send(
        format!(
            "POST {UNTAG} HTTP/1.1\r\nHost: a\r\nContent-Length: {length}\r\n{named}\r\n{body}"
        )
        .as_bytes(),
    );
    let begun = |(series, count): (&String, &f64)| {
        series.starts_with("grpc_server_started_total{")
            && series.contains("UntagResources")
            && *count > 0.0
    };
    wait_until("the call has begun", || scrape(&server).iter().any(begun));
    drop(http);
    let line = server.wait_for_log_where("request", |line| line["client_request_id"] == "gone");
    assert_eq!(line["code"], "CANCELLED");
    drop(held);
}

#[tokio::test]
async fn streams_in_protobuf_end_with_a_message_that_says_how() {
    let (server, _home) = server(&[]);
    let health = |service: &str| {
        let service = service.to_owned();
        frame(&tonic_health::pb::HealthCheckRequest { service })
    };
    // One message of two: the body is not what the method takes.
    let twice = [health(""), health("")].concat();
    let (status, headers, body) = over_http_2(
        &server,
        "/grpc.health.v1.Health/Watch",
        STREAM,
        twice.into(),
    )
    .await;
    assert_eq!(
        (status, headers["content-type"].to_str().unwrap()),
        (200, STREAM)
    );
    let (head, end) = body.split_at(5);
    assert_eq!(
        (head[0], usize::from(head[4]) + (usize::from(head[3]) << 8)),
        (2, end.len())
    );
    let end: Value = serde_json::from_slice(end).unwrap();
    assert_eq!(end["error"]["code"], "internal", "{end}");
    assert_eq!(end["error"]["details"][1]["type"], "google.rpc.RequestInfo");
    // A stream that ends well.
    let nothing = Bytes::new();
    let path = "/grpc.reflection.v1.ServerReflection/ServerReflectionInfo";
    let (status, _, body) = over_http_2(&server, path, STREAM, nothing).await;
    assert_eq!((status, &body[..]), (200, &b"\x02\0\0\0\x02{}"[..]));
}
