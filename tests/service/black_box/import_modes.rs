//! `untag import`: what its modes and flags mean in the store itself, and by a service.

use std::fs;
use std::io::Write as _;
use std::process::{Command, Output, Stdio};

use super::bulk::{export, import_by, import_with, stderr};
use super::home::Home;
use super::users::{ACCOUNT, ANN, ANN_NAME, BEN, FULL, OTHER_ACCOUNT, directory, line, tags_of};
use crate::support::{PATIENCE, untag, wait_until};

fn stdout(output: &Output) -> String {
    String::from_utf8(output.stdout.clone()).unwrap()
}

/// Imports into the store itself, and by a service over the same users. Returns both outputs, and what is there then.
fn both(flags: &[&str], lines: &str) -> [(Output, String); 2] {
    let home = directory();
    let offline = import_with(&home, flags, lines.as_bytes());
    let alone = (offline, export(&home));
    let home = directory();
    let server = home.serve(&[]);
    let online = import_by(
        &server,
        &[&["--output", "table"], flags].concat(),
        lines.as_bytes(),
    );
    [alone, (online, export(&home))]
}

/// What is said behind the place.
fn counts(output: &Output) -> String {
    let said = stdout(output) + &stderr(output);
    let (_, counts) = said
        .trim_end()
        .rsplit_once(": ")
        .unwrap_or_else(|| panic!("{said}"));
    counts.to_owned()
}

#[test]
fn the_modes_mean_the_same_in_the_store_itself_and_by_a_service() {
    let lines = [
        line(
            ACCOUNT,
            ANN,
            "ben@example.com",
            &[("env", "dev"), ("new", "1")],
        ),
        line(ACCOUNT, BEN, ANN_NAME, &[("env", "test")]),
        line(ACCOUNT, FULL, "full@example.com", &[("k01", "v")]),
        line(ACCOUNT, "600", "new@example.com", &[("k", "v")]),
        line(OTHER_ACCOUNT, "600", "new@example.com", &[]),
        // Of two lines of a user both count, one after the other.
        line(ACCOUNT, "600", "newer@example.com", &[("l", "w")]),
    ]
    .concat();
    for (mode, ann, new) in [
        (
            &[][..],
            r#"{"Team":"b","env":"dev","new":"1","team":"a"}"#,
            r#"{"k":"v","l":"w"}"#,
        ),
        (
            &["--mode", "replace-tags"],
            r#"{"env":"dev","new":"1"}"#,
            r#"{"l":"w"}"#,
        ),
    ] {
        let [(offline, alone), (online, served)] = both(mode, &lines);
        assert!(offline.status.success(), "{}", stderr(&offline));
        assert!(online.status.success(), "{}", stderr(&online));
        assert_eq!(alone, served, "{mode:?}");
        for tags in [ann, new] {
            assert!(served.contains(tags), "{mode:?}: {served}");
        }
        assert!(served.contains("newer@example.com"), "{served}");

        let dry: Vec<_> = mode.iter().copied().chain(["--dry-run"]).collect();
        let before = export(&directory());
        for (output, after) in both(&dry, &lines) {
            let said = stdout(&output) + &stderr(&output);
            assert!(said.contains("a dry run: "), "{said}");
            assert!(said.contains("nothing was changed"), "{said}");
            assert_eq!(after, before, "{mode:?}");
        }
    }
}

#[test]
fn a_user_that_is_there_is_refused_where_only_new_ones_are_wanted() {
    let flags = ["--mode", "create-only"];
    let lines = line(ACCOUNT, "600", "new@example.com", &[("k", "v")])
        + &line(ACCOUNT, BEN, "ben@example.com", &[("env", "test")]);
    let [(offline, alone), (online, served)] = both(&flags, &lines);
    for output in [&offline, &online] {
        let said = stderr(output);
        assert_eq!(output.status.code(), Some(1), "{said}");
        assert!(said.contains("line 2"), "{said}");
        assert!(
            said.contains("is there already, and the mode is create-only"),
            "{said}"
        );
    }
    // The file as a whole or nothing, and by a service all lines that can be.
    assert_eq!(alone, export(&directory()));
    assert!(served.contains("new@example.com"), "{served}");
    let [(offline, alone), (online, served)] = both(&flags, lines.lines().next().unwrap());
    assert!(offline.status.success() && online.status.success());
    assert_eq!(alone, served);
}

#[test]
fn a_user_that_would_carry_too_many_tags_is_named_with_its_line() {
    let lines = format!(
        "\n{}",
        line(ACCOUNT, FULL, "full@example.com", &[("k21", "v")])
    );
    for (output, after) in both(&[], &lines) {
        let said = stderr(&output);
        assert_eq!(output.status.code(), Some(1), "{said}");
        assert!(
            said.contains("line 2") && said.contains("more than 20 tags"),
            "{said}"
        );
        assert_eq!(after, export(&directory()));
    }
    for (output, after) in both(&["--mode", "replace-tags"], &lines) {
        assert!(output.status.success(), "{}", stderr(&output));
        assert!(after.contains(r#"{"k21":"v"}"#), "{after}");
    }
}

#[test]
fn what_was_imported_is_counted() {
    let lines = [
        line(ACCOUNT, ANN, "ann@new.example", &[]),
        line(ACCOUNT, BEN, "ben@example.com", &[("env", "test")]),
        line(ACCOUNT, "600", "new@example.com", &[]),
        line(ACCOUNT, "601", "new1@example.com", &[]),
    ];
    for (output, _) in both(&[], &lines.concat()) {
        assert_eq!(counts(&output), "2 created, 1 changed, 1 unchanged");
    }
}

#[tokio::test]
async fn an_export_comes_to_another_server_by_an_import_that_replaces_tags() {
    let account = |number| {
        if number < 1_000 {
            ACCOUNT
        } else {
            OTHER_ACCOUNT
        }
    };
    let source = Home::new();
    let users = (0..1_300).map(|number| {
        let tags: Vec<_> = (0..number % 21)
            .map(|tag| format!("key-{tag:02}-键\"\\"))
            .collect();
        let tags: Vec<_> = tags.iter().map(|key| (key.as_str(), "\n🏷")).collect();
        line(
            account(number),
            &format!("{number:05}"),
            &format!("User{number}@Example.com"),
            &tags,
        )
    });
    source.import(&users.collect::<String>());
    let server = source.serve(&[]);
    let exported = export(&source);
    drop(server);

    // The other server has some of them, with other names and other tags.
    let target = Home::new();
    let others = (0..1_300).step_by(3).map(|number| {
        let other = (number + 3) % 1_300;
        line(
            account(number),
            &format!("{number:05}"),
            &format!("user{other}@example.com"),
            &[("other", "x")],
        )
    });
    target.import(&others.collect::<String>());
    let server = target.serve(&[]);
    let imported = import_by(&server, &["--mode", "replace-tags"], exported.as_bytes());
    assert!(imported.status.success(), "{}", stderr(&imported));
    assert!(
        export(&target) == exported,
        "another state than that of the source"
    );
    let objects = stdout(&imported);
    let objects = objects
        .lines()
        .map(|line| serde_json::from_str(line).unwrap());
    let chunks: Vec<serde_json::Value> = objects.collect();
    let sum: u64 = chunks
        .iter()
        .flat_map(|chunk| {
            ["created_users", "updated_users"].map(|count| chunk[count].as_u64().unwrap())
        })
        .sum();
    assert_eq!(sum, 1_300);
    let again = import_by(
        &server,
        &["--mode", "replace-tags", "--output", "table"],
        exported.as_bytes(),
    );
    assert_eq!(counts(&again), "0 created, 0 changed, 1300 unchanged");
}

#[tokio::test]
async fn bad_lines_are_named_and_others_are_imported_by_a_service() {
    let home = directory();
    let server = home.serve(&[]);
    let lines = [
        line(ACCOUNT, "600", "a@b", &[("k", "v")]).as_str(),
        "nonsense\n",
        &line("1003", "600", "a@b", &[]),
        &line(ACCOUNT, "601", ANN_NAME, &[]),
        &line(ACCOUNT, "602", "c@d", &[]),
    ]
    .concat();
    let flags = ["--account", ACCOUNT, "--output", "table"];
    let output = import_by(&server, &flags, lines.as_bytes());
    assert_eq!(output.status.code(), Some(1));
    let said = stderr(&output);
    for expected in [
        "line 2: not a user as JSON",
        "line 3: the user is of account 1003, and --account is 1001",
        "line 4, user 601: the user 501 has the principal name",
        "imported 2 users by the service: 2 created, 0 changed, 0 unchanged; 3 lines were refused",
    ] {
        assert!(said.contains(expected), "{expected}: {said}");
    }
    assert_eq!(
        tags_of(&mut server.client().await, "600").await,
        ["600 k=v"]
    );
}

#[tokio::test]
async fn an_import_that_broke_off_goes_on_where_it_says() {
    const USERS: usize = 4_000;
    let home = Home::new();
    let files = tempfile::tempdir().unwrap();
    let file = files.path().join("users.jsonl");
    let users = (0..USERS).map(|number| {
        line(
            ACCOUNT,
            &format!("{number:05}"),
            &format!("u{number}@x"),
            &[("k", "v")],
        )
    });
    let lines: String = users.collect();
    fs::write(&file, &lines).unwrap();
    let mut server = home.serve(&[]);
    let address = server.address.to_string();
    let mut import = untag();
    import.args([
        "import",
        "--mode",
        "create-only",
        "--output",
        "table",
        "--address",
        &address,
    ]);
    let import = import
        .arg(&file)
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let begun = std::time::Instant::now();
    while export(&home).lines().count() < 500 {
        assert!(begun.elapsed() < PATIENCE);
    }
    server.kill();
    let output = import.wait_with_output().unwrap();
    let said = stderr(&output);
    assert!([Some(3), Some(4)].contains(&output.status.code()), "{said}");
    let (_, advice) = said
        .rsplit_once("go on with ")
        .unwrap_or_else(|| panic!("{said}"));
    let words: Vec<_> = advice
        .split_whitespace()
        .map(|word| word.trim_matches('"'))
        .collect();
    let [from_flag, from, token_flag, token] = words[..] else {
        panic!("{said}");
    };
    let done = export(&home).lines().count();
    assert!(done < USERS && from.parse::<usize>().unwrap() > 1, "{said}");

    let server = home.serve(&[]);
    let address = server.address.to_string();
    let mut rest = untag();
    rest.args([
        "import",
        "--mode",
        "create-only",
        "--output",
        "table",
        "--address",
        &address,
    ]);
    rest.args([from_flag, from, token_flag, token]).arg(&file);
    let output = rest.output().unwrap();
    // Nobody who was created by the part that has no answer is refused for that.
    assert!(output.status.success(), "{}", stderr(&output));
    assert!(export(&home) == sorted(&lines));
}

#[tokio::test]
async fn an_import_that_a_signal_ends_says_where_to_go_on() {
    let home = Home::new();
    let server = home.serve(&[]);
    let users = (0..300).map(|number| {
        let (id, name) = (format!("{number:05}"), format!("u{number}@x"));
        line(ACCOUNT, &id, &name, &[("k", "v")])
    });
    let lines: String = users.collect();
    let address = server.address.to_string();
    let mut import = untag();
    let import = import
        .args(["import", "--output", "table", "--address", &address, "-"])
        .stdin(Stdio::piped())
        .stderr(Stdio::piped())
        .stdout(Stdio::piped());
    let mut import = import.spawn().unwrap();
    // It waits for more, with a chunk that is not full.
    let mut input = import.stdin.take().unwrap();
    input.write_all(lines.as_bytes()).unwrap();
    wait_until("a chunk is imported", || {
        export(&home).lines().count() == 250
    });
    let pid = import.id().to_string();
    let killed = Command::new("kill").args(["-INT", &pid]).status();
    assert!(killed.unwrap().success());
    let output = import.wait_with_output().unwrap();
    drop(input);
    let said = stderr(&output);
    assert_eq!(output.status.code(), Some(130), "{said}");
    let (_, token) = said
        .rsplit_once("go on with --from-line 251 --client-token ")
        .unwrap_or_else(|| panic!("{said}"));
    let token = token.trim().trim_matches('"');
    let flags = ["--from-line", "251", "--client-token", token];
    let rest = import_by(&server, &flags, lines.as_bytes());
    assert!(rest.status.success(), "{}", stderr(&rest));
    assert!(export(&home) == sorted(&lines));
}

/// Lines as an export has them.
fn sorted(lines: &str) -> String {
    let home = Home::new();
    home.import(lines);
    export(&home)
}
