//! Callers by bearer token. The tokens are made by `PyJWT`.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::io::{BufRead as _, BufReader, Write as _};
use std::net::TcpListener;
use std::process::Command;
use std::sync::{Arc, LazyLock, Mutex};
use std::time::{Duration, Instant};

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::Deserialize;
use serde_json::{Value, json};
use tonic::{Code, Request, Status};
use tonic_types::StatusExt as _;

use super::harness::{Client, Files, with_token};
use crate::support::authority::spiffe;
use crate::support::http::{get, scrape};
use crate::support::list;
use crate::support::{PATIENCE, Server};

const ISSUER: &str = "https://kubernetes.default.svc.cluster.local";
const AUDIENCE: &str = "untag";
const CALLER: &str = "jwt:system:serviceaccount:billing:cleaner";

/// The tokens and keys that `make_tokens.py` makes.
#[derive(Deserialize)]
struct Made {
    jwks: Value,
    next_jwks: Value,
    good: BTreeMap<String, String>,
    next: String,
    bad: BTreeMap<String, String>,
}

static MADE: LazyLock<Made> = LazyLock::new(|| {
    let root = concat!(env!("CARGO_MANIFEST_DIR"), "/");
    let output = Command::new(format!("{root}target/venv/bin/python"))
        .args([
            &format!("{root}tests/service/security/make_tokens.py"),
            ISSUER,
            AUDIENCE,
        ])
        .output()
        .expect("the virtual environment is installed (scripts/setup)");
    assert!(output.status.success(), "{output:?}");
    serde_json::from_slice(&output.stdout).unwrap()
});

pub fn any_good() -> &'static str {
    &MADE.good["ES256"]
}

pub fn files() -> Files {
    let files = Files::new();
    files.write("jwks.json", &MADE.jwks.to_string());
    files
}

pub fn rules(keys: &str) -> [&str; 6] {
    [
        "--jwks",
        keys,
        "--jwt-issuer",
        ISSUER,
        "--jwt-audience",
        AUDIENCE,
    ]
}

fn serve(files: &Files, keys: &str, more: &[&str]) -> Server {
    files.serve(&[&rules(keys), more].concat())
}

fn serve_file(files: &Files, more: &[&str]) -> Server {
    serve(files, files.path("jwks.json").to_str().unwrap(), more)
}

/// A text whose numbers, among them seconds that go by, are one mark.
fn without_numbers(text: &str) -> String {
    let mut shown = String::new();
    for character in text.chars() {
        if !character.is_ascii_digit() {
            shown.push(character);
        } else if !shown.ends_with('#') {
            shown.push('#');
        }
    }
    shown
}

async fn call(client: &mut Client, token: &str) -> Result<String, Status> {
    let answer = client.list_tag_resources(with_token(list(), token)).await?;
    Ok(answer.into_inner().request_id)
}

#[tokio::test]
async fn a_token_of_each_algorithm_names_its_subject() {
    let files = files();
    let server = serve_file(&files, &[]);
    let mut client = files.client(&server, None).await;
    assert_eq!(MADE.good.len(), 4);
    for (algorithm, token) in &MADE.good {
        let id = call(&mut client, token).await.unwrap();
        let line = server.wait_for_log_where("request", |line| line["request_id"] == id.as_str());
        assert_eq!(line["caller"], CALLER, "{algorithm}");
    }
}

#[tokio::test]
async fn a_bad_token_or_none_is_refused_and_repeated_nowhere() {
    let files = files();
    let server = serve_file(&files, &["--log-level", "trace,h2=trace"]);
    let mut client = files.client(&server, None).await;
    assert_eq!(MADE.bad.len(), 19);
    let mut said = String::new();
    for (what, token) in &MADE.bad {
        let refused = call(&mut client, token).await.unwrap_err();
        assert_eq!(refused.code(), Code::Unauthenticated, "{what}: {refused:?}");
        writeln!(said, "{what}: {}", refused.message()).unwrap();
    }
    let refused = client.list_tag_resources(list()).await.unwrap_err();
    writeln!(said, "none: {}", refused.message()).unwrap();
    for entry in ["", "Bearer", "Basic dXNlcjpwYXNzd29yZA=="] {
        let mut request = Request::new(list());
        request
            .metadata_mut()
            .insert("authorization", entry.parse().unwrap());
        let refused = client.list_tag_resources(request).await.unwrap_err();
        assert_eq!(refused.code(), Code::Unauthenticated, "{entry}");
        writeln!(said, "{entry:?}: {}", refused.message()).unwrap();
    }
    let mut twice = with_token(list(), any_good());
    let entry = format!("Bearer {}", any_good()).parse().unwrap();
    twice.metadata_mut().append("authorization", entry);
    let refused = client.list_tag_resources(twice).await.unwrap_err();
    writeln!(said, "two: {}", refused.message()).unwrap();
    insta::assert_snapshot!(without_numbers(&said));

    call(&mut client, any_good()).await.unwrap();
    let log = serde_json::to_string(&server.log_lines()).unwrap();
    for (what, token) in MADE.bad.iter().chain(&MADE.good) {
        // A text as short as "token" is in the log for other reasons.
        if token.len() < 40 {
            continue;
        }
        for part in token.split('.').filter(|part| part.len() > 20) {
            assert!(
                !log.contains(part) && !said.contains(part),
                "{what}: {part}"
            );
        }
    }
    assert!(
        !log.contains("dXNlcjpwYXNzd29yZA"),
        "a password is in the log"
    );
}

#[tokio::test]
async fn reflection_wants_a_token_too_and_health_does_not() {
    let files = files();
    let server = serve_file(&files, &[]);
    let channel = super::harness::endpoint(&server, &files.servers, None)
        .connect()
        .await
        .unwrap();
    let mut health = tonic_health::pb::health_client::HealthClient::new(channel.clone());
    health
        .check(tonic_health::pb::HealthCheckRequest::default())
        .await
        .unwrap();
    let mut reflection =
        tonic_reflection::pb::v1::server_reflection_client::ServerReflectionClient::new(channel);
    let request = tonic_reflection::pb::v1::ServerReflectionRequest {
        host: String::new(),
        message_request: Some(
            tonic_reflection::pb::v1::server_reflection_request::MessageRequest::ListServices(
                String::new(),
            ),
        ),
    };
    let refused = reflection
        .server_reflection_info(tokio_stream::once(request))
        .await;
    assert_eq!(refused.unwrap_err().code(), Code::Unauthenticated);
}

#[tokio::test]
async fn a_certificate_a_token_or_both_can_be_demanded() {
    let files = files();
    let client_ca = files.path("client-ca.pem");
    let client_ca = ["--client-ca", client_ca.to_str().unwrap()];
    let pair = files.callers.issue(vec![spiffe("cleaner")]);
    // Certificate and token, certificate, token, nothing: whether it is served.
    for (demand, wanted) in [
        ("any", [true, true, true, false]),
        ("certificate", [true, true, false, false]),
        ("token", [true, false, true, false]),
        ("both", [true, false, false, false]),
    ] {
        let server = serve_file(
            &files,
            &[&client_ca[..], &["--require-identity", demand]].concat(),
        );
        let mut outcomes = Vec::new();
        for (identity, token) in [
            (Some(&pair), true),
            (Some(&pair), false),
            (None, true),
            (None, false),
        ] {
            let client = Files::connect(&server, &files.servers, identity).await;
            let Ok(mut client) = client else {
                outcomes.push(false);
                continue;
            };
            let answer = if token {
                call(&mut client, any_good()).await.map(drop)
            } else {
                client.list_tag_resources(list()).await.map(drop)
            };
            outcomes.push(answer.is_ok());
        }
        assert_eq!(outcomes, wanted, "{demand}");
        // Nobody falls back to the certificate with a token that is not good.
        let mut client = files.client(&server, Some(&pair)).await;
        call(&mut client, &MADE.bad["expired"]).await.unwrap_err();
    }
}

#[tokio::test]
async fn keys_in_a_file_are_followed() {
    let files = files();
    let server = serve_file(&files, &[]);
    let mut client = files.client(&server, None).await;
    call(&mut client, &MADE.next).await.unwrap_err();
    call(&mut client, any_good()).await.unwrap();
    files.write("jwks.json", "{");
    server.wait_for_log("not reloaded; the old one stays in use");
    call(&mut client, any_good()).await.unwrap();
    files.write("jwks.json", &MADE.next_jwks.to_string());
    let started = Instant::now();
    while call(&mut client, &MADE.next).await.is_err() {
        assert!(started.elapsed() < PATIENCE);
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    // It was remembered as good, by keys that are withdrawn now.
    call(&mut client, any_good()).await.unwrap_err();
}

/// An issuer that serves keys, or fails while it has none.
fn issuer(keys: Arc<Mutex<Option<String>>>) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            let request = BufReader::new(stream.try_clone().unwrap()).lines();
            for line in request {
                if line.unwrap().is_empty() {
                    break;
                }
            }
            let (status, body) = match keys.lock().unwrap().clone() {
                Some(keys) => ("200 OK", keys),
                None => ("503 Service Unavailable", String::new()),
            };
            let length = body.len();
            write!(
                stream,
                "HTTP/1.1 {status}\r\nconnection: close\r\ncontent-length: {length}\r\n\r\n{body}"
            )
            .unwrap();
        }
    });
    format!("http://{address}/jwks")
}

#[tokio::test]
async fn keys_behind_a_url_are_fetched_until_they_are_there_and_when_one_is_unknown() {
    let files = files();
    let keys = Arc::new(Mutex::new(None));
    let url = issuer(Arc::clone(&keys));
    let server = files.launch(&rules(&url));
    let mut client = files.client(&server, None).await;
    // Whoever rolls the service out with a URL that is wrong sees it.
    let line = server.wait_for_log_where("not ready", |line| {
        let reason = line["reason"].as_str().unwrap();
        reason.contains("503") && reason.contains(&url)
    });
    let (status, said) = get(&server, "/ready");
    assert_eq!(
        (status, said.trim_end()),
        (503, line["reason"].as_str().unwrap())
    );
    let early = call(&mut client, any_good()).await.unwrap_err();
    assert_eq!(early.code(), Code::Unavailable, "{early:?}");
    *keys.lock().unwrap() = Some(MADE.jwks.to_string());
    server.wait_for_log("ready");
    assert_eq!(get(&server, "/ready"), (200, "ready\n".to_owned()));
    call(&mut client, any_good()).await.unwrap();

    // Later failures keep the keys.
    *keys.lock().unwrap() = None;
    server.signal("HUP");
    server.wait_for_log_where("cannot fetch the JWKS; will try again", |line| {
        line["have_keys"] == true
    });
    call(&mut client, any_good()).await.unwrap();
    assert_eq!(get(&server, "/ready").0, 200);
    let started = Instant::now();
    *keys.lock().unwrap() = Some(MADE.next_jwks.to_string());
    // The first one is refused, and has the keys fetched.
    call(&mut client, &MADE.next).await.unwrap_err();
    while call(&mut client, &MADE.next).await.is_err() {
        assert!(started.elapsed() < 2 * PATIENCE);
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

#[tokio::test]
async fn files_that_begin_with_a_byte_order_mark_are_read_and_those_in_utf_16_are_refused_by_it() {
    let files = files();
    files.write(
        "policy.json",
        r#"{"Policies": {"p": {"Version": "1", "Statement": {"Effect": "Allow", "Action": "*", "Resource": "*"}}},
            "Bindings": [{"Callers": "*", "Accounts": "*", "Policies": "p"}]}"#,
    );
    let names = [
        "tls.crt",
        "tls.key",
        "client-ca.pem",
        "jwks.json",
        "policy.json",
    ];
    let plain = names.map(|name| files.read(name));
    for (name, text) in names.iter().zip(&plain) {
        files.write(name, &format!("\u{feff}{text}"));
    }
    let path = |name: &str| files.path(name).to_str().unwrap().to_owned();
    let (client_ca, policy) = (path("client-ca.pem"), path("policy.json"));
    let more = ["--client-ca", &client_ca, "--policy", &policy];
    let server = serve_file(&files, &more);
    let pair = files.callers.issue(vec![spiffe("cleaner")]);
    let mut client = files.client(&server, Some(&pair)).await;
    call(&mut client, any_good()).await.unwrap();

    for (name, text) in names.iter().zip(&plain) {
        let bytes = text.encode_utf16().flat_map(u16::to_le_bytes);
        let bytes: Vec<u8> = [0xff, 0xfe].into_iter().chain(bytes).collect();
        std::fs::write(files.path(name), bytes).unwrap();
        server.wait_for_log_where("not reloaded; the old one stays in use", |line| {
            let error = line["error"].as_str().unwrap();
            error.contains(name) && error.contains("the byte order mark (BOM) of UTF-16")
        });
        files.write(name, text);
    }
}

#[tokio::test]
async fn a_key_of_small_order_in_the_file_is_skipped_and_a_token_that_anybody_can_sign_is_refused()
{
    let files = files();
    let encode = |bytes: &[u8]| URL_SAFE_NO_PAD.encode(bytes);
    // The neutral element of the curve, and the signature that holds for every message with it.
    let mut neutral = [0; 32];
    neutral[0] = 1;
    let mut keys = MADE.jwks.clone();
    let weak = json!({"kty": "OKP", "crv": "Ed25519", "kid": "weak", "x": encode(&neutral)});
    keys["keys"].as_array_mut().unwrap().push(weak);
    files.write("jwks.json", &keys.to_string());
    let payload = any_good().split('.').nth(1).unwrap();
    let header = json!({"alg": "EdDSA", "kid": "weak"}).to_string();
    let signature = encode(&[neutral, [0; 32]].concat());
    let forged = format!("{}.{payload}.{signature}", encode(header.as_bytes()));

    let server = serve_file(&files, &[]);
    let mut client = files.client(&server, None).await;
    let refused = call(&mut client, &forged).await.unwrap_err();
    assert_eq!(refused.code(), Code::Unauthenticated, "{refused:?}");
    call(&mut client, any_good()).await.unwrap();
    server.wait_for_log_where("a key of the JWKS file is of no use", |line| {
        let skipped = line["skipped"].as_str().unwrap();
        skipped.contains("\"weak\"") && skipped.contains("a point of small order")
    });
}

#[tokio::test]
async fn an_address_that_shows_too_many_bad_tokens_is_refused_unread_until_there_is_room() {
    let files = files();
    let server = serve_file(&files, &["--max-failure-rate", "1"]);
    let mut client = files.client(&server, None).await;
    let (known, new) = (&MADE.good["ES256"], &MADE.good["RS256"]);
    call(&mut client, known).await.unwrap();
    let (mut failed, mut refused) = (0, 0);
    while refused < 50 {
        let status = call(&mut client, &MADE.bad["wrong key"]).await.unwrap_err();
        match status.code() {
            Code::Unauthenticated => failed += 1,
            Code::ResourceExhausted => {
                refused += 1;
                let retry = status.get_details_retry_info().unwrap();
                assert!(retry.retry_delay.unwrap() > Duration::ZERO);
                assert!(status.message().contains("tokens that prove nothing"));
            }
            _ => panic!("{status:?}"),
        }
        assert!(failed < 5_000, "the server has no limit");
        // Whoever is known already is not locked out by a neighbour.
        call(&mut client, known).await.unwrap();
    }
    assert!(failed >= 1, "a mistake is nobody's fault");
    let throttled = "untag_throttled_total{reason=\"failed_authentications\"}";
    assert!(scrape(&server)[throttled] >= 50.0);
    let started = Instant::now();
    while call(&mut client, new).await.is_err() {
        assert!(started.elapsed() < PATIENCE, "there is never room again");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}
