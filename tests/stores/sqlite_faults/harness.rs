//! Stores to do harm to, and ways to ask the service what it makes of it.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use rusqlite::Connection;
use serde_json::{Value, json};
use tempfile::TempDir;
use tonic::transport::{Channel, Endpoint};
use tonic::{Code, Status};
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_check_response::ServingStatus;
use tonic_health::pb::health_client::HealthClient;
use tonic_types::StatusExt as _;
use untag::domain::{AccountId, ResourceId, TagKey, TagSelection, Targets, UntagCommand};
use untag::grpc::proto::list_tag_resources_request::Resources as ListResources;
use untag::grpc::proto::tag_resources_request::Resources as TagResources;
use untag::grpc::proto::tag_service_client::TagServiceClient;
use untag::grpc::proto::untag_resources_request::Resources;
use untag::grpc::proto::{
    ListTagResourcesRequest, ResourceIds, Tag, TagResourcesRequest, UntagResourcesRequest,
};

use crate::support::{PATIENCE, Server, run, untag};

pub const ACCOUNT: &str = "1000000000000001";

/// A data directory whose users 1000, 1001 and so on carry `gone` and `kept`.
pub struct Data {
    directory: TempDir,
}

/// The export lines of such users.
pub fn user_lines(count: usize) -> String {
    let mut lines = String::new();
    for id in 1000..1000 + count {
        let user = json!({
            "account_id": ACCOUNT, "resource_type": "user", "resource_id": id.to_string(),
            "principal_name": format!("user-{id}@example.com"),
            // Long enough that a few users fill a page of the database.
            "tags": { "gone": "x".repeat(100), "kept": "y".repeat(100) },
        });
        writeln!(lines, "{user}").unwrap();
    }
    lines
}

impl Data {
    /// A directory without a store.
    pub fn empty() -> Self {
        Self {
            directory: tempfile::tempdir().unwrap(),
        }
    }

    pub fn with_users(count: usize) -> Self {
        let data = Self::empty();
        let file = data.path().join("users.jsonl");
        std::fs::write(&file, user_lines(count)).unwrap();
        let imported = data.subcommand("import", &[file.to_str().unwrap()]);
        assert_eq!(imported, Ok(()));
        std::fs::remove_file(file).unwrap();
        data
    }

    pub fn path(&self) -> &Path {
        self.directory.path()
    }

    pub fn database(&self) -> PathBuf {
        self.path().join("untag.db")
    }

    pub fn bytes(&self) -> Vec<u8> {
        std::fs::read(self.database()).unwrap()
    }

    /// SQLite as another program would open the file.
    pub fn connect(&self) -> Connection {
        Connection::open(self.database()).unwrap()
    }

    pub fn serve(&self) -> Server {
        Server::start(self.path(), &["--default-account", ACCOUNT])
    }

    /// Runs a subcommand on the directory. `Err` has what it says when it fails.
    pub fn subcommand(&self, name: &str, arguments: &[&str]) -> Result<(), String> {
        let all = [
            &[name, "--data-dir", self.path().to_str().unwrap()],
            arguments,
        ]
        .concat();
        let output = run(&all);
        let stderr = String::from_utf8(output.stderr).unwrap();
        if output.status.success() {
            Ok(())
        } else {
            Err(stderr)
        }
    }

    /// Starts a service that must not start, and returns what it says.
    pub fn serve_refused(&self) -> String {
        let mut command = untag();
        command.args(["serve", "--data-dir"]).arg(self.path());
        refused(command)
    }

    /// The keys of every user, as an export shows them.
    pub fn keys(&self) -> Keys {
        exported_keys(self.path())
    }
}

/// Runs an `untag serve` command that must end by itself with a failure, and returns what it says.
pub fn refused(mut command: Command) -> String {
    command
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    let deadline = Instant::now() + PATIENCE;
    while child.try_wait().unwrap().is_none() {
        if Instant::now() > deadline {
            child.kill().unwrap();
            child.wait().unwrap();
            panic!("the service has started on a directory that it must refuse");
        }
        thread::sleep(Duration::from_millis(5));
    }
    let output = child.wait_with_output().unwrap();
    assert!(!output.status.success());
    String::from_utf8(output.stderr).unwrap()
}

/// Id -> the keys of its tags.
pub type Keys = BTreeMap<String, Vec<String>>;

pub fn exported_keys(directory: &Path) -> Keys {
    let output = run(&["export", "--data-dir", directory.to_str().unwrap()]);
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    let lines = String::from_utf8(output.stdout).unwrap();
    let user = |line: &str| {
        let user: Value = serde_json::from_str(line).unwrap();
        let keys = user["tags"].as_object().unwrap().keys().cloned().collect();
        (user["resource_id"].as_str().unwrap().to_owned(), keys)
    };
    lines.lines().map(user).collect()
}

/// The tag service, with the requests that these tests make.
#[derive(Clone)]
pub struct Client(TagServiceClient<Channel>);

impl Client {
    pub async fn of(server: &Server) -> Self {
        Self(server.client().await)
    }

    /// Removes the tag `gone` from a user.
    pub async fn untag(&self, id: &str) -> Result<(), Status> {
        let request = UntagResourcesRequest {
            resources: Some(Resources::ResourceIds(ResourceIds {
                values: vec![id.to_owned()],
            })),
            tag_keys: vec!["gone".to_owned()],
            ..Default::default()
        };
        self.0.clone().untag_resources(request).await.map(drop)
    }

    /// Sets a tag of a user.
    pub async fn tag(&self, id: &str, key: &str) -> Result<(), Status> {
        let request = TagResourcesRequest {
            resources: Some(TagResources::ResourceIds(ResourceIds {
                values: vec![id.to_owned()],
            })),
            tags: vec![Tag {
                key: key.to_owned(),
                value: String::new(),
            }],
            ..Default::default()
        };
        self.0.clone().tag_resources(request).await.map(drop)
    }

    /// The keys that a user has now.
    pub async fn keys(&self, id: &str) -> Vec<String> {
        let ids = ResourceIds {
            values: vec![id.to_owned()],
        };
        let request = ListTagResourcesRequest {
            resources: Some(ListResources::ResourceIds(ids)),
            ..Default::default()
        };
        let list = self
            .0
            .clone()
            .list_tag_resources(request)
            .await
            .unwrap()
            .into_inner();
        list.tag_resources
            .into_iter()
            .map(|tag| tag.tag_key)
            .collect()
    }
}

/// Removes the tag `gone` from a user, past the service.
pub fn untag_command(id: u32) -> Arc<UntagCommand> {
    Arc::new(UntagCommand {
        account: AccountId::parse(ACCOUNT).unwrap(),
        targets: Targets::Ids(vec![ResourceId::parse(id.to_string()).unwrap()]),
        selection: TagSelection::Keys(vec![TagKey::parse("gone").unwrap()]),
        expected: None,
        allow_missing: false,
        validate_only: false,
    })
}

/// Checks that a caller is told to come again, and whether the change may have been made.
pub fn assert_unavailable(status: &Status, reason: &str, applied: &str) {
    assert_eq!(status.code(), Code::Unavailable, "{status:?}");
    let message = status.message();
    assert!(
        message.contains(reason) && message.contains(applied),
        "{message}"
    );
    let details = status.get_error_details();
    assert!(
        details
            .retry_info()
            .is_some_and(|info| info.retry_delay.is_some()),
        "{details:?}"
    );
    assert!(details.request_info().is_some(), "{details:?}");
}

/// Waits until probes are told that the service is, or is not, serving.
pub async fn wait_for_health(server: &Server, wanted: ServingStatus) {
    let endpoint = Endpoint::from_shared(format!("http://{}", server.admin_address)).unwrap();
    let mut client = HealthClient::new(endpoint.connect().await.unwrap());
    let deadline = Instant::now() + PATIENCE;
    loop {
        let request = HealthCheckRequest {
            service: String::new(),
        };
        let status = client.check(request).await.unwrap().into_inner().status();
        if status == wanted {
            return;
        }
        assert!(
            Instant::now() < deadline,
            "still {status:?}: {:#?}",
            server.log_lines()
        );
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

/// Fails with what to install where a program is missing.
pub fn need(program: &str, package: &str) {
    let found = Command::new(program)
        .arg("--version")
        .stdout(Stdio::null())
        .status();
    assert!(
        found.is_ok(),
        "this test needs {program}: install the package {package}"
    );
}
