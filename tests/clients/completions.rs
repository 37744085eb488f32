//! What bash completes when somebody types a command and presses Tab.

use std::process::Command;

use crate::{Printed, Sample};

/// What bash offers for the last word of a line. The script is the one that `untag completions bash` prints.
fn offered(sample: &Sample, line: &str) -> Vec<String> {
    let script = r#"
        untag() { "$PROGRAM" "$@"; }
        source <(untag completions bash)
        read -ra COMP_WORDS <<< "$LINE"
        [[ $LINE != *' ' ]] || COMP_WORDS+=('')
        COMP_CWORD=$((${#COMP_WORDS[@]} - 1))
        COMP_TYPE=9
        _clap_complete_untag untag "${COMP_WORDS[-1]}" "${COMP_WORDS[-2]}"
        printf '%s\n' "${COMPREPLY[@]}"
    "#;
    let mut bash = Command::new("bash");
    bash.args(["--norc", "-c", script])
        .env("PROGRAM", env!("CARGO_BIN_EXE_untag"))
        .env("LINE", line)
        .env("UNTAG_ADDRESS", sample.server.address.to_string());
    let printed = Printed::of(&mut bash);
    assert_eq!(printed.stderr, "", "{line}");
    printed.success().lines().map(str::to_owned).collect()
}

#[test]
fn keys_and_values_are_those_that_users_of_the_service_carry() {
    let sample = Sample::start(&[]);
    let keys = ["cost-center", "env", "on-call", "team"];
    for (line, expected) in [
        ("untag tags remove 1 --tag ", &keys[..]),
        ("untag tags remove 1 --tag t", &["team"]),
        ("untag tags list --tag e", &["env"]),
        ("untag tags keys --tag o", &["on-call"]),
        ("untag users list --tag e", &["env"]),
        ("untag users list --tag env=", &["env=prod", "env=test"]),
        ("untag users list --tag env=t", &["env=test"]),
        ("untag users add a@example.com --tag te", &["team="]),
        ("untag tags set 1 te", &["team="]),
        ("untag changes list --tag te", &["team"]),
        // None but the service's.
        ("untag tags list --tag x", &[]),
    ] {
        let offered = offered(&sample, line);
        let offered: Vec<&str> = offered.iter().map(String::as_str).collect();
        let offered: Vec<&str> = offered
            .into_iter()
            .filter(|word| !word.is_empty())
            .collect();
        assert_eq!(offered, expected, "{line}");
    }
}

#[test]
fn flags_of_the_line_say_whom_to_ask() {
    let sample = Sample::start(&[]);
    let address = sample.server.address;
    let other = "untag tags remove 1 --address 127.0.0.1:1 --account 7";
    assert_eq!(offered(&sample, &format!("{other} --tag t")), [""]);
    // What comes behind the word says it too, and what is not finished does not matter.
    let of_sample =
        format!("untag tags remove --bad --address {address} --account 1000000000000001 --tag t");
    assert_eq!(offered(&sample, &of_sample), ["team"]);
    let of_nobody = format!("untag tags remove --address={address} --account=7 --tag t");
    assert_eq!(offered(&sample, &of_nobody), [""]);
}

#[test]
fn commands_and_flags_are_completed_without_a_service() {
    let mut sample = Sample::start(&[]);
    sample.server.kill();
    assert_eq!(offered(&sample, "untag chec"), ["check-policy"]);
    assert_eq!(
        offered(&sample, "untag tags remove --fr"),
        ["--from-file", "--from-line"]
    );
    assert_eq!(offered(&sample, "untag tags remove 1 --tag t"), [""]);
}
