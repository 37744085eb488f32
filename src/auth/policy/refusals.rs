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
    match read(&text) {
        Ok(_) => panic!("{replacement} is accepted"),
        Err(error) => error.to_string(),
    }
}

fn read(text: &str) -> Result<PolicySet, PolicyError> {
    PolicySet::parse(text.as_bytes(), IneffectiveDeny::Refused)
}

/// The warnings about the file with one piece replaced.
fn warnings(piece: &str, replacement: &str) -> Vec<String> {
    assert_eq!(FILE.matches(piece).count(), 1, "{piece}");
    let read = read(&FILE.replace(piece, replacement));
    let set = read.unwrap_or_else(|error| panic!("{replacement}: {error}"));
    set.warnings().iter().map(ToString::to_string).collect()
}

const VALUES: &str = r#"{"IpAddress": {"acs:SourceIp": ["10.0.0.0/8"]}}"#;

#[test]
fn the_unchanged_file_is_valid() {
    assert!(read(FILE).unwrap().warnings().is_empty());
}

#[test]
#[expect(clippy::too_many_lines, reason = "a table")]
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
            r#""Action": "ram:*""#,
            r#""Principal": "*", "Action": "ram:*""#,
            8,
            "unknown field `Principal`",
        ),
        (
            r#""Effect": "Allow""#,
            r#""Effect": "Allow", "Sid": 7"#,
            7,
            "expected a string",
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
        let error = PolicySet::parse(text, IneffectiveDeny::Refused)
            .unwrap_err()
            .to_string();
        assert!(error.contains(reason), "{error}");
    }
    let twice = FILE.replace("\"Bindings\"", "\"Policies\": {}, \"Bindings\"");
    assert!(read(&twice).is_err());
    let trailing = format!("{FILE} x");
    assert!(
        read(&trailing)
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
    let error = read(&text).unwrap_err().to_string();
    assert!(error.contains(r#""p" is there twice"#), "{error}");
}

#[test]
fn a_list_of_statements_has_one_at_least() {
    let file = FILE.replace("\"Statement\": [", "\"Statement\": [], \"Other\": [");
    let error = read(&file).unwrap_err().to_string();
    assert!(error.contains("unknown field `Other`"), "{error}");
    let empty = r#"{"Policies": {"p": {"Version": "1", "Statement": []}},
        "Bindings": {"Callers": "*", "Accounts": "*", "Policies": "p"}}"#;
    let error = read(empty).unwrap_err().to_string();
    assert!(error.contains("the Statement is empty"), "{error}");
}

#[test]
fn a_deny_that_its_resource_makes_ineffective_is_refused_at_its_line_unless_that_is_allowed() {
    let file = FILE
        .replace("\"Allow\"", "\"Deny\"")
        .replace("\"Resource\": \"*\"", "\"Resource\": [\"acs:ram:*:*:*\"]");
    let error = read(&file).unwrap_err().to_string();
    assert_eq!(
        error,
        "line 6, column 9: p, statement 1, Deny is ineffective: its Resource [acs:ram:*:*:*] holds no plain *, and these \
         actions have no narrower resources; write \"Resource\": \"*\", or give --allow-ineffective-deny"
    );
    let allowed = PolicySet::parse(file.as_bytes(), IneffectiveDeny::Allowed).unwrap();
    let warnings = allowed.warnings();
    assert_eq!(warnings.len(), 1);
    let warning = warnings[0].to_string();
    assert!(
        warning.starts_with("line 6: p, statement 1, Deny is ineffective"),
        "{warning}"
    );
    // It is about other actions, and denies none of these anyhow.
    let other = file.replace("\"ram:*\"", "\"oss:*\"");
    let warnings = read(&other).unwrap().warnings();
    assert!(warnings[0].to_string().contains("can match nothing"));
}

#[test]
fn what_can_change_no_decision_is_passed_over_with_a_warning_that_names_it() {
    let action = r#""Action": "ram:*""#;
    for (piece, replacement, named) in [
        (VALUES, "{}", "the Condition is empty, and holds always"),
        (action, r#""Sid": "A", "Action": "ram:*""#, "the Sid \"A\""),
        (
            action,
            r#""Action": "oss:*", "Principal": "*""#,
            "unknown field `Principal`",
        ),
        (
            action,
            r#""Action": "oss:*", "Condition": 7"#,
            "invalid type: integer `7`",
        ),
    ] {
        let warnings = warnings(piece, replacement);
        assert_eq!(warnings.len(), 1, "{replacement}: {warnings:?}");
        let prefix = "line 6: p, statement 1, Allow says something of no account: ";
        assert!(warnings[0].starts_with(prefix), "{warnings:?}");
        assert!(warnings[0].contains(named), "{warnings:?}");
    }
    let other = FILE.replace("\"ram:*\"", "[\"oss:*\", \"ram:DeleteUser\"]");
    for condition in [
        r#"{"StringLike": {"oss:Prefix": "a/*"}}"#,
        r#"{"IpAdress": {"acs:SourceIp": "::1"}}"#,
        r#"{"IpAddress": {"acs:SourceIp": "42.160.1.*"}}"#,
        r#"{"IpAddress": {}}"#,
        "null",
    ] {
        let set = read(&other.replace(VALUES, condition)).unwrap();
        let warnings = set.warnings();
        assert_eq!(warnings.len(), 1, "{condition}: {warnings:?}");
        let warning = warnings[0].to_string();
        assert!(
            warning.contains("(line 10); that is passed over"),
            "{warning}"
        );
    }
    // A list without an Action can't be known to be about others.
    error(action, r#""Actions": "oss:*""#);
}

#[test]
fn a_deny_that_can_match_nothing_is_warned_of_with_the_nearest_action() {
    for (action, nearest) in [
        ("ram:UntagResource", "ram:UntagResources"),
        ("ram:UntagUser", "ram:UntagResources"),
        ("ims:*", "ram:*"),
        ("ims:UntagResources", "ram:UntagResources"),
        ("rma:TagResources", "ram:TagResources"),
        ("oss:DeleteObject", "ram:ListTagResources"),
    ] {
        let file = FILE
            .replace("\"Allow\"", "\"Deny\"")
            .replace("ram:*", action);
        let warnings = read(&file).unwrap().warnings();
        assert_eq!(warnings.len(), 1, "{warnings:?}");
        let warning = warnings[0].to_string();
        let wanted = format!("; the nearest to {action} is {nearest}");
        assert!(
            warning.contains("line 6: p, statement 1, Deny can match nothing")
                && warning.ends_with(&wanted),
            "{warning}"
        );
    }
    let nothing = r#""Effect": "Deny", "NotAction": "*","#;
    let file = FILE.replace(r#""Effect": "Allow","#, nothing);
    let warnings = read(&file.replace(r#""Action": "ram:*","#, "")).unwrap();
    let warning = warnings.warnings()[0].to_string();
    assert!(
        warning.contains("NotAction [*] covers no action"),
        "{warning}"
    );
}

#[test]
fn an_action_that_looks_misspelt_is_warned_of_wherever_it_stands() {
    for (action, nearest) in [
        (
            r#"["ram:TagResources", "ram:UntagResource"]"#,
            "ram:UntagResources",
        ),
        (r#"["ram:*", "ims:*"]"#, "ram:*"),
        (r#""ram:ListTagResource""#, "ram:ListTagResources"),
    ] {
        let warnings = warnings(r#""ram:*""#, action);
        assert_eq!(warnings.len(), 1, "{warnings:?}");
        assert!(warnings[0].contains("which this service does not have"));
        assert!(warnings[0].ends_with(&format!("the nearest is {nearest}")));
    }
    for action in [
        r#"["ram:*", "ecs:TagResources", "oss:*"]"#,
        r#"["ram:UntagResources", "ram:DeleteUser", "ram:Get*"]"#,
    ] {
        let warnings = warnings(r#""ram:*""#, action);
        assert!(warnings.is_empty(), "{warnings:?}");
    }
}
