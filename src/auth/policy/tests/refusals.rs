//! Tests of what a policy file is refused for, and how that is said.

use super::super::*;
use super::sample_file::*;

#[test]
fn the_unchanged_file_is_valid() {
    assert!(read(FILE).unwrap().warnings().is_empty());
}

#[test]
fn the_position_is_the_end_of_what_is_wrong() {
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
