//! Any bytes as a policy file: it is refused at a place in the file, or decides as its explanation says, and as the same JSON does
//! that is written in another way.

#![no_main]

use std::net::IpAddr;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use libfuzzer_sys::fuzz_target;
use serde_json::Value;
use untag::auth::{Attempt, Decision, IneffectiveDeny, PolicyError, PolicySet};
use untag::domain::{AccountId, Action, Caller};

fuzz_target!(|bytes: &[u8]| {
    let strict = PolicySet::parse(bytes, IneffectiveDeny::Refused);
    let lenient = PolicySet::parse(bytes, IneffectiveDeny::Allowed);
    match (strict, lenient) {
        (Ok(strict), Ok(lenient)) => {
            assert_eq!(decisions(&strict), decisions(&lenient));
            written_again(bytes, &strict);
        }
        (Err(error), Ok(lenient)) => {
            check_error(&error, bytes);
            assert!(!lenient.warnings().is_empty(), "{error}");
            written_again(bytes, &lenient);
        }
        (Err(strict), Err(lenient)) => {
            check_error(&strict, bytes);
            check_error(&lenient, bytes);
        }
        (Ok(_), Err(lenient)) => panic!("only the stricter one takes it: {lenient}"),
    }
});

fn check_error(error: &PolicyError, bytes: &[u8]) {
    let lines = bytes.split(|byte| *byte == b'\n').count();
    assert!(error.line() <= lines, "{error}");
    assert!(error.to_string().len() > "line 1, column 1: ".len());
}

/// Checks that the file decides the same behind a byte order mark and with all of its white space and escapes gone.
fn written_again(bytes: &[u8], set: &PolicySet) {
    let expected = decisions(set);
    let marked = [&b"\xef\xbb\xbf"[..], bytes].concat();
    if !bytes.starts_with(b"\xef\xbb\xbf") {
        let marked = PolicySet::parse(&marked, IneffectiveDeny::Allowed);
        assert_eq!(decisions(&marked.expect("a mark is no fault")), expected);
    }
    let text = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes);
    // Numbers may lose digits, and what is nested deeply has another limit.
    if let Ok(value) = serde_json::from_slice::<Value>(text)
        && !has_number(&value)
    {
        let again = PolicySet::parse(value.to_string().as_bytes(), IneffectiveDeny::Allowed);
        assert_eq!(decisions(&again.expect("it is the same JSON")), expected);
    }
}

fn has_number(value: &Value) -> bool {
    match value {
        Value::Number(_) => true,
        Value::Array(values) => values.iter().any(has_number),
        Value::Object(members) => members.values().any(has_number),
        _ => false,
    }
}

/// The decisions about a few attempts, each as its explanation says.
fn decisions(set: &PolicySet) -> Vec<Decision> {
    let callers = [
        Caller::anonymous(),
        Caller::spiffe("spiffe://example.org/ns/billing/sa/cleaner"),
        Caller::token_subject("cleaner"),
    ];
    let accounts = ["1000000000000001", "1"].map(|id| AccountId::parse(id).expect("digits"));
    let addresses: [Option<IpAddr>; 4] = [
        None,
        "10.1.2.3".parse().ok(),
        "::ffff:10.1.2.3".parse().ok(),
        "2001:db8::1".parse().ok(),
    ];
    let mut decisions = Vec::new();
    for (number, caller) in callers.iter().enumerate() {
        for account in &accounts {
            for (at, source_ip) in addresses.into_iter().enumerate() {
                let attempt = Attempt {
                    caller,
                    account,
                    action: [Action::UntagResources, Action::ListTagResources][(number + at) % 2],
                    source_ip,
                    secure_transport: at % 2 == 0,
                    time: time(at),
                };
                let decision = set.decide(&attempt);
                let explanation = set.explain(&attempt);
                assert_eq!(explanation.decision(), decision);
                assert!(!explanation.to_string().is_empty());
                decisions.push(decision);
            }
        }
    }
    decisions
}

fn time(at: usize) -> SystemTime {
    let hours = [0, 496_000, 500_000, 600_000][at];
    UNIX_EPOCH + Duration::from_secs(hours * 3600)
}
