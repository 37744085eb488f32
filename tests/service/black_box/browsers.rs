//! The requests that a web page can make a browser send to a port that it reaches: never a call, unless the page's origin is named.

use std::net::SocketAddr;

use bytes::Bytes;
use http::HeaderMap;
use serde_json::Value;

use super::answer::{REQUEST_ID_HEADER, assert_request_id};
use super::users::{ACCOUNT, ACCOUNT_METADATA, ANN, ids, server, tags_of, untag_request};
use super::wire::{UNTAG, frame};
use crate::support::PATIENCE;
use crate::support::http::Http1;

const HEALTH: &str = "/grpc.health.v1.Health/Check";
const REFLECTION: &str = "/grpc.reflection.v1.ServerReflection/ServerReflectionInfo";
const ELSEWHERE: &str = "http://elsewhere.example";

/// The content types of calls.
const CALLS: [&str; 5] = [
    "application/grpc",
    "application/grpc+proto; a=b",
    "application/json",
    "application/proto",
    "application/connect+proto",
];

/// How a request is answered that has these headers and this body, which does not end where there is none.
async fn answer_of(
    address: SocketAddr,
    method: &str,
    path: &str,
    headers: &[(&str, &str)],
    message: Option<Bytes>,
) -> (u16, HeaderMap) {
    let stream = tokio::net::TcpStream::connect(address).await.unwrap();
    let (requests, connection) = h2::client::handshake(stream).await.unwrap();
    tokio::spawn(async move { drop(connection.await) });
    let mut request = http::Request::builder()
        .method(method)
        .uri(format!("http://service{path}"))
        .header(ACCOUNT_METADATA, ACCOUNT);
    for (name, value) in headers {
        request = request.header(*name, *value);
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

fn is_cors(name: &http::HeaderName) -> bool {
    name.as_str().starts_with("access-control")
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
        let refused = async |method: &str, headers: &[(&str, &str)], wanted: u16| {
            let (status, headers) = answer_of(address, method, path, headers, None).await;
            let what = format!("{method} {path} {headers:?}");
            assert_eq!(status, wanted, "{what}");
            assert_request_id(headers[REQUEST_ID_HEADER].to_str().unwrap());
            let allowed = headers.get("allow").map(|allow| allow.to_str().unwrap());
            assert_eq!(allowed, (wanted == 405).then_some("POST"), "{what}");
            assert!(!headers.keys().any(is_cors), "{headers:?}");
            headers
        };
        // Without an Origin, as browsers send what is opened in a tab.
        for method in ["GET", "HEAD", "PUT", "OPTIONS", "DELETE", "PATCH"] {
            let headers = refused(method, &[("content-type", "application/grpc")], 405).await;
            assert_eq!(headers["grpc-status"], "3");
            refused(method, &[("content-type", "application/json")], 405).await;
        }
        for types in [
            &[][..],
            &["text/plain"],
            &["application/x-www-form-urlencoded"],
            &["multipart/form-data"],
            &["application/grpc-web"],
            &["application/grpc-web+proto"],
            &["application/grpc+json"],
            &["application/grpc", "text/plain"],
            &["application/json", "text/plain"],
        ] {
            let types: Vec<_> = types.iter().map(|name| ("content-type", *name)).collect();
            refused("POST", &types, 415).await;
        }
        // Of a page: whatever it is, also where the page has the port's own name.
        let own = format!("http://{address}");
        for origin in [ELSEWHERE, "null", "", &own, "http://service"] {
            for content_type in CALLS {
                let headers = [("origin", origin), ("content-type", content_type)];
                refused("POST", &headers, 403).await;
            }
            refused("GET", &[("origin", origin)], 403).await;
            let asked = [
                ("origin", origin),
                ("access-control-request-method", "POST"),
            ];
            refused("OPTIONS", &asked, 403).await;
        }
    }
    let refused = |line: &Value| line["code"] == "PERMISSION_DENIED" && line["method"] == UNTAG;
    server.wait_for_log_where("request", refused);
}

#[tokio::test]
async fn only_a_post_of_a_protocol_changes_something() {
    let (server, _home) = server(&[]);
    let mut client = server.client().await;
    let message = frame(&untag_request(ids([ANN]), &["env"]));
    let send = async |method: &str, content_type: &str| {
        let (message, headers) = (Some(message.clone()), [("content-type", content_type)]);
        answer_of(server.address, method, UNTAG, &headers, message)
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

#[tokio::test]
async fn a_page_whose_origin_is_named_may_ask_and_call() {
    let named = "https://console.example";
    let both = format!("http://localhost:3000,{named}");
    let (server, _home) = server(&["--cors-origin", &both]);
    let question = |origin: &'static str| {
        let headers = [
            ("origin", origin),
            ("access-control-request-method", "POST"),
            (
                "access-control-request-headers",
                "content-type,x-acs-account-id",
            ),
        ];
        let address = server.address;
        async move { answer_of(address, "OPTIONS", UNTAG, &headers, None).await }
    };
    let (status, headers) = question(named).await;
    assert_eq!(
        (status, headers["access-control-allow-origin"].as_bytes()),
        (204, named.as_bytes())
    );
    assert_eq!(headers["access-control-allow-methods"], "POST");
    let allowed = headers["access-control-allow-headers"].to_str().unwrap();
    for header in [
        "content-type",
        ACCOUNT_METADATA,
        "authorization",
        "connect-timeout-ms",
    ] {
        assert!(allowed.split(", ").any(|name| name == header), "{allowed}");
    }
    assert_eq!(headers["vary"], "origin");
    assert_eq!(question("https://other.example").await.0, 403);

    // The answer, also one that is an error, may be read by the page.
    for (body, wanted) in [
        (
            r#"{"resourceIds":{"values":["501"]},"tagKeys":["env"]}"#,
            200,
        ),
        ("{}", 400),
    ] {
        let headers = format!(
            "Origin: {named}\r\nContent-Type: application/json\r\n{ACCOUNT_METADATA}: {ACCOUNT}\r\n"
        );
        let answer = Http1::open(server.address).ask("POST", UNTAG, &headers, body);
        assert_eq!(answer.code, wanted, "{answer:?}");
        for line in [
            &*format!("access-control-allow-origin: {named}\r\n"),
            "vary: origin\r\n",
        ] {
            assert!(answer.headers.contains(line), "{answer:?}");
        }
        assert!(
            answer
                .headers
                .contains("access-control-expose-headers: x-client-request-id, x-request-id\r\n")
        );
    }
    assert_eq!(tags_of(&mut server.client().await, ANN).await.len(), 2);
    let twice = [
        ("origin", named),
        ("origin", named),
        ("content-type", "application/json"),
    ];
    assert_eq!(
        answer_of(server.address, "POST", UNTAG, &twice, None)
            .await
            .0,
        403
    );
    // The port of operators is for no page.
    let headers = [("origin", named), ("content-type", "application/json")];
    assert_eq!(
        answer_of(server.admin_address, "POST", HEALTH, &headers, None)
            .await
            .0,
        403
    );
}
