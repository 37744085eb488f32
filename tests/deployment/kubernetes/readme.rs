//! The commands of deploy/kubernetes/README.md, in their order, as one pastes them.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::process::Command;

use tempfile::TempDir;

use super::api_server::{ApiServer, kubectl};
use super::rendering::file;

/// Mentions of commands that are not whole.
const PARTS: [&str; 4] = [
    "kubectl apply -k",
    "kubectl apply -k .",
    "kubectl delete -k",
    "kubectl kustomize",
];

/// The files that a reader has, beside a copy of the repository.
const FILES: [&str; 3] = ["access-keys.json", "password", "users.jsonl"];

fn readme() -> String {
    fs::read_to_string(file("deploy/kubernetes/README.md")).unwrap()
}

/// The blocks of code in a language, and for `sh` the commands within lines too, in order.
fn code(language: &str) -> Vec<String> {
    let mut found = Vec::new();
    let mut block: Option<(bool, String)> = None;
    for line in readme().lines() {
        let fence = line.trim_start().strip_prefix("```");
        match (&mut block, fence) {
            (None, Some(named)) => block = Some((named == language, String::new())),
            (Some((wanted, text)), Some(_)) => {
                if *wanted {
                    found.push(std::mem::take(text));
                }
                block = None;
            }
            (Some((_, text)), None) => {
                text.push_str(line);
                text.push('\n');
            }
            (None, None) if language == "sh" => {
                let spans = line.split('`').skip(1).step_by(2);
                let commands = spans.filter(|span| span.starts_with("kubectl "));
                found.extend(
                    commands
                        .filter(|span| !PARTS.contains(span))
                        .map(str::to_owned),
                );
            }
            (None, None) => {}
        }
    }
    found
}

/// A directory as a reader has it.
fn directory() -> TempDir {
    let directory = tempfile::tempdir().unwrap();
    symlink(file("deploy"), directory.path().join("deploy")).unwrap();
    for name in FILES {
        fs::write(directory.path().join(name), "text").unwrap();
    }
    directory
}

/// Runs a command in a shell where `kubectl` is ours.
fn paste(command: &str, directory: &Path, kubeconfig: &Path) {
    let path = std::env::var("PATH").unwrap();
    let tools = file("target/kubernetes");
    // There is no kubelet, which alone can be attached to: the Job has to be there.
    let command = command.replace("attach -i job/", "get job/");
    let command = command.replace("logs --follow job/", "get job/");
    let output = Command::new("bash")
        .args(["-euo", "pipefail", "-c", &command])
        .current_dir(directory)
        .env("PATH", format!("{}:{path}", tools.display()))
        .env("KUBECONFIG", kubeconfig)
        .env("HOME", directory)
        .output()
        .unwrap();
    let error = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{command}: {error}");
}

#[test]
fn every_command_works_as_it_is_pasted_and_nothing_of_the_users_is_deleted_unasked() {
    let (server, directory) = (ApiServer::start(), directory());
    let commands = code("sh");
    let mut uninstalled = false;
    for command in &commands {
        paste(command, directory.path(), &server.kubeconfig());
        assert_eq!(server.names_in("default"), [] as [String; 0], "{command}");
        if command.contains("kubectl delete -k deploy/kubernetes/examples/embedded") {
            uninstalled = true;
            let left = server.names_in("untag");
            for kept in [
                "PersistentVolumeClaim data-untag-0",
                "Secret untag-access-keys",
                "Secret untag-store",
            ] {
                assert!(left.iter().any(|name| name == kept), "{kept}: {left:#?}");
            }
            assert!(!left.iter().any(|name| name.starts_with("StatefulSet")));
        }
    }
    assert!(uninstalled && commands.len() >= 14, "{commands:#?}");
    assert_eq!(server.names_in("untag"), [] as [String; 0]);
}

/// The lines before a kustomization that is shown in part.
const BEGINNING: &str = "
resources: [deploy/kubernetes/overlays/embedded]
components: [deploy/kubernetes/components/anonymous]
";

#[test]
fn every_kustomization_can_be_rendered() {
    let examples = code("yaml");
    assert!(examples.len() >= 2);
    for example in examples {
        let directory = directory();
        let text = example
            .replace("github.com/OWNER/untag/", "")
            .replace("?ref=TAG", "");
        let indent = text.len() - text.trim_start().len();
        let lines = text.lines().map(|line| line.get(indent..).unwrap_or(""));
        let text = lines.collect::<Vec<_>>().join("\n");
        let is_whole = text.contains("kind: Kustomization");
        let text = if is_whole {
            text
        } else {
            format!("{BEGINNING}{text}")
        };
        fs::write(directory.path().join("kustomization.yaml"), &text).unwrap();
        let path = directory.path();
        let output = kubectl(&path.join("none"), &["kustomize", path.to_str().unwrap()]);
        let error = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{text}: {error}");
    }
}
