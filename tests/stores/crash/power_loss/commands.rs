//! Commands that work on a store that nobody serves: imports, exports and migrations, which are killed now and then.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs::{self, File};
use std::path::Path;
use std::process::{Command, Output, Stdio};
use std::thread;
use std::time::Duration;

use rand::rngs::StdRng;
use rand::{Rng as _, SeedableRng as _};
use serde_json::{Value, json};
use untag_power_loss::Disk;

use super::images::Recorded;
use super::mount;
use crate::crash::model::ACCOUNT;
use crate::support::{PATIENCE, Server, untag};

/// A store of version 2, and what the program of that version exported of it.
const VERSION_2: &[u8] = include_bytes!("../../sqlite_faults/fixtures/version-2.db");
const VERSION_2_EXPORT: &str = include_str!("../../sqlite_faults/fixtures/version-2.jsonl");

/// How many imports a record has, and how many users one of them has at most: more than go into two chunks of a service.
const IMPORTS: usize = 6;
const USERS: usize = 600;

/// The users of a store as lines of an export, by account and id.
type Users = BTreeMap<(String, String), Value>;

/// What a command does, and when it was begun and done, as moments of the disk.
struct Step {
    begun: usize,
    done: usize,
    /// What may be there before it is done, in this order: the last is what is there then.
    states: Vec<Users>,
}

/// Whether what is found is what the steps lead to at a moment.
fn is_possible(steps: &[Step], moment: usize, found: &Users) -> bool {
    let done = steps.iter().rev().find(|step| step.done <= moment);
    let last = done.and_then(|step| step.states.last());
    let underway = steps
        .iter()
        .find(|step| step.begun <= moment && step.done > moment);
    let mut possible = last
        .into_iter()
        .chain(underway.iter().flat_map(|step| &step.states));
    possible.any(|state| state == found) || (last.is_none() && found.is_empty())
}

/// A subcommand, to be run on a data directory.
fn subcommand(name: &str, data: &Path, arguments: &[&Path]) -> Command {
    let mut command = untag();
    command
        .arg(name)
        .arg("--data-dir")
        .arg(data)
        .args(arguments);
    command
}

/// Runs a subcommand on a data directory, to its end.
fn run(name: &str, data: &Path, arguments: &[&Path]) -> Output {
    let output = subcommand(name, data, arguments)
        .output()
        .expect("untag runs");
    assert!(output.status.success(), "untag {name}: {output:?}");
    output
}

/// Runs a subcommand, which dies at a random moment, and then again to its end.
fn run_killed(name: &str, data: &Path, arguments: &[&Path], random: &mut StdRng) {
    if random.random() {
        let mut command = subcommand(name, data, arguments);
        command.stdout(Stdio::null()).stderr(Stdio::null());
        let mut child = command.spawn().expect("untag starts");
        thread::sleep(Duration::from_micros(random.random_range(0..60_000)));
        child.kill().unwrap();
        child.wait().unwrap();
    }
    run(name, data, arguments);
}

fn users_in(lines: &str) -> Users {
    let user = |line: &str| {
        let user: Value = serde_json::from_str(line).unwrap();
        let field = |name: &str| user[name].as_str().unwrap().to_owned();
        ((field("account_id"), field("resource_id")), user)
    };
    lines.lines().map(user).collect()
}

/// The users in the store of an image, which a command has made, opened or brought up to date before.
fn users_of(data: &Path) -> Users {
    let output = run("export", data, &[Path::new("-")]);
    users_in(std::str::from_utf8(&output.stdout).unwrap())
}

/// Some users, each with a tag of this value.
fn any_users(value: usize, random: &mut StdRng) -> Users {
    let mut ids: Vec<_> = (0..random.random_range(1..=USERS))
        .map(|_| 1000 + random.random_range(0..USERS))
        .collect();
    ids.sort_unstable();
    ids.dedup();
    let user = |id: usize| {
        let key = (ACCOUNT.to_owned(), id.to_string());
        let user = json!({
            "account_id": ACCOUNT, "resource_type": "user", "resource_id": id.to_string(),
            "principal_name": format!("user-{id}@example.com"),
            "tags": { "import": value.to_string(), "some": "x".repeat(100) },
        });
        (key, user)
    };
    ids.into_iter().map(user).collect()
}

/// Imports into a store that nobody serves and by a service, each followed by an export.
pub fn import(seed: u64) -> Recorded<impl FnMut(usize, &Path)> {
    let mut random = StdRng::seed_from_u64(seed);
    let disk = Disk::default();
    let (mounted, mount_point) = mount(&disk);
    let data = mount_point.path().join("data");
    let export = mount_point.path().join("export.jsonl");
    let (mut imports, mut exports) = (Vec::new(), Vec::new());
    let mut users = Users::new();
    for number in 0..IMPORTS {
        let given = any_users(number, &mut random);
        let file = tempfile::NamedTempFile::new().unwrap();
        fs::write(file.path(), lines(&given)).unwrap();
        let begun = disk.moment();
        let is_served = number % 3 == 2;
        if is_served {
            import_by_service(&data, file.path(), &mut random);
        } else {
            let mode = ["--mode", "replace-tags"].map(Path::new);
            run_killed(
                "import",
                &data,
                &[mode[0], mode[1], file.path()],
                &mut random,
            );
        }
        let states = states(&mut users, given, if is_served { 250 } else { usize::MAX });
        imports.push(Step {
            begun,
            done: disk.moment(),
            states,
        });
        let begun = disk.moment();
        run_killed("export", &data, &[&export], &mut random);
        exports.push(Step {
            begun,
            done: disk.moment(),
            states: vec![users.clone()],
        });
    }
    drop(mounted);
    let check = move |moment: usize, image: &Path| {
        let exported = fs::read_to_string(image.join("export.jsonl")).unwrap_or_default();
        assert!(
            is_possible(&exports, moment, &users_in(&exported)),
            "the export is neither the last one nor the one that is written: {exported}"
        );
        let data = image.join("data");
        run("import", &data, &[Path::new("/dev/null")]);
        let found = users_of(&data);
        assert!(
            is_possible(&imports, moment, &found),
            "the {} users are not those of the last import, nor some that the one under way leads to: {found:?}",
            found.len()
        );
    };
    Recorded {
        record: disk.record(),
        first: 0,
        check,
    }
}

/// Adds users, so many at once. Returns the state after each addition.
fn states(users: &mut Users, given: Users, at_once: usize) -> Vec<Users> {
    let given: Vec<_> = given.into_iter().collect();
    let chunks = given.chunks(at_once.min(given.len()));
    let add = |chunk: &[((String, String), Value)]| {
        users.extend(chunk.iter().cloned());
        users.clone()
    };
    chunks.map(add).collect()
}

fn lines(users: &Users) -> String {
    let mut lines = String::new();
    for user in users.values() {
        writeln!(lines, "{user}").unwrap();
    }
    lines
}

/// Imports by a service, which dies at a random moment, and then again by another one.
fn import_by_service(data: &Path, file: &Path, random: &mut StdRng) {
    let begin = |server: &Server| {
        let address = server.address.to_string();
        let mut command = untag();
        command.args(["import", "--mode", "replace-tags", "--address", &address]);
        command
            .arg(file)
            .stdout(Stdio::null())
            .stderr(Stdio::null());
        command.spawn().expect("untag starts")
    };
    if random.random() {
        let mut server = Server::start(data, &[]);
        let mut client = begin(&server);
        thread::sleep(Duration::from_micros(random.random_range(0..200_000)));
        server.kill();
        // It would try again for long.
        client.kill().unwrap();
        client.wait().unwrap();
    }
    let mut server = Server::start(data, &[]);
    assert!(begin(&server).wait().unwrap().success());
    server.signal("TERM");
    assert!(server.wait(PATIENCE).success());
}

/// Migrates a store of version 2.
pub fn migrate(seed: u64) -> Recorded<impl FnMut(usize, &Path)> {
    let mut random = StdRng::seed_from_u64(seed);
    let disk = Disk::default();
    let (mounted, mount_point) = mount(&disk);
    let data = mount_point.path().join("data");
    fs::create_dir(&data).unwrap();
    fs::write(data.join("untag.db"), VERSION_2).unwrap();
    for synced in [
        data.join("untag.db"),
        data.clone(),
        mount_point.path().into(),
    ] {
        File::open(synced).unwrap().sync_all().unwrap();
    }
    let first = disk.moment();
    run_killed("migrate", &data, &[], &mut random);
    let done = disk.moment();
    let mut server = Server::start(&data, &[]);
    server.signal("TERM");
    assert!(server.wait(PATIENCE).success());
    drop(mounted);
    let check = move |moment: usize, image: &Path| {
        let data = image.join("data");
        if moment >= done {
            let would = run("migrate", &data, &[Path::new("--dry-run")]);
            assert!(!would.stdout.starts_with(b"would apply"), "{would:?}");
        }
        run("migrate", &data, &[]);
        assert!(users_of(&data) == users_in(VERSION_2_EXPORT));
    };
    Recorded {
        record: disk.record(),
        first,
        check,
    }
}
