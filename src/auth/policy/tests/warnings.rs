//! Tests of the warnings about a policy file that is accepted.

use super::sample_file::*;

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
    let other = FILE.replace("\"ram:*\"", "[\"oss:*\", \"ram:DeleteGroup\"]");
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
        ("ram:UntagUser", "ram:UpdateUser"),
        ("ims:*", "ram:*"),
        ("ims:UntagResources", "ram:UntagResources"),
        ("rma:TagResources", "ram:TagResources"),
        ("ram:ListChanges", "untag:ListChanges"),
        ("untga:GetChange", "untag:GetChange"),
        ("untag:GetChanges", "untag:GetChange"),
        ("untag:UntagResources", "ram:UntagResources"),
        ("oss:DeleteObject", "ram:DeleteUser"),
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
        (r#"["ram:*", "ram:ListChanges"]"#, "untag:ListChanges"),
        (r#"["untag:*", "untag:ListChange"]"#, "untag:ListChanges"),
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
