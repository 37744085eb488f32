//! The clients that people use, against the real service: grpcurl, buf curl, curl, the official Python library, and the program's own
//! command line; those that speak the cloud's RPC style; the cloud itself, when the service is its client; and those that check the
//! contract's rules before they ask.

#![allow(clippy::too_many_lines, reason = "a test may be a long table of cases")]

#[path = "../support/mod.rs"]
mod support;

mod buf_curl;
mod changes;
mod changes_revert;
mod changes_watch;
mod completions;
mod contract_rules;
mod curl;
mod docs;
mod grpcurl;
mod ims;
mod links;
mod proto;
mod python;
mod rpc;
mod service_config;
mod tags;
mod tags_failures;
mod tags_of_files;
mod tags_repeated;
mod users;

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use rusqlite::Connection;
use serde_json::{Value, json};
use support::{SAMPLE_ACCOUNT, Server};
use tempfile::TempDir;

const UNTAG: &str = "ram.tag.v1.TagService/UntagResources";
const TAG: &str = "ram.tag.v1.TagService/TagResources";
const LIST: &str = "ram.tag.v1.TagService/ListTagResources";

/// A tool that `scripts/setup` installs. A test whose tool is missing fails.
fn tool(path: &str) -> Command {
    let path = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("target")
        .join(path);
    assert!(
        path.exists(),
        "{} is missing: run scripts/setup",
        path.display()
    );
    Command::new(path)
}

/// A service with the sample data, and the directory that it keeps.
struct Sample {
    server: Server,
    directory: TempDir,
}

impl Sample {
    fn start(arguments: &[&str]) -> Self {
        let (server, directory) = support::sample(arguments);
        Self { server, directory }
    }

    /// Keeps the service from writing for as long as the connection lives.
    fn hold_store(&self) -> Connection {
        support::hold_store(self.directory.path())
    }
}

/// The output of a tool.
struct Printed {
    code: Option<i32>,
    stdout: String,
    stderr: String,
}

impl Printed {
    fn of(command: &mut Command) -> Self {
        let Output {
            status,
            stdout,
            stderr,
        } = command.output().expect("the tool runs");
        let text = |bytes| String::from_utf8(bytes).unwrap();
        Self {
            code: status.code(),
            stdout: text(stdout),
            stderr: text(stderr),
        }
    }

    /// The output of a tool that has to have succeeded.
    fn success(self) -> String {
        let Self {
            code,
            stdout,
            stderr,
        } = self;
        assert_eq!(code, Some(0), "{stdout}{stderr}");
        stdout
    }

    /// The answer that a tool which has succeeded has printed.
    fn answer(self) -> Value {
        serde_json::from_str(&self.success()).expect("an answer as JSON")
    }
}

/// Fails unless a text has every one of the parts.
#[track_caller]
fn assert_has(text: &str, parts: &[&str]) {
    for part in parts {
        assert!(text.contains(part), "no {part} in: {text}");
    }
}

/// The tag keys in an answer to ListTagResources.
fn listed_keys(answer: &Value) -> Vec<&str> {
    let tags = answer["tagResources"]
        .as_array()
        .map_or(&[][..], Vec::as_slice);
    tags.iter()
        .map(|tag| tag["tagKey"].as_str().unwrap())
        .collect()
}

/// Users of the sample account, for `untag import`.
fn import_users(directory: &TempDir, users: impl IntoIterator<Item = (u64, String)>) -> PathBuf {
    let data = directory.path().join("data");
    let file = directory.path().join("users.jsonl");
    let lines = users.into_iter().map(|(id, name)| {
        let user = json!({
            "account_id": SAMPLE_ACCOUNT,
            "resource_type": "user",
            "resource_id": id.to_string(),
            "principal_name": name,
            "tags": { "env": "prod", "team": "search" },
        });
        format!("{user}\n")
    });
    std::fs::write(&file, lines.collect::<String>()).unwrap();
    let imported = support::run(&[
        "import",
        "--data-dir",
        data.to_str().unwrap(),
        file.to_str().unwrap(),
    ]);
    assert!(imported.status.success(), "{imported:?}");
    data
}
