//! `untag tags` and `untag changes` behind a connection that loses an answer: the change is made once.

use std::io::{Read as _, Write as _};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::process::Stdio;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;

use serde_json::Value;

use crate::Sample;
use crate::changes::request_id;
use crate::support::{untag, wait_until};
use crate::tags::{BOB, objects, tags, tags_of, wait_for_a_call};

/// A way to a server that can lose what the server says.
struct LossyWay {
    address: SocketAddr,
    loses_answers: Arc<AtomicBool>,
    clients: Arc<Mutex<Vec<TcpStream>>>,
}

impl LossyWay {
    fn to(server: SocketAddr) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let way = Self {
            address: listener.local_addr().unwrap(),
            loses_answers: Arc::default(),
            clients: Arc::default(),
        };
        let (loses, clients) = (Arc::clone(&way.loses_answers), Arc::clone(&way.clients));
        thread::spawn(move || {
            for client in listener.incoming() {
                let (client, server) = (client.unwrap(), TcpStream::connect(server).unwrap());
                clients.lock().unwrap().push(client.try_clone().unwrap());
                let both = (client.try_clone().unwrap(), server.try_clone().unwrap());
                let loses = Arc::clone(&loses);
                thread::spawn(move || copy(both.0, both.1, &AtomicBool::new(false)));
                thread::spawn(move || copy(server, client, &loses));
            }
        });
        way
    }

    /// Breaks the connections that there are. New ones lose nothing.
    fn cut(&self) {
        for client in self.clients.lock().unwrap().drain(..) {
            client.shutdown(Shutdown::Both).unwrap();
        }
        self.loses_answers.store(false, Ordering::SeqCst);
    }
}

fn copy(mut from: TcpStream, mut to: TcpStream, loses: &AtomicBool) {
    let mut bytes = [0; 4096];
    while let Ok(count @ 1..) = from.read(&mut bytes) {
        if !loses.load(Ordering::SeqCst) && to.write_all(&bytes[..count]).is_err() {
            break;
        }
    }
    let _ = to.shutdown(Shutdown::Both);
}

/// Runs a command whose change is made and whose answer is lost, does something else meanwhile, and returns what the command prints once
/// it has sent the change again.
fn lose_answer(sample: &Sample, arguments: &[&str], meanwhile: impl FnOnce()) -> Value {
    let way = LossyWay::to(sample.server.address);
    let held = sample.hold_store();
    let mut change = untag();
    change.args(arguments).args(["--output", "json"]);
    change.args(["--address", &way.address.to_string()]);
    change.stdout(Stdio::piped()).stderr(Stdio::piped());
    let change = change.spawn().unwrap();
    wait_for_a_call(&sample.server);
    let changes = |line: &Value| line["affected"].is_number() && line["code"] == "OK";
    let before = sample.server.count_in_log(changes);
    way.loses_answers.store(true, Ordering::SeqCst);
    drop(held);
    wait_until("the change is made", || {
        sample.server.count_in_log(changes) > before
    });
    meanwhile();
    way.cut();

    let done = change.wait_with_output().unwrap();
    assert_eq!(done.status.code(), Some(0), "{done:?}");
    let done = objects(&String::from_utf8(done.stdout).unwrap()).remove(0);
    let replay = sample
        .server
        .wait_for_log_where("request", |line| line["replay"] == true);
    assert_eq!(replay["request_id"], done["request_id"]);
    done
}

#[test]
fn a_change_whose_answer_is_lost_is_made_once_and_keeps_what_was_set_since() {
    let sample = Sample::start(&[]);
    let server = &sample.server;
    let remove = ["tags", "remove", BOB, "--tag", "env"];
    let done = lose_answer(&sample, &remove, || {
        tags(server, &["set", BOB, "env=newer"]).success();
    });
    assert_eq!(done["changed_tags"], 1);
    assert_eq!(tags_of(server, BOB)[0], "env=newer");
}

#[test]
fn a_revert_whose_answer_is_lost_is_made_once_and_keeps_what_was_set_since() {
    let sample = Sample::start(&[]);
    let server = &sample.server;
    let change = request_id(tags(server, &["remove", BOB, "--tag", "env"]));
    let revert = ["changes", "revert", &change, "--yes"];
    let done = lose_answer(&sample, &revert, || {
        tags(server, &["set", BOB, "env=newer"]).success();
    });
    assert_eq!(
        (&done["revision"], &done["changed_tags"]),
        (&2.into(), &1.into())
    );
    assert_eq!(tags_of(server, BOB)[0], "env=newer");
}
