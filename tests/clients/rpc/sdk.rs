//! The official SDKs, each a program that answers calls.

use std::io::{BufRead as _, BufReader, Write as _};
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

use serde_json::{Value, json};

use super::{KEY_ID, SECRET};

/// An SDK that points at a service.
pub struct Sdk {
    child: Child,
    calls: ChildStdin,
    answers: BufReader<ChildStdout>,
}

/// The official SDKs for Python and Node.js, pointed at a service.
pub fn all(service: SocketAddr) -> [Sdk; 2] {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut python = Command::new(root.join("target/venv/bin/python"));
    python.arg(root.join("tests/clients/rpc/ims_client.py"));
    let mut node = Command::new("node");
    node.env("NODE_PATH", root.join("target/npm/node_modules"));
    node.arg(root.join("tests/clients/rpc/ims_client.js"));
    [python, node].map(|command| Sdk::start(command, service))
}

impl Sdk {
    fn start(mut command: Command, service: SocketAddr) -> Self {
        let mut child = command
            .arg(service.to_string())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("the SDK's program runs: run scripts/setup");
        Self {
            calls: child.stdin.take().unwrap(),
            answers: BufReader::new(child.stdout.take().unwrap()),
            child,
        }
    }

    /// Calls with the test's access key.
    pub fn call(&mut self, action: &str, request: &Value) -> Value {
        let key = json!({"access_key_id": KEY_ID, "access_key_secret": SECRET});
        self.call_with(key, action, request)
    }

    /// Calls with this access key.
    pub fn call_with(&mut self, mut key: Value, action: &str, request: &Value) -> Value {
        key["action"] = action.into();
        key["request"] = request.clone();
        writeln!(self.calls, "{key}").unwrap();
        let mut answer = String::new();
        self.answers.read_line(&mut answer).unwrap();
        let answer = serde_json::from_str(&answer);
        answer.unwrap_or_else(|_| panic!("the SDK gives no answer to {key}"))
    }
}

impl Drop for Sdk {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
