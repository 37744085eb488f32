//! The systemd unit and the rotation of its audit, by the real `systemd-analyze` and `logrotate`.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::net::UnixDatagram;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::thread;
use std::time::{Duration, Instant};

use crate::support::{ALICE, PATIENCE, Server, help, untag, untag_of};

const UNIT: &str = include_str!("../../deploy/systemd/untag.service");
const SETTINGS: &str = include_str!("../../deploy/systemd/untag.toml");
const ROTATION: &str = include_str!("../../deploy/systemd/untag.logrotate");

/// Runs a command to its end.
pub fn output(command: &mut Command) -> Output {
    let output = command.output();
    output.unwrap_or_else(|error| panic!("run scripts/setup: {command:?}: {error}"))
}

/// Writes a unit with the program at this path into a directory, and checks that systemd accepts it.
pub fn verified_unit(unit: &str, program: &Path) -> (tempfile::TempDir, PathBuf) {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("untag.service");
    let command = format!("ExecStart={} ", program.display());
    assert!(unit.contains("ExecStart=untag "), "{unit}");
    fs::write(&path, unit.replace("ExecStart=untag ", &command)).unwrap();
    // Its manual page is installed with the package only.
    let verified = output(
        Command::new("systemd-analyze")
            .args(["verify", "--man=no"])
            .arg(&path),
    );
    assert!(verified.status.success(), "{verified:?}");
    let said = String::from_utf8(verified.stderr).unwrap();
    let of_the_unit = said.lines().filter(|line| line.contains("untag.service"));
    assert_eq!(of_the_unit.collect::<Vec<_>>(), Vec::<&str>::new());
    (directory, path)
}

#[test]
fn systemd_accepts_the_unit_and_finds_it_hardened() {
    let (_directory, unit) = verified_unit(UNIT, Path::new(untag().get_program()));
    // A tenth of a point each: 1.5 is "OK", and what the network alone takes is 1.1.
    let analysed = output(
        Command::new("systemd-analyze")
            .args(["security", "--offline=true", "--threshold=15"])
            .arg(&unit),
    );
    assert!(
        analysed.status.success(),
        "{}",
        String::from_utf8_lossy(&analysed.stdout)
    );
}

#[test]
fn every_setting_of_the_file_is_a_flag_and_its_directories_are_the_units() {
    let help = help(&["serve"]);
    let names: Vec<&str> = SETTINGS
        .lines()
        .filter_map(|line| Some(line.trim_start_matches('#').split_once(" = ")?.0))
        .collect();
    assert!(names.len() >= 10, "{names:?}");
    for name in names {
        assert!(help.contains(&format!("--{name} <")), "{name}");
    }
    // The unit makes the directories.
    for (setting, directory) in [
        ("data-dir = \"/var/lib/untag\"", "StateDirectory=untag"),
        (
            "audit-log = \"/var/log/untag/audit.jsonl\"",
            "LogsDirectory=untag",
        ),
    ] {
        assert!(SETTINGS.lines().any(|line| line == setting), "{setting}");
        assert!(UNIT.lines().any(|line| line == directory), "{directory}");
    }
}

#[test]
fn systemd_is_told_when_the_service_is_ready_and_when_it_stops() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("notify");
    let socket = UnixDatagram::bind(&path).unwrap();
    socket.set_read_timeout(Some(PATIENCE)).unwrap();
    let mut command = untag();
    command
        .args(["serve", "--sample-data", "--data-dir"])
        .arg(directory.path().join("data"))
        .env("NOTIFY_SOCKET", &path);
    let server = Server::spawn(command);
    let told = || {
        let mut bytes = [0; 4096];
        let length = socket.recv(&mut bytes).expect("systemd is told");
        String::from_utf8(bytes[..length].to_vec()).unwrap()
    };
    assert_eq!(told(), "READY=1\nSTATUS=ready\n");
    server.signal("TERM");
    assert_eq!(told(), "STOPPING=1\n");
}

/// The rotation with the audit, and with the service's process in place of its unit.
fn rotation(audit: &Path, pid: u32) -> String {
    let kill = "systemctl kill --kill-whom=main --signal=HUP untag.service";
    assert!(ROTATION.contains(kill) && ROTATION.contains("/var/log/untag/audit.jsonl"));
    ROTATION
        .replace("/var/log/untag/audit.jsonl", audit.to_str().unwrap())
        .replace(kill, &format!("kill -HUP {pid}"))
        // Several in one second, where there is one a day.
        .replace("    dateext\n", "")
}

#[tokio::test(flavor = "multi_thread")]
async fn logrotate_loses_no_line_of_the_audit() {
    const TURNS: usize = 5;
    let (data, logs) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let audit = logs.path().join("audit.jsonl");
    let mut command = untag();
    command
        .args(["serve", "--sample-data", "--data-dir"])
        .arg(data.path())
        .arg("--audit-log")
        .arg(&audit);
    let mut server = Server::spawn(command);
    let config = data.path().join("rotation");
    fs::write(&config, rotation(&audit, server.pid())).unwrap();
    // Otherwise logrotate does not read it.
    fs::set_permissions(&config, fs::Permissions::from_mode(0o600)).unwrap();

    let mut client = server.client().await;
    let mut answered = Vec::new();
    for _ in 0..TURNS {
        for _ in 0..20 {
            let answer = client.untag_resources(untag_of(ALICE)).await.unwrap();
            answered.push(answer.into_inner().request_id);
        }
        let before = Instant::now();
        while fs::metadata(&audit).map_or(0, |data| data.len()) == 0 {
            assert!(before.elapsed() < PATIENCE, "{:#?}", server.log_lines());
            thread::sleep(Duration::from_millis(5));
        }
        let rotated = output(
            Command::new("/usr/sbin/logrotate")
                .args(["--force", "--state"])
                .arg(data.path().join("state"))
                .arg(&config),
        );
        assert!(
            rotated.status.success() && rotated.stderr.is_empty(),
            "{rotated:?}"
        );
    }
    server.signal("TERM");
    assert_eq!(server.wait(PATIENCE).code(), Some(0));

    let mut lines = String::new();
    for file in fs::read_dir(logs.path()).unwrap() {
        let path = file.unwrap().path();
        let text = match path.extension() {
            Some(extension) if extension == "gz" => {
                output(Command::new("gunzip").arg("-c").arg(&path)).stdout
            }
            _ => fs::read(&path).unwrap(),
        };
        lines += &String::from_utf8(text).unwrap();
    }
    let id = |line: &str| -> String {
        let line: serde_json::Value = serde_json::from_str(line).unwrap();
        line["request_id"].as_str().unwrap().to_owned()
    };
    let mut audited: Vec<String> = lines.lines().map(id).collect();
    audited.sort();
    answered.sort();
    assert_eq!(audited, answered);
}
