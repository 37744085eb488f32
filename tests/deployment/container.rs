//! Containers of the image that `scripts/image` builds, run by podman as hardened as Kubernetes can run them.

use std::fs::{self, Permissions};
use std::net::SocketAddr;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::sync::LazyLock;
use std::thread;
use std::time::{Duration, Instant};

use serde_json::Value;
use tempfile::TempDir;

use crate::support::PATIENCE;
use crate::support::http::{ask, series};
use crate::support::postgres::free_port;

/// The storage where buildah and podman keep the images and containers of the tests, apart from those of the machine. vfs
/// needs no overlay mounts, which not every container of a CI allows.
static STORAGE: LazyLock<String> = LazyLock::new(|| {
    let directory = Path::new(env!("CARGO_TARGET_TMPDIR")).join("containers");
    fs::create_dir_all(&directory).unwrap();
    let file = directory.join("storage.conf");
    let place = directory.display();
    let settings = format!(
        "[storage]\ndriver = \"vfs\"\ngraphroot = \"{place}/storage\"\nrunroot = \"{place}/run\"\n"
    );
    fs::write(&file, settings).unwrap();
    file.display().to_string()
});

/// The cargo profile of the program in the image: dev, which the quickstart shares, or what `UNTAG_IMAGE_PROFILE` says.
pub static PROFILE: LazyLock<String> =
    LazyLock::new(|| std::env::var("UNTAG_IMAGE_PROFILE").unwrap_or_else(|_| "dev".to_owned()));

/// Builds the image, once a test process, and returns its name.
pub fn image() -> &'static str {
    static IMAGE: LazyLock<String> = LazyLock::new(|| {
        let mut command = Command::new(concat!(env!("CARGO_MANIFEST_DIR"), "/scripts/image"));
        command
            .arg("localhost/untag:test")
            .env("UNTAG_IMAGE_PROFILE", &*PROFILE)
            .env("CONTAINERS_STORAGE_CONF", &*STORAGE)
            .stderr(Stdio::inherit());
        // What cargo tells tests about their package: build scripts of dependencies ask for it by the same names, and
        // with another answer than in a shell they would all be built again.
        for (name, _) in std::env::vars() {
            if name == "OUT_DIR"
                || name.starts_with("CARGO_PKG_")
                || name.starts_with("CARGO_MANIFEST_")
            {
                command.env_remove(name);
            }
        }
        let name = stdout(&command.output().expect("scripts/image runs"));
        // What was called so before.
        run(&["image", "prune", "--force"]);
        name
    });
    &IMAGE
}

/// The program that went into the image.
pub fn program() -> PathBuf {
    image();
    Path::new(env!("CARGO_MANIFEST_DIR")).join("target/image/root/untag")
}

/// podman, so that it works inside a container of a CI too.
pub fn podman(arguments: &[&str]) -> Command {
    let mut command = Command::new("podman");
    command
        .env("CONTAINERS_STORAGE_CONF", &*STORAGE)
        .args([
            "--runtime=runc",
            "--cgroup-manager=cgroupfs",
            // There need not be a systemd whose timers run health checks.
            "--log-level=fatal",
        ])
        .args(arguments)
        .stdin(Stdio::null());
    command
}

/// Runs podman to its end.
pub fn run(arguments: &[&str]) -> Output {
    let output = podman(arguments).output();
    output.unwrap_or_else(|error| panic!("podman: {error}: run scripts/setup image"))
}

/// The output of a command that has to succeed.
#[track_caller]
pub fn stdout(output: &Output) -> String {
    let error = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{}: {error}", output.status);
    let text = String::from_utf8(output.stdout.clone()).unwrap();
    text.trim_end().to_owned()
}

/// A user id, another one each time. An unprivileged user of podman has this many too.
pub fn random_uid() -> u32 {
    rand::random_range(1_000..60_000)
}

/// The arguments of `podman run` for every container of the service.
fn hardened(uid: u32) -> Vec<String> {
    let user = format!("--user={uid}:{uid}");
    let options = [
        "--read-only",
        // podman would otherwise put a tmpfs over /tmp, /run and /var/tmp, which Kubernetes does not.
        "--read-only-tmpfs=false",
        "--cap-drop=all",
        "--security-opt=no-new-privileges",
        &user,
        "--network=host",
        // podman would raise them, which not every container of a CI allows.
        "--ulimit=nofile=1024:1024",
        "--ulimit=nproc=1024:1024",
    ];
    options.map(str::to_owned).to_vec()
}

/// Runs the program in a container to its end.
pub fn run_once(options: &[&str], subcommand: &[&str]) -> Output {
    let hardened = hardened(random_uid());
    let mut arguments = vec!["run", "--rm"];
    arguments.extend(hardened.iter().map(String::as_str));
    arguments.extend(options);
    arguments.push(image());
    arguments.extend(subcommand);
    run(&arguments)
}

/// A container with the service. It is removed when this goes out of scope.
pub struct Container {
    id: String,
    /// The address of the tag service.
    pub address: SocketAddr,
    admin_address: SocketAddr,
}

impl Container {
    /// Starts the service with some options of `podman run`, and waits until it is ready.
    pub fn start(uid: u32, options: &[&str]) -> Self {
        image();
        let started = Instant::now();
        let container = Self::launch(uid, options, &["serve"]);
        container.wait_for_log("ready");
        println!("podman run to ready: {:?}", started.elapsed());
        container
    }

    /// Starts a subcommand with some options of `podman run`.
    pub fn launch(uid: u32, options: &[&str], subcommand: &[&str]) -> Self {
        let [address, admin_address] =
            [free_port(), free_port()].map(|port| SocketAddr::from(([127, 0, 0, 1], port)));
        let listen = format!("UNTAG_LISTEN={address}");
        let admin = format!("UNTAG_ADMIN_LISTEN={admin_address}");
        let hardened = hardened(uid);
        let mut arguments = vec!["run", "--detach", "--env", &listen, "--env", &admin];
        arguments.extend(hardened.iter().map(String::as_str));
        arguments.extend(options);
        arguments.push(image());
        arguments.extend(subcommand);
        Self {
            id: stdout(&run(&arguments)),
            address,
            admin_address,
        }
    }

    /// Waits for a line of the service's log with this message.
    pub fn wait_for_log(&self, message: &str) -> Value {
        let started = Instant::now();
        loop {
            let log = self.log();
            let lines = log
                .lines()
                .filter_map(|line| serde_json::from_str(line).ok());
            if let Some(line) = { lines }.find(|line: &Value| line["message"] == message) {
                return line;
            }
            assert!(started.elapsed() < PATIENCE, "no line {message:?}: {log}");
            thread::sleep(Duration::from_millis(10));
        }
    }

    /// Waits until a request is in flight.
    pub fn wait_for_request(&self) {
        let started = Instant::now();
        loop {
            let (_, text) = ask(self.admin_address, "GET", "/metrics", "");
            let in_flight = { series(&text) }.find(|(name, _)| name == "untag_requests_in_flight");
            if in_flight.is_some_and(|(_, count)| count > 0.0) {
                return;
            }
            assert!(started.elapsed() < PATIENCE, "no request: {text}");
            thread::sleep(Duration::from_millis(10));
        }
    }

    /// The log of the service.
    pub fn log(&self) -> String {
        let output = run(&["logs", &self.id]);
        String::from_utf8_lossy(&output.stderr).into_owned()
    }

    /// Runs a command inside.
    pub fn exec(&self, command: &[&str]) -> Output {
        run(&[&["exec", self.id.as_str()], command].concat())
    }

    /// Runs the image's HEALTHCHECK, and says whether it has passed.
    pub fn is_healthy(&self) -> bool {
        let checked = run(&["healthcheck", "run", &self.id]);
        let said = String::from_utf8_lossy(&checked.stderr).into_owned();
        match checked.status.code() {
            Some(0) => true,
            Some(1) => false,
            _ => panic!("{}: {said}", checked.status),
        }
    }

    /// A part of what podman knows about the container.
    pub fn inspect(&self, template: &str) -> String {
        stdout(&run(&["inspect", "--format", template, &self.id]))
    }

    /// The values of these columns of `podman top` for the only process inside.
    pub fn process(&self, columns: &[&str]) -> Vec<String> {
        let table = stdout(&run(&[&["top", self.id.as_str()], columns].concat()));
        let lines: Vec<&str> = table.lines().collect();
        assert_eq!(lines.len(), 2, "a heading and one process: {table}");
        lines[1].split_whitespace().map(str::to_owned).collect()
    }

    /// Sends SIGTERM, as the kubelet does.
    pub fn terminate(&self) {
        stdout(&run(&["kill", "--signal=TERM", &self.id]));
    }

    /// Waits for the end, and returns the exit code.
    pub fn wait(&self) -> i32 {
        stdout(&run(&["wait", &self.id])).parse().unwrap()
    }
}

impl Drop for Container {
    fn drop(&mut self) {
        run(&["rm", "--force", "--time=0", &self.id]);
    }
}

/// A directory for the embedded store, which any user may write to, and the option that mounts it where the image
/// expects it.
pub fn volume() -> (TempDir, String) {
    let directory = tempfile::tempdir().unwrap();
    fs::set_permissions(directory.path(), Permissions::from_mode(0o777)).unwrap();
    let option = format!("--volume={}:/data", directory.path().display());
    (directory, option)
}
