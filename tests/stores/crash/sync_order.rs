//! A power loss keeps what was synced, and a kill can't show that. So the server runs under strace, and of every answer
//! the trace has to show that its change was synced to the write-ahead log before the answer went out.

use std::collections::HashMap;
use std::path::Path;
use std::time::Instant;

use untag::grpc::proto::untag_resources_request::Resources;
use untag::grpc::proto::{ResourceIds, UntagResourcesRequest};

use super::model::{Plot, USERS, expected_state, import, user_id};
use super::strace::start_traced;
use crate::support::{PATIENCE, Server};

/// A system call of the server. Positions in the trace tell what came before what.
#[derive(Debug)]
struct Call {
    name: String,
    arguments: String,
    started: usize,
    /// `usize::MAX` where it did not return.
    ended: usize,
    result: Option<i64>,
}

impl Call {
    fn is_on_the_log(&self) -> bool {
        // strace writes a file descriptor as `7</directory/untag.db-wal>`.
        let descriptor = self.arguments.split('>').next();
        descriptor.is_some_and(|descriptor| descriptor.ends_with("/untag.db-wal"))
    }

    fn is_sync(&self) -> bool {
        self.name == "fdatasync" || self.name == "fsync"
    }

    fn is_answer_with(&self, request_id: &str) -> bool {
        // `9<TCP:[127.0.0.1:50051->127.0.0.1:40000]>`; the log on stderr has the RequestId too.
        let is_socket = self
            .arguments
            .split('>')
            .next()
            .is_some_and(|start| start.contains("<TCP"));
        is_socket && self.arguments.contains(request_id)
    }
}

#[tokio::test]
async fn sqlite_every_answer_follows_an_fsync() {
    let data = tempfile::tempdir().unwrap();
    let plot = Plot::new(0, 0);
    import(data.path(), &expected_state([&plot]));
    let trace = tempfile::NamedTempFile::new().unwrap();
    let output = trace.path().to_str().unwrap();
    let calls = "trace=write,writev,pwrite64,pwritev,sendto,sendmsg,fsync,fdatasync";
    // With the files and addresses of descriptors, and long enough texts to find a RequestId in.
    let mut server = start_traced(
        data.path(),
        &["-yy", "-s", "1024", "-o", output, "-e", calls],
    );

    let mut client = server.client().await;
    let mut request_ids = Vec::new();
    for user in 0..USERS {
        let request = UntagResourcesRequest {
            resources: Some(Resources::ResourceIds(ResourceIds {
                values: vec![user_id(0, user)],
            })),
            tag_keys: vec![plot.key(0)],
            ..UntagResourcesRequest::default()
        };
        request_ids.push(
            client
                .untag_resources(request)
                .await
                .unwrap()
                .into_inner()
                .request_id,
        );
    }
    drop(client);
    server.signal("TERM");
    assert!(server.wait(PATIENCE).success());

    let calls = parse(&whole_trace(trace.path(), &server));
    let mut previous_answer = 0;
    for request_id in request_ids {
        let answer = calls.iter().find(|call| call.is_answer_with(&request_id));
        let answer =
            answer.unwrap_or_else(|| panic!("the answer {request_id} is not in the trace"));
        // One request is sent after the other, so what is written between two answers is for the second.
        let written = calls
            .iter()
            .filter(|call| (previous_answer..answer.started).contains(&call.started))
            .filter(|call| call.is_on_the_log() && !call.is_sync())
            .map(|call| call.ended)
            .max()
            .expect("an untag writes to the log before it is answered");
        let synced = calls.iter().any(|call| {
            call.is_sync()
                && call.is_on_the_log()
                && call.result == Some(0)
                && call.started > written
                && call.ended < answer.started
        });
        assert!(
            synced,
            "answered before it was synced: {answer:?}, its log was written by line {written}"
        );
        previous_answer = answer.started;
    }
    let fsync = calls
        .iter()
        .find(|call| call.name == "fsync" && call.is_on_the_log());
    assert!(
        fsync.is_none(),
        "SQLite does not know fdatasync, see .cargo/config.toml: {fsync:?}"
    );
}

/// The trace, once strace has seen the server's end.
fn whole_trace(path: &Path, server: &Server) -> String {
    let deadline = Instant::now() + PATIENCE;
    loop {
        let trace = std::fs::read_to_string(path).unwrap();
        let is_end =
            |line: &str| line.starts_with(&server.pid().to_string()) && line.contains("+++ exited");
        if trace.lines().any(is_end) {
            return trace;
        }
        assert!(
            Instant::now() < deadline,
            "strace has not seen the server's end: {trace}"
        );
        std::thread::sleep(std::time::Duration::from_millis(5));
    }
}

/// Reads lines such as `12 fsync(7</d/f>) = 0`, where a call that others overtake takes two lines:
/// `12 fsync(7</d/f> <unfinished ...>` and `12 <... fsync resumed>) = 0`.
fn parse(trace: &str) -> Vec<Call> {
    let mut calls: Vec<Call> = Vec::new();
    let mut unfinished: HashMap<&str, usize> = HashMap::new();
    for (place, line) in trace.lines().enumerate() {
        let (thread, event) = line.split_once(' ').expect("a line begins with the thread");
        let event = event.trim_start();
        let result = event
            .rsplit_once(" = ")
            .and_then(|(_, result)| result.split(' ').next()?.parse().ok());
        if event.starts_with("<... ") {
            let call = &mut calls[unfinished
                .remove(thread)
                .expect("a call that resumes has begun")];
            (call.ended, call.result) = (place, result);
        } else if let Some((name, arguments)) = event.split_once('(') {
            let is_unfinished = event.ends_with("<unfinished ...>");
            if is_unfinished {
                unfinished.insert(thread, calls.len());
            }
            calls.push(Call {
                name: name.to_owned(),
                arguments: arguments.to_owned(),
                started: place,
                ended: if is_unfinished { usize::MAX } else { place },
                result: result.filter(|_| !is_unfinished),
            });
        }
    }
    calls
}
