//! `untag tags` behind a connection that loses an answer: the change is made once.

use std::io::{Read as _, Write as _};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::process::Stdio;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;

use serde_json::Value;

use crate::Sample;
use crate::support::{untag, wait_until};
use crate::tags::{BOB, objects, tags, wait_for_a_call};

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

#[test]
fn a_change_whose_answer_is_lost_is_made_once_and_keeps_what_was_set_since() {
    let sample = Sample::start(&[]);
    let way = LossyWay::to(sample.server.address);
    let held = sample.hold_store();
    let mut change = untag();
    change.args(["tags", "remove", BOB, "--tag", "env", "--output", "json"]);
    change.args(["--address", &way.address.to_string()]);
    change.stdout(Stdio::piped()).stderr(Stdio::piped());
    let change = change.spawn().unwrap();
    wait_for_a_call(&sample.server);
    way.loses_answers.store(true, Ordering::SeqCst);
    drop(held);
    let answered = |line: &Value| {
        line["method"] == "/ram.tag.v1.TagService/UntagResources" && line["code"] == "OK"
    };
    wait_until("the change is made", || {
        sample.server.count_in_log(answered) == 1
    });
    tags(&sample.server, &["set", BOB, "env=newer"]).success();
    way.cut();

    let done = change.wait_with_output().unwrap();
    assert_eq!(done.status.code(), Some(0), "{done:?}");
    let done = objects(&String::from_utf8(done.stdout).unwrap());
    assert_eq!(done[0]["changed_tags"], 1);
    let replay = sample
        .server
        .wait_for_log_where("request", |line| line["replay"] == true);
    assert_eq!(replay["request_id"], done[0]["request_id"]);
    let left = objects(&tags(&sample.server, &["list", BOB]).success());
    assert_eq!(left[0]["tag_value"], "newer");
}
