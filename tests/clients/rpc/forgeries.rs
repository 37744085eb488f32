//! Requests that are not what somebody with a key has signed, or not for the first time.

use super::Service;
use super::signed::{Request, code, nonce, sign_v1, time, untag_alice, v1};
use crate::support::http::{Http1, scrape};

const WRONG: &str = "SignatureDoesNotMatch";
const INCOMPLETE: &str = "IncompleteSignature";
const FORM: &str = "application/x-www-form-urlencoded";

fn refused(service: &Service, request: &Request, expected: &str) {
    let (status, code) = request.code(service);
    assert_eq!((status, code.as_str()), (400, expected));
}

#[test]
fn what_is_changed_after_signing_is_refused() {
    let service = Service::start(&[]);
    let good = || Request::untag().sign();
    let changed = |change: &dyn Fn(&mut Request)| {
        let mut request = good();
        change(&mut request);
        request
    };
    // Whose parameters are in a form.
    let form = || {
        let mut request = Request::new("UntagResources", &untag_alice());
        request.body = "TagKey.2=team".to_owned();
        request.header("content-type", FORM)
    };
    for request in [
        form().sign().header("content-type", "text/plain"),
        changed(&|request| request.method = "GET"),
        changed(&|request| request.query.push_str("&All=true")),
        changed(&|request| request.query = request.query.replace("env", "team")),
        changed(&|request| request.body.push('x')),
        good().header("x-acs-action", "TagResources"),
        good().header("x-acs-date", &time(1)),
        good().header("x-acs-signature-nonce", &nonce()),
        // Signed for another host than the one that it is sent to.
        Request::untag().header("host", "elsewhere").sign(),
        Request::untag().sign_with(super::KEY_ID, "guess"),
        // The hash and the body agree, and the signature is of another body.
        changed(&|request| {
            request.body = "TagKey.2=team".to_owned();
            let hash = untag::signature::v3::payload_hash(request.body.as_bytes());
            *request = request.clone().header("x-acs-content-sha256", &hash);
        }),
    ] {
        refused(&service, &request, WRONG);
    }
    assert_eq!(good().code(&service), (200, String::new()));
    let counted = scrape(&service.server);
    let series = |code| counted[&format!("untag_rpc_refused_total{{code=\"{code}\"}}")].to_string();
    assert_eq!([series(WRONG), series(INCOMPLETE)], ["11", "0"]);

    // Nobody has signed that the body is a form, or that it is none.
    for kind in [FORM, "text/plain"] {
        let unsigned = form()
            .without("content-type")
            .sign()
            .header("content-type", kind);
        refused(&service, &unsigned, INCOMPLETE);
    }
    assert_eq!(form().sign().code(&service), (200, String::new()));
}

#[test]
fn what_decides_has_to_be_signed() {
    let service = Service::start(&[]);
    let good = Request::untag().sign();
    refused(
        &service,
        &good.clone().header("x-acs-security-token", "late"),
        INCOMPLETE,
    );
    for name in ["x-acs-date", "x-acs-signature-nonce"] {
        refused(&service, &Request::untag().without(name).sign(), INCOMPLETE);
    }
    refused(
        &service,
        &Request::untag().without("host").sign(),
        INCOMPLETE,
    );
    refused(&service, &Request::untag(), INCOMPLETE);
    let authorization = |request: &Request| {
        let found = request
            .headers
            .iter()
            .find(|(name, _)| name == "authorization");
        found.unwrap().1.clone()
    };
    let whole = authorization(&good);
    // Cut within the names, the signature, or what is around them.
    for length in (0..whole.len()).step_by(7) {
        let request = Request::untag()
            .sign()
            .header("authorization", &whole[..length]);
        let (status, code) = request.code(&service);
        assert_eq!(status, 400, "{code}");
        assert!([WRONG, INCOMPLETE].contains(&code.as_str()), "{code}");
    }
    // Each header is signed once, and under its one name: no header is hashed as often as its sender likes.
    for (names, others) in [
        ("host;x-acs", "host;host;x-acs"),
        ("host;x-acs", "Host;host;x-acs"),
        ("host;x-acs-action", "x-acs-action;host"),
    ] {
        let changed = whole.replacen(names, others, 1);
        assert_ne!(changed, whole);
        let request = good.clone().header("authorization", &changed);
        let answer = request.send(&service);
        assert_eq!(code(&answer), (400, INCOMPLETE.to_owned()), "{others}");
        assert!(answer.body.contains("each once"), "{}", answer.body);
    }
    // No space is where the cloud's SDKs have none.
    for (exact, spaced) in [
        ("Credential=LTAIexample,", "Credential=LTAIexample ,"),
        ("Credential=LTAIexample,", "Credential= LTAIexample,"),
        ("Credential=LTAIexample,", "Credential=LTAIexample\t,"),
        (" Credential", "  Credential"),
        (",SignedHeaders=", ", SignedHeaders="),
        (";x-acs-version,", ";x-acs-version ,"),
        (",Signature=", ", Signature="),
        (",Signature=", " ,Signature="),
    ] {
        let request = Request::untag().sign();
        let changed = authorization(&request).replacen(exact, spaced, 1);
        assert_ne!(changed, authorization(&request));
        refused(
            &service,
            &request.header("authorization", &changed),
            INCOMPLETE,
        );
    }
    let bearer = Request::untag()
        .sign()
        .header("authorization", "Bearer token");
    refused(&service, &bearer, INCOMPLETE);
    let doubled = Request::untag().sign();
    let mut twice = doubled.clone();
    twice.headers.push(("x-acs-date".to_owned(), time(0)));
    refused(&service, &twice, INCOMPLETE);
}

#[test]
fn a_header_that_is_not_signed_does_not_decide_what_is_done() {
    let service = Service::start(&[]);
    let list = || {
        let path = format!("/?{}", v1("GET", "ListTagResources", "Tag.1.Key=team"));
        move |headers: &str| Http1::open(service.rpc).ask("GET", &path, headers, "")
    };
    let plain = list()("");
    assert!(plain.body.contains("TagResources"), "{}", plain.body);
    for header in ["x-acs-action: UntagResources", "x-acs-version: 2015-05-01"] {
        let answer = list()(&format!("{header}\r\n"));
        assert_eq!(code(&answer), (200, String::new()), "{header}");
        assert!(answer.body.contains("IsTruncated"), "{}", answer.body);
    }
}

#[test]
fn a_request_is_good_once_and_for_a_quarter_of_an_hour() {
    let service = Service::start(&[]);
    let request = Request::untag().sign();
    assert_eq!(request.code(&service).0, 200);
    refused(&service, &request, "SignatureNonceUsed");
    for seconds in [-1000, 1000, -100_000] {
        let stale = Request::untag().header("x-acs-date", &time(seconds)).sign();
        refused(&service, &stale, "InvalidTimeStamp.Expired");
    }
    for seconds in [-800, 800] {
        let near = Request::untag().header("x-acs-date", &time(seconds)).sign();
        assert_eq!(near.code(&service).0, 200);
    }
    let odd = Request::untag().header("x-acs-date", "yesterday").sign();
    refused(&service, &odd, "InvalidTimeStamp.Format");
    let long = Request::untag()
        .header("x-acs-signature-nonce", &"n".repeat(129))
        .sign();
    refused(&service, &long, INCOMPLETE);
    // One that is forged uses no nonce up.
    let request = Request::untag();
    refused(
        &service,
        &request.clone().sign_with(super::KEY_ID, "guess"),
        WRONG,
    );
    assert_eq!(request.sign().code(&service).0, 200);
}

#[test]
fn forged_and_replayed_parameters_are_refused() {
    let service = Service::start(&[]);
    let get = |parameters: &str| {
        let path = format!("/?{parameters}");
        code(&Http1::open(service.rpc).ask("GET", &path, "", ""))
    };
    let good = v1("GET", "UntagResources", &untag_alice());
    let wrong = [
        format!("{good}&All=true"),
        good.replace("env", "team"),
        v1("POST", "UntagResources", &untag_alice()),
        good.replace("Signature=", "Signature=A"),
    ];
    for parameters in wrong {
        assert_eq!(get(&parameters), (400, WRONG.to_owned()), "{parameters}");
    }
    for name in [
        "AccessKeyId",
        "SignatureNonce",
        "Timestamp",
        "SignatureMethod",
        "SignatureVersion",
    ] {
        let kept: Vec<&str> = good
            .split('&')
            .filter(|part| !part.starts_with(name))
            .collect();
        assert_eq!(get(&kept.join("&")), (400, INCOMPLETE.to_owned()), "{name}");
    }
    let (unsigned, signature) = good.split_once("&Signature=").unwrap();
    for length in 0..signature.len() {
        let cut = format!("{unsigned}&Signature={}", &signature[..length]);
        assert_eq!(get(&cut), (400, WRONG.to_owned()), "{cut}");
    }
    assert_eq!(get(unsigned), (400, INCOMPLETE.to_owned()));
    let sha256 = unsigned.replace("HMAC-SHA1", "HMAC-SHA256");
    assert_eq!(
        get(&sign_v1("GET", &sha256, super::SECRET)),
        (400, INCOMPLETE.to_owned())
    );
    let spaced = unsigned.replace("AccessKeyId=LTAIexample", "AccessKeyId=LTAIexample%20");
    assert_eq!(
        get(&sign_v1("GET", &spaced, super::SECRET)),
        (404, "InvalidAccessKeyId.NotFound".to_owned())
    );
    assert_eq!(get(&good), (200, String::new()));
    assert_eq!(get(&good), (400, "SignatureNonceUsed".to_owned()));
}
