//! The cloud's RPC style: the official SDKs, unmodified but for the endpoint, and requests that are signed by hand.

mod clock;
mod emulator;
mod forgeries;
mod parameters;
mod sdk;
mod sdks;
mod signed;
mod user_lists;
mod users;
mod wire;

use std::fs;
use std::net::SocketAddr;
use std::process::Command;

use crate::support::{SAMPLE_ACCOUNT, Server, sample, untag};
use serde_json::{Value, json};
use tempfile::{NamedTempFile, TempDir};

const KEY_ID: &str = "LTAIexample";
const SECRET: &str = "secret-of-the-key";
/// A temporary key.
const STS_KEY_ID: &str = "STS.example";
const STS_TOKEN: &str = "CAIS+token/of=the-key";

/// A service with the sample data that speaks the RPC style.
struct Service {
    server: Server,
    directory: TempDir,
    keys: NamedTempFile,
    rpc: SocketAddr,
}

/// An access key of the sample account, as the file has it.
fn key(id: &str, secret: &str, caller: &str) -> Value {
    json!({
        "access_key_id": id, "access_key_secret": secret, "account_id": SAMPLE_ACCOUNT, "caller": caller,
    })
}

fn key_file(keys: &[Value]) -> String {
    json!({"access_keys": keys}).to_string()
}

impl Service {
    fn start(arguments: &[&str]) -> Self {
        Self::with(|own| sample(&[own, arguments].concat()))
    }

    /// A service that keeps no tags, and stands in front of this endpoint.
    fn in_front_of(endpoint: &str) -> Self {
        Self::with(|own| {
            let mut command = untag();
            command.env("ALIBABA_CLOUD_ACCESS_KEY_ID", KEY_ID);
            command.env("ALIBABA_CLOUD_ACCESS_KEY_SECRET", SECRET);
            command.args(["serve", "--store", "ims", "--ims-endpoint", endpoint]);
            command
                .args(["--default-account", SAMPLE_ACCOUNT])
                .args(own);
            let server = Server::launch(command, ([127, 0, 0, 1], 0).into());
            (server, tempfile::tempdir().unwrap())
        })
    }

    /// A service on a store of its own, which this command serves.
    fn on(store: Command, arguments: &[&str]) -> Self {
        Self::with(|own| {
            let mut command = store;
            command.args(["serve", "--default-account", SAMPLE_ACCOUNT]);
            command.args(arguments).args(own);
            (Server::spawn(command), tempfile::tempdir().unwrap())
        })
    }

    fn with(start: impl FnOnce(&[&str]) -> (Server, TempDir)) -> Self {
        let mut visitor = key(STS_KEY_ID, SECRET, "visitor");
        visitor["security_token"] = STS_TOKEN.into();
        let keys = NamedTempFile::new().unwrap();
        fs::write(&keys, key_file(&[key(KEY_ID, SECRET, "cleaner"), visitor])).unwrap();
        let path = keys.path().to_str().unwrap();
        let (server, directory) = start(&["--listen-rpc", "127.0.0.1:0", "--access-keys", path]);
        let line = server.wait_for_log_where("listening", |line| line["port"] == "rpc");
        Self {
            rpc: line["address"].as_str().unwrap().parse().unwrap(),
            server,
            directory,
            keys,
        }
    }
}
