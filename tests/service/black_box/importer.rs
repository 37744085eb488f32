//! A client of `ImportUsers`.

#![allow(dead_code, reason = "each test crate uses its own part")]

use std::collections::HashMap;

use futures_util::stream;
use tokio::sync::mpsc;
use tonic::transport::Channel;
use tonic::{Request, Status, Streaming};
use untag::grpc::proto::user::v1::import_users_request::Part;
use untag::grpc::proto::user::v1::user_service_client::UserServiceClient;
use untag::grpc::proto::user::v1::{
    ImportChunk, ImportLine, ImportMode, ImportSettings, ImportUsersRequest, ImportUsersResponse,
    User,
};

use super::bulk::export;
use super::home::Home;
use super::users::{ACCOUNT, ask};
use crate::support::Server;

/// The number of a line, the id, the name and the tags of its user.
pub type Line<'a> = (i64, &'a str, &'a str, &'a [(&'a str, &'a str)]);

/// The settings of an import in a mode.
pub fn settings(mode: ImportMode) -> ImportSettings {
    ImportSettings {
        mode: mode.into(),
        ..ImportSettings::default()
    }
}

/// A user without times.
pub fn user(id: &str, name: &str, tags: &[(&str, &str)]) -> User {
    let owned = |(key, value): &(&str, &str)| ((*key).to_owned(), (*value).to_owned());
    User {
        resource_id: id.to_owned(),
        principal_name: name.to_owned(),
        tags: tags.iter().map(owned).collect::<HashMap<_, _>>(),
        ..User::default()
    }
}

/// A chunk of these lines.
pub fn chunk(lines: &[Line<'_>]) -> ImportChunk {
    let lines = lines.iter().map(|(number, id, name, tags)| ImportLine {
        number: *number,
        user: Some(user(id, name, tags)),
    });
    ImportChunk {
        lines: lines.collect(),
    }
}

pub fn first(settings: ImportSettings) -> ImportUsersRequest {
    ImportUsersRequest {
        part: Some(Part::Settings(settings)),
    }
}

pub fn next(chunk: ImportChunk) -> ImportUsersRequest {
    ImportUsersRequest {
        part: Some(Part::Chunk(chunk)),
    }
}

/// A message of chunks in the account of the tests.
pub fn messages(
    all: Vec<ImportUsersRequest>,
) -> Request<impl futures_util::Stream<Item = ImportUsersRequest>> {
    ask(stream::iter(all))
}

/// Another client for the users of a server.
pub async fn users_of(server: &Server) -> UserServiceClient<Channel> {
    UserServiceClient::new(server.channel().await)
}

/// Imports chunks by one stream, and returns the answers up to the end or the error.
pub async fn import(
    server: &Server,
    settings: ImportSettings,
    chunks: Vec<ImportChunk>,
) -> (Vec<ImportUsersResponse>, Result<(), Status>) {
    let all = [first(settings)].into_iter();
    let all = all.chain(chunks.into_iter().map(next)).collect();
    let mut client = users_of(server).await;
    let mut answers = match client.import_users(messages(all)).await {
        Ok(answers) => answers.into_inner(),
        Err(status) => return (Vec::new(), Err(status)),
    };
    let mut all = Vec::new();
    loop {
        match answers.message().await {
            Ok(Some(answer)) => all.push(answer),
            Ok(None) => return (all, Ok(())),
            Err(status) => return (all, Err(status)),
        }
    }
}

/// As [`import`], where all goes well.
pub async fn imported(
    server: &Server,
    settings: ImportSettings,
    chunks: Vec<ImportChunk>,
) -> Vec<ImportUsersResponse> {
    let (answers, end) = import(server, settings, chunks).await;
    end.unwrap();
    answers
}

/// As [`imported`], where each chunk is sent when the one before is answered.
pub async fn one_by_one(
    server: &Server,
    settings: ImportSettings,
    chunks: Vec<ImportChunk>,
) -> Vec<ImportUsersResponse> {
    let mut open = Open::begin(server, settings).await;
    let mut answers = Vec::new();
    for chunk in chunks {
        answers.push(open.send(chunk).await.unwrap());
    }
    let Open {
        sender,
        answers: mut rest,
    } = open;
    drop(sender);
    while let Some(answer) = rest.message().await.unwrap() {
        answers.push(answer);
    }
    answers
}

/// How many users an answer tells of: created, updated, unchanged and refused.
pub fn counts(answer: &ImportUsersResponse) -> [i32; 4] {
    [
        answer.created_users,
        answer.updated_users,
        answer.unchanged_users,
        i32::try_from(answer.refused_lines.len()).unwrap(),
    ]
}

/// The numbers of refused lines, with their codes.
pub fn refused(answer: &ImportUsersResponse) -> Vec<(i64, &str)> {
    let lines = answer.refused_lines.iter();
    lines
        .map(|line| (line.number, line.code.as_str()))
        .collect()
}

/// The users of the account of the tests, as id, name and tags.
pub fn users(home: &Home) -> Vec<(String, String, String)> {
    let exported = export(home);
    let users = exported.lines().map(|line| {
        let user: serde_json::Value = serde_json::from_str(line).unwrap();
        let text = |field: &str| user[field].as_str().unwrap().to_owned();
        let place = (text("account_id"), text("resource_id"));
        (place, text("principal_name"), user["tags"].to_string())
    });
    users
        .filter(|((account, _), ..)| account == ACCOUNT)
        .map(|((_, id), name, tags)| (id, name, tags))
        .collect()
}

pub fn named<'a>(users: &'a [(String, String, String)], id: &str) -> (&'a str, &'a str) {
    let found = users.iter().find(|(found, ..)| found == id);
    let (_, name, tags) = found.unwrap_or_else(|| panic!("no {id}: {users:?}"));
    (name, tags)
}

/// An import that goes on message by message.
pub struct Open {
    sender: mpsc::Sender<ImportUsersRequest>,
    answers: Streaming<ImportUsersResponse>,
}

impl Open {
    /// Begins an import.
    pub async fn begin(server: &Server, settings: ImportSettings) -> Self {
        let (sender, receiver) = mpsc::channel(1);
        sender.send(first(settings)).await.unwrap();
        let messages = stream::unfold(receiver, |mut receiver| async {
            let message = receiver.recv().await?;
            Some((message, receiver))
        });
        let mut client = users_of(server).await;
        let answers = client.import_users(ask(messages)).await.unwrap();
        Self {
            sender,
            answers: answers.into_inner(),
        }
    }

    /// Sends a chunk. Where the stream has ended, the next answer says so.
    pub async fn post(&mut self, chunk: ImportChunk) {
        let _ = self.sender.send(next(chunk)).await;
    }

    /// Sends a chunk, and waits for its answer.
    pub async fn send(&mut self, chunk: ImportChunk) -> Result<ImportUsersResponse, Status> {
        self.post(chunk).await;
        self.answer().await
    }

    /// Waits for an answer.
    pub async fn answer(&mut self) -> Result<ImportUsersResponse, Status> {
        let answer = self.answers.message().await?;
        Ok(answer.expect("the stream does not end by itself"))
    }
}
