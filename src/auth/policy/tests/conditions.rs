//! Tests of conditions: when they hold.

use serde_json::{Value, json};

use super::attempt::*;

/// Asserts whether a condition holds for an attempt.
#[track_caller]
fn condition(attempt: &Try, condition: &Value, holds: bool) {
    let statement =
        |effect| json!({"Effect": effect, "Action": "*", "Resource": "*", "Condition": condition});
    let allow = attempt.decide(&statements(&statement("Allow")));
    assert_eq!(allow, if holds { ALLOWED } else { IMPLICIT }, "{condition}");
    let deny = attempt.decide(&statements(&statement("Deny")));
    assert_eq!(deny, if holds { EXPLICIT } else { IMPLICIT }, "{condition}");
}

#[test]
fn each_operator_holds_and_does_not() {
    for (operator, key, holds, fails) in [
        ("StringEquals", "acs:SourceIp", "10.1.2.3", "10.1.2.4"),
        ("StringNotEquals", "acs:SourceIp", "10.1.2.4", "10.1.2.3"),
        ("StringEquals", "acs:SecureTransport", "true", "false"),
        (
            "StringEqualsIgnoreCase",
            "acs:SecureTransport",
            "TRUE",
            "False",
        ),
        (
            "StringNotEqualsIgnoreCase",
            "acs:SecureTransport",
            "FALSE",
            "True",
        ),
        ("StringLike", "acs:SourceIp", "10.*.?", "10.?"),
        ("StringNotLike", "acs:SourceIp", "192.*", "10.*"),
        (
            "NumericEquals",
            "acs:CurrentTime",
            "1786536000",
            "1786536001",
        ),
        ("NumericNotEquals", "acs:CurrentTime", "0", "1786536000"),
        (
            "NumericLessThan",
            "acs:CurrentTime",
            "1786536001",
            "1786536000",
        ),
        (
            "NumericLessThanEquals",
            "acs:CurrentTime",
            "1786536000",
            "1786535999",
        ),
        ("NumericGreaterThan", "acs:CurrentTime", "-1", "1786536000"),
        (
            "NumericGreaterThanEquals",
            "acs:CurrentTime",
            "1786536000",
            "1786536001",
        ),
        (
            "DateEquals",
            "acs:CurrentTime",
            "2026-08-12T20:00:00+08:00",
            "2026-08-12T20:00:00Z",
        ),
        (
            "DateNotEquals",
            "acs:CurrentTime",
            "2026-08-12T12:00:01Z",
            "2026-08-12T12:00:00Z",
        ),
        (
            "DateLessThan",
            "acs:CurrentTime",
            "2026-08-12T12:00:01Z",
            "2026-08-12T12:00:00Z",
        ),
        (
            "DateLessThanEquals",
            "acs:CurrentTime",
            "2026-08-12T12:00:00Z",
            "2026-08-12T11:59:59Z",
        ),
        (
            "DateGreaterThan",
            "acs:CurrentTime",
            "2026-08-12T11:59:59Z",
            "2026-08-12T12:00:00Z",
        ),
        (
            "DateGreaterThanEquals",
            "acs:CurrentTime",
            "2026-08-12T12:00:00Z",
            "2026-08-12T12:00:01Z",
        ),
        ("Bool", "acs:SecureTransport", "true", "false"),
        ("IpAddress", "acs:SourceIp", "10.0.0.0/8", "10.1.2.4"),
        ("NotIpAddress", "acs:SourceIp", "192.0.2.0/24", "10.1.2.3"),
    ] {
        let attempt = Try::default();
        condition(&attempt, &json!({operator: {key: holds}}), true);
        condition(&attempt, &json!({operator: {key: fails}}), false);
        // One of several values is enough for a positive operator, and too much for a negated one.
        condition(
            &attempt,
            &json!({operator: {key: [holds, fails]}}),
            !operator.contains("Not"),
        );
    }
}

#[test]
fn booleans_and_numbers_of_json_mean_what_their_texts_mean() {
    let attempt = Try::default();
    condition(
        &attempt,
        &json!({"Bool": {"acs:SecureTransport": true}}),
        true,
    );
    condition(
        &attempt,
        &json!({"Bool": {"acs:SecureTransport": [false, "false"]}}),
        false,
    );
    condition(
        &attempt,
        &json!({"Bool": {"acs:SecureTransport": "False"}}),
        false,
    );
    condition(
        &attempt,
        &json!({"NumericGreaterThan": {"acs:CurrentTime": 1_786_536_000}}),
        false,
    );
    condition(
        &attempt,
        &json!({"NumericGreaterThan": {"acs:CurrentTime": -5}}),
        true,
    );
    let plain = Try {
        secure_transport: false,
        ..Try::default()
    };
    condition(
        &plain,
        &json!({"Bool": {"acs:SecureTransport": false}}),
        true,
    );
}

#[test]
fn all_operators_and_all_keys_have_to_hold() {
    let (good, bad) = (
        json!({"acs:SourceIp": "10.0.0.0/8"}),
        json!({"acs:SourceIp": "192.0.2.1"}),
    );
    let tls = json!({"acs:SecureTransport": true});
    let attempt = Try::default();
    condition(&attempt, &json!({"IpAddress": good, "Bool": tls}), true);
    condition(&attempt, &json!({"IpAddress": bad, "Bool": tls}), false);
    let texts = |ip: &str, tls: &str| json!({"StringLike": {"acs:SourceIp": ip, "acs:SecureTransport": tls}});
    condition(&attempt, &texts("10.*", "t*"), true);
    condition(&attempt, &texts("10.*", "f*"), false);
    condition(&attempt, &texts("11.*", "t*"), false);
}

#[test]
fn without_a_source_address_positive_operators_fail_and_negated_ones_hold() {
    let unknown = Try::from_address(None);
    for (operator, value, holds) in [
        ("IpAddress", "0.0.0.0/0", false),
        ("StringLike", "*", false),
        ("StringEquals", "10.1.2.3", false),
        ("NotIpAddress", "10.0.0.0/8", true),
        ("StringNotLike", "*", true),
        ("StringNotEquals", "10.1.2.3", true),
    ] {
        condition(&unknown, &json!({operator: {"acs:SourceIp": value}}), holds);
    }
}

#[test]
fn addresses_of_both_versions_are_told_apart_and_mapped_ones_are_ipv4() {
    for (attempted, given, holds) in [
        ("::ffff:10.1.2.3", "10.0.0.0/8", true),
        ("10.1.2.3", "::ffff:10.0.0.0/104", true),
        ("10.1.2.3", "::/0", false),
        ("2001:db8::1", "0.0.0.0/0", false),
        ("2001:db8::1", "2001:0DB8:0::/32", true),
        ("2001:db9::1", "2001:db8::/32", false),
        ("::1", "::1", true),
        ("::ffff:10.1.2.3", "::ffff:10.1.2.3", true),
        ("10.1.2.3", "::ffff:a01:203", true),
        ("10.1.2.3", "::ffff:0:0/96", true),
        ("10.1.2.3", "::/80", false),
        ("::ffff:10.1.2.3", "::/0", false),
    ] {
        let attempt = Try::from_address(Some(attempted));
        condition(
            &attempt,
            &json!({"IpAddress": {"acs:SourceIp": given}}),
            holds,
        );
    }
    let attempt = Try::from_address(Some("2001:db8::1"));
    condition(
        &attempt,
        &json!({"StringEquals": {"acs:SourceIp": "2001:0DB8:0::1"}}),
        true,
    );
}

#[test]
fn a_pattern_is_compared_with_the_shortest_form_of_an_address() {
    for (attempted, given, holds) in [
        ("2001:db8:0:0::1", "2001:db8::*", true),
        ("2001:db8::1", "2001:DB8::*", true),
        ("2001:db8:0:1:2:3:4:5", "2001:db8:0:*", true),
        ("2001:db8::1", "2001:db8:0:*", false),
        ("2001:db9::1", "2001:db8:*", false),
        ("::ffff:10.1.2.3", "10.1.*", true),
        ("::ffff:a01:203", "10.1.2.?", true),
        ("::1", "::?", true),
        ("10.1.2.3", "*:*", false),
    ] {
        let attempt = Try::from_address(Some(attempted));
        condition(
            &attempt,
            &json!({"StringLike": {"acs:SourceIp": given}}),
            holds,
        );
    }
}

#[test]
fn a_condition_without_operators_holds_always() {
    condition(&Try::default(), &json!({}), true);
}
