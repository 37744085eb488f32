//! Tests of the conditions that a policy file is refused for, and how that is said.

use super::sample_file::*;

#[test]
fn conditions_that_are_not_known_or_make_no_sense_are_refused_with_their_line() {
    for (condition, reason) in [
        ("null", "expected an object"),
        (r#"{"IpAddress": {}}"#, "empty"),
        (r#"{"IpAddress": {"acs:SourceIp": []}}"#, "empty"),
        (
            r#"{"IpAddress": {"acs:SourceIp": [["::1"]]}}"#,
            "expected a string",
        ),
        (
            r#"{"IpAddress": {"acs:SourceIp": null}}"#,
            "expected a string",
        ),
        (
            r#"{"IpAdress": {"acs:SourceIp": "::1"}}"#,
            r#""IpAdress" is not known; use one of"#,
        ),
        (
            r#"{"IpAddress": {"acs:sourceIp": "::1"}}"#,
            r#""acs:sourceIp" is not known to this service, which knows acs:SourceIp, acs:SecureTransport, acs:CurrentTime"#,
        ),
        (
            r#"{"Bool": {"acs:MFAPresent": "true"}}"#,
            r#""acs:MFAPresent" is not known to this service"#,
        ),
        (
            r#"{"IpAddress": {"acs:SourceIp": "10.0.0.0/33"}}"#,
            r#""10.0.0.0/33" must be an IP address or a CIDR block"#,
        ),
        (
            r#"{"IpAddress": {"acs:SourceIp": "10.0.0.1/8"}}"#,
            "write 10.0.0.0/8",
        ),
        (r#"{"IpAddress": {"acs:SourceIp": 10}}"#, "must be a string"),
        (
            r#"{"IpAddress": {"acs:CurrentTime": "::1"}}"#,
            "IpAddress cannot compare acs:CurrentTime, which is a moment; use a Date operator",
        ),
        (
            r#"{"StringLike": {"acs:CurrentTime": "2026*"}}"#,
            "StringLike cannot compare acs:CurrentTime",
        ),
        (
            r#"{"DateEquals": {"acs:SourceIp": "2026-01-01T00:00:00Z"}}"#,
            "use IpAddress or NotIpAddress",
        ),
        (
            r#"{"Bool": {"acs:SourceIp": "true"}}"#,
            "Bool cannot compare acs:SourceIp",
        ),
        (
            r#"{"NumericEquals": {"acs:SecureTransport": 1}}"#,
            "use Bool",
        ),
        (
            r#"{"DateLessThan": {"acs:CurrentTime": "2026-13-01T00:00:00Z"}}"#,
            "must be a date and time of ISO 8601",
        ),
        (
            r#"{"DateLessThan": {"acs:CurrentTime": "2026-01-01T00:00:00"}}"#,
            "with Z or an offset",
        ),
        (
            r#"{"DateLessThan": {"acs:CurrentTime": 5}}"#,
            "must be a string",
        ),
        (
            r#"{"NumericLessThan": {"acs:CurrentTime": "1.5"}}"#,
            "must be a whole number",
        ),
        (
            r#"{"NumericLessThan": {"acs:CurrentTime": 1.5}}"#,
            "expected a string, a whole number",
        ),
        (
            r#"{"NumericLessThan": {"acs:CurrentTime": 18446744073709551615}}"#,
            "too large",
        ),
        (
            r#"{"NumericLessThan": {"acs:CurrentTime": true}}"#,
            "must be a number",
        ),
        (
            r#"{"Bool": {"acs:SecureTransport": "yes"}}"#,
            r#""yes" must be true or false"#,
        ),
        (
            r#"{"Bool": {"acs:SecureTransport": 1}}"#,
            "must be true or false",
        ),
        (
            r#"{"StringEquals": {"acs:SecureTransport": "True"}}"#,
            "must be true or false",
        ),
        (
            r#"{"StringEquals": {"acs:SourceIp": "10.0.0.0/8"}}"#,
            "must be one IP address; use IpAddress for a CIDR block",
        ),
        (
            r#"{"Bool": {"acs:SecureTransport": true}, "Bool": {"acs:SecureTransport": false}}"#,
            r#""Bool" is there twice"#,
        ),
        (
            r#"{"Bool": {"acs:SecureTransport": true, "acs:SecureTransport": false}}"#,
            r#""acs:SecureTransport" is there twice"#,
        ),
    ] {
        let error = error(VALUES, condition);
        assert!(error.contains(reason), "{condition}: {error}");
        assert!(
            error.starts_with("line 10, column "),
            "{condition}: {error}"
        );
    }
}
