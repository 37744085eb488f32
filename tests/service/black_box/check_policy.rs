//! `untag check-policy`.

use std::fs;
use std::path::Path;

use serde::Deserialize;
use serde_json::Value;

use crate::support::{run, untag};

const SAMPLE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/policy-example.json");
const CLEANER: &str = "spiffe://example.org/ns/billing/sa/cleaner";

/// Runs the command on a file with this text, which is shown as `policy.json`.
fn check(policy: &str, arguments: &[&str]) -> (i32, String) {
    let directory = tempfile::tempdir().unwrap();
    fs::write(directory.path().join("policy.json"), policy).unwrap();
    check_in(directory.path(), "policy.json", arguments)
}

fn check_in(directory: &Path, file: &str, arguments: &[&str]) -> (i32, String) {
    let output = untag()
        .args(["check-policy", file])
        .args(arguments)
        .current_dir(directory)
        .output()
        .unwrap();
    let printed = [output.stdout, output.stderr].concat();
    (
        output.status.code().unwrap(),
        String::from_utf8(printed).unwrap(),
    )
}

/// Asks for a decision on the sample in the documentation: on the cleaner in its account, unless told otherwise.
fn decide(arguments: &[&'static str]) -> (i32, String) {
    let mut given = vec!["--caller", CLEANER, "--account", "1000000000000001"];
    for pair in arguments.chunks(2) {
        match given.iter().position(|known| *known == pair[0]) {
            Some(place) => given[place + 1] = pair[1],
            None => given.extend(pair),
        }
    }
    check_in(Path::new("."), SAMPLE, &given)
}

#[test]
fn what_is_allowed_is_explained_and_exits_with_0() {
    let (code, printed) = decide(&["--action", "ram:UntagResources", "--source-ip", "10.1.2.3"]);
    assert_eq!(code, 0);
    insta::assert_snapshot!(printed);
}

#[test]
fn what_is_denied_is_explained_and_exits_with_1() {
    let explained = [
        &["--action", "ram:TagResources", "--source-ip", "10.1.2.3"][..],
        &["--action", "ram:untagresources"],
        &[
            "--action",
            "ram:UntagResources",
            "--source-ip",
            "::ffff:192.0.2.1",
        ],
        &[
            "--action",
            "ram:UntagResources",
            "--source-ip",
            "10.1.2.3",
            "--secure-transport",
            "false",
        ],
        &["--action", "ram:UntagResources", "--account", "7"],
        &["--action", "ram:UntagResources", "--caller", "jwt:mallory"],
    ]
    .map(|arguments| {
        let (code, printed) = decide(arguments);
        assert_eq!(code, 1, "{printed}");
        format!("$ {}\n{printed}", arguments.join(" "))
    });
    insta::assert_snapshot!(explained.join("\n"));
}

const ALLOW_INEFFECTIVE: &str = "--allow-ineffective-deny";

const DATES: &str = r#"{
  "Policies": {
    "until-august": {
      "Version": "1",
      "Statement": {
        "Effect": "Allow", "Action": "ram:*", "Resource": "*",
        "Condition": {"DateLessThan": {"acs:CurrentTime": "2026-08-12T17:00:00+08:00"}}
      }
    },
    "narrow": {
      "Version": "1",
      "Statement": [
        {"Effect": "Deny", "Action": "*", "Resource": "acs:ram:*:*:user/*"},
        {"Effect": "Allow", "NotAction": "ram:UntagResources", "Resource": "*"}
      ]
    },
    "spare": {"Version": "1", "Statement": [{"Effect": "Deny", "Action": "*", "Resource": "*"}]}
  },
  "Bindings": [{"Callers": "*", "Accounts": "*", "Policies": ["until-august", "narrow"]}]
}"#;

#[test]
fn the_time_is_given_and_the_account_is_not_where_no_binding_names_one() {
    let asked = [
        "--caller",
        "anonymous",
        "--action",
        "ram:UntagResources",
        "--time",
    ];
    let at = |time: &'static str| check(DATES, &[&asked[..], &[time, ALLOW_INEFFECTIVE]].concat());
    let (code, printed) = at("2026-08-12T08:59:59Z");
    assert_eq!(code, 0, "{printed}");
    let (code, printed) = at("2026-08-12T17:00:00+08:00");
    assert_eq!(code, 1);
    insta::assert_snapshot!(printed);
}

#[test]
fn a_file_alone_is_checked_and_what_has_no_effect_in_it_is_named() {
    let (code, printed) = check(DATES, &[ALLOW_INEFFECTIVE]);
    assert_eq!(code, 0, "{printed}");
    insta::assert_snapshot!(printed);
}

#[test]
fn an_ineffective_deny_is_refused_with_its_line_unless_it_is_allowed() {
    let decision = ["--caller", "anonymous", "--action", "ram:TagResources"];
    for arguments in [&[][..], &decision] {
        let (code, printed) = check(DATES, arguments);
        assert_eq!(code, 2, "{printed}");
        let wanted = "untag: policy.json: line 13, column 9: narrow, statement 1, Deny is ineffective: its Resource \
            [acs:ram:*:*:user/*] holds no plain *, and these actions have no narrower resources; write \
            \"Resource\": \"*\", or give --allow-ineffective-deny\n";
        assert_eq!(printed, wanted);
    }
}

#[test]
fn strict_makes_every_warning_an_error() {
    let (code, printed) = check(DATES, &[ALLOW_INEFFECTIVE, "--strict"]);
    assert_eq!(code, 2, "{printed}");
    insta::assert_snapshot!(printed);
    let decision = [
        "--strict",
        "--caller",
        CLEANER,
        "--action",
        "ram:TagResources",
    ];
    let (code, _) = check(DATES, &[&[ALLOW_INEFFECTIVE], &decision[..]].concat());
    assert_eq!(code, 2);
    let (code, printed) = check_in(Path::new("."), SAMPLE, &["--strict"]);
    assert_eq!(code, 0, "{printed}");
}

/// A document as somebody has it for the cloud, and what becomes of it here.
#[derive(Deserialize)]
struct Example {
    /// The subject of the explanation.
    about: String,
    document: Value,
    /// Why it is refused, where it is.
    refused: Option<String>,
    /// The warnings.
    #[serde(default)]
    warned: Vec<String>,
}

#[test]
fn documents_of_the_cloud_are_taken_unless_what_is_not_known_could_change_a_decision() {
    let documents: Vec<Example> = serde_json::from_str(include_str!("ram-policies.json")).unwrap();
    assert_eq!(documents.len(), 42);
    for Example {
        about,
        document,
        refused,
        warned,
    } in documents
    {
        let file = serde_json::json!({
            "Policies": {"p": document},
            "Bindings": [{"Callers": "*", "Accounts": "*", "Policies": "p"}],
        });
        let (code, printed) = check(&file.to_string(), &[]);
        let (wanted, said) = match refused {
            Some(reason) => (2, vec![reason]),
            None => (0, warned),
        };
        assert_eq!(code, wanted, "{about}: {printed}");
        for said in &said {
            assert!(printed.contains(said), "{about}: {said}: {printed}");
        }
        let warnings = printed.matches("\nwarning: ").count();
        assert_eq!(
            warnings == 0,
            wanted == 2 || said.is_empty(),
            "{about}: {printed}"
        );
    }
}

#[test]
fn a_file_that_is_wrong_exits_with_2_and_names_the_position() {
    let wrong = [
        ("\"acs:CurrentTime\"", "\"acs:MFAPresent\""),
        ("17:00:00+08:00", "17:00:00"),
        ("\"Callers\"", "\"Caller\""),
        ("[\"until-august\", ", "[\"until-september\", "),
        ("\"Version\"", "'Version'"),
    ];
    let printed = wrong.map(|(piece, replacement)| {
        let (code, printed) = check(&DATES.replacen(piece, replacement, 1), &[ALLOW_INEFFECTIVE]);
        assert_eq!(code, 2, "{printed}");
        printed
    });
    insta::assert_snapshot!(printed.concat());
}

#[test]
fn a_command_line_that_is_wrong_exits_with_2_and_names_what_is_missing() {
    for (arguments, named) in [
        (&["--caller", "anonymous"][..], "--action"),
        (&["--action", "ram:UntagResources"], "--caller"),
        (&["--account", "1"], "--caller"),
        (&["--source-ip", "::1"], "--caller"),
        (&["--secure-transport", "false"], "--caller"),
        (&["--time", "2026-08-12T17:00:00Z"], "--caller"),
        (
            &["--caller", "mallory", "--action", "ram:UntagResources"],
            "jwt:<subject>",
        ),
        (
            &[
                "--caller",
                "spiffe://example.org",
                "--action",
                "ram:UntagResources",
            ],
            "no certificate names that caller: it has no path",
        ),
        (
            &["--caller", "anonymous", "--action", "ram:DeleteGroup"],
            "ram:TagResources",
        ),
        (
            &["--caller", "anonymous", "--action", "ram:UntagResources"],
            "give --account: 1000000000000001, or another one",
        ),
        (
            &[
                "--caller",
                "anonymous",
                "--action",
                "ram:UntagResources",
                "--time",
                "noon",
            ],
            "ISO 8601",
        ),
        (
            &[
                "--caller",
                "anonymous",
                "--action",
                "ram:UntagResources",
                "--source-ip",
                "10.0.0.0/8",
            ],
            "--source-ip",
        ),
    ] {
        let (code, printed) = check_in(Path::new("."), SAMPLE, arguments);
        assert_eq!(code, 2, "{arguments:?}: {printed}");
        assert!(printed.contains(named), "{arguments:?}: {printed}");
    }
    let missing = run(&["check-policy", "no-such-file.json"]);
    assert_eq!(missing.status.code(), Some(2));
    let printed = String::from_utf8(missing.stderr).unwrap();
    assert!(
        printed.starts_with("untag: cannot read no-such-file.json: "),
        "{printed}"
    );
}

#[test]
fn the_documentation_shows_what_the_program_prints() {
    let page = include_str!("../../../docs/policies.md");
    let (_, session) = page.split_once("```console\n$ ").unwrap();
    let (session, _) = session.split_once("```").unwrap();
    for shown in session.replace("\\\n", "").split("\n$ ") {
        let (command, output) = shown.split_once('\n').unwrap();
        let words: Vec<_> = command.split_whitespace().collect();
        let (_, printed) = check_in(Path::new(env!("CARGO_MANIFEST_DIR")), words[2], &words[3..]);
        assert_eq!(words[..2], ["untag", "check-policy"]);
        assert_eq!(printed.trim_end(), output.trim_end());
    }
}
