//! Serves for a moment, for tests of what the program prints.

use std::io::{BufRead as _, BufReader};
use std::process::{Command, Stdio};

/// Runs a `serve` until it is ready, ends it by SIGTERM, and returns its exit code and all that it wrote to stderr.
pub fn serve_briefly(command: &mut Command) -> (Option<i32>, String) {
    let mut child = command
        .stdin(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut log = String::new();
    let mut stderr = BufReader::new(child.stderr.take().unwrap());
    let mut asked_to_end = false;
    // Where it fails it closes stderr, which ends the loop too.
    while stderr.read_line(&mut log).unwrap() > 0 {
        if !asked_to_end
            && log
                .lines()
                .last()
                .is_some_and(|line| line.contains("ready"))
        {
            let sent = Command::new("kill").arg(child.id().to_string()).status();
            assert!(sent.expect("kill runs").success());
            asked_to_end = true;
        }
    }
    (child.wait().unwrap().code(), log)
}
