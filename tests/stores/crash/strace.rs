//! The server under strace, which sees each of its system calls and can hold them up.

use std::path::Path;
use std::process::{Command, Stdio};

use super::model::ACCOUNT;
use crate::support::{Server, untag, wrapper};

/// Starts the service on a data directory as a tracee: killing it ends strace too.
pub fn start_traced(data: &Path, strace_arguments: &[&str]) -> Server {
    let found = Command::new("strace")
        .arg("--version")
        .stdout(Stdio::null())
        .status();
    assert!(found.is_ok(), "this test needs strace: run scripts/setup");

    let program = untag();
    let mut command = wrapper("strace", &program);
    command
        // Detached, so that the child is the server and not strace; with its threads; no chatter on the server's stderr.
        .args(["-D", "-f", "-q"])
        .args(strace_arguments)
        .arg(program.get_program())
        .args(["serve", "--default-account", ACCOUNT, "--data-dir"])
        .arg(data);
    let server = Server::spawn(command);
    let status = std::fs::read_to_string(format!("/proc/{}/status", server.pid())).unwrap();
    assert!(
        !status.contains("TracerPid:\t0\n"),
        "strace may trace the server (ptrace is allowed)"
    );
    server
}
