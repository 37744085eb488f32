//! The requests that a web page can make a browser send to a port that it reaches: never a call.

use std::net::SocketAddr;

use bytes::Bytes;
use http::HeaderMap;
use serde_json::Value;

use crate::answer::{REQUEST_ID_HEADER, assert_request_id};
use crate::support::PATIENCE;
use crate::users::{ACCOUNT, ACCOUNT_METADATA, ANN, ids, server, tags_of, untag_request};
use crate::wire::{UNTAG, frame};

const HEALTH: &str = "/grpc.health.v1.Health/Check";
const REFLECTION: &str = "/grpc.reflection.v1.ServerReflection/ServerReflectionInfo";

/// How a request is answered that has these headers and this body, which does not end where there is none.
async fn answer_of(
    address: SocketAddr,
    method: &str,
    path: &str,
    types: &[&str],
    message: Option<Bytes>,
) -> (u16, HeaderMap) {
    let stream = tokio::net::TcpStream::connect(address).await.unwrap();
    let (requests, connection) = h2::client::handshake(stream).await.unwrap();
    tokio::spawn(async move { drop(connection.await) });
    let mut request = http::Request::builder()
        .method(method)
        .uri(format!("http://service{path}"))
        .header("origin", "http://elsewhere.example")
        .header(ACCOUNT_METADATA, ACCOUNT);
    for content_type in types {
        request = request.header("content-type", *content_type);
    }
    let mut requests = requests.ready().await.unwrap();
    let sent = requests.send_request(request.body(()).unwrap(), false);
    let (response, mut body) = sent.unwrap();
    if let Some(message) = message {
        // It may have been refused by now.
        let _ = body.send_data(message, true);
    }
    let response = tokio::time::timeout(PATIENCE, response).await;
    let response = response.expect("it is answered at once").unwrap();
    let (parts, _) = response.into_parts();
    (parts.status.as_u16(), parts.headers)
}

#[tokio::test]
async fn what_a_web_page_can_send_is_refused_before_its_body_is_read() {
    let (server, _home) = server(&[]);
    let places = [
        (server.address, UNTAG),
        (server.address, HEALTH),
        (server.address, REFLECTION),
        (server.address, "/no.Such/Method"),
        (server.admin_address, HEALTH),
    ];
    for (address, path) in places {
        let refused = async |method: &str, types: &[&str], wanted: u16| {
            let (status, headers) = answer_of(address, method, path, types, None).await;
            let what = format!("{method} {path} {types:?}");
            assert_eq!(status, wanted, "{what}");
            assert_request_id(headers[REQUEST_ID_HEADER].to_str().unwrap());
            assert_eq!(headers["grpc-status"], "3", "{what}");
            let allowed = headers.get("allow").map(|allow| allow.to_str().unwrap());
            assert_eq!(allowed, (wanted == 405).then_some("POST"), "{what}");
            let is_cors = |name: &http::HeaderName| name.as_str().starts_with("access-control");
            assert!(!headers.keys().any(is_cors), "{headers:?}");
        };
        for method in ["GET", "HEAD", "PUT", "OPTIONS", "DELETE", "PATCH"] {
            refused(method, &["application/grpc"], 405).await;
        }
        for types in [
            &[][..],
            &["text/plain"],
            &["application/json"],
            &["application/grpc-web"],
            &["application/grpc-web+proto"],
            &["application/grpc+json"],
            &["application/grpc", "text/plain"],
        ] {
            refused("POST", types, 415).await;
        }
    }
    let refused = |line: &Value| line["code"] == "INVALID_ARGUMENT" && line["method"] == UNTAG;
    server.wait_for_log_where("request", refused);
}

#[tokio::test]
async fn only_a_post_of_grpc_changes_something() {
    let (server, _home) = server(&[]);
    let mut client = server.client().await;
    let message = frame(&untag_request(ids([ANN]), &["env"]));
    let send = async |method: &str, content_type: &str| {
        let message = Some(message.clone());
        answer_of(server.address, method, UNTAG, &[content_type], message)
            .await
            .0
    };
    for (method, content_type) in [
        ("POST", "text/plain"),
        ("POST", "application/grpc-web+proto"),
        ("PUT", "application/grpc"),
    ] {
        assert_ne!(send(method, content_type).await, 200);
        assert_eq!(
            tags_of(&mut client, ANN).await.len(),
            3,
            "{method} {content_type}"
        );
    }
    assert_eq!(send("POST", "application/grpc+proto; a=b").await, 200);
    assert_eq!(tags_of(&mut client, ANN).await.len(), 2);
}
