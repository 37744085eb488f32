//! The cost of a decision of the policies, and of reading them.

use std::hint::black_box;
use std::time::SystemTime;

use criterion::{Criterion, criterion_group, criterion_main};
use untag::auth::{Attempt, IneffectiveDeny, PolicySet};
use untag::domain::{AccountId, Action, Caller};

/// A file with this many bindings, each of one caller in one account and with conditions; only the last one applies.
fn file(bindings: usize) -> String {
    let policies = r#"{
        "hours": {"Version": "1", "Statement": [
            {"Effect": "Allow", "Action": "ram:*TagResources", "Resource": "*", "Condition": {
                "IpAddress": {"acs:SourceIp": ["10.0.0.0/8", "192.168.0.0/16"]},
                "DateGreaterThan": {"acs:CurrentTime": "2026-01-01T00:00:00Z"}}},
            {"Effect": "Deny", "Action": "*", "Resource": "*", "Condition": {
                "Bool": {"acs:SecureTransport": "false"}}}
        ]}
    }"#;
    let bindings: Vec<String> = (1..=bindings)
        .map(|number| {
            format!(
                r#"{{"Callers": "spiffe://example.org/ns/*/sa/cleaner-{number}", "Accounts": "{number}", "Policies": "hours"}}"#
            )
        })
        .collect();
    format!(
        r#"{{"Policies": {policies}, "Bindings": [{}]}}"#,
        bindings.join(",")
    )
}

fn policies(criterion: &mut Criterion) {
    for bindings in [1, 10, 100] {
        let text = file(bindings);
        let set =
            PolicySet::parse(text.as_bytes(), IneffectiveDeny::Refused).expect("the file is valid");
        let id = format!("spiffe://example.org/ns/billing/sa/cleaner-{bindings}");
        let attempt = Attempt {
            caller: &Caller::spiffe(&id),
            account: &AccountId::parse(&bindings.to_string()).expect("digits"),
            action: Action::UntagResources,
            source_ip: Some([10, 1, 2, 3].into()),
            secure_transport: true,
            time: SystemTime::now(),
        };
        let decided = set.decide(&attempt).to_string();
        assert_eq!(decided, "allowed", "the whole file was looked at");
        criterion.bench_function(&format!("decide, {bindings} bindings"), |bencher| {
            bencher.iter(|| set.decide(black_box(&attempt)));
        });
        criterion.bench_function(&format!("read, {bindings} bindings"), |bencher| {
            bencher.iter(|| PolicySet::parse(black_box(text.as_bytes()), IneffectiveDeny::Refused));
        });
    }
}

criterion_group!(benches, policies);
criterion_main!(benches);
