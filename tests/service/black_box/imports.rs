//! Users who are imported by `ImportUsers` while the service runs.

use std::fmt::Write as _;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use tokio::task::JoinSet;
use tonic::{Code, Status};
use tonic_types::StatusExt as _;
use untag::grpc::proto::change_service_client::ChangeServiceClient;
use untag::grpc::proto::get_change_request::Change as Key;
use untag::grpc::proto::user::v1::{
    DeleteUserRequest, ImportChunk, ImportLine, ImportMode, ImportSettings, User,
};
use untag::grpc::proto::{GetChangeRequest, RevertChangeRequest};

use super::answer::{alibaba_codes, assert_request_id, assert_shared_snapshot};
use super::bulk::export;
use super::home::Home;
use super::importer::{
    Line, Open, chunk, counts, first, import, imported, messages, named, next, one_by_one, refused,
    settings, user, users, users_of,
};
use super::users::{
    ACCOUNT, ANN, ANN_NAME, BEN, FULL, ask, ids, line, server, tags_of, untag_request,
};
use crate::support::Server;

/// A request for the change that a request has made.
fn by_id(request_id: &str) -> GetChangeRequest {
    GetChangeRequest {
        change: Some(Key::RequestId(request_id.to_owned())),
        ..GetChangeRequest::default()
    }
}

const NEW: Line<'_> = (3, "600", "new@example.com", &[("k", "v")]);

#[tokio::test]
async fn each_mode_does_what_it_says_to_users_that_are_there() {
    let lines: [Line<'_>; 4] = [
        (1, ANN, "ann@new.example", &[("env", "dev"), ("new", "1")]),
        (2, BEN, "ben@example.com", &[("env", "test")]),
        NEW,
        (4, FULL, "full@example.com", &[("k21", "v")]),
    ];
    for (mode, expected, ann) in [
        (
            ImportMode::Merge,
            [1, 1, 1, 1],
            (
                "ann@new.example",
                r#"{"Team":"b","env":"dev","new":"1","team":"a"}"#,
            ),
        ),
        (
            ImportMode::ReplaceTags,
            [1, 2, 1, 0],
            ("ann@new.example", r#"{"env":"dev","new":"1"}"#),
        ),
        (
            ImportMode::CreateOnly,
            [1, 0, 0, 3],
            (ANN_NAME, r#"{"Team":"b","env":"prod","team":"a"}"#),
        ),
    ] {
        let (server, home) = server(&[]);
        let answers = imported(&server, settings(mode), vec![chunk(&lines)]).await;
        let [answer] = answers.as_slice() else {
            panic!("{answers:?}");
        };
        assert_eq!(counts(answer), expected, "{mode:?}: {answer:?}");
        assert_request_id(&answer.request_id);
        assert_eq!(
            (
                answer.revision,
                answer.first_line,
                answer.last_line,
                answer.resume_line
            ),
            (Some(1), 1, 4, 5)
        );
        let users = users(&home);
        assert_eq!(named(&users, ANN), ann, "{mode:?}");
        assert_eq!(named(&users, "600"), ("new@example.com", r#"{"k":"v"}"#));
        match mode {
            ImportMode::Merge => assert_eq!(refused(answer), [(4, "LimitExceeded.User.Tag")]),
            ImportMode::ReplaceTags => {
                assert_eq!(named(&users, FULL).1, r#"{"k21":"v"}"#);
            }
            _ => {
                let exists = "EntityAlreadyExists.User";
                assert_eq!(refused(answer), [(1, exists), (2, exists), (4, exists)]);
            }
        }
        // What is so already is no change.
        if mode != ImportMode::CreateOnly {
            let again = imported(&server, settings(mode), vec![chunk(&lines[..3])]).await;
            assert_eq!(counts(&again[0]), [0, 0, 3, 0], "{mode:?}");
            assert_eq!(again[0].revision, Some(1));
        }
    }
}

#[tokio::test]
async fn names_pass_from_one_user_to_another_also_between_chunks() {
    let (server, home) = server(&[]);
    let people: Vec<(String, String)> = (0..6)
        .map(|number| (format!("70{number}"), format!("p{number}@example.com")))
        .collect();
    let lines: Vec<Line<'_>> = people
        .iter()
        .zip(1..)
        .map(|((id, name), number)| (number, id.as_str(), name.as_str(), &[][..]))
        .collect();
    imported(&server, settings(ImportMode::Merge), vec![chunk(&lines)]).await;
    let name = |number: usize| people[number].1.as_str();
    let id = |number: usize| people[number].0.as_str();

    // A swap in one chunk.
    let swap = chunk(&[(1, id(0), name(1), &[]), (2, id(1), name(0), &[])]);
    let answers = imported(&server, settings(ImportMode::Merge), vec![swap]).await;
    assert_eq!(counts(&answers[0]), [0, 2, 0, 0]);

    // A cycle of three, a line in each chunk: two wait, and all are imported with the last.
    let cycle = [(2, 3), (3, 4), (4, 2)].into_iter().zip(1..);
    let cycle = cycle.map(|((who, whose), number)| chunk(&[(number, id(who), name(whose), &[])]));
    let answers = one_by_one(&server, settings(ImportMode::ReplaceTags), cycle.collect()).await;
    let told: Vec<_> = answers
        .iter()
        .map(|answer| (counts(answer), answer.resume_line))
        .collect();
    assert_eq!(
        told,
        [([0; 4], 1), ([0; 4], 1), ([0, 3, 0, 0], 4)],
        "{answers:?}"
    );

    // A chain whose last user goes to a free name, and one whose last name stays taken.
    let free = chunk(&[(1, id(5), name(2), &[])]);
    let then = chunk(&[(2, id(4), "free@example.com", &[])]);
    let taken = chunk(&[
        (3, "710", name(2), &[]),
        (4, "711", "ann.lee@EXAMPLE.com", &[]),
        (5, "712", "new@example.com", &[]),
        (6, "713", "NEW@example.com", &[]),
    ]);
    let answers = one_by_one(
        &server,
        settings(ImportMode::Merge),
        vec![free, then, taken],
    )
    .await;
    let told: Vec<_> = answers.iter().map(counts).collect();
    assert_eq!(
        told,
        [[0; 4], [0, 2, 0, 0], [1, 0, 0, 0], [0, 0, 0, 3]],
        "{answers:?}"
    );
    let last = answers.last().unwrap();
    let code = "EntityAlreadyExists.User.PrincipalName";
    assert_eq!(refused(last), [(3, code), (4, code), (6, code)]);
    assert!(last.refused_lines[1].message.contains(ANN), "{last:?}");
    assert_eq!(
        (last.first_line, last.last_line, last.resume_line),
        (3, 6, 7)
    );

    let users = users(&home);
    for (who, expected) in [
        (0, name(1)),
        (1, name(0)),
        (2, name(3)),
        (3, name(4)),
        (4, "free@example.com"),
        (5, name(2)),
    ] {
        assert_eq!(named(&users, id(who)).0, expected, "{users:?}");
    }
    assert!(!users.iter().any(|(id, ..)| id == "710" || id == "713"));
}

#[tokio::test]
async fn lines_wait_for_names_in_bounded_numbers() {
    let (server, _home) = server(&[]);
    // All of them want Ann's name.
    let lines = |from: i64, count: i64| {
        let lines = (from..from + count).map(|number| ImportLine {
            number,
            user: Some(user(&(1000 + number).to_string(), ANN_NAME, &[])),
        });
        ImportChunk {
            lines: lines.collect(),
        }
    };
    let chunks = vec![lines(1, 300), lines(301, 300)];
    let answers = imported(&server, settings(ImportMode::Merge), chunks).await;
    let told: Vec<_> = answers.iter().map(counts).collect();
    assert_eq!(told, [[0; 4], [0, 0, 0, 100], [0, 0, 0, 500]]);
    assert_eq!(answers[1].refused_lines[0].number, 501);
}

#[tokio::test]
async fn what_is_wrong_with_a_line_refuses_this_line() {
    let (server, home) = server(&[]);
    let mut client = users_of(&server).await;
    let delete = DeleteUserRequest {
        resource_id: BEN.to_owned(),
        client_token: String::new(),
    };
    client.delete_user(ask(delete)).await.unwrap();
    let many: Vec<_> = (0..21).map(|number| format!("k{number:02}")).collect();
    let many: Vec<_> = many.iter().map(|key| (key.as_str(), "")).collect();
    let mut lines = chunk(&[
        NEW,
        (4, "", "a@b", &[]),
        (5, "7a", "ann", &[("acs:x", "v")]),
        (7, "8", "", &[]),
        (8, "9", "i@b", &many),
        (9, BEN, "ben2@example.com", &[]),
        (11, "600", "again@example.com", &[]),
    ]);
    lines.lines.push(ImportLine {
        number: 12,
        user: None,
    });
    lines.lines.push(ImportLine {
        number: 13,
        user: Some(User {
            display_name: "x".repeat(25),
            ..user("10", "j@b", &[])
        }),
    });
    let answers = imported(&server, settings(ImportMode::Merge), vec![lines]).await;
    assert_eq!(counts(&answers[0]), [1, 0, 0, 8], "{answers:?}");
    let mut lines = answers[0].refused_lines.clone();
    lines.sort_by_key(|line| line.number);
    let told: Vec<_> = lines
        .iter()
        .map(|line| {
            format!(
                "{} {:?} {}: {}",
                line.number, line.resource_id, line.code, line.message
            )
        })
        .collect();
    assert_shared_snapshot!(told.join("\n"));
    assert_eq!(named(&users(&home), "600").0, "new@example.com");
}

async fn refusal(
    server: &Server,
    all: Vec<untag::grpc::proto::user::v1::ImportUsersRequest>,
) -> Status {
    let mut client = users_of(server).await;
    match client.import_users(messages(all)).await {
        Err(status) => status,
        Ok(answers) => {
            let mut answers = answers.into_inner();
            loop {
                match answers.message().await {
                    Ok(Some(_)) => {}
                    Ok(None) => panic!("it is not refused"),
                    Err(status) => return status,
                }
            }
        }
    }
}

#[tokio::test]
async fn what_is_wrong_with_an_import_ends_it() {
    let (server, home) = server(&[]);
    let before = export(&home);
    let mut text = String::new();
    let merge = || first(settings(ImportMode::Merge));
    let with = |change: fn(&mut ImportSettings)| {
        let mut settings = settings(ImportMode::Merge);
        change(&mut settings);
        first(settings)
    };
    let too_many = (0..501).map(|number| ImportLine {
        number: number + 1,
        user: None,
    });
    let too_many = ImportChunk {
        lines: too_many.collect(),
    };
    let large = ImportLine {
        number: 1,
        user: Some(User {
            comments: "x".repeat(70_000),
            ..User::default()
        }),
    };
    let large = ImportChunk { lines: vec![large] };
    for (what, all) in [
        ("nothing", vec![]),
        ("no settings", vec![next(chunk(&[NEW]))]),
        ("another mode", vec![with(|settings| settings.mode = 9)]),
        (
            "a long token",
            vec![with(|settings| settings.client_token = "x".repeat(41))],
        ),
        (
            "a bad token",
            vec![with(|settings| settings.client_token = "é".to_owned())],
        ),
        ("settings twice", vec![merge(), merge()]),
        ("no lines", vec![merge(), next(ImportChunk::default())]),
        ("too many lines", vec![merge(), next(too_many)]),
        (
            "no number",
            vec![merge(), next(chunk(&[(0, "7", "a@b", &[])]))],
        ),
        (
            "a number that does not rise",
            vec![
                merge(),
                next(chunk(&[(7, "7", "", &[])])),
                next(chunk(&[(7, "8", "", &[])])),
            ],
        ),
        ("a large message", vec![merge(), next(large)]),
    ] {
        let refused = refusal(&server, all).await;
        let codes = alibaba_codes(&refused);
        writeln!(
            text,
            "{what}: {:?} {codes:?} {}",
            refused.code(),
            refused.message()
        )
        .unwrap();
    }
    assert_shared_snapshot!(text);
    assert_eq!(export(&home), before);
}

#[tokio::test]
async fn a_dry_run_tells_what_would_be_and_changes_nothing() {
    let (server, home) = server(&[]);
    let before = export(&home);
    let dry = ImportSettings {
        validate_only: true,
        client_token: "dry".to_owned(),
        ..settings(ImportMode::ReplaceTags)
    };
    let swap = chunk(&[
        (1, ANN, "ben@example.com", &[]),
        (2, BEN, ANN_NAME, &[("env", "test")]),
        NEW,
        (4, "601", "full@example.com", &[]),
    ]);
    let answers = imported(&server, dry, vec![swap]).await;
    let told: Vec<_> = answers
        .iter()
        .map(|answer| (counts(answer), answer.revision))
        .collect();
    assert_eq!(
        told,
        [([1, 2, 0, 0], None), ([0, 0, 0, 1], None)],
        "{answers:?}"
    );
    assert_eq!(export(&home), before);
    let mut changes = ChangeServiceClient::new(server.channel().await);
    let none = changes.get_change(ask(by_id(&answers[0].request_id))).await;
    assert_eq!(none.unwrap_err().code(), Code::NotFound);
}

#[tokio::test]
async fn a_chunk_that_comes_again_with_its_token_is_made_once() {
    let (server, home) = server(&[]);
    let once = || ImportSettings {
        client_token: "import 1".to_owned(),
        ..settings(ImportMode::CreateOnly)
    };
    let chunks = || {
        vec![
            chunk(&[(1, "800", "a@b", &[("k", "v")]), (2, ANN, "x@y", &[])]),
            chunk(&[(4, "801", ANN_NAME, &[]), (5, "802", "c@d", &[])]),
        ]
    };
    let first = imported(&server, once(), chunks()).await;
    let told: Vec<_> = first.iter().map(counts).collect();
    assert_eq!(told, [[1, 0, 0, 1], [1, 0, 0, 0], [0, 0, 0, 1]]);
    // What was changed since stays so.
    let client = &mut server.client().await;
    let untag = untag_request(ids(["800"]), &["k"]);
    client.untag_resources(ask(untag)).await.unwrap();
    let again = imported(&server, once(), chunks()).await;
    assert_eq!(again[..2], first[..2]);
    assert_eq!(refused(&again[2]), refused(&first[2]));
    assert_eq!(tags_of(client, "800").await, Vec::<String>::new());
    // From the second chunk on, as after a break.
    let rest = imported(&server, once(), chunks().split_off(1)).await;
    assert_eq!(rest[0], first[1]);
    assert_eq!(named(&users(&home), "802").0, "c@d");

    let other = vec![chunk(&[(1, "800", "a@b", &[("k", "w")])])];
    let (answers, end) = import(&server, once(), other).await;
    assert_eq!(answers, []);
    assert_eq!(
        alibaba_codes(&end.unwrap_err()),
        ["IdempotentParameterMismatch"]
    );
}

#[tokio::test]
async fn a_chunk_is_a_change_that_can_be_reverted() {
    let (server, home) = server(&[]);
    let before = users(&home);
    let lines = chunk(&[
        (1, ANN, "ben@example.com", &[("env", "dev")]),
        (2, BEN, ANN_NAME, &[]),
        NEW,
        (4, FULL, "full@example.com", &[("only", "this")]),
    ]);
    let answers = imported(&server, settings(ImportMode::ReplaceTags), vec![lines]).await;
    assert_eq!(counts(&answers[0]), [1, 3, 0, 0]);
    let request_id = &answers[0].request_id;
    let mut changes = ChangeServiceClient::new(server.channel().await);
    let change = changes.get_change(ask(by_id(request_id))).await.unwrap();
    let change = change.into_inner().change.unwrap();
    assert_eq!(change.action, "untag:ImportUsers");
    assert_eq!((change.revision, change.changed_resources), (1, 4));
    let revert = RevertChangeRequest {
        request_id: request_id.clone(),
        ..RevertChangeRequest::default()
    };
    let reverted = changes.revert_change(ask(revert)).await.unwrap();
    assert_eq!(reverted.into_inner().conflicts, []);
    assert_eq!(users(&home), before);
}

#[tokio::test]
async fn a_client_that_sends_nothing_more_is_told_where_to_go_on() {
    let (server, _home) = server(&["--request-timeout", "0.3"]);
    let mut open = Open::begin(&server, settings(ImportMode::Merge)).await;
    let answer = open.send(chunk(&[NEW, (9, "601", ANN_NAME, &[])])).await;
    assert_eq!(answer.unwrap().resume_line, 9);
    let ended = open.answer().await.unwrap_err();
    assert_eq!(ended.code(), Code::Unavailable);
    let info = ended.get_error_details();
    let info = info.error_info().unwrap();
    assert_eq!(info.metadata["resume_line"], "9", "{ended:?}");
    assert!(
        ended.message().contains("did not come in time"),
        "{ended:?}"
    );
}

#[tokio::test]
async fn a_drain_ends_an_import_between_chunks() {
    let (mut server, home) = server(&[]);
    let mut open = Open::begin(&server, settings(ImportMode::Merge)).await;
    open.send(chunk(&[NEW])).await.unwrap();
    server.signal("TERM");
    let ended = open.answer().await.unwrap_err();
    assert_eq!(ended.code(), Code::Unavailable, "{ended:?}");
    assert!(ended.message().contains("line 4"), "{ended:?}");
    let ended = server.wait(crate::support::PATIENCE);
    assert!(ended.success());
    assert_eq!(named(&users(&home), "600").0, "new@example.com");
}

/// Chunks of 50 users each, of which some are there and others swap their names.
fn many_chunks(count: i64) -> Vec<ImportChunk> {
    let line = |number: i64| {
        let name = format!("user-{}@example.com", number ^ 1);
        ImportLine {
            number,
            user: Some(user(&(5_000 + number).to_string(), &name, &[("k", "v")])),
        }
    };
    let chunks = (0..count).map(|at| ImportChunk {
        lines: (at * 50 + 1..=at * 50 + 50).map(line).collect(),
    });
    chunks.collect()
}

#[tokio::test]
async fn an_import_goes_on_after_its_server_was_killed() {
    let home = Home::new();
    let names = (2..=2_000).map(|number| {
        let name = format!("user-{number}@example.com");
        line(
            ACCOUNT,
            &(5_000 + number).to_string(),
            &name,
            &[("old", "1")],
        )
    });
    home.import(&names.collect::<String>());
    let settings = || ImportSettings {
        client_token: "resumed".to_owned(),
        ..settings(ImportMode::Merge)
    };
    let chunks = many_chunks(40);
    let mut from = 0;
    for kill_after in [7, 13, usize::MAX] {
        let mut server = home.serve(&[]);
        let mut open = Open::begin(&server, settings()).await;
        let mut resume_line = 1;
        for (sent, chunk) in chunks[from..].iter().enumerate() {
            if sent == kill_after {
                // Nobody knows whether this one is made.
                open.post(chunk.clone()).await;
                server.kill();
                break;
            }
            let answer = open.send(chunk.clone()).await.unwrap();
            assert_eq!(refused(&answer), [], "{chunk:?}");
            resume_line = answer.resume_line;
        }
        let is_next = |chunk: &ImportChunk| chunk.lines.last().unwrap().number >= resume_line;
        let next = chunks.iter().position(is_next);
        // The last line of each chunk waits for the next one.
        from = next.unwrap_or(chunks.len());
    }
    assert_eq!(from, chunks.len());
    let users = users(&home);
    assert_eq!(users.len(), 2_000);
    for (id, name, tags) in &users {
        let number: i64 = id.parse().unwrap();
        assert_eq!(*name, format!("user-{}@example.com", (number - 5_000) ^ 1));
        assert!(tags.contains(r#""k":"v""#), "{id}: {tags}");
    }
}

/// Untags that go on, and how long each took.
#[derive(Default)]
struct Untags {
    is_done: AtomicBool,
    took: Mutex<Vec<Duration>>,
}

impl Untags {
    fn took(&self, time: Duration) {
        self.took.lock().unwrap().push(time);
    }

    /// Takes how long untags took since the last time, once there are so many.
    async fn next(&self, least: usize) -> Vec<Duration> {
        let deadline = Instant::now() + crate::support::PATIENCE;
        while self.took.lock().unwrap().len() < least {
            assert!(Instant::now() < deadline, "nothing is untagged");
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        std::mem::take(&mut self.took.lock().unwrap())
    }
}

/// The time within which 99 of 100 were done.
fn p99(mut times: Vec<Duration>) -> Option<Duration> {
    times.sort_unstable();
    times.get(times.len() * 99 / 100).copied()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_import_and_untags_do_not_disturb_each_other() {
    const UNTAGGED: usize = 64;
    let home = Home::new();
    let lines = (0..UNTAGGED).map(|number| {
        let name = format!("untagged-{number}@x");
        line(
            ACCOUNT,
            &(900_000 + number).to_string(),
            &name,
            &[("env", "x"), ("keep", "y")],
        )
    });
    home.import(&lines.collect::<String>());
    let server = home.serve(&["--max-caller-rate", "0"]);
    let untags = Arc::new(Untags::default());
    let mut untagging = JoinSet::new();
    for number in 0..UNTAGGED {
        let mut client = server.client().await;
        let untags = Arc::clone(&untags);
        untagging.spawn(async move {
            let user = (900_000 + number).to_string();
            while !untags.is_done.load(Ordering::Relaxed) {
                let untag = untag_request(ids([&user]), &["env"]);
                let begun = Instant::now();
                client.untag_resources(ask(untag)).await.unwrap();
                untags.took(begun.elapsed());
            }
        });
    }
    let alone = untags.next(2_000).await;
    let chunks = (0..10).map(|at| {
        let lines = (at * 300 + 1..=at * 300 + 300).map(|number: i64| ImportLine {
            number,
            user: Some(user(
                &number.to_string(),
                &format!("u{number}@x"),
                &[("k", "v")],
            )),
        });
        ImportChunk {
            lines: lines.collect(),
        }
    });
    let begun = Instant::now();
    let answers = imported(&server, settings(ImportMode::Merge), chunks.collect()).await;
    let elapsed = begun.elapsed();
    let beside = untags.next(0).await;
    untags.is_done.store(true, Ordering::Relaxed);
    untagging.join_all().await;
    assert!(answers.iter().all(|answer| answer.created_users == 300));
    println!(
        "import: 3000 users in {elapsed:?} beside {} untags, whose p99 is {:?}, and {:?} alone",
        beside.len(),
        p99(beside),
        p99(alone),
    );
    let users = users(&home);
    assert_eq!(users.len(), 3_000 + UNTAGGED);
    for number in 0..UNTAGGED {
        let user = (900_000 + number).to_string();
        assert_eq!(named(&users, &user).1, r#"{"keep":"y"}"#);
    }
}
