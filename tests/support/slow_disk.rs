//! Makes the disk of a running server slow.

use std::io::{BufRead as _, BufReader};
use std::process::{Child, ChildStderr, Command, Stdio};
use std::time::Duration;

use crate::support::Server;

/// A disk that takes long to write, until it is dropped: strace holds up every sync of the server.
pub struct SlowDisk {
    strace: Child,
    /// Kept open: strace names each new thread there, and would end over a closed pipe.
    _messages: BufReader<ChildStderr>,
}

impl SlowDisk {
    /// Holds up each sync that begins from now on.
    pub fn attach(server: &Server, delay: Duration) -> Self {
        let mut command = Command::new("strace");
        command
            .args([
                "--follow-forks",
                "--trace=fsync,fdatasync",
                "--output=/dev/null",
            ])
            .arg(format!(
                "--inject=fsync,fdatasync:delay_enter={}",
                delay.as_micros()
            ))
            .arg(format!("--attach={}", server.pid()))
            .stdin(Stdio::null())
            .stderr(Stdio::piped());
        let mut strace = command
            .spawn()
            .expect("strace is installed (apt-get install strace)");
        let mut messages = BufReader::new(strace.stderr.take().unwrap());
        let mut said = String::new();
        messages.read_line(&mut said).unwrap();
        assert!(
            said.contains("attached"),
            "strace may trace the server (ptrace is allowed): {said}"
        );
        Self {
            strace,
            _messages: messages,
        }
    }
}

impl Drop for SlowDisk {
    fn drop(&mut self) {
        // Killed, and not asked: the kernel lets the server go on, where strace would wait for a server that has ended.
        let _ = self.strace.kill();
        let _ = self.strace.wait();
    }
}
