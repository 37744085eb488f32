//! The form of the lines of the log, and which of them are written.

use serde_json::Value;

use super::brief::serve_briefly;
use super::home::Home;

/// The log of a server that serves for a moment.
fn log_of(arguments: &[&str]) -> String {
    let home = Home::new();
    let (code, log) = serve_briefly(home.command("serve").args(arguments));
    assert_eq!(code, Some(0), "{log}");
    log
}

#[test]
fn text_lines_are_readable_and_without_colours_where_nobody_sees_them() {
    let log = log_of(&["--log-format", "text"]);
    let line = log.lines().find(|line| line.contains("listening")).unwrap();
    assert!(
        line.contains(" INFO ") && line.contains("address=127.0.0.1:"),
        "{line}"
    );
    assert!(!log.contains('\u{1b}'), "{log}");
}

#[test]
fn lines_are_json_where_stderr_is_no_terminal() {
    for line in log_of(&["--log-format", "auto"]).lines() {
        let line: Value = serde_json::from_str(line).unwrap();
        assert!(
            line["message"].is_string() && line["level"].is_string(),
            "{line}"
        );
    }
}

#[test]
fn the_log_level_decides_which_lines_are_written() {
    // Only the lines that tell of the readiness, and nothing of the ports.
    let log = log_of(&["--log-level", "warn,untag::server::readiness=info"]);
    assert_eq!(log.lines().count(), 1, "{log}");
    assert!(log.contains("\"ready\""), "{log}");
    let log = log_of(&["--log-level", "debug"]);
    assert!(
        log.contains("listening") && log.contains("drained"),
        "{log}"
    );
}

#[test]
fn a_log_level_that_is_none_is_refused() {
    let home = Home::new();
    let mut command = home.command("serve");
    let output = command
        .args(["--log-level", "untag=loud"])
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(1));
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(
        said.contains("untag=loud") && said.contains("write a level such as info"),
        "{said}"
    );
}
