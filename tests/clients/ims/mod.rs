//! The service in front of the cloud: another `untag` in the cloud's place, and an endpoint that misbehaves.

mod credentials;
mod endpoint;
mod faults;
mod pass_through;
mod users;

use std::fs;
use std::net::SocketAddr;
use std::process::Command;
use std::thread::sleep;
use std::time::{Duration, Instant};

use crate::support::http::get;
use crate::support::{ALICE, PATIENCE, SAMPLE_ACCOUNT, Server, sample, untag, untag_of};
use serde_json::json;
use tempfile::TempDir;
use tonic::Status;
use tonic_types::StatusExt as _;

const KEY_ID: &str = "LTAIexample";
const SECRET: &str = "secret-of-the-key";

/// Another `untag` as the cloud: its port for the RPC style, and the sample data.
struct Cloud {
    server: Server,
    _data: TempDir,
    rpc: SocketAddr,
}

impl Cloud {
    fn start(arguments: &[&str]) -> Self {
        Self::with_keys(&[(KEY_ID, SECRET, None)], arguments)
    }

    /// A cloud that knows these keys: id, secret, and the token of a temporary one.
    fn with_keys(keys: &[(&str, &str, Option<&str>)], arguments: &[&str]) -> Self {
        let files = tempfile::tempdir().unwrap();
        let path = files.path().join("keys.json");
        let keys = keys.iter().map(|(id, secret, token)| {
            let mut key = json!({"access_key_id": id, "access_key_secret": secret,
                "account_id": SAMPLE_ACCOUNT, "caller": "untag"});
            if let Some(token) = token {
                key["security_token"] = (*token).into();
            }
            key
        });
        let keys: Vec<_> = keys.collect();
        fs::write(&path, json!({"access_keys": keys}).to_string()).unwrap();
        let own = [
            "--listen-rpc",
            "127.0.0.1:0",
            "--access-keys",
            path.to_str().unwrap(),
        ];
        let (server, data) = sample(&[&own, arguments].concat());
        let line = server.wait_for_log_where("listening", |line| line["port"] == "rpc");
        Self {
            rpc: line["address"].as_str().unwrap().parse().unwrap(),
            server,
            _data: data,
        }
    }
}

/// `untag serve --store ims` for this endpoint, without credentials.
fn command(endpoint: SocketAddr, arguments: &[&str]) -> Command {
    command_for_url(&format!("http://{endpoint}"), arguments)
}

fn command_for_url(endpoint: &str, arguments: &[&str]) -> Command {
    let mut command = untag();
    for (name, _) in std::env::vars().filter(|(name, _)| name.starts_with("ALIBABA_CLOUD_")) {
        command.env_remove(name);
    }
    command
        .args([
            "serve",
            "--store",
            "ims",
            "--default-account",
            SAMPLE_ACCOUNT,
        ])
        .args(["--ims-endpoint", endpoint])
        .args(arguments);
    command
}

/// As [`command`], with the key in the environment.
fn with_key(endpoint: SocketAddr, arguments: &[&str]) -> Command {
    with_key_for_url(&format!("http://{endpoint}"), arguments)
}

fn with_key_for_url(endpoint: &str, arguments: &[&str]) -> Command {
    let mut command = command_for_url(endpoint, arguments);
    command
        .env("ALIBABA_CLOUD_ACCESS_KEY_ID", KEY_ID)
        .env("ALIBABA_CLOUD_ACCESS_KEY_SECRET", SECRET);
    command
}

/// Removes a tag of Alice: the RequestId.
async fn untag_alice(server: &Server) -> Result<String, Status> {
    let answer = server.client().await.untag_resources(untag_of(ALICE)).await;
    answer.map(|answer| answer.into_inner().request_id)
}

/// Waits until `/ready` says this.
fn wait_until_ready_says(server: &Server, expected: (u16, &str)) {
    let deadline = Instant::now() + PATIENCE;
    loop {
        let (status, text) = get(server, "/ready");
        if status == expected.0 && text.contains(expected.1) {
            return;
        }
        assert!(
            Instant::now() < deadline,
            "{status} {text}: {:#?}",
            server.log_lines()
        );
        sleep(Duration::from_millis(50));
    }
}

/// The cloud's code in a status.
fn code(status: &Status) -> String {
    let details = status.get_error_details();
    details.error_info().unwrap().metadata["code"].clone()
}
