//! Tests of decisions: what policies allow and deny.

use std::time::{Duration, UNIX_EPOCH};

use proptest::prelude::*;

use serde_json::{Value, json};

use super::super::*;
use super::attempt::*;

#[test]
fn actions_are_patterns_without_case_and_not_action_is_all_but_them() {
    for (member, patterns, untag, tag) in [
        ("Action", json!("ram:UntagResources"), true, false),
        ("Action", json!("RAM:untagresources"), true, false),
        ("Action", json!("ram:*"), true, true),
        ("Action", json!("*"), true, true),
        ("Action", json!("*:*TagResources"), true, true),
        ("Action", json!("ram:??TagResources"), true, false),
        ("Action", json!(["ecs:*", "ram:Tag*"]), false, true),
        ("Action", json!("ecs:*"), false, false),
        ("Action", json!("ram:Untag"), false, false),
        ("NotAction", json!("ram:UntagResources"), false, true),
        ("NotAction", json!("ram:*"), false, false),
        ("NotAction", json!(["ecs:*", "oss:*"]), true, true),
    ] {
        let set = statements(&json!({"Effect": "Allow", member: patterns, "Resource": "*"}));
        for (action, allowed) in [(Action::UntagResources, untag), (Action::TagResources, tag)] {
            let attempt = Try {
                action,
                ..Try::default()
            };
            let expected = if allowed { ALLOWED } else { IMPLICIT };
            assert_eq!(
                attempt.decide(&set),
                expected,
                "{member} {patterns} {action}"
            );
        }
    }
}

#[test]
fn deny_beats_allow_and_what_nobody_allows_is_denied() {
    let allow = json!({"Effect": "Allow", "Action": "*", "Resource": "*"});
    let deny = json!({"Effect": "Deny", "Action": "ram:UntagResources", "Resource": "*"});
    let other = json!({"Effect": "Deny", "Action": "ram:TagResources", "Resource": "*"});
    for (given, expected) in [
        (json!([allow]), ALLOWED),
        (json!([allow, deny]), EXPLICIT),
        (json!([deny, allow]), EXPLICIT),
        (json!([deny]), EXPLICIT),
        (json!([other]), IMPLICIT),
        (json!([other, allow]), ALLOWED),
    ] {
        assert_eq!(
            Try::default().decide(&statements(&given)),
            expected,
            "{given}"
        );
    }
}

#[test]
fn a_statement_without_a_plain_star_among_its_resources_has_no_effect() {
    let narrow = json!("acs:ram:*:1000000000000001:user/*");
    for (effect, resource, expected) in [
        ("Allow", json!("*"), ALLOWED),
        ("Allow", json!([narrow, "*"]), ALLOWED),
        ("Allow", narrow.clone(), IMPLICIT),
        ("Allow", json!("acs:ram:*:*:*"), IMPLICIT),
        ("Deny", json!("*"), EXPLICIT),
        ("Deny", narrow.clone(), IMPLICIT),
    ] {
        let set = statements(&json!({"Effect": effect, "Action": "*", "Resource": resource}));
        assert_eq!(Try::default().decide(&set), expected, "{effect} {resource}");
        assert_eq!(
            set.warnings().len(),
            usize::from(expected == IMPLICIT),
            "{effect} {resource}"
        );
    }
    // Beside an Allow that has one, a Deny without it stays without effect.
    let set = statements(&json!([
        {"Effect": "Allow", "Action": "*", "Resource": "*"},
        {"Effect": "Deny", "Action": "*", "Resource": narrow},
    ]));
    assert_eq!(Try::default().decide(&set), ALLOWED);
}

#[test]
fn a_binding_counts_for_its_callers_in_its_accounts() {
    let all = json!({"Effect": "Allow", "Action": "*", "Resource": "*"});
    let bound = |callers: Value, accounts: Value| {
        set(&json!({
            "Bindings": [{"Callers": callers, "Accounts": accounts, "Policies": ["all"]}],
            "Policies": {"all": {"Version": "1", "Statement": all}},
        }))
    };
    for (callers, accounts, expected) in [
        (json!(CLEANER), json!(ACCOUNT), ALLOWED),
        (
            json!("spiffe://example.org/ns/billing/*"),
            json!("*"),
            ALLOWED,
        ),
        (
            json!(["dns:x", "spiffe://*/sa/cleane?"]),
            json!(["1", ACCOUNT]),
            ALLOWED,
        ),
        (json!("SPIFFE://example.org/*"), json!("*"), IMPLICIT),
        (json!("spiffe://example.org/"), json!("*"), IMPLICIT),
        (json!("jwt:*"), json!("*"), IMPLICIT),
        (json!("*"), json!("1"), IMPLICIT),
    ] {
        let set = bound(callers.clone(), accounts.clone());
        assert_eq!(
            Try::default().decide(&set),
            expected,
            "{callers} {accounts}"
        );
    }
    let anonymous = Try {
        caller: Caller::anonymous(),
        ..Try::default()
    };
    assert_eq!(
        anonymous.decide(&bound(json!("anonymous"), json!("*"))),
        ALLOWED
    );
    assert_eq!(
        anonymous.decide(&bound(json!("spiffe://*"), json!("*"))),
        IMPLICIT
    );
}

#[test]
fn a_deny_of_one_binding_beats_the_allow_of_another() {
    let statement = |effect: &str| json!({"Version": "1", "Statement": {"Effect": effect, "Action": "*", "Resource": "*"}});
    let set = set(&json!({
        "Policies": {"all": statement("Allow"), "none": statement("Deny"), "spare": statement("Allow")},
        "Bindings": [
            {"Callers": "*", "Accounts": "*", "Policies": "all"},
            {"Callers": CLEANER, "Accounts": ACCOUNT, "Policies": "none"},
        ],
    }));
    assert_eq!(Try::default().decide(&set), EXPLICIT);
    let elsewhere = Try {
        account: AccountId::parse("2").unwrap(),
        ..Try::default()
    };
    assert_eq!(elsewhere.decide(&set), ALLOWED);
    let named: Vec<_> = set
        .named_accounts()
        .into_iter()
        .map(AccountId::as_str)
        .collect();
    assert_eq!(named, [ACCOUNT]);
    let warnings: Vec<_> = set.warnings().iter().map(ToString::to_string).collect();
    assert_eq!(warnings.len(), 1);
    assert!(
        warnings[0].starts_with("spare is bound to nobody"),
        "{warnings:?}"
    );
    assert_eq!(set.summary(), "3 policies with 3 statements, 2 bindings");
}

#[test]
fn the_sample_of_the_documentation_is_valid_and_does_what_it_says() {
    let sample = include_bytes!("../../../../docs/policy-example.json");
    let set = PolicySet::parse(sample, IneffectiveDeny::Refused).unwrap();
    assert_eq!(set.warnings(), []);
    assert_eq!(Try::default().decide(&set), ALLOWED);
    let plain = Try {
        secure_transport: false,
        ..Try::default()
    };
    assert_eq!(plain.decide(&set), EXPLICIT);
    assert_eq!(Try::from_address(Some("192.0.2.1")).decide(&set), IMPLICIT);
}

/// A statement of any kind, valid or hardly so.
fn any_statement() -> impl Strategy<Value = Value> {
    let condition = prop_oneof![
        Just(json!({"IpAddress": {"acs:SourceIp": ["10.0.0.0/8", "::1"]}})),
        Just(json!({"NotIpAddress": {"acs:SourceIp": "10.0.0.0/9"}})),
        Just(json!({"Bool": {"acs:SecureTransport": "true"}})),
        Just(json!({"StringLike": {"acs:SourceIp": "1?.*", "acs:SecureTransport": "*"}})),
        any::<i32>().prop_map(|seconds| json!({"NumericLessThan": {"acs:CurrentTime": seconds}})),
        Just(json!({"DateGreaterThan": {"acs:CurrentTime": "2026-01-01T00:00:00Z"}})),
    ];
    let effect = prop_oneof![Just("Allow"), Just("Deny")];
    let member = prop_oneof![Just("Action"), Just("NotAction")];
    let action = prop_oneof![Just("*"), Just("ram:*"), Just("ram:Tag*"), Just("ecs:?")];
    let resource = prop_oneof![3 => Just("*"), 1 => Just("acs:ram:*:*:user/*")];
    (
        effect,
        member,
        action,
        resource,
        proptest::option::of(condition),
    )
        .prop_map(|(effect, member, action, resource, condition)| {
            let mut statement = json!({"Effect": effect, member: action, "Resource": resource});
            if let Some(condition) = condition {
                statement["Condition"] = condition;
            }
            statement
        })
}

proptest! {
    #[test]
    fn decide_and_explain_agree_and_a_deny_more_never_allows(
        given in proptest::collection::vec(any_statement(), 1..6),
        subject in "\\PC{0,20}",
        address in any::<Option<IpAddr>>(),
        secure_transport in any::<bool>(),
        action in 0..3_usize,
        seconds in any::<i32>(),
    ) {
        let distance = Duration::from_secs(u64::from(seconds.unsigned_abs()));
        let attempt = Try {
            caller: Caller::token_subject(&subject),
            action: Action::ALL[action],
            source_ip: address,
            secure_transport,
            time: if seconds < 0 { UNIX_EPOCH - distance } else { UNIX_EPOCH + distance },
            ..Try::default()
        };
        let decision = attempt.decide(&statements(&json!(given)));
        let mut denied = given;
        denied.push(json!({"Effect": "Deny", "Action": "*", "Resource": "*"}));
        prop_assert_eq!(attempt.decide(&statements(&json!(denied))), EXPLICIT);
        denied.retain(|statement| statement["Effect"] == "Deny");
        prop_assert_ne!(attempt.decide(&statements(&json!(denied))), ALLOWED);
        denied.pop();
        if denied.is_empty() {
            prop_assert_ne!(decision, EXPLICIT);
        } else if attempt.decide(&statements(&json!(denied))) == EXPLICIT {
            prop_assert_eq!(decision, EXPLICIT);
        }
    }

    #[test]
    fn no_text_makes_the_parser_panic(text in "\\PC{0,60}") {
        let _ = PolicySet::parse(text.as_bytes(), IneffectiveDeny::Refused);
        let condition = format!(
            r#"{{"Policies":{{"p":{{"Version":"1","Statement":{{"Effect":"Allow","Action":"*","Resource":"*","Condition":{text}}}}}}},"Bindings":[]}}"#
        );
        let _ = PolicySet::parse(condition.as_bytes(), IneffectiveDeny::Allowed);
    }
}
