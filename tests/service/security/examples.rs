//! The examples of `examples/`, built as their README says, against a service that demands TLS and a token.

use std::env;
use std::fs;
use std::io::{BufRead as _, BufReader, Read as _};
use std::net::{SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use tempfile::TempDir;

use super::harness::Files;
use super::tokens;
use crate::support::{ALICE, Server, run};

const ROOT: &str = env!("CARGO_MANIFEST_DIR");

/// A path of the repository. What `scripts/setup` puts there has to be there.
fn path(name: &str) -> PathBuf {
    let path = Path::new(ROOT).join(name);
    assert!(
        path.exists(),
        "{} is missing: run scripts/setup",
        path.display()
    );
    path
}

/// Runs a command that has to succeed.
#[track_caller]
fn must(command: &mut Command) -> Output {
    let output = command
        .output()
        .expect("the program is installed (scripts/setup)");
    assert!(output.status.success(), "{command:?}: {output:?}");
    output
}

/// A folder with the contract as `untag proto` writes it for an example, and where the example is built.
struct Workshop(TempDir);

impl Workshop {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let contract = folder.path().join("contract");
        let written = run(&["proto", "--plain", contract.to_str().unwrap()]);
        assert!(written.status.success(), "{written:?}");
        Self(folder)
    }

    fn contract(&self) -> PathBuf {
        self.0.path().join("contract")
    }
}

/// What an example shows: a token, and the authority that it believes.
struct Caller {
    files: Files,
}

impl Caller {
    fn new() -> Self {
        let files = tokens::files();
        files.write("authority.pem", &files.servers.pem());
        files.write("token", &format!("{}\n", tokens::any_good()));
        Self { files }
    }

    fn serve_at(&self, address: SocketAddr) -> Server {
        let jwks = self.files.path("jwks.json");
        let rules = tokens::rules(jwks.to_str().unwrap());
        Server::spawn_at(self.files.command("0.05", &rules), address)
    }

    fn arguments(&self, address: SocketAddr, user: &str, key: &str) -> Vec<String> {
        let file = |name| self.files.path(name).to_str().unwrap().to_owned();
        vec![
            address.to_string(),
            file("authority.pem"),
            file("token"),
            user.to_owned(),
            key.to_owned(),
        ]
    }
}

/// Checks that an example, which `command` runs, removes a tag, tries again while the service is away, and tells what an error is
/// about.
fn check(command: impl Fn() -> Command) {
    let caller = Caller::new();
    // A port that nothing listens on yet.
    let listener = TcpListener::bind(("127.0.0.1", 0)).unwrap();
    let address = listener.local_addr().unwrap();
    drop(listener);
    let mut example = command()
        .args(caller.arguments(address, ALICE, "env"))
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut said = BufReader::new(example.stderr.take().unwrap());
    let mut line = String::new();
    // Node.js warns of addresses in TLS before.
    while !line.contains("once more: ") {
        assert_ne!(said.read_line(&mut line).unwrap(), 0, "{line}");
    }
    let server = caller.serve_at(address);
    said.read_to_string(&mut line).unwrap();
    let output = example.wait_with_output().unwrap();
    let printed = String::from_utf8(output.stdout).unwrap();
    assert!(output.status.success(), "{printed}{line}");
    assert!(
        printed.starts_with("removed 1 tag in revision 1, request "),
        "{printed}"
    );

    let mut refused = command();
    let Output { status, stdout, .. } = refused
        .args(caller.arguments(server.address, "7", "env"))
        .output()
        .unwrap();
    assert_eq!(status.code(), Some(1));
    let printed = String::from_utf8(stdout).unwrap();
    let code = "EntityNotExist.User: users that do not exist: 7; nothing was changed";
    for part in [code, "  user 7\n", "  request "] {
        assert!(printed.contains(part), "{printed}");
    }
    let mut invalid = command();
    let Output { stdout, .. } = invalid
        .args(caller.arguments(server.address, "x", "acs:a"))
        .output()
        .unwrap();
    let printed = String::from_utf8(stdout).unwrap();
    for part in [
        "InvalidParameter.ResourceId",
        "  resource_ids.values[0]: ",
        "  tag_keys[0]: ",
    ] {
        assert!(printed.contains(part), "{printed}");
    }
}

#[test]
fn python_example_removes_a_tag() {
    let workshop = Workshop::new();
    let python = path("target/venv/bin/python");
    let mut generate = Command::new(&python);
    generate
        .current_dir(&workshop.0)
        .args(["-m", "grpc_tools.protoc", "-I", "contract"]);
    must(generate.args([
        "--python_out=.",
        "--grpc_python_out=.",
        "ram/tag/v1/tag_service.proto",
    ]));
    check(|| {
        let mut command = Command::new(&python);
        command
            .arg(path("examples/python/client.py"))
            .env("PYTHONPATH", workshop.0.path());
        command
    });
}

#[test]
fn node_example_removes_a_tag() {
    let workshop = Workshop::new();
    check(|| {
        let mut command = Command::new("node");
        command
            .arg(path("examples/node/client.js"))
            .env("CONTRACT", workshop.contract())
            .env("NODE_PATH", path("target/npm/node_modules"));
        command
    });
}

#[test]
fn cpp_example_removes_a_tag() {
    let workshop = Workshop::new();
    let mut make = Command::new("make");
    make.arg("--quiet")
        .arg("-j2")
        .arg("-f")
        .arg(path("examples/cpp/Makefile"));
    must(make.current_dir(&workshop.0).env("CXXFLAGS", "-O0"));
    check(|| Command::new(workshop.0.path().join("client")));
}

#[test]
fn rust_example_removes_a_tag() {
    let workshop = Workshop::new();
    let mut cargo = Command::new(env!("CARGO"));
    // Beside the service, with the features of the quickstart: by itself it would have most dependencies compiled once more.
    cargo
        .args(["build", "--quiet", "--locked", "--offline"])
        .args(["--package", "untag", "--features", "untag/otlp"])
        .args(["--package", "untag-example", "--bin", "untag-example"])
        .current_dir(ROOT)
        .env("CONTRACT", workshop.contract());
    // What this test's own cargo says of its package would have build scripts run again, which then run again for all others.
    let own = |name: &str| {
        ["CARGO_PKG_", "CARGO_MANIFEST_"]
            .iter()
            .any(|start| name.starts_with(start))
    };
    for (name, _) in env::vars().filter(|(name, _)| own(name)) {
        cargo.env_remove(name);
    }
    must(&mut cargo);
    check(|| Command::new(path("target/debug/untag-example")));
}

/// What `scripts/setup` installs for the tests is what the examples ask for.
#[test]
fn the_examples_name_the_libraries_that_they_are_tested_with() {
    let setup = fs::read_to_string(path("scripts/setup")).unwrap();
    let package = fs::read_to_string(path("examples/node/package.json")).unwrap();
    let package: serde_json::Value = serde_json::from_str(&package).unwrap();
    for (name, variable) in [
        ("@grpc/grpc-js", "GRPC_JS_VERSION"),
        ("@grpc/proto-loader", "PROTO_LOADER_VERSION"),
    ] {
        let version = package["dependencies"][name].as_str().unwrap();
        assert!(
            setup.contains(&format!("{variable}={version}\n")),
            "{name} {version}"
        );
    }
    let installed = fs::read_to_string(path("scripts/requirements.txt")).unwrap();
    for line in fs::read_to_string(path("examples/python/requirements.txt"))
        .unwrap()
        .lines()
    {
        assert!(installed.lines().any(|other| other == line), "{line}");
    }
}
