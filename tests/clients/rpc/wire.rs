//! The forms that a request and an answer may have.

use std::fs;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;

use super::signed::{Request, code, untag_alice, v1};
use super::{KEY_ID, SECRET, STS_KEY_ID, STS_TOKEN, Service};
use crate::support::http::{Http1, scrape};
use crate::support::{ALICE, PATIENCE, SAMPLE_ACCOUNT, wait_until};

const FORM: &str = "application/x-www-form-urlencoded";

#[test]
fn parameters_come_in_the_query_or_in_a_form() {
    let service = Service::start(&[]);
    let mut get = Request::untag();
    get.method = "GET";
    assert_eq!(get.sign().code(&service).0, 200);
    let mut form = Request::new("UntagResources", "ResourceType=user").header("content-type", FORM);
    form.body = format!("ResourceId.1={ALICE}&TagKey.1=a+b%20c");
    assert_eq!(form.sign().code(&service).0, 200);

    let headers = format!("Content-Type: {FORM}; charset=UTF-8\r\n");
    let post = |body: &str| code(&Http1::open(service.rpc).ask("POST", "/", &headers, body));
    assert_eq!(post(&v1("POST", "UntagResources", &untag_alice())).0, 200);
    let by_name = "ResourcePrincipalName.1=alice%40example.onaliyun.com&All=True";
    assert_eq!(post(&v1("POST", "UntagResources", by_name)).0, 200);
    let sts = v1(
        "POST",
        "UntagResources",
        &format!("{}&SecurityToken=x", untag_alice()),
    );
    assert_eq!(post(&sts).1, "InvalidSecurityToken.MismatchWithAccessKey");
    let token = Request::untag().header("x-acs-security-token", STS_TOKEN);
    assert_eq!(token.sign_with(STS_KEY_ID, SECRET).code(&service).0, 200);
    let twice = format!("{}&TagKey.1=team", untag_alice());
    assert_eq!(
        post(&v1("POST", "UntagResources", &twice)),
        (400, "InvalidParameter.Request".to_owned())
    );
    let gap = format!("ResourceId.1={ALICE}&TagKey.2=env");
    assert_eq!(
        post(&v1("POST", "UntagResources", &gap)),
        (400, "InvalidParameter.Request".to_owned())
    );
}

#[test]
fn answers_come_in_xml_where_that_is_wanted() {
    let service = Service::start(&[]);
    let get = |action: &str, parameters: &str| {
        let path = format!(
            "/?{}",
            v1("GET", action, &format!("{parameters}&Format=XML"))
        );
        Http1::open(service.rpc).ask("GET", &path, "", "")
    };
    let tag = format!("ResourceId.1={ALICE}&Tag.1.Key=a%3Cb&Tag.1.Value=x%26y");
    let tagged = get("TagResources", &tag);
    assert!(
        tagged.headers.contains("content-type: text/xml"),
        "{}",
        tagged.headers
    );
    let start = "<?xml version=\"1.0\" encoding=\"UTF-8\"?><TagResourcesResponse><RequestId>";
    assert!(tagged.body.starts_with(start), "{}", tagged.body);
    let listed = get("ListTagResources", "Tag.1.Key=a%3Cb").body;
    let listed = listed.split_once("<TagResources>").unwrap().1;
    assert_eq!(
        listed,
        format!(
            "<TagResource><ResourceId>{ALICE}</ResourceId><ResourceType>user</ResourceType><TagKey>a&lt;b</TagKey>\
             <TagValue>x&amp;y</TagValue></TagResource></TagResources></ListTagResourcesResponse>"
        )
    );
    let missing = get("UntagResources", "ResourceId.1=404&All=true");
    assert_eq!(missing.code, 404);
    assert!(
        missing.body.contains("<Code>EntityNotExist.User</Code>"),
        "{}",
        missing.body
    );
    assert!(
        missing.body.contains("<HostId>untag</HostId>"),
        "{}",
        missing.body
    );
}

#[test]
fn xml_has_every_character_that_it_can_carry_and_loses_none() {
    let service = Service::start(&[]);
    let set = |key: &str, value: &str| {
        let tag = format!("ResourceId.1={ALICE}&Tag.1.Key={key}&Tag.1.Value={value}");
        let answer = Request::new("TagResources", &tag).sign().send(&service);
        assert_eq!(answer.code, 200, "{}", answer.body);
    };
    let list = |format: &str| {
        let path = v1(
            "GET",
            "ListTagResources",
            &format!("ResourceId.1={ALICE}&Format={format}"),
        );
        Http1::open(service.rpc).ask("GET", &format!("/?{path}"), "", "")
    };
    set(
        "a%7Fb",
        "%09%0A%0D%C2%85%C2%9F%E2%80%A8%EF%BF%BD%F0%9F%A6%80",
    );
    let listed = list("XML");
    let tag =
        "<TagKey>a\u{7f}b</TagKey><TagValue>\t\n&#13;\u{85}\u{9f}\u{2028}\u{fffd}🦀</TagValue>";
    assert!(listed.body.contains(tag), "{}", listed.body);

    for (key, value, reason) in [
        (
            "c%01",
            "x",
            "U+0001 in the key of a tag of user 2073290024939201",
        ),
        ("c%01", "%EF%BF%BF", "U+0001"),
        (
            "d",
            "%EF%BF%BF",
            "U+FFFF in the value of the tag d of user 2073290024939201",
        ),
        ("d", "%EF%BF%BE", "U+FFFE"),
        ("d", "%1B", "U+001B"),
    ] {
        set(key, value);
        let refused = list("XML");
        assert_eq!(refused.code, 400, "{}", refused.body);
        assert!(refused.body.contains(reason), "{}", refused.body);
        assert!(
            refused.body.contains("give Format=JSON"),
            "{}",
            refused.body
        );
        assert_eq!(list("JSON").code, 200);
        let untag = Request::new(
            "UntagResources",
            &format!("ResourceId.1={ALICE}&TagKey.1={key}"),
        );
        assert_eq!(untag.sign().code(&service).0, 200);
    }
    assert_eq!(list("XML").code, 200);
}

#[test]
fn what_is_not_of_the_api_is_refused_and_says_what_is() {
    let service = Service::start(&[]);
    let other = Request::new("CreateGroup", "GroupName=x")
        .sign()
        .send(&service);
    assert_eq!(code(&other), (404, "InvalidAction.NotFound".to_owned()));
    assert!(other.body.contains("UntagResources"), "{}", other.body);
    let old = Request::untag()
        .header("x-acs-version", "2015-05-01")
        .sign();
    assert_eq!(old.code(&service), (400, "InvalidVersion".to_owned()));
    let ask = |method: &str, path: &str| code(&Http1::open(service.rpc).ask(method, path, "", ""));
    assert_eq!(ask("DELETE", "/").0, 400);
    assert_eq!(ask("GET", "/other").0, 400);
    let mut large = Request::untag().header("content-type", FORM);
    large.body = "x".repeat(65 * 1024);
    let large = large.sign().send(&service);
    assert_eq!(code(&large), (400, "InvalidParameter.Request".to_owned()));
    assert!(large.body.contains("65536 bytes"), "{}", large.body);
    // What nobody has signed takes no room in the log.
    let long = "n".repeat(20_000);
    let mut twice = Request::untag().header("x-acs-action", &long);
    twice.query = format!("{long}=1&{long}=2");
    let twice = twice.send(&service);
    assert_eq!(code(&twice), (400, "InvalidParameter.Request".to_owned()));
    let unknown = Request::new(&long, "").sign().send(&service);
    assert_eq!(code(&unknown), (404, "InvalidAction.NotFound".to_owned()));
    for (answer, code) in [
        (twice, "InvalidParameter.Request"),
        (unknown, "InvalidAction.NotFound"),
    ] {
        let is_it =
            |line: &Value| line["code"] == code && line["action"].to_string().contains("nn");
        let line = service
            .server
            .wait_for_log_where("a request is refused", is_it);
        assert!(line.to_string().len() < 1000, "{line}");
        assert!(answer.body.len() < 1000, "{}", answer.body);
    }
    // gRPC is for the other port.
    let mut connection = Http1::open(service.rpc);
    connection.send(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n");
    let rest = String::from_utf8_lossy(&connection.rest()).into_owned();
    assert!(rest.is_empty() || rest.starts_with("HTTP/1.1 4"), "{rest}");
}

#[test]
fn a_request_counts_as_any_call_and_ends_before_the_drain_does() {
    let audit = tempfile::NamedTempFile::new().unwrap();
    let path = audit.path().to_str().unwrap();
    let mut service = Service::start(&["--audit-log", path, "--max-connection-age", "3600"]);
    let answer = Request::untag().sign().send(&service);
    let body: Value = serde_json::from_str(&answer.body).unwrap();
    let request_id = body["RequestId"].as_str().unwrap();
    assert!(
        answer.headers.contains(&request_id.to_lowercase()),
        "{}",
        answer.headers
    );
    let line = service
        .server
        .wait_for_log_where("request", |line| line["request_id"] == request_id);
    assert_eq!(line["caller"], "key:cleaner");
    assert_eq!(line["account"], SAMPLE_ACCOUNT);
    let refused = Request::untag().sign_with(KEY_ID, "guess").send(&service);
    assert_eq!(refused.code, 400);
    service
        .server
        .wait_for_log_where("a request is refused", |line| {
            line["code"] == "SignatureDoesNotMatch"
        });
    let wrong = Request::new("UntagResources", "TagKey=env")
        .sign()
        .send(&service);
    assert_eq!(wrong.code, 400, "{}", wrong.body);
    // Known, and no change.
    let read = Request::new("ListTagResources", "TagKey=env").sign();
    assert_eq!(read.send(&service).code, 400);
    let handled = scrape(&service.server);
    let untags = handled.iter().find(|(series, _)| {
        series.starts_with("grpc_server_handled_total{")
            && series.contains("UntagResources")
            && series.contains("\"OK\"")
    });
    assert!(*untags.unwrap().1 > 0.5);

    let held = crate::support::hold_store(service.directory.path());
    let (request, rpc) = (Request::untag().sign(), service.rpc);
    let waiting = std::thread::spawn(move || request.send_to(rpc));
    wait_for_request(&service);
    service.server.signal("TERM");
    service.server.wait_for_log("draining");
    drop(held);
    assert_eq!(waiting.join().unwrap().code, 200);
    assert!(service.server.wait(PATIENCE).success());
    let audited = std::fs::read_to_string(audit.path()).unwrap();
    let audited: Vec<Value> = audited
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    let (refused, made): (Vec<Value>, Vec<Value>) = audited
        .into_iter()
        .partition(|line| line["decision"] == "refused");
    assert_eq!(refused.len(), 2, "{refused:#?}");
    assert_eq!(refused[0]["outcome"], "SignatureDoesNotMatch");
    assert_eq!(refused[0]["caller"], Value::Null);
    assert_eq!(refused[0]["source_ip"], "127.0.0.1");
    let wrong: Value = serde_json::from_str(&wrong.body).unwrap();
    assert_eq!(refused[1]["outcome"], wrong["Code"]);
    assert_eq!(refused[1]["caller"], "key:cleaner");
    assert_eq!(refused[1]["action"], "ram:UntagResources");
    assert_eq!(made.len(), 2, "{made:#?}");
    assert_eq!(made[0]["request_id"], request_id);
    for line in &made {
        let told = ["caller", "account", "action", "decision", "outcome"].map(|name| &line[name]);
        let expected = [
            "key:cleaner",
            SAMPLE_ACCOUNT,
            "ram:UntagResources",
            "allowed",
            "OK",
        ];
        assert_eq!(told, expected, "{line}");
    }
}

/// Waits until a request is in flight.
fn wait_for_request(service: &Service) {
    let deadline = Instant::now() + PATIENCE;
    while scrape(&service.server)["untag_requests_in_flight"] < 1.0 {
        assert!(Instant::now() < deadline, "the request does not arrive");
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// A connection with a signed request whose last byte is missing, and that byte.
fn send_most(service: &Service) -> (Http1, u8) {
    let body = v1("POST", "UntagResources", &untag_alice());
    let head = format!(
        "POST / HTTP/1.1\r\nHost: untag\r\nContent-Type: {FORM}\r\nContent-Length: {}\r\n\r\n",
        body.len()
    );
    let request = [head, body].concat().into_bytes();
    let (last, most) = request.split_last().unwrap();
    let mut connection = Http1::open(service.rpc);
    connection.send(most);
    wait_for_request(service);
    (connection, *last)
}

#[test]
fn a_drain_waits_for_a_body_that_is_still_arriving() {
    let mut service = Service::start(&["--drain-timeout", "600"]);
    let (mut connection, last) = send_most(&service);
    service.server.signal("TERM");
    let line = service.server.wait_for_log("draining");
    assert_eq!(line["in_flight"], 1);
    connection.send(&[last]);
    let answer = String::from_utf8(connection.rest()).unwrap();
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    assert!(service.server.wait(PATIENCE).success());
}

#[test]
fn a_body_that_does_not_arrive_is_cut_off_with_the_drain() {
    let mut service = Service::start(&["--drain-timeout", "0.5"]);
    let (connection, _) = send_most(&service);
    service.server.signal("TERM");
    let answer = String::from_utf8(connection.rest()).unwrap();
    assert!(answer.starts_with("HTTP/1.1 503"), "{answer}");
    assert!(answer.contains("ServiceUnavailable"), "{answer}");
    assert!(
        answer.contains("the server is shutting down; nothing was changed"),
        "{answer}"
    );
    assert!(service.server.wait(PATIENCE).success());
}

#[test]
fn with_a_certificate_the_port_speaks_tls_as_sdks_do() {
    let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    let files = tempfile::tempdir().unwrap();
    let file = |name: &str, content: &str| {
        let path = files.path().join(name);
        std::fs::write(&path, content).unwrap();
        path.to_str().unwrap().to_owned()
    };
    let certificate = file("tls.crt", &made.cert.pem());
    let key = file("tls.key", &made.signing_key.serialize_pem());
    let service = Service::start(&["--tls-cert", &certificate, "--tls-key", &key]);
    let connect = |protocol: &str| {
        let output = Command::new("openssl")
            .args(["s_client", "-verify_return_error", "-alpn", protocol])
            .args([
                "-CAfile",
                &certificate,
                "-connect",
                &service.rpc.to_string(),
            ])
            .stdin(Stdio::null())
            .output()
            .unwrap();
        String::from_utf8_lossy(&output.stdout).into_owned()
    };
    let http1 = connect("http/1.1");
    assert!(http1.contains("ALPN protocol: http/1.1"), "{http1}");
    assert!(http1.contains("Verify return code: 0 (ok)"), "{http1}");
    assert!(!connect("h2").contains("ALPN protocol: h2"));
}

#[test]
fn a_caller_s_own_request_id_comes_back_and_is_in_the_lines_with_its_trace() {
    let audit = tempfile::NamedTempFile::new().unwrap();
    let service = Service::start(&["--audit-log", audit.path().to_str().unwrap()]);
    let named = |request: Request| {
        let trace = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
        let named = request.header("x-request-id", "order-7");
        named.header("traceparent", trace)
    };
    let unsigned = named(Request::untag());
    let wrong = named(Request::new(
        "UntagResources",
        "ResourceId.1=7&TagKey.1=env",
    ));
    for (request, message, code) in [
        (named(Request::untag()).sign(), "request", 200),
        (wrong.sign(), "request", 404),
        (
            unsigned.header("x-acs-action", "Other"),
            "a request is refused",
            400,
        ),
    ] {
        let answer = request.send(&service);
        assert_eq!(answer.code, code, "{}", answer.body);
        assert!(
            answer.headers.contains("x-client-request-id: order-7\r\n"),
            "{}",
            answer.headers
        );
        let body: Value = serde_json::from_str(&answer.body).unwrap();
        let line = service
            .server
            .wait_for_log_where(message, |line| line["request_id"] == body["RequestId"]);
        assert_eq!(line["client_request_id"], "order-7", "{line}");
        if message == "request" {
            assert_eq!(line["trace_id"], "4bf92f3577b34da6a3ce929d0e0e4736");
        }
    }
    let named = || {
        let audit = fs::read_to_string(audit.path()).unwrap();
        audit.matches(r#""client_request_id":"order-7""#).count()
    };
    wait_until("each request has its line", || named() == 3);
}
