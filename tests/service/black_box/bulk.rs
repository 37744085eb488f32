//! Runs imports and exports.

#![allow(dead_code, reason = "each test crate uses its own part")]

use std::io::Write as _;
use std::path::Path;
use std::process::{Command, Output, Stdio};

use super::home::Home;
use crate::support::{Server, untag};

/// Imports a file.
pub fn import_file(home: &Home, file: &Path) -> Output {
    home.command("import").arg(file).output().unwrap()
}

/// Imports lines from stdin.
pub fn import_stdin(home: &Home, lines: &[u8]) -> Output {
    import_with(home, &[], lines)
}

/// Imports lines from stdin, with these flags.
pub fn import_with(home: &Home, flags: &[&str], lines: &[u8]) -> Output {
    let mut command = home.command("import");
    command.args(flags);
    feed(command, lines)
}

/// Imports lines from stdin by a server, with these flags.
pub fn import_by(server: &Server, flags: &[&str], lines: &[u8]) -> Output {
    let mut command = untag();
    let address = server.address.to_string();
    command.args(["import", "--address", &address]).args(flags);
    feed(command, lines)
}

fn feed(mut command: Command, lines: &[u8]) -> Output {
    command
        .arg("-")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    // An import that has refused an earlier line reads no more.
    let _ = child.stdin.take().unwrap().write_all(lines);
    child.wait_with_output().unwrap()
}

/// All that is in a store, as text.
pub fn export(home: &Home) -> String {
    let output = home.command("export").arg("-").output().unwrap();
    assert!(output.status.success(), "{}", stderr(&output));
    String::from_utf8(output.stdout).unwrap()
}

/// The text that a program that has ended wrote to stderr.
pub fn stderr(output: &Output) -> String {
    String::from_utf8(output.stderr.clone()).unwrap()
}
