//! Tests of what a policy file is refused for, and how that is said.

use super::*;

const FILE: &str = r#"{
  "Policies": {
    "p": {
      "Version": "1",
      "Statement": [
        {
          "Effect": "Allow",
          "Action": "ram:*",
          "Resource": "*",
          "Condition": {"IpAddress": {"acs:SourceIp": ["10.0.0.0/8"]}}
        }
      ]
    }
  },
  "Bindings": [
    {"Callers": ["*"], "Accounts": ["*"], "Policies": ["p"]}
  ]
}
"#;

/// The error of the file with one piece replaced.
fn error(piece: &str, replacement: &str) -> String {
    assert_eq!(FILE.matches(piece).count(), 1, "{piece}");
    let text = FILE.replace(piece, replacement);
    match PolicySet::parse(text.as_bytes()) {
        Ok(_) => panic!("{replacement} is accepted"),
        Err(error) => error.to_string(),
    }
}

const VALUES: &str = r#"{"IpAddress": {"acs:SourceIp": ["10.0.0.0/8"]}}"#;

#[test]
fn the_unchanged_file_is_valid() {
    PolicySet::parse(FILE.as_bytes()).unwrap();
}

#[test]
#[expect(clippy::too_many_lines, reason = "a table")]
fn conditions_that_are_not_known_or_make_no_sense_are_refused_with_their_line() {
    for (condition, reason) in [
        ("{}", "empty"),
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

#[test]
fn the_place_is_the_end_of_what_is_wrong() {
    let error = error("10.0.0.0/8", "10.0.0.0/33");
    assert!(error.starts_with("line 10, column 68: "), "{error}");
}

#[test]
fn statements_and_documents_are_read_strictly() {
    for (piece, replacement, line, reason) in [
        (
            r#""Version": "1""#,
            r#""Version": "2""#,
            4,
            r#"the Version "2" is not known; write "1""#,
        ),
        (
            r#""Version": "1""#,
            r#""Version": 1"#,
            4,
            "expected a string",
        ),
        (r#""Version": "1","#, "", 13, "missing field `Version`"),
        (
            r#""Version": "1","#,
            r#""Version": "1", "Version": "1","#,
            4,
            "duplicate field `Version`",
        ),
        (
            r#""Version": "1","#,
            r#""Version": "1", "Id": "x","#,
            4,
            "unknown field `Id`",
        ),
        (
            r#""Effect": "Allow""#,
            r#""Effect": "allow""#,
            7,
            r#"write "Allow" or "Deny""#,
        ),
        (r#""Effect": "Allow","#, "", 11, "missing field `Effect`"),
        (
            r#""Effect": "Allow""#,
            r#""Effect": {"Allow": null}"#,
            7,
            "expected a string",
        ),
        (
            r#""Action": "ram:*","#,
            "",
            11,
            "the statement has no Action",
        ),
        (
            r#""Action": "ram:*","#,
            r#""Action": "ram:*", "NotAction": "ecs:*","#,
            11,
            "both Action and NotAction",
        ),
        (r#""Action": "ram:*""#, r#""Action": []"#, 8, "empty"),
        (
            r#""Action": "ram:*""#,
            r#""Action": null"#,
            8,
            "one value or a list",
        ),
        (
            r#""Action": "ram:*""#,
            r#""Action": "UntagResources""#,
            8,
            "must be <service>:<action>",
        ),
        (
            r#""Action": "ram:*""#,
            r#""Action": [7]"#,
            8,
            "expected a string",
        ),
        (r#""Resource": "*","#, "", 11, "missing field `Resource`"),
        (r#""Resource": "*""#, r#""Resource": []"#, 9, "empty"),
        (
            r#""Resource": "*""#,
            r#""Resource": "user/*""#,
            9,
            "must be *, or a name that begins with acs:",
        ),
        (
            r#""Resource": "*""#,
            r#""Resource": "*", "NotResource": "*""#,
            9,
            "unknown field `NotResource`",
        ),
        (
            r#""Resource": "*""#,
            r#""Resource": "*", "Resource": "*""#,
            9,
            "duplicate field `Resource`",
        ),
        (
            r#""Statement": ["#,
            r#""Statement": [[],"#,
            5,
            "expected an object",
        ),
        (
            r#""p": {"#,
            r#""p": {}, "p": {"#,
            3,
            "missing field `Version`",
        ),
        (
            r#"["p"]}"#,
            r#"["p", "q"]}"#,
            16,
            r#"the policy "q" is not among the Policies, which are p"#,
        ),
        (
            r#"["p"]}"#,
            "[]}",
            16,
            "the Policies of a binding are empty",
        ),
        (r#"["p"]}"#, "[7]}", 16, "7 must be the name of a policy"),
        (r#"["p"]}"#, "{}}", 16, "{} must be the name of a policy"),
        (r#""Callers": ["*"]"#, r#""Callers": []"#, 16, "empty"),
        (r#""Callers": ["*"]"#, r#""Callers": """#, 16, "fits nobody"),
        (r#""Callers": ["*"], "#, "", 16, "missing field `Callers`"),
        (
            r#""Accounts": ["*"]"#,
            r#""Accounts": ["100*"]"#,
            16,
            "must be 1 to 32 decimal digits, or * for every account",
        ),
        (
            r#""Accounts": ["*"]"#,
            r#""Accounts": [1]"#,
            16,
            "expected a string",
        ),
        (
            r#""Accounts": ["*"]"#,
            r#""Accounts": "*", "Note": "x""#,
            16,
            "unknown field `Note`",
        ),
        (
            r#""Bindings""#,
            r#""bindings""#,
            15,
            "unknown field `bindings`, expected `Policies` or `Bindings`",
        ),
    ] {
        let error = error(piece, replacement);
        assert!(error.contains(reason), "{replacement}: {error}");
        assert!(
            error.starts_with(&format!("line {line}, ")),
            "{replacement}: {error}"
        );
    }
}

#[test]
fn what_is_no_policy_file_is_refused() {
    for (text, reason) in [
        (&b""[..], "line 1, column 0: EOF"),
        (b"[]", "expected an object"),
        (b"{}", "missing field `Policies`"),
        (b"{\"Policies\":{},\"Bindings\":[]}", "empty"),
        (
            b"{\n\"Policies\": \"\xff\"}",
            "line 2, column 13: what follows is not UTF-8",
        ),
        (b"{\"Policies\": {\"p\": {", "EOF"),
    ] {
        let error = PolicySet::parse(text).unwrap_err().to_string();
        assert!(error.contains(reason), "{error}");
    }
    let twice = FILE.replace("\"Bindings\"", "\"Policies\": {}, \"Bindings\"");
    assert!(PolicySet::parse(twice.as_bytes()).is_err());
    let trailing = format!("{FILE} x");
    assert!(
        PolicySet::parse(trailing.as_bytes())
            .unwrap_err()
            .to_string()
            .contains("trailing")
    );
}

#[test]
fn a_policy_that_is_there_twice_is_refused() {
    let document =
        r#"{"Version": "1", "Statement": {"Effect": "Deny", "Action": "*", "Resource": "*"}}"#;
    let text = format!(r#"{{"Policies": {{"p": {document}, "p": {document}}}, "Bindings": []}}"#);
    let error = PolicySet::parse(text.as_bytes()).unwrap_err().to_string();
    assert!(error.contains(r#""p" is there twice"#), "{error}");
}
