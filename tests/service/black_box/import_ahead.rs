//! Imports whose client sends chunks ahead: the service makes several at once.

use tonic::Code;
use untag::grpc::proto::user::v1::{ImportChunk, ImportLine, ImportMode};

use super::importer::{counts, import, imported, named, refused, settings, user, users};
use super::users::server;

/// How many users a chunk has.
const LINES: usize = 50;
const USERS: usize = 2_000;

/// Chunks of users by number, each with a name and the value of a tag.
fn chunks(lines: impl Iterator<Item = (usize, String, &'static str)>) -> Vec<ImportChunk> {
    let lines = lines
        .zip(1..)
        .map(|((id, name, value), number)| ImportLine {
            number,
            user: Some(user(&(10_000 + id).to_string(), &name, &[("k", value)])),
        });
    let lines: Vec<_> = lines.collect();
    let chunks = lines.chunks(LINES).map(|lines| ImportChunk {
        lines: lines.to_vec(),
    });
    chunks.collect()
}

fn name(number: usize) -> String {
    format!("ahead-{number}@example.com")
}

#[tokio::test]
async fn names_pass_between_chunks_that_are_made_at_once() {
    let (server, home) = server(&[]);
    let first = chunks((0..USERS).map(|id| (id, name(id), "a")));
    imported(&server, settings(ImportMode::CreateOnly), first).await;
    // Each swaps with one of the next chunk but one: more wait in all than may wait at once.
    let swaps = || (0..USERS).map(|id| (id, name(id ^ 64), "b"));
    let answers = imported(&server, settings(ImportMode::Merge), chunks(swaps())).await;
    let refusals: Vec<_> = answers.iter().flat_map(refused).collect();
    assert_eq!(refusals, []);
    let updated: i32 = answers.iter().map(|answer| counts(answer)[1]).sum();
    assert_eq!(usize::try_from(updated), Ok(USERS));
    let last = answers.last().unwrap();
    assert_eq!(usize::try_from(last.resume_line), Ok(USERS + 1));
    let users = users(&home);
    for (id, expected, value) in swaps() {
        let (name, tags) = named(&users, &(10_000 + id).to_string());
        assert_eq!(name, expected);
        assert_eq!(tags, format!(r#"{{"k":"{value}"}}"#));
    }
}

#[tokio::test]
async fn the_last_line_of_a_user_counts_where_chunks_are_made_at_once() {
    let (server, home) = server(&[]);
    // Three chunks have the same users, and then others come.
    let rounds = (0..USERS / LINES).flat_map(|round| {
        let ids = move || round * LINES..(round + 1) * LINES;
        let lines = ["a", "b", "c"].map(|value| ids().map(move |id| (id, name(id), value)));
        lines.into_iter().flatten()
    });
    let answers = imported(&server, settings(ImportMode::Merge), chunks(rounds)).await;
    for (at, answer) in answers.iter().enumerate() {
        let (all, is_first) = (i32::try_from(LINES).unwrap(), at % 3 == 0);
        let expected = if is_first {
            [all, 0, 0, 0]
        } else {
            [0, all, 0, 0]
        };
        assert_eq!(counts(answer), expected, "{answer:?}");
    }
    let users = users(&home);
    for id in 0..USERS {
        let (_, tags) = named(&users, &(10_000 + id).to_string());
        assert_eq!(tags, r#"{"k":"c"}"#);
    }
}

#[tokio::test]
async fn what_comes_before_a_bad_message_is_answered() {
    let (server, _home) = server(&[]);
    let mut sent = chunks((0..LINES).map(|id| (id, name(id), "a")));
    sent.push(ImportChunk::default());
    let (answers, end) = import(&server, settings(ImportMode::Merge), sent).await;
    assert_eq!(end.unwrap_err().code(), Code::InvalidArgument);
    let told: Vec<_> = answers.iter().map(counts).collect();
    assert_eq!(told, [[i32::try_from(LINES).unwrap(), 0, 0, 0]]);
}
