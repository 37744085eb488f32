//! The real binary under test, on free loopback ports and with its log at hand.

#![allow(dead_code, reason = "each test crate uses its own part")]

pub mod authority;
pub mod frames;
pub mod http;
pub mod long_run;
pub mod mounts;
pub mod postgres;
pub mod replay;
pub mod slow_disk;
pub mod test_database;
pub mod watcher;

use std::io::{BufRead as _, BufReader};
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Output, Stdio};
use std::sync::{Arc, Condvar, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use rusqlite::Connection;
use serde_json::Value;
use tempfile::TempDir;
use tonic::transport::{Channel, Endpoint};
use tonic_health::pb::health_client::HealthClient;
use untag::domain::{Action, Origin, Timestamp};
use untag::grpc::proto::tag_service_client::TagServiceClient;
use untag::grpc::proto::{
    ListTagResourcesRequest, ResourceIds, TagFilter, UntagResourcesRequest, untag_resources_request,
};

/// How long anything that should happen soon may take on a busy machine.
pub const PATIENCE: Duration = Duration::from_secs(30);

/// The account of `--sample-data`, and its three users.
pub const SAMPLE_ACCOUNT: &str = "1000000000000001";
/// Alice, who has the tags `cost-center`, `env` and `team`.
pub const ALICE: &str = "2073290024939201";

/// The program under test. What serves, and is not told where, takes free ports: tests run at once.
pub fn untag() -> Command {
    let mut command = untag_as_it_is();
    for name in ["UNTAG_LISTEN", "UNTAG_ADMIN_LISTEN"] {
        command.env(name, "127.0.0.1:0");
    }
    command
}

/// The program under test with no variables of its own.
fn untag_as_it_is() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_untag"));
    for (name, _) in std::env::vars()
        .filter(|(name, _)| ["UNTAG_", "OTEL_"].iter().any(|own| name.starts_with(own)))
    {
        command.env_remove(name);
    }
    command
}

/// A program that runs another one, such as strace, in the environment which that one was given.
pub fn wrapper(name: &str, program: &Command) -> Command {
    let mut command = Command::new(name);
    for (name, value) in program.get_envs() {
        match value {
            Some(value) => command.env(name, value),
            None => command.env_remove(name),
        };
    }
    command
}

/// The origin of a change that is made past the service: each has a RequestId of its own.
pub fn origin() -> Arc<Origin> {
    Arc::new(Origin::local(
        Action::UntagResources,
        Timestamp::from_millis(1_700_000_000_000),
    ))
}

/// A request that lists the users with the tag `team`.
pub fn list() -> ListTagResourcesRequest {
    ListTagResourcesRequest {
        tags: vec![TagFilter {
            key: "team".to_owned(),
            value: None,
        }],
        ..ListTagResourcesRequest::default()
    }
}

/// A request that removes the tag `env` from a user.
pub fn untag_of(id: &str) -> UntagResourcesRequest {
    let values = vec![id.to_owned()];
    UntagResourcesRequest {
        resources: Some(untag_resources_request::Resources::ResourceIds(
            ResourceIds { values },
        )),
        tag_keys: vec!["env".to_owned()],
        ..UntagResourcesRequest::default()
    }
}

/// A service with the sample data, and the directory that it keeps.
pub fn sample(arguments: &[&str]) -> (Server, TempDir) {
    let directory = tempfile::tempdir().unwrap();
    let arguments: Vec<&str> = [&["--sample-data"], arguments].concat();
    let server = Server::start(directory.path(), &arguments);
    (server, directory)
}

/// Keeps a service from writing to its directory for as long as the connection lives.
pub fn hold_store(directory: &Path) -> Connection {
    let connection = Connection::open(directory.join("untag.db")).unwrap();
    connection.busy_timeout(PATIENCE).unwrap();
    connection.execute_batch("BEGIN IMMEDIATE").unwrap();
    connection
}

/// Waits until something is so.
pub fn wait_until(what: &str, is_so: impl Fn() -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !is_so() {
        assert!(Instant::now() < deadline, "not within {PATIENCE:?}: {what}");
        thread::sleep(Duration::from_millis(20));
    }
}

/// What the program says of a subcommand, in lines of 100 characters.
pub fn help(arguments: &[&str]) -> String {
    let mut command = untag_as_it_is();
    let help = command.args(arguments).arg("--help").env("COLUMNS", "100");
    let output = help.output().expect("untag runs");
    assert!(output.status.success());
    String::from_utf8(output.stdout).unwrap()
}

/// Runs a subcommand to its end.
pub fn run(arguments: &[&str]) -> Output {
    untag().args(arguments).output().expect("untag runs")
}

/// A client of the health of a port.
pub async fn health_client(address: SocketAddr) -> HealthClient<Channel> {
    let endpoint = Endpoint::from_shared(format!("http://{address}")).unwrap();
    let channel = endpoint.connect().await;
    HealthClient::new(channel.expect("the port accepts connections"))
}

/// A running `untag serve`; killed when it goes out of scope.
pub struct Server {
    child: Child,
    log: Arc<Log>,
    /// The address of the tag service.
    pub address: SocketAddr,
    /// The address of the admin port.
    pub admin_address: SocketAddr,
}

#[derive(Default)]
struct Log {
    lines: Mutex<Vec<Value>>,
    grown: Condvar,
}

impl Log {
    fn wait_for(&self, wanted: impl Fn(&Value) -> bool) -> Option<Value> {
        let deadline = Instant::now() + PATIENCE;
        let mut lines = self.lines.lock().unwrap();
        loop {
            if let Some(line) = lines.iter().find(|line| wanted(line)) {
                return Some(line.clone());
            }
            let left = deadline.checked_duration_since(Instant::now())?;
            lines = self.grown.wait_timeout(lines, left).unwrap().0;
        }
    }
}

impl Server {
    /// Starts the service on a data directory and waits until it is ready.
    pub fn start(data_dir: &Path, arguments: &[&str]) -> Self {
        let mut command = untag();
        command
            .args(["serve", "--data-dir"])
            .arg(data_dir)
            .args(arguments);
        Self::spawn(command)
    }

    /// Starts a prepared `untag serve` command and waits until it is ready.
    pub fn spawn(command: Command) -> Self {
        Self::spawn_at(command, ([127, 0, 0, 1], 0).into())
    }

    /// As [`Server::spawn`], with the tag service at this address.
    pub fn spawn_at(command: Command, address: SocketAddr) -> Self {
        let server = Self::launch(command, address);
        server.wait_for_log("ready");
        server
    }

    /// As [`Server::spawn_at`], and waits only until the ports are open.
    pub fn launch(mut command: Command, address: SocketAddr) -> Self {
        command.args(["--listen", &address.to_string()]).args([
            "--admin-listen",
            "127.0.0.1:0",
            "--log-format",
            "json",
        ]);
        Self::launch_as_it_is(command)
    }

    /// As [`Server::spawn`], and adds no flag.
    pub fn spawn_as_it_is(command: Command) -> Self {
        let server = Self::launch_as_it_is(command);
        server.wait_for_log("ready");
        server
    }

    fn launch_as_it_is(mut command: Command) -> Self {
        command.stdin(Stdio::null()).stderr(Stdio::piped());
        let mut child = command.spawn().expect("untag starts");
        let log = Arc::new(Log::default());
        let stderr = BufReader::new(child.stderr.take().unwrap());
        let sink = Arc::clone(&log);
        thread::spawn(move || {
            for line in stderr.lines().map_while(Result::ok) {
                let line = serde_json::from_str(&line).unwrap_or(Value::String(line));
                sink.lines.lock().unwrap().push(line);
                sink.grown.notify_all();
            }
        });
        let mut server = Self {
            child,
            log,
            address: ([0; 4], 0).into(),
            admin_address: ([0; 4], 0).into(),
        };
        server.address = server.wait_for_port("tags");
        server.admin_address = server.wait_for_port("admin");
        server
    }

    fn wait_for_port(&self, port: &str) -> SocketAddr {
        let line = self
            .log
            .wait_for(|line| line["message"] == "listening" && line["port"] == port);
        let line = line.unwrap_or_else(|| panic!("no port {port}: {:#?}", self.log_lines()));
        line["address"].as_str().unwrap().parse().unwrap()
    }

    /// Waits for a line of the log with this message.
    pub fn wait_for_log(&self, message: &str) -> Value {
        self.wait_for_log_where(message, |_| true)
    }

    /// Waits for a line of the log with this message that fits.
    pub fn wait_for_log_where(&self, message: &str, fits: impl Fn(&Value) -> bool) -> Value {
        let line = self
            .log
            .wait_for(|line| line["message"] == message && fits(line));
        line.unwrap_or_else(|| panic!("no line {message:?}: {:#?}", self.log_lines()))
    }

    /// The log so far, a JSON object a line.
    pub fn log_lines(&self) -> Vec<Value> {
        self.log.lines.lock().unwrap().clone()
    }

    /// How many lines of the log so far fit.
    pub fn count_in_log(&self, fits: impl Fn(&Value) -> bool) -> usize {
        let lines = self.log.lines.lock().unwrap();
        lines.iter().filter(|line| fits(line)).count()
    }

    /// A channel to the tag service.
    pub async fn channel(&self) -> Channel {
        let endpoint = Endpoint::from_shared(format!("http://{}", self.address)).unwrap();
        endpoint
            .connect()
            .await
            .expect("the service accepts connections")
    }

    /// A client of the tag service.
    pub async fn client(&self) -> TagServiceClient<Channel> {
        TagServiceClient::new(self.channel().await)
    }

    /// The process id.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Sends a signal by its name, such as `TERM`.
    pub fn signal(&self, name: &str) {
        let sent = Command::new("kill")
            .args([&format!("-{name}"), &self.pid().to_string()])
            .status();
        assert!(sent.expect("kill runs").success());
    }

    /// Waits for the process to end by itself.
    pub fn wait(&mut self, patience: Duration) -> ExitStatus {
        let deadline = Instant::now() + patience;
        loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                return status;
            }
            assert!(
                Instant::now() < deadline,
                "still running: {:#?}",
                self.log_lines()
            );
            thread::sleep(Duration::from_millis(5));
        }
    }

    /// Whether the process has ended.
    pub fn has_ended(&mut self) -> bool {
        self.child.try_wait().unwrap().is_some()
    }

    /// Ends the process without notice, as a crash does.
    pub fn kill(&mut self) {
        // It may have ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.kill();
    }
}
